"""What ``log`` records outside of blocks: rows that stay open, and rows that arrive late.

Several calls at one step are one row. It is open until a later step is logged in either table, a block opens, or the
run ends; then it goes to its table. Until then its file has it, so that each call's values survive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.capture.values import Warn
from neurockt.monitor.capture.values import cells as cells_of
from neurockt.store.journal.records import NO_ROW, NULL

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.row_queue import RowQueue
    from neurockt.store.base.layout import TableName

Store = Callable[["TableName", tuple[str, ...], int, int, int, list[float]], None]
"""Stores an open row: table, columns, number, other axis, time in nanoseconds, and a float for each column."""


class _OpenRow(NamedTuple):
    number: int
    other: int
    time_ns: int
    cells: list[Cell]


class LoggedTable:
    """A table as ``log`` fills it: its columns, and its open row."""

    def __init__(self, queue: RowQueue, store: Store, *, axes: tuple[str, ...] = ()) -> None:
        """``axes`` are columns that come before the metrics."""
        self.queue = queue
        self.columns = axes
        self._store = store
        self._slots: dict[str, int] = {}
        self._blank: list[Cell] = [NULL] * len(axes)
        self._open: _OpenRow | None = None

    @property
    def open(self) -> _OpenRow | None:
        """The open row; None where there is none, or it is in the table already."""
        row = self._open
        return row if row is not None and row.number > self.queue.last else None

    @property
    def last(self) -> int:
        """Number of the last row, an open one included."""
        row = self._open
        last = self.queue.last
        return row.number if row is not None and row.number > last else last

    def filled(self, values: Mapping[str, Any], onto: list[Cell] | None, warn: Warn) -> list[Cell] | None:
        """The cells of a row with these values, over those of ``onto``; None where none of them is a number."""
        slots = self._slots
        cells = (self._blank if onto is None else onto).copy()
        try:
            for name, value in values.items():
                if type(value) is float:
                    cells[slots[name]] = value
                elif type(value) is int:
                    cells[slots[name]] = float(value)
                else:
                    break
            else:
                return cells if values else None
        except (KeyError, IndexError, OverflowError):
            pass
        found = cells_of(values, slots, warn)
        if new := [name for name in found if name not in slots]:
            self._add_columns(new)
        cells = self._blank.copy()
        if onto is not None:
            cells[: len(onto)] = onto
        for name, cell in found.items():
            cells[slots[name]] = cell
        return cells if found else None

    def _add_columns(self, names: list[str]) -> None:
        begin = len(self.columns)
        self._blank += [NULL] * len(names)
        self.columns = (*self.columns, *names)
        self._slots.update((name, begin + index) for index, name in enumerate(names))

    def put(self, row: _OpenRow) -> None:
        """Make this the open row; the one before it is in its table, or has the same number."""
        self._open = row
        try:
            self._store(self.queue.table, self.columns, *row)  # type: ignore[arg-type]  # NO_ROW: one is on its way
        except NO_ROW:
            cells = [cell if isinstance(cell, float) else cell.wait() if cell.ready() else NULL for cell in row.cells]
            self._store(self.queue.table, self.columns, row.number, row.other, row.time_ns, cells)

    def close(self) -> None:
        """Put the open row into the table: it is final."""
        row = self.open
        if row is not None:
            self.add(row)
        self._open = None

    def add(self, row: _OpenRow) -> None:
        missing = len(self.columns) - len(row.cells)
        cells = row.cells + [NULL] * missing if missing else row.cells
        self.queue.add_logged(self.columns, row.number, row.other, row.time_ns, cells)


class Log:
    """The rows of ``log`` outside of blocks, by the rules of their steps. Callers hold a lock."""

    def __init__(self, steps: RowQueue, epochs: RowQueue, late: RowQueue, store: Store, warn: Warn) -> None:
        self.steps, self.epochs = LoggedTable(steps, store), LoggedTable(epochs, store)
        self._late = LoggedTable(late, store, axes=("epoch",))
        self._warn = warn

    def close(self) -> None:
        """Make the open rows final."""
        self.steps.close()
        self.epochs.close()

    def train(self, values: Mapping[str, Any], step: int | None) -> None:
        """Record values of a training step: in its row, which may be open, or as late where it has gone by."""
        table, now = self.steps, time_ns()
        row, last = table.open, table.last
        if step is None:
            step = max(0, last) + 1
        if row is not None and step == row.number:
            if (cells := table.filled(values, row.cells, self._warn)) is not None:
                table.put(row._replace(time_ns=now, cells=cells))
        elif step > last:
            if (cells := table.filled(values, None, self._warn)) is not None:
                self._close_before(step)
                table.put(_OpenRow(step, self.epochs.last + 1, now, cells))
        elif (cells := self._late.filled(values, [float(self.epochs.last + 1)], self._warn)) is not None:
            self._late.add(_OpenRow(self._late.queue.next, step, now, cells))

    def validate(self, values: Mapping[str, Any], step: int | None) -> None:
        """Record values of a validation: in the open row if it is of this step, else in a new one."""
        table, now = self.epochs, time_ns()
        if step is None:
            step = max(0, self.steps.last)
        row = table.open
        is_same = row is not None and row.other == step
        cells = table.filled(values, row.cells if row is not None and is_same else None, self._warn)
        if cells is None:
            return
        if row is not None and is_same:
            table.put(row._replace(time_ns=now, cells=cells))
            return
        table.close()
        self._close_before(step)
        number = table.queue.next
        table.put(_OpenRow(number, step, now, cells))
        self.steps.queue.other = number + 1

    def _close_before(self, step: int) -> None:
        """Make rows of earlier steps final."""
        row = self.steps.open
        if row is not None and row.number < step:
            self.steps.close()
        row = self.epochs.open
        if row is not None and row.other < step:
            self.epochs.close()
