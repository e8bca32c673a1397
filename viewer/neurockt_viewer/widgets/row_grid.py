"""A table of any number of rows that draws, and asks for, only those on the screen.

What the rows are is a ``RowSource``'s business; the grid knows where the cursor is and what is in view.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from neurockt_viewer.widgets.drawn_cells import GAP
from neurockt_viewer.widgets.lines import Ground
from neurockt_viewer.widgets.row_painter import RowPainter, Seen
from neurockt_viewer.widgets.row_source import Cell, CellRows, Column, RowSource
from neurockt_viewer.widgets.scroll_bars import BarredView


class RowGrid(BarredView, can_focus=True):
    DEFAULT_CSS = """
    RowGrid {
        scrollbar-size: 1 1; height: 1fr; background: $background; overflow-x: auto; overflow-y: auto;
        & > .grid--header { text-style: bold; color: $text-muted; background: $surface; }
        & > .grid--header-current { text-style: bold underline; color: $primary; background: $surface; }
        & > .grid--odd { background: $foreground 3%; }
        & > .grid--cursor { background: $primary 22%; }
        & > .grid--cursor-blurred { background: $foreground 10%; }
        & > .grid--cell { background: $primary 55%; text-style: bold; }
        & > .grid--muted { color: $text-muted; }
        & > .grid--good { color: $text-success; }
        & > .grid--bad { color: $text-error; }
        & > .grid--warn { color: $text-warning; }
        & > .grid--live { color: $text-primary; text-style: bold; }
        & > .grid--strong { text-style: bold; }
        & > .grid--mark { color: $text-accent; text-style: bold; }
    }
    """
    TONES: ClassVar[tuple[str, ...]] = ("muted", "good", "bad", "warn", "live", "strong", "mark")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header",
        "grid--header-current",
        "grid--odd",
        "grid--cursor",
        "grid--cursor-blurred",
        "grid--cell",
        *(f"grid--{tone}" for tone in TONES),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row above", show=False),
        Binding("down,j", "move(1)", "Row below", show=False),
        Binding("left,h", "move_column(-1)", "Column to the left", show=False),
        Binding("right,l", "move_column(1)", "Column to the right", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "first", "First row", show=False),
        Binding("end,G", "last", "Last row", show=False),
        Binding("circumflex_accent", "move_column(-1000000)", "First column", key_display="^", show=False),
        Binding("dollar_sign", "move_column(1000000)", "Last column", key_display="$", show=False),
    ]

    @dataclass
    class Sent(Message):
        grid: RowGrid

        @property
        def control(self) -> RowGrid:
            return self.grid

    class Opened(Sent):
        """A row was clicked twice."""

    class HeaderClicked(Sent):
        """A column's title was clicked; the cursor is in that column."""

    def __init__(self, *, cell_cursor: bool = False, **options: Any) -> None:
        """An empty grid; ``show`` gives it rows.

        Args:
            cell_cursor: whether the cell under the cursor is highlighted within its row.
        """
        super().__init__(**options)
        self.source: RowSource = CellRows([], [])
        self.cursor_row = 0
        self.cursor_column = 0
        self.frozen = 0
        """How many columns, from the left, do not scroll away."""
        self.on_move: Callable[[], object] | None = None
        """Called when the cursor is elsewhere, or something else is under it; what it changes is drawn with that."""
        self.first_column = 0
        """The first column that the cursor can be in."""
        self._cell_cursor = cell_cursor
        self._columns: Sequence[Column] = self.source.columns
        """Those shown last: a source that is sorted has other ones."""
        self._starts: list[int] = [0]
        self._painter = RowPainter(self)
        self._cells_drawn: dict[int, tuple[range, Sequence[Cell] | None]] = {}
        """The cells of the rows drawn last, and their columns: the most that have been drawn of each row."""
        self._strips: dict[tuple[object, ...], Strip] = {}
        """The lines drawn last, by row and by all that makes a row look otherwise."""

    # What is shown

    def show(self, source: RowSource, *, row: int | None = None, column: int | None = None) -> None:
        """Show these rows, or the same ones changed; the cursor stays unless ``row`` or ``column`` is given."""
        alike = source.columns == self._columns and len(source) + 1 == self.virtual_size.height
        before, self.source = (self.cursor_row, self.cursor_column, self.scroll_offset), source
        self._columns = source.columns
        self._starts = list(accumulate((column.width + GAP for column in source.columns), initial=0))
        self.frozen = min(self.frozen, max(0, len(source.columns) - 1))
        self.virtual_size = Size(self._starts[-1], len(source) + 1)
        self.cursor_row = self._in_rows(self.cursor_row if row is None else row)
        self.cursor_column = self._in_columns(self.cursor_column if column is None else column)
        if row is not None or column is not None:
            self._reveal()
        if alike and before == (self.cursor_row, self.cursor_column, self.scroll_offset):
            self.redraw_changed()
        else:
            self.redraw()
        self._moved()

    def redraw(self) -> None:
        self.source.want(self.visible_rows, self._visible_columns())
        self._forget_drawn()
        self.refresh()

    def _forget_drawn(self) -> None:
        self._cells_drawn.clear()
        self._strips.clear()

    def redraw_changed(self) -> None:
        """Draw the rows whose cells have changed by themselves, as times such as `3 min ago` do."""
        visible, drawn = self.visible_rows, self._cells_drawn
        self.source.want(visible, self._visible_columns())
        self._cells_drawn = {
            row: drawn[row]
            for row in visible
            if row in drawn and self.source.cells(row, drawn[row][0]) == drawn[row][1]
        }
        self._strips = {key: strip for key, strip in self._strips.items() if key[0] in self._cells_drawn}
        for row in visible:
            if row in drawn and row not in self._cells_drawn:
                self.refresh(Region(0, row - visible.start + 1, self.size.width, 1))

    @property
    def page_rows(self) -> int:
        return max(1, self.scrollable_content_region.height - 1)

    @property
    def visible_rows(self) -> range:
        first = self.scroll_offset.y
        return range(first, min(len(self.source), first + self.page_rows))

    @property
    def at_end(self) -> bool:
        """Whether the cursor is on the last row."""
        return self.cursor_row >= len(self.source) - 1

    @property
    def column_key(self) -> str | None:
        columns = self.source.columns
        return columns[self.cursor_column].key if columns else None

    @property
    def cell_text(self) -> str:
        """What the cell under the cursor shows; nothing where there are no rows."""
        at = self.cursor_column
        cells = self.source.cells(self.cursor_row, range(at, at + 1)) if len(self.source) else None
        return cells[0].text if cells else ""

    # The cursor

    def move_to(self, row: int | None = None, column: int | None = None) -> None:
        before = self.cursor_row, self.cursor_column
        self.cursor_row = self._in_rows(self.cursor_row if row is None else row)
        self.cursor_column = self._in_columns(self.cursor_column if column is None else column)
        offset = self.scroll_offset
        self._reveal()
        if self.scroll_offset == offset and before[1] == self.cursor_column:
            for changed in {before[0], self.cursor_row}:
                self.refresh(Region(0, changed - offset.y + 1, self.size.width, 1))
        else:
            self.source.want(self.visible_rows, self._visible_columns())
            self.refresh()
        if before != (self.cursor_row, self.cursor_column):
            self._moved()

    def _moved(self) -> None:
        if self.on_move is not None:
            self.on_move()

    def _in_rows(self, row: int) -> int:
        return max(0, min(row, len(self.source) - 1))

    def _in_columns(self, column: int) -> int:
        return max(0, min(max(self.first_column, column), len(self.source.columns) - 1))

    def _reveal(self) -> None:
        offset, page = self.scroll_offset, self.page_rows
        y = min(max(offset.y, self.cursor_row - page + 1), self.cursor_row)
        x = offset.x
        if self.source.columns and self.cursor_column >= self.frozen:
            width, kept = self.scrollable_content_region.width, self._starts[self.frozen]
            start, end = self._starts[self.cursor_column], self._starts[self.cursor_column + 1]
            x = min(max(x, end - width), max(0, start - kept))
        if (x, y) != (offset.x, offset.y):
            self.scroll_to(x, y, animate=False, force=True)

    def action_move(self, rows: int) -> None:
        self.move_to(row=self.cursor_row + rows)

    def action_move_column(self, columns: int) -> None:
        self.move_to(column=self.cursor_column + columns)

    def action_page(self, pages: float) -> None:
        rows = round(pages * self.page_rows)
        offset = self.scroll_offset
        furthest = max(0, len(self.source) - self.page_rows)
        self.scroll_to(offset.x, max(0, min(offset.y + rows, furthest)), animate=False, force=True)
        self.move_to(row=self.cursor_row + rows)

    def action_first(self) -> None:
        self.move_to(row=0)

    def action_last(self) -> None:
        self.move_to(row=len(self.source) - 1)

    # The mouse, and the size

    def on_click(self, event: events.Click) -> None:
        x, y = event.x + self._scroll_x_at(event.x), event.y
        column = self._in_columns(bisect_right(self._starts, x) - 1)
        if y == 0:
            self.move_to(column=column)
            self.post_message(self.HeaderClicked(self))
            return
        row = self.scroll_offset.y + y - 1
        if row < len(self.source):
            again = event.chain > 1 and row == self.cursor_row
            self.move_to(row=row, column=column)
            if again:
                self.post_message(self.Opened(self))

    def _scroll_x_at(self, x: int) -> int:
        return 0 if x < self._starts[self.frozen] else self.scroll_offset.x

    def on_resize(self) -> None:
        self._reveal()
        self.source.want(self.visible_rows, self._visible_columns())

    def expect_width(self, width: int) -> None:
        """Show the scroll bar that it needs in this width now, so that all is laid out once."""
        shown = self._starts[-1] > width - self.scrollbar_size_vertical
        if shown != self.show_horizontal_scrollbar:
            self.show_horizontal_scrollbar = self.horizontal_scrollbar.display = shown

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self.source.want(self.visible_rows, self._visible_columns())

    def watch_scroll_x(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_x(old_value, new_value)
        if round(old_value) != round(new_value):
            self.source.want(self.visible_rows, self._visible_columns())

    def watch_has_focus(self, value: bool) -> None:
        super().watch_has_focus(value)
        self.refresh()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._painter.forget()
        self._forget_drawn()

    # Drawing

    def _visible_columns(self) -> range:
        if not self.source.columns:
            return range(0)
        left = self.scroll_offset.x + self._starts[self.frozen]
        right = self.scroll_offset.x + self.scrollable_content_region.width
        first = max(self.frozen, bisect_right(self._starts, left) - 1)
        last = min(len(self.source.columns), bisect_right(self._starts, max(left, right - 1)))
        return range(0 if self.frozen else first, last)

    def _shown_columns(self) -> list[int]:
        visible = self._visible_columns()
        if not self.frozen:
            return list(visible)
        left = self.scroll_offset.x + self._starts[self.frozen]
        first = max(self.frozen, bisect_right(self._starts, left) - 1)
        return [*range(self.frozen), *range(first, visible.stop)]

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines as they are: Textual's own way, for widgets with borders, makes each of them four times."""
        offset, width = self.scroll_offset, self.scrollable_content_region.width
        if not self._painter.is_ready():  # it has just been mounted, and is drawn again with the style sheet
            return [Strip.blank(crop.width)] * crop.height
        columns, shown = self.source.columns, self._shown_columns()
        seen = Seen(columns, self._starts, self.frozen, shown, offset.x, width, self.has_focus, Ground.of(self))
        strips = [self._strip(offset.y + y - 1 if y else None, seen) for y in crop.line_range]
        begin, end = crop.column_span
        if begin > 0 or end < width:
            strips = [strip.crop(begin, end) for strip in strips]
        return strips

    def _strip(self, row: int | None, seen: Seen) -> Strip:
        """The line of a row, of the titles for None, or of what is below the last row."""
        if row is None:
            key: tuple[object, ...] = None, self.cursor_column, seen.left, seen.width
        else:
            row = min(row, len(self.source))
            at_cursor = row == self.cursor_row and (seen.has_focus, self._cell_cursor and self.cursor_column)
            key = row, at_cursor, seen.left, seen.width
        if key not in self._strips:
            self._strips[key] = seen.ground.line(self._segments(row, seen), seen.width)
        return self._strips[key]

    def _segments(self, row: int | None, seen: Seen) -> list[Segment]:
        if row is None:
            return self._painter.titles(self.cursor_column, seen)
        if row >= len(self.source):
            return []
        wanted = range(seen.shown[0], seen.shown[-1] + 1) if seen.shown else range(0)
        cells = self.source.cells(row, wanted)
        if row not in self._cells_drawn or wanted.stop > self._cells_drawn[row][0].stop:
            self._cells_drawn[row] = wanted, cells
        at_cursor = row == self.cursor_row
        in_cell = self.cursor_column if self._cell_cursor and at_cursor and seen.has_focus else None
        return self._painter.row(cells, seen, odd=row % 2 == 1, at_cursor=at_cursor, in_cell=in_cell)
