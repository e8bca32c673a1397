"""Lines that stay as they are until they change, and the scroll bars of a grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.content import Content
from textual.geometry import Region
from viewing import until

from neurockt.formatting import clean
from neurockt_viewer.text import Scrub
from neurockt_viewer.widgets.lines import Ground, Lines, TextLine
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows


class Numbered(Lines):
    """Counts how often each of its lines is made."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Counter[int] = Counter()

    def segments(self, y: int) -> Iterable[Segment]:
        self.made[y] += 1
        return [Segment(f"line {y}, {self.size.width} wide, made {self.made[y]} times")]


class Screen(App[None]):
    """Lines, a text, and a grid of 100 rows that is wider than the screen."""

    CSS = "Numbered { height: 5; } RowGrid { height: 12; }"

    def compose(self) -> ComposeResult:
        yield Numbered()
        yield TextLine()
        yield RowGrid()

    def on_mount(self) -> None:
        rows = [[Cell(f"{row}.{column}".ljust(40, "x")) for column in range(4)] for row in range(100)]
        self.query_one(RowGrid).show(CellRows(["a", "b", "c", "d"], rows))
        self.query_one(RowGrid).focus()


async def test_a_line_is_made_once_until_it_is_refreshed() -> None:
    """Refreshing a region makes its lines again and no other."""
    async with Screen().run_test() as pilot:
        lines = pilot.app.query_one(Numbered)
        before = lines.made.copy()
        for _ in range(3):
            lines.render_lines(lines.size.region)
        assert lines.made == before
        lines.refresh(Region(0, 2, 80, 1))
        shown = [strip.text.rstrip() for strip in lines.render_lines(lines.size.region)]
        assert shown[2] == f"line 2, 80 wide, made {before[2] + 1} times"
        assert shown[3] == f"line 3, 80 wide, made {before[3]} times"


TEXTS = st.text(st.sampled_from("aé─⣿✓▸…±·×手🙂\u0301\x1b\u202e\n") | st.characters(), max_size=6)
STYLES = st.sampled_from([Style(), Style(bold=True), Style(color="red")])


@given(st.lists(st.builds(Segment, TEXTS, STYLES, st.none()), max_size=6), st.integers(0, 20))
def test_a_line_is_as_wide_as_its_widget_and_harmless(segments: list[Segment], width: int) -> None:
    """It is cut or filled to its width, and what it shows is what it was made of."""
    ground = Ground(Style(bgcolor="blue"), Color(0, 0, 0), [Scrub()])
    line = ground.line(segments, width)
    assert line.cell_length == width
    assert clean(line.text, 1000) == line.text
    cells = [(c, segment.style) for segment in segments for c in segment.text]
    if all(cell_len(c) == 1 and clean(c) == c for c, _ in cells):
        shown = [*cells, *[(" ", ground.style)] * (width - len(cells))][:width]
        assert [(c, segment.style) for segment in line for c in segment.text] == shown


async def test_lines_fill_another_size() -> None:
    async with Screen().run_test() as pilot:
        await pilot.resize_terminal(60, 30)
        lines = pilot.app.query_one(Numbered)
        (first, *_) = lines.render_lines(lines.size.region)
        assert (first.cell_length, first.text[:16]) == (60, "line 0, 60 wide,")


async def test_a_text_too_long_for_its_line_ends_in_an_ellipsis() -> None:
    async with Screen().run_test(size=(20, 30)) as pilot:
        line = pilot.app.query_one(TextLine)
        line.show(Content("a text of many words, in [brackets]"))
        assert line.render_line(0).text == " a text of many wo… "
        line.show(Content("[short]"))
        assert line.render_line(0).text == " [short]            "


def thumb(grid: RowGrid) -> tuple[list[int], list[int]]:
    """Where the thumbs of the vertical and of the horizontal bar are."""
    bars = grid.vertical_scrollbar, grid.horizontal_scrollbar
    styles = [[s.style for strip in bar.render_lines(bar.size.region) for s in strip] for bar in bars]
    down, across = ([at for at, style in enumerate(each) if style and style.meta == GRABBED] for each in styles)
    return down, across


GRABBED = {"@mouse.down": "grab"}


async def test_scroll_bars_show_what_part_of_the_rows_is_seen() -> None:
    """They move with the rows, and a click beside a thumb scrolls."""
    async with Screen().run_test() as pilot:
        grid = pilot.app.query_one(RowGrid)
        await until(lambda: all(thumb(grid)))  # they are drawn
        down, across = thumb(grid)
        assert (down[0], across[0]) == (0, 0)
        assert len(down) < 8
        await pilot.press("G", "dollar_sign")
        bottom = grid.vertical_scrollbar.size.height - 1
        await until(lambda: thumb(grid)[0][-1] == bottom and thumb(grid)[1][0] > 8)
        down, _ = thumb(grid)
        await pilot.click(grid.vertical_scrollbar, offset=(0, 1))
        await until(lambda: grid.scroll_offset.y < 80 and thumb(grid)[0][0] < down[0])


async def test_a_cell_that_changed_while_it_was_not_in_sight_is_drawn_as_it_is() -> None:
    """Columns were scrolled away, or had no room, when their cells changed."""
    async with Screen().run_test() as pilot:
        grid = pilot.app.query_one(RowGrid)
        source = grid.source
        assert isinstance(source, CellRows)
        grid.frozen = 1

        async def change(text: str) -> None:
            source.rows[0][3] = Cell(text)  # type: ignore[index]
            grid.redraw_changed()
            await pilot.pause()

        await pilot.press("dollar_sign", "down", "circumflex_accent")
        await change("one")
        await pilot.press("dollar_sign")
        assert grid.render_lines(grid.size.region)[1].text.split()[-1] == "one"
        await pilot.press("circumflex_accent")
        for width, text in ((200, "two"), (80, "two"), (80, "three"), (200, "three")):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            await change(text)
        assert grid.render_lines(grid.size.region)[1].text.split()[-1] == "three"
