"""The rows of one table of a run: scrolled, followed, searched, sorted and exported, whatever their number."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from neurockt.formatting import clean
from neurockt.store import KEY, layout
from neurockt_viewer import background
from neurockt_viewer.text import styled
from neurockt_viewer.widgets.jobs import Find, Job, Report
from neurockt_viewer.widgets.lines import TextLine
from neurockt_viewer.widgets.prompts import Ask
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.table_keys import TABLE_KEYS
from neurockt_viewer.widgets.table_status import about_cursor

if TYPE_CHECKING:
    from neurockt.store import Groups, RowReader, TableName
    from neurockt_viewer.table_rows import Order, TableRows

POLL_SECONDS: Final = 0.7
"""How often a live run is asked for new rows."""
FIRST_ROWS: Final = range(200)
FIRST_COLUMNS: Final = range(40)
"""What is read before the first rows are shown, before the screen is laid out."""


class TableView(Vertical):
    DEFAULT_CSS = """
    TableView { height: 1fr; }
    TableView > .status { background: $surface; }
    """
    HELP = """
    The rows as they were recorded, and below them all digits of the value under the cursor. New rows of a live run
    appear at the end: stay there with G.
    """
    BINDINGS: ClassVar[list[BindingType]] = [*TABLE_KEYS]

    @dataclass
    class Counted(Message):
        table: TableName
        rows: int

    def __init__(self, path: Path, table: TableName, *, live: bool, **options: Any) -> None:
        super().__init__(**options)
        self._path = path
        self._table: TableName = table
        self._live = live
        self._was_live = live
        self._due = 0.0
        """When to look for new rows."""
        self._drawing = 0.0
        """Seconds that drawing new rows took the last time."""
        self._reading: TableRows | None = None
        self._wake = threading.Event()
        self._job: Job | None = None
        self._key = KEY[table]
        self._note = "reading …"
        """What to know of the table, or of the latest job."""
        self.rows: TableRows | None = None
        """None until the table has been opened."""
        self._unseen = 0

    def compose(self) -> ComposeResult:
        yield RowGrid(cell_cursor=True)
        yield TextLine(classes="status")

    def on_mount(self) -> None:
        self.grid.on_move = self._moved
        self._show_status()
        self.run_worker(self._follow, thread=True, group="table", exit_on_error=False)

    def on_unmount(self) -> None:
        self._wake.set()
        if self._job:
            self._job.stopped = True

    @property
    def grid(self) -> RowGrid:
        return self.query_one(RowGrid)

    def set_live(self, live: bool) -> None:
        if live != self._live:
            self._live = live
            self._wake.set()

    # The thread that reads

    def _follow(self) -> None:
        background.repeat(self._read, self._wake, lambda why: self.call_later(self._show_note, why))

    def _read(self) -> float | None:
        if self._reading is None:
            self._open_table()
        rows, live, began = self._reading, self._live, time.thread_time()
        assert rows is not None
        due = time.monotonic() >= self._due
        grew = rows.refresh() if live != self._was_live or (live and due) else False  # once more when it has ended
        self._was_live = live
        loaded = rows.load()
        if grew:
            self.call_later(self._grow, rows, *rows.known)
        elif loaded:
            self.call_later(self._redraw, rows)
        if due:
            cost = time.thread_time() - began + self._drawing
            self._due = time.monotonic() + background.rest_after(cost, POLL_SECONDS)
        return max(0.0, self._due - time.monotonic()) if live else None

    def _open_table(self) -> None:
        from neurockt import open_run
        from neurockt_viewer.table_rows import TableRows

        rows = TableRows(open_run(self._path).rows(self._table))
        rows.refresh()
        rows.update(*rows.known)
        begin = max(0, len(rows) - len(FIRST_ROWS)) if self._live else 0
        rows.want(range(begin, min(len(rows), begin + len(FIRST_ROWS))), FIRST_COLUMNS)
        rows.load()
        self._reading, self._due, self._was_live = rows, time.monotonic() + POLL_SECONDS, self._live
        self.call_later(self._open, rows)

    def _open(self, rows: TableRows) -> None:
        self.rows = rows
        rows.arrange()
        rows.on_want = self._wake.set
        self._note = ""
        self.grid.frozen = 1
        self.grid.show(rows, row=len(rows) - 1 if self._live else 0, column=rows.first_metric)
        self.post_message(self.Counted(self._table, rows.total))
        self._show_status()

    def _grow(self, rows: TableRows, groups: Groups, columns: tuple[str, ...], largest_step: int) -> None:
        new, following, begun = groups.total - rows.total, self.following, time.thread_time()
        rows.update(groups, columns, largest_step)
        if following:
            self.grid.show(rows, row=len(rows) - 1)
        else:
            self._unseen = max(0, self._unseen + new)
            self.grid.show(rows)
        self.post_message(self.Counted(self._table, rows.total))
        self._show_status()
        background.after_refresh(self, partial(self._grown, begun))

    def _grown(self, begun: float) -> None:
        self._drawing = time.thread_time() - begun

    @property
    def following(self) -> bool:
        """Whether the cursor stays with the last row as rows are recorded."""
        return self._live and self.rows is not None and self.rows.order is None and self.grid.at_end

    def _redraw(self, rows: TableRows) -> None:
        if rows.shifted:
            rows.arrange()
            self.grid.show(rows)
        elif rows.lacking:
            self.grid.redraw()
        rows.lacking = False
        self._show_status()

    def _show_note(self, why: str) -> None:
        self._note = why
        self._show_status()

    # The status line

    def _moved(self) -> None:
        if self.grid.at_end:
            self._unseen = 0
        self._show_status()

    def _show_status(self) -> None:
        rows, grid = self.rows, self.grid
        pieces: list[Content] = []
        if self._job is not None:
            pieces.append(styled(f"{self._job.what} {self._job.done:.0%}, esc stops", "bold $text-warning"))
        if self._note:
            pieces.append(styled(self._note, "$text-warning", 400))
        if rows is not None and not len(rows):
            pieces.append(Content(f"no {self._table} recorded yet"))
        elif rows is not None:
            pieces += about_cursor(rows, grid, self._key, following=self.following, unseen=self._unseen)
        self.query_one(TextLine).show(Content(" · ").join(pieces))

    # Sorting and searching

    def _begin(self, what: str, find: Find) -> None:
        """Begin a job; the one before it is stopped."""
        if self._job is not None:
            self._job.stopped = True
        self._note = ""
        self._job = job = Job(what, lambda: self.call_later(self._show_status))
        self.run_worker(
            lambda: self.call_later(self._end_job, job, job.run(self._path, self._table, find)),
            thread=True,
            group="job",
            exclusive=True,
            exit_on_error=False,
        )
        self._show_status()
        self.refresh_bindings()

    def _end_job(self, job: Job, then: Callable[[], None] | None) -> None:
        """Do what the job found, unless another has begun since."""
        if job is self._job:
            self._job = None
            if then is not None:
                then()
            self._note = job.error or self._note
            self._show_status()
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._job is not None if action == "stop" else True

    def action_stop(self) -> None:
        if self._job is not None:
            self._job.stopped = True
            self._job = None
            self._show_status()
            self.refresh_bindings()

    @on(RowGrid.HeaderClicked)
    def action_sort(self) -> None:
        """Sort by the column under the cursor; again, in reverse order."""
        rows, name = self.rows, self.grid.column_key
        if rows is None or name is None:
            return
        reverse = rows.sorted_by == (name, False)

        def find(reader: RowReader, report: Report) -> Callable[[], None]:
            from neurockt_viewer.table_search import sort_order

            order = sort_order(reader, name, reverse, report)
            return lambda: self._show_order(name, reverse, order)

        self._begin(f"sorting by {clean(name)}", find)

    def _show_order(self, name: str | None, reverse: bool, order: Order | None) -> None:
        rows = self.rows
        assert rows is not None
        position = None if order is not None or not len(rows) else rows.position(self.grid.cursor_row)
        rows.sort(name, reverse, order)
        self.grid.show(rows, row=0 if position is None else position)

    def action_unsort(self) -> None:
        if self.rows is not None and self.rows.order is not None:
            self._show_order(None, False, None)
            self._show_status()

    def action_odd(self, backwards: bool) -> None:
        """Go to the next NaN or infinity in the column."""
        rows, name = self.rows, self.grid.column_key
        if rows is None or name is None or name in layout.axes(self._key) or not len(rows):
            return
        order, row = rows.order, self.grid.cursor_row

        def find(reader: RowReader, report: Report) -> Callable[[], None]:
            from neurockt_viewer import table_search

            if order is None:
                found = table_search.next_odd(reader, name, row, backwards, report)
            else:
                found = table_search.in_order(order, table_search.odd_positions(reader, name, report), row, backwards)
            return lambda: self._go(found, f"no NaN or infinity in {clean(name)}")

        self._begin(f"looking through {clean(name)}", find)

    def action_extreme(self, largest: bool) -> None:
        """Go to the smallest or largest value of the column; again, to the next row that has it."""
        rows, name = self.rows, self.grid.column_key
        if rows is None or name is None or name in layout.axes(self._key) or not len(rows):
            return
        position = rows.position(self.grid.cursor_row)

        def find(reader: RowReader, report: Report) -> Callable[[], None]:
            from neurockt_viewer.table_search import next_extreme

            found = next_extreme(reader, name, largest, position, report)
            row = None if found is None else rows.row_of(found)
            return lambda: self._go(row, f"no value in {clean(name)}")

        self._begin(f"looking for the {'largest' if largest else 'smallest'} {clean(name)}", find)

    def _go(self, row: int | None, otherwise: str) -> None:
        if row is None:
            self._note = otherwise
        else:
            self.grid.move_to(row=row)

    async def action_jump(self) -> None:
        if self.rows is None or len(self.rows):
            hint = "a number, or a part of the table such as 50%"
            await self.app.push_screen(Ask(f"go to {self._key}", hint=hint, check=self._jump))

    def _jump(self, answer: str) -> None:
        """Go to what was answered.

        Raises:
            ValueError: it is not a position in the table.
        """
        number, share = parse_target(answer)
        rows = self.rows
        if rows is None:
            raise ValueError("the table is still being read; press Enter again")
        row = round(number / 100 * (len(rows) - 1)) if share else rows.row_of_number(int(number))
        if row is not None:
            self.grid.move_to(row=row)
            return

        def find(reader: RowReader, report: Report) -> Callable[[], None]:
            row = rows.row_of(reader.position_of(int(number)))
            return lambda: self._go(row, "")

        self._begin(f"going to {self._key} {int(number):,}", find)

    # Columns, copy, export

    def action_hide(self) -> None:
        rows, name = self.rows, self.grid.column_key
        if rows is not None and name is not None and len(rows.names) > 1:
            rows.hidden.add(name)
            rows.arrange()
            self.grid.show(rows)

    def action_unhide(self) -> None:
        if self.rows is not None:
            self.rows.hidden.clear()
            self.rows.arrange()
            self.grid.show(self.rows)

    def action_freeze(self) -> None:
        """Freeze the columns up to the cursor; again, unfreeze them."""
        grid = self.grid
        wanted = min(grid.cursor_column + 1, len(grid.source.columns) - 1)
        grid.frozen = 0 if grid.frozen == wanted else wanted
        grid.redraw()

    def action_copy(self) -> None:
        name = self.grid.column_key
        if self.rows is not None and name is not None and len(self.rows):
            self.app.copy_to_clipboard(self.rows.value(self.grid.cursor_row, name).replace(",", ""))

    async def action_export(self) -> None:
        from neurockt_viewer.exporting import export, read_table

        if self.rows is not None:
            names, order = list(self.rows.names), self.rows.order
            name = f"{self._path.name}-{self._table}"
            what = f"all rows of {self._table}"
            await export(self, what, name, lambda: read_table(self._path, self._table, names, order))


def parse_target(text: str) -> tuple[float, bool]:
    """Where to go: a number, and whether it is a percentage.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip().replace(",", "").replace("_", "")
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError("write a number such as 1200, or 50%") from None
    if not 0 <= number < 2**63 or (share and number > 100):
        raise ValueError("that is not in the table")
    return number, share
