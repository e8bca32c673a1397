"""Rows on their way to the writer: in order, and each with its number, also where some are lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.lifetime.interruptions import Interruptions

if TYPE_CHECKING:
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


class RowQueue:
    def __init__(
        self,
        table: TableName,
        interruptions: Interruptions,
        open_table: Callable[[TableName], TableWriter | None],
        *,
        has_fast_path: bool,
    ) -> None:
        """``open_table`` gives the writer, or None where the run directory cannot be created now.

        With ``has_fast_path`` rows of plain floats may go to the writer directly, by ``fast_append``.
        """
        self.table: TableName = table
        self.columns: tuple[str, ...] = ()
        self.other = 1
        """The other axis of the row that ends next: in `steps` the epoch, in `epochs` the step."""
        self.before = 0
        """Number of the last row there was before this recorder's first."""
        self.fast_append: Callable[[int, int, Any], None] | None = None
        """The writer's ``append``; None while rows must go through ``add``."""
        self.has_fast_path = has_fast_path
        self._interruptions = interruptions
        self._open_table = open_table
        self._writer: TableWriter | None = None
        self._added = 0
        self._tried = 0  # number of the row that was handed to the writer last
        self._waiting: deque[_Row] = deque()

    @property
    def last(self) -> int:
        """Number of the last row that has ended, stored or not."""
        waiting = self._waiting[-1].number if self._waiting else 0
        return max(self.before, self._added, waiting, self._writer.last if self._writer else 0)

    @property
    def recorded(self) -> int:
        return self.last - self.before

    def count(self) -> None:
        """A row has ended that this process does not store."""
        self._added = self.last + 1

    def set_columns(self, columns: tuple[str, ...]) -> None:
        self.fast_append = None
        self.columns = columns

    def add(self, time_ns: int, cells: list[Cell]) -> None:
        """Store a row, once its numbers have arrived; it is lost where too many wait."""
        number = self.last + 1
        if len(self._waiting) >= WAITING_ROWS:
            self.flush(wait=True)
        if len(self._waiting) < WAITING_ROWS:
            self._waiting.append(_Row(self.columns, number, self.other, time_ns, cells))
        else:
            self._added = number
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
            values = [cell if isinstance(cell, float) else cell.wait() for cell in row.cells]
            if writer is None:
                return
            if self._tried == row.number:
                writer.set_columns(row.columns)  # was interrupted: the writer finds out whether the row was written
            if writer.last < row.number:
                self._fit(writer, row.columns, row.number)
                self._tried = row.number
                writer.append(row.other, row.time_ns, values)
            self._waiting.popleft()
        if self._writer is not None and self.has_fast_path:
            self._fit(self._writer, self.columns, self.last + 1)
            self.fast_append = self._writer.append

    def _fit(self, writer: TableWriter, columns: tuple[str, ...], number: int) -> None:
        """Have the writer expect the columns and the number of the next row."""
        if writer.columns != columns:
            writer.set_columns(columns)
        if writer.last < number - 1:
            writer.skip(number - 1 - writer.last)
