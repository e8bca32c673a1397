"""What is written to the terminal: the picture that Textual draws, in fewer bytes."""

from __future__ import annotations

from typing import Any

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from neurockt_viewer.output import Redraw, Shown

pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # Rich 14.2 does for links

WIDTH, HEIGHT = 12, 3
COLORS = st.none() | st.builds(Color.from_rgb, *[st.sampled_from([0, 90, 255])] * 3) | st.sampled_from([
    Color.default(), Color.parse("red"), Color.parse("bright_green"), Color.from_ansi(200),
])  # fmt: skip
STYLES = st.builds(
    Style,
    color=COLORS,
    bgcolor=COLORS,
    **{
        name: st.sampled_from([None, True])
        for name in ("bold", "dim", "italic", "underline", "reverse", "strike", "blink")
    },
    link=st.sampled_from([None, None, None, "https://example.org"]),
)
SEGMENTS = st.tuples(st.text("ab é漢", max_size=4), st.none() | STYLES).map(lambda pair: Segment(*pair))
STRIPS = st.lists(SEGMENTS, max_size=4).map(lambda segments: Strip(segments).adjust_cell_length(WIDTH // 2))
LINES = st.lists(STRIPS, min_size=2, max_size=2)
SYSTEMS = st.sampled_from(["truecolor", "256", "standard", None])


def console(system: Any) -> Console:
    return Console(color_system=system, force_terminal=True)


def drawn(output: str) -> list[list[Any]]:
    """All cells of a terminal that was not empty."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.Stream(screen)
    stream.feed("\x1b[31;42mxxxxxxxxxxxx" * HEIGHT + "\x1b[0m" + output + "\x1b[1;1H?")
    return [[screen.buffer[y][x] for x in range(WIDTH)] for y in range(HEIGHT)]


SCREENS = st.lists(LINES, min_size=HEIGHT, max_size=HEIGHT)
SPANS = st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH), st.integers(0, WIDTH)).filter(
    lambda s: s[1] < s[2]
)


def parts(lines: list[list[Strip]], spans: list[tuple[int, int, int]]) -> ChopsUpdate:
    chops = [dict(zip((0, WIDTH // 2), line, strict=True)) for line in lines]
    return ChopsUpdate(chops, sorted(spans), [[WIDTH // 2, WIDTH]] * HEIGHT)


UPDATES = st.builds(LayoutUpdate, SCREENS, st.just(Region(0, 0, WIDTH, HEIGHT))) | st.builds(
    parts, SCREENS, st.lists(SPANS, min_size=1, max_size=4)
)


@given(st.lists(UPDATES, min_size=1, max_size=4), SYSTEMS)
def test_the_screen_is_drawn_as_textual_draws_it(updates: list[ChopsUpdate | LayoutUpdate], system: Any) -> None:
    """As a whole, and in parts, some of which are there already."""
    whole = short = ""
    shown = Shown()
    for update in [*updates, updates[-1]]:
        whole += update.render_segments(console(system))
        short += Redraw(update, shown).render_segments(console(system))
        assert drawn(short) == drawn(whole)


def test_what_is_on_the_screen_is_not_written_again() -> None:
    """Until all of it is drawn, since others may have written to the terminal."""
    lines = [[Strip([Segment("a line", Style(bold=True))]), Strip([Segment("beside"), Segment("      ")])]] * HEIGHT
    whole, part = LayoutUpdate(lines, Region(0, 0, WIDTH, HEIGHT)), parts(lines, [(1, 0, WIDTH)])
    shown = Shown()
    first, again, all_of_it = (Redraw(update, shown).render_segments(console("256")) for update in (whole, part, whole))
    assert (again, all_of_it) == ("", first)


def test_a_line_of_many_styles_takes_half_of_the_bytes() -> None:
    ground = Style.parse("rgb(216,222,230) on rgb(16,20,26)")
    cells = [
        Segment("   ", ground),
        Segment("running", ground + Style.parse("rgb(86,180,233)")),
        Segment("  ", ground),
        Segment("proud-crow", ground + Style.parse("bold")),
        Segment("  0.3812", ground),
    ]
    update = LayoutUpdate([[Strip(cells)]] * 20, Region(0, 0, 40, 20))
    whole, short = (each.render_segments(console("truecolor")) for each in (update, Redraw(update, Shown())))
    assert len(short) < len(whole) / 2
