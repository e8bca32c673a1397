"""Draws the viewer on ``sample_runs`` as ``viewer/*.svg``, the pictures of the README: ``python viewer/screenshot.py``.

The drawings need no font of ours: each piece of text is as wide as its cells, and Braille is drawn as dots.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Final

from rich.segment import Segment
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip

from neurockt.formatting import display_width
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.picture import Picture
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.grid import Grid

HERE: Final = Path(__file__).parent
SIZE: Final = 140, 34
COLUMNS: Final = "state name valid_loss best(acc) cfg.optimizer cfg.lr steps tags"
CELL_WIDTH: Final = 8.4
CELL_HEIGHT: Final = 17
MARGIN: Final = 10
FONTS: Final = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
DOTS: Final = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))
"""Column and row of each bit of a Braille character."""


def to_svg(strips: Sequence[Strip], width: int) -> str:
    """Lines of a terminal as a drawing."""
    full_width, full_height = width * CELL_WIDTH + 2 * MARGIN, len(strips) * CELL_HEIGHT + 2 * MARGIN
    back = next(segment.style.bgcolor for strip in strips for segment in strip if segment.style)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full_width:g} {full_height}" '
        f'font-family="{FONTS}" font-size="14" xml:space="preserve">',
        f'<rect width="100%" height="100%" rx="8" fill="{back.get_truecolor().hex if back else "#000"}"/>',
    ]
    for row, strip in enumerate(strips):
        x = 0
        for segment in strip:
            parts += _draw(segment, MARGIN + x * CELL_WIDTH, MARGIN + row * CELL_HEIGHT)
            x += display_width(segment.text)
    return "\n".join([*parts, "</svg>", ""])


def _draw(segment: Segment, x: float, y: float) -> list[str]:
    style = segment.style or Style()
    ink, paper = style.color, style.bgcolor
    if style.reverse:
        ink, paper = paper, ink
    fill = ink.get_truecolor().hex if ink else "#d8dee6"
    width = display_width(segment.text) * CELL_WIDTH
    drawn = []
    if paper:
        drawn.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width + 0.3:.1f}" height="{CELL_HEIGHT + 0.3}" '
            f'fill="{paper.get_truecolor().hex}"/>'
        )
    for kind, text, start in _pieces(segment.text):
        at = x + start * CELL_WIDTH
        if kind == "dots":
            drawn.append(f'<path d="{_dots(text, at, y)}" fill="{fill}"/>')
        elif text.strip():
            weight = ' font-weight="bold"' if style.bold else ""
            length = display_width(text) * CELL_WIDTH
            drawn.append(
                f'<text x="{at:.1f}" y="{y + 13:.1f}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" '
                f'fill="{fill}"{weight}>{escape(text)}</text>'
            )
    return drawn


def _pieces(text: str) -> list[tuple[str, str, int]]:
    """Words, signs and runs of Braille, each with the cell where it begins."""
    pieces: list[tuple[str, str, int]] = []
    at = 0
    for character in text:
        kind = "dots" if "\u2800" <= character <= "\u28ff" else "space" if character == " " else "text"
        wide = display_width(character) > 1 or not character.isascii()
        if pieces and pieces[-1][0] == kind and not (wide and kind == "text"):
            pieces[-1] = kind, pieces[-1][1] + character, pieces[-1][2]
        else:
            pieces.append((kind, character, at))
        at += display_width(character)
    return pieces


def _dots(text: str, x: float, y: float) -> str:
    """A small square for each dot of Braille."""
    path = []
    for index, character in enumerate(text):
        for bit, (column, row) in enumerate(DOTS):
            if (ord(character) - 0x2800) >> bit & 1:
                left = x + index * CELL_WIDTH + (column + 0.5) * CELL_WIDTH / 2 - 1.2
                top = y + (row + 0.5) * CELL_HEIGHT / 4 - 1.2
                path.append(f"M{left:.1f} {top:.1f}h2.4v2.4h-2.4z")
    return "".join(path)


async def until(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the screen is not as it should be")
        await pilot.pause(0.05)


async def draw() -> None:
    """Draw the pictures."""
    app = ViewerApp(Path("sample_runs"), Settings(sort="best(acc)", columns=COLUMNS.split()))

    def save(name: str) -> None:
        strips = app.screen._compositor.render_strips()
        (HERE / name).write_text(to_svg(strips, SIZE[0]), encoding="utf-8")

    def drawn(charts: int) -> bool:
        found = [chart for chart in app.screen.query(Chart) if chart.lines and isinstance(chart.picture, Picture)]
        return len(found) >= charts

    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: len(app.screen.query("#runs")) and len(app.screen.query_one("#runs", Grid).source))
        await pilot.press(*"jj", "space", *"jjj", "space", *"jjj", "space", *"gjj")
        await until(pilot, lambda: drawn(1))
        await pilot.pause(0.2)
        save("runs.svg")
        await pilot.press("c")
        await until(pilot, lambda: drawn(4) and isinstance(app.focused, Chart))
        await pilot.press("s")
        await pilot.pause(0.2)
        save("compare.svg")


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.chdir(HERE.parent)
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CONFIG_HOME"] = home
        asyncio.run(draw())
