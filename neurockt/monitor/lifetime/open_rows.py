"""What ``log`` records outside of blocks: rows that stay open, and rows that arrive late.

Several calls at one step are one row. It is open until a later step is logged in either table, a block opens, or the
run ends; then it goes to its table. Until then its file has it, so that each call's values survive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from time import time_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zlib import crc32

from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.capture.values import Warn
from neurockt.monitor.capture.values import cells as cells_of
from neurockt.store.journal.records import LARGEST_STEP, NO_ROW, NULL, pack_crc, row_struct

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.row_queue import RowQueue
    from neurockt.store.base.layout import TableName
    from neurockt.store.writing.open_row_file import OpenRowFile
    from neurockt.store.writing.table_writer import TableWriter

OpenFile = Callable[["TableName"], "OpenRowFile | None"]
"""Gives the file of a table's open row; None where the run directory cannot be created now."""


class _Columns(NamedTuple):
    names: tuple[str, ...]
    slots: dict[str, int]
    """The position of each metric among the cells of a row."""
    blank: list[Cell]
    pack: Callable[..., bytes]


class _Row(NamedTuple):
    number: int
    other: int
    time_ns: int
    cells: list[Cell]
    packed: bytes
    """As a journal has it; empty while one of its numbers is on its way."""
    columns: _Columns | None
    """Those it is packed with."""


_make_row: Final[Callable[[tuple[Any, ...]], _Row]] = partial(tuple.__new__, _Row)
"""Half the price of ``_Row(...)``."""
NO_ROW_YET: Final = _Row(-1, 0, 0, [], b"", None)


class LoggedTable:
    """A table as ``log`` fills it: its columns, and its open row.

    An exception, as from a signal handler, may strike anywhere: each attribute is replaced as a whole.
    """

    def __init__(self, queue: RowQueue, open_file: OpenFile, *, axes: tuple[str, ...] = ()) -> None:
        """``axes`` are columns that come before the metrics."""
        self.queue = queue
        self.row = NO_ROW_YET
        """The open row."""
        self.columns = _columns(axes, len(axes))
        self.writer: TableWriter | None = None
        """Takes packed rows directly where its columns are the present ones; else they have to go through the queue."""
        self.file: OpenRowFile | None = None
        self._axes = len(axes)
        self._open_file = open_file

    @property
    def is_open(self) -> bool:
        return self.row.number > self.queue.last  # else it was put into the table before an exception

    @property
    def last(self) -> int:
        """Number of the last row, an open one included."""
        return max(self.row.number, self.queue.last)

    def filled(self, values: Mapping[str, Any], onto: list[Cell], warn: Warn) -> list[Cell] | None:
        """The cells of a row with these values, over the first cells in ``onto``; None where none is a number."""
        columns = self.columns
        found = cells_of(values, columns.slots, warn)
        if not found:
            return None
        if new := [name for name in found if name not in columns.slots]:
            self.columns = columns = _columns((*columns.names, *new), self._axes)
        cells = columns.blank.copy()
        cells[: len(onto)] = onto
        for name, cell in found.items():
            cells[columns.slots[name]] = cell
        return cells

    def merge(self, values: Mapping[str, Any], warn: Warn) -> None:
        """Add values to the open row."""
        row = self.row
        if (cells := self.filled(values, row.cells, warn)) is not None:
            self.put(row.number, row.other, time_ns(), cells)

    def put(self, number: int, other: int, now: int, cells: list[Cell]) -> None:
        """Make this the open row; the one before it is in its table, or has the same number."""
        columns = self.columns
        try:
            packed = stored = _packed(columns, number, other, now, cells)
        except NO_ROW:
            arrived = [cell if isinstance(cell, float) else cell.wait() if cell.ready() else NULL for cell in cells]
            packed, stored = b"", _packed(columns, number, other, now, arrived)
        self.row = _Row(number, other, now, cells, packed, columns)
        self.file = self.file or self._open_file(self.queue.table)
        if self.file is not None:
            self.file.store(columns.names, stored)

    def close(self) -> None:
        """Put the open row into the table: it is final."""
        if self.is_open:
            self.add(*self.row[:4])
        self.row = NO_ROW_YET

    def add(self, number: int, other: int, now: int, cells: list[Cell]) -> None:
        columns = self.columns
        cells = cells + columns.blank[len(cells) :]
        self.writer = self.queue.add_logged(columns.names, number, other, now, cells)


def _columns(names: tuple[str, ...], axes: int) -> _Columns:
    slots = {name: index for index, name in enumerate(names[axes:], axes)}
    return _Columns(names, slots, [NULL] * len(names), row_struct(len(names)).pack)


def _packed(columns: _Columns, number: int, other: int, now: int, cells: list[Any]) -> bytes:
    payload = columns.pack(number, other, now, *cells)
    return payload + pack_crc(crc32(payload))


class OpenRows:
    """The rows of ``log`` outside of blocks, by the rules of their steps. Callers hold a lock."""

    def __init__(self, steps: RowQueue, epochs: RowQueue, late: RowQueue, open_file: OpenFile, warn: Warn) -> None:
        self.steps, self.epochs = LoggedTable(steps, open_file), LoggedTable(epochs, open_file)
        self.late = LoggedTable(late, open_file, axes=("epoch",))
        self._warn = warn

    @property
    def are_open(self) -> bool:
        return max(self.steps.row.number, self.epochs.row.number) >= 0

    def close(self) -> None:
        """Make the open rows final."""
        self.steps.close()
        self.epochs.close()

    def train_next(self, values: Mapping[str, Any], step: int | None) -> bool:
        """Record floats with known names at a later step than the open row's; False, and nothing done, for all else.

        It does what ``train`` does, in a few microseconds.
        """
        table = self.steps
        columns, writer, file, row = table.columns, table.writer, table.file, table.row
        number = row.number
        if step is None:
            step = number + 1
        if writer is None or file is None or writer.columns is not columns.names or not values:
            return False
        if row.columns is not columns or not row.packed:
            return False
        if type(step) is not int or not number < step <= LARGEST_STEP or self.epochs.row is not NO_ROW_YET:
            return False
        cells, slots = columns.blank.copy(), columns.slots
        try:
            for name, value in values.items():
                if type(value) is not float:
                    return False
                cells[slots[name]] = value
            other, now = row.other, time_ns()
            payload = columns.pack(step, other, now, *cells)
        except (KeyError, AttributeError, NO_ROW):
            return False
        packed = payload + pack_crc(crc32(payload))
        writer.append_packed(number, row.packed)
        table.row = _make_row((step, other, now, cells, packed, columns))
        file.store(columns.names, packed)
        return True

    def train(self, values: Mapping[str, Any], step: int | None) -> None:
        """Record values of a training step: in its row, which may be open, or as late where it has gone by."""
        table, now = self.steps, time_ns()
        last = table.last
        if step is None:
            step = max(0, last) + 1
        if step == table.row.number and table.is_open:
            table.merge(values, self._warn)
        elif step > last:
            if (cells := table.filled(values, [], self._warn)) is not None:
                self._close_before(step)
                table.put(step, self.epochs.last + 1, now, cells)
        elif (cells := self.late.filled(values, [float(self.epochs.last + 1)], self._warn)) is not None:
            self.late.add(self.late.queue.next, step, now, cells)

    def validate(self, values: Mapping[str, Any], step: int | None) -> None:
        """Record values of a validation: in the open row if it is of this step, else in a new one."""
        table, now = self.epochs, time_ns()
        if step is None:
            step = max(0, self.steps.last)
        if table.is_open and table.row.other == step:
            table.merge(values, self._warn)
        elif (cells := table.filled(values, [], self._warn)) is not None:
            table.close()
            self._close_before(step)
            number = table.queue.next
            table.put(number, step, now, cells)
            self.steps.queue.other = number + 1

    def _close_before(self, step: int) -> None:
        """Make rows of earlier steps final."""
        if self.steps.row.number < step:
            self.steps.close()
        if self.epochs.row.other < step:
            self.epochs.close()
