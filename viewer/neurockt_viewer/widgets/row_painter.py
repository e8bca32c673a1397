"""Makes the lines of a grid, its titles and its rows, from cells; how they look is in the grid's component classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from neurockt_viewer.charts import palette
from neurockt_viewer.widgets.drawn_cells import GAP, Drawn, cut_left, cut_right, fill, joined
from neurockt_viewer.widgets.lines import Ground
from neurockt_viewer.widgets.row_source import Cell, Column

UNKNOWN = Cell("·", "muted")


class Seen(NamedTuple):
    """What is the same for all lines that are drawn at a time."""

    columns: Sequence[Column]
    starts: Sequence[int]
    """Where each column begins, and where the last one ends."""
    frozen: int
    """How many columns, from the left, do not scroll away."""
    shown: list[int]
    """The columns that are seen."""
    left: int
    """Cells that are scrolled away, of the columns that are not frozen."""
    width: int
    has_focus: bool
    ground: Ground


class RowPainter:
    def __init__(self, grid: Widget) -> None:
        self._grid = grid
        self._styles: dict[str, Style] = {}
        self._inks: dict[tuple[Style, str], Style] = {}

    def forget(self) -> None:
        """The grid's styles have changed."""
        self._styles.clear()
        self._inks.clear()

    def is_ready(self) -> bool:
        """Whether the grid has its styles."""
        try:
            self._style("grid--header")
        except KeyError:
            return False
        return True

    def titles(self, current: int, seen: Seen) -> list[Segment]:
        """The titles of the columns; ``current`` is the index of that under the cursor."""
        plain, marked = self._style("grid--header"), self._style("grid--header-current")
        cells = [
            Drawn(index, fill(column, column.title, title=True), marked if index == current else plain)
            for index, column in ((index, seen.columns[index]) for index in seen.shown)
        ]
        return self._line(cells, plain, seen)

    def row(
        self, cells: Sequence[Cell] | None, seen: Seen, *, odd: bool, at_cursor: bool, in_cell: int | None
    ) -> list[Segment]:
        """A row.

        Args:
            cells: those of the columns from the first that is seen to the last; None where they are not known yet.
            seen: what is seen.
            odd: whether the number of the row is.
            at_cursor: whether the cursor is in the row.
            in_cell: the column that the cursor is in, if that is shown.
        """
        base = seen.ground.style
        if at_cursor:
            base += self._style("grid--cursor" if seen.has_focus else "grid--cursor-blurred")
        elif odd:
            base += self._style("grid--odd")
        drawn = []
        for index in seen.shown:
            cell = UNKNOWN if cells is None else cells[index - seen.shown[0]]
            style = self._inked(base, cell.tone) if cell.tone else base
            if cell.colour >= 0:
                dark = self._grid.app.current_theme.dark
                style += Style(color=palette.colour(cell.colour, dark=dark), bold=True)
            if index == in_cell:
                style += self._style("grid--cell")
            drawn.append(Drawn(index, fill(seen.columns[index], cell.text), style))
        return self._line(drawn, base, seen)

    def _line(self, cells: list[Drawn], style: Style, seen: Seen) -> list[Segment]:
        """The frozen columns, and to the right of them the others as far as they are scrolled."""
        width, begin = seen.width, seen.starts[seen.frozen]
        kept = [cell for cell in cells if cell.column < seen.frozen]
        moving = cells[len(kept) :]
        room = width - begin
        if not moving or room <= 0:
            return joined(kept, style, max(0, room))
        cut = seen.left + begin - seen.starts[moving[0].column]
        end = seen.starts[moving[-1].column + 1] - seen.starts[moving[0].column]
        moving[-1] = moving[-1]._replace(text=cut_right(moving[-1].text, end - GAP - cut - room))
        if cut == 0:
            return joined([*kept, *moving], style, max(0, room - end))
        if seen.columns[moving[0].column].right:
            moving[0] = moving[0]._replace(text=cut_left(moving[0].text, cut))
        strip = Strip(joined(moving, style), end).crop(cut, cut + room)
        rest = width - begin - strip.cell_length
        return [*joined(kept, style), *strip, *([Segment(" " * rest, style)] if rest else ())]

    def _inked(self, base: Style, tone: str) -> Style:
        """A row's style, with the letters of a tone."""
        key = base, tone
        if key not in self._inks:
            style = self._grid.get_component_rich_style(f"grid--{tone}")
            self._inks[key] = base + Style(color=style.color, bold=style.bold, dim=style.dim, italic=style.italic)
        return self._inks[key]

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = self._grid.get_component_rich_style(name)
        return self._styles[name]
