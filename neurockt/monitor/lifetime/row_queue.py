"""Rows on their way to the writer: in order, and each with its number, also where some are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurockt.monitor.capture.arrivals import Arrival
from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.capture.tensors import error_line
from neurockt.monitor.lifetime.interruptions import Interruptions

if TYPE_CHECKING:
    from neurockt.run_info import TableSummary
    from neurockt.store.base.layout import TableName
    from neurockt.store.writing.table_writer import TableWriter

WAITING_ROWS: Final = 10_000
"""Rows that may wait, for an accelerator or for a directory that cannot be created yet."""


class _Row(NamedTuple):
    columns: tuple[str, ...]
    number: int
    other: int
    time_ns: int
    cells: list[Cell]
    lost: int
    """How many rows right before it were lost."""


class RowQueue:
    def __init__(
        self,
        table: TableName,
        interruptions: Interruptions,
        open_table: Callable[[TableName], TableWriter | None],
        warn_once: Callable[[str, str], None],
        *,
        has_fast_path: bool,
    ) -> None:
        """``open_table`` gives the writer, or None where the run directory cannot be created now.

        With ``has_fast_path`` rows of plain floats may go to the writer directly, by ``fast_append``.
        """
        self.table: TableName = table
        self.kind = "training" if table == "steps" else "validation"
        """What a block of its rows is called."""
        self.columns: tuple[str, ...] = ()
        self.other = 1
        """The other axis of the row that ends next: in `steps` the epoch, in `epochs` the step."""
        self.before = -1 if table == "steps" else 0
        """Number of the last row there was before this recorder's first; -1 where row 0 may come."""
        self.fast_append: Callable[[int, int, Any], None] | None = None
        """The writer's ``append``; None while rows must go through ``add``."""
        self.has_fast_path = has_fast_path
        self.hooked: set[str] = set()
        """Columns whose values only a module's hook gives."""
        self._interruptions = interruptions
        self._open_table = open_table
        self._warn_once = warn_once
        self._writer: TableWriter | None = None
        self._added = -1
        self._counted = 0
        self._lost = 0  # rows that were, since the last one that waits
        self._is_logged = False  # whether the last row had columns of its own
        self._tried = -1  # number of the row that was handed to the writer last
        self._waiting: deque[_Row] = deque()

    @property
    def last(self) -> int:
        """Number of the last row that has ended, stored or not."""
        waiting = self._waiting[-1].number if self._waiting else -1
        return max(self.before, self._added, waiting, self._writer.last if self._writer else -1)

    @property
    def next(self) -> int:
        """Number of the next row where rows are counted: from 1."""
        return max(0, self.last) + 1

    @property
    def recorded(self) -> int:
        """How many rows have ended."""
        taken = self._writer.taken if self._writer else 0
        return taken + len(self._waiting) + self._lost + self._counted

    def silent_hooks(self, summary: TableSummary) -> list[str]:
        """The columns that a module's hook was to give values for, and that have none in any of the table's rows."""
        columns = summary.columns if self.recorded else {}
        return [name for name in columns if name in self.hooked and not columns[name].count]

    def count(self, number: int | None = None) -> None:
        """A row has ended that this process does not store."""
        self._added = self.next if number is None else number
        self._counted += 1

    def set_columns(self, columns: tuple[str, ...]) -> None:
        self.fast_append = None
        self.columns = columns

    def add(self, time_ns: int, cells: list[Cell]) -> None:
        """Store the next row, once its numbers have arrived; it is lost where too many wait."""
        self._is_logged = False
        self._add(self.columns, self.next, self.other, time_ns, cells)

    def add_logged(
        self, columns: tuple[str, ...], number: int, other: int, time_ns: int, cells: list[Cell]
    ) -> TableWriter | None:
        """The same for a row that has columns, a number and another axis of its own. The number is above the last.

        Returns the writer if it takes further rows of these columns directly.
        """
        self._is_logged = True
        self._add(columns, number, other, time_ns, cells)
        return None if self._waiting or self._lost else self._writer

    def _add(self, columns: tuple[str, ...], number: int, other: int, time_ns: int, cells: list[Cell]) -> None:
        if len(self._waiting) >= WAITING_ROWS:
            self.flush(wait=True)
        if len(self._waiting) < WAITING_ROWS:
            self._waiting.append(_Row(columns, number, other, time_ns, cells, self._lost))
            self._lost = 0
        else:
            self._added = number
            self._lost += 1
        self.flush(wait=False)

    def has_waiting(self) -> bool:
        """Whether rows wait for their numbers, after those that have arrived were stored."""
        self.flush(wait=False)
        return bool(self._waiting)

    def flush(self, *, wait: bool) -> None:
        """Store the rows whose numbers have arrived, in order; with ``wait``, all of them."""
        with self._interruptions:
            self._flush(wait)

    def _flush(self, wait: bool) -> None:
        self.fast_append = None
        while self._waiting:
            row = self._waiting[0]
            writer = self._writer = self._writer or self._open_table(self.table)
            if not wait and not all(isinstance(cell, float) or cell.ready() for cell in row.cells):
                return
            values = [cell if isinstance(cell, float) else self._arrived(cell) for cell in row.cells]
            if writer is None:
                return
            if self._tried == row.number:
                writer.set_columns(row.columns)  # was interrupted: the writer finds out whether the row was written
            if writer.last < row.number:
                self._fit(writer, row.columns)
                if row.lost:
                    writer.skip(row.lost, row.number - 1)
                self._tried = row.number
                writer.append_at(row.number, row.other, row.time_ns, values)
            self._waiting.popleft()
        if self._writer is not None:
            if self._lost:
                self._writer.skip(self._lost, self.last)
                self._lost = 0
            if not self._is_logged:
                self._fit(self._writer, self.columns)
                if self.has_fast_path:
                    self.fast_append = self._writer.append

    def _arrived(self, cell: Arrival) -> float:
        value = cell.wait()
        if cell.error is not None:
            lost = f"{self.table}: a device has failed, and the numbers on their way from it are lost"
            self._warn_once("device", f"{lost} ({error_line(cell.error)})")
        return value

    def _fit(self, writer: TableWriter, columns: tuple[str, ...]) -> None:
        if writer.columns != columns:
            writer.set_columns(columns)
        writer.columns = columns  # the same object, which is compared faster
