"""What ``log`` records outside of blocks: rows that stay open, and rows that arrive late.

Several calls at one step are one row. It is open until a later step is logged in either table, a block opens, or the
run ends; then it goes to its table. Until then its file has it, so that each call's values survive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
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
    size: int
    in_order: Callable[[dict[str, Any]], tuple[Any, ...]]
    """The values of a dict that has just these names; KeyError where it has others."""

    def some(self, values: dict[str, Any]) -> Sequence[Any]:
        """The cells of a row with values of some of the names; KeyError where there are others."""
        cells: list[Any] = self.blank.copy()
        for name, value in values.items():
            cells[self.slots[name]] = value
        return cells


_Row = tuple[int, int, int, Sequence[Cell], bytes, _Columns | None]
"""Number, other index, time in ns, cells, the row as a journal has it, and the columns it is packed with.

While one of its numbers is on its way it is not packed: the last two are empty. A NamedTuple takes three times as long
to make.
"""
NO_ROW_YET: Final[_Row] = (-1, 0, 0, (), b"", None)


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
        return self.number > self.queue.last  # else it was put into the table before an exception

    @property
    def last(self) -> int:
        """Number of the last row, an open one included."""
        return max(self.number, self.queue.last)

    @property
    def number(self) -> int:
        """The open row's; -1 where there is none."""
        return self.row[0]

    @property
    def other(self) -> int:
        """The open row's other index."""
        return self.row[1]

    def filled(self, values: Mapping[str, Any], onto: Sequence[Cell], warn: Warn) -> list[Cell] | None:
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
        if (cells := self.filled(values, self.row[3], warn)) is not None:
            self.put(self.number, self.other, time_ns(), cells)

    def put(self, number: int, other: int, now: int, cells: list[Cell]) -> None:
        """Make this the open row; the one before it is in its table, or has the same number."""
        columns = self.columns
        try:
            payload, is_whole = columns.pack(number, other, now, *cells), True
        except NO_ROW:
            arrived = [cell if isinstance(cell, float) else cell.wait() if cell.ready() else NULL for cell in cells]
            payload, is_whole = columns.pack(number, other, now, *arrived), False
        crc = crc32(payload)
        packed = payload + pack_crc(crc)
        self.row = number, other, now, cells, *((packed, columns) if is_whole else (b"", None))
        self.file = self.file or self._open_file(self.queue.table)
        if self.file is not None:
            self.file.store(columns.names, packed, crc)

    def close(self) -> None:
        """Put the open row into the table: it is final."""
        if self.is_open:
            self.add(*self.row[:4])
        self.row = NO_ROW_YET

    def add(self, number: int, other: int, now: int, cells: Sequence[Cell]) -> None:
        columns = self.columns
        cells = [*cells, *columns.blank[len(cells) :]]
        self.writer = self.queue.add_logged(columns.names, number, other, now, cells)


def _columns(names: tuple[str, ...], axes: int) -> _Columns:
    slots = {name: index for index, name in enumerate(names[axes:], axes)}
    in_order = itemgetter(*names) if len(names) > 1 else lambda values: tuple(values[name] for name in names)
    return _Columns(names, slots, [NULL] * len(names), row_struct(len(names)).pack, len(names), in_order)


class OpenRows:
    """The rows of ``log`` outside of blocks, by the rules of their steps. Callers hold a lock."""

    def __init__(self, steps: RowQueue, epochs: RowQueue, late: RowQueue, open_file: OpenFile, warn: Warn) -> None:
        self.steps, self.epochs = LoggedTable(steps, open_file), LoggedTable(epochs, open_file)
        self.late = LoggedTable(late, open_file, axes=("epoch",))
        self._warn = warn

    @property
    def are_open(self) -> bool:
        return max(self.steps.number, self.epochs.number) >= 0

    def close(self) -> None:
        """Make the open rows final."""
        self.steps.close()
        self.epochs.close()

    def train_next(self, values: Mapping[str, Any], step: int | None) -> bool:
        """Record floats with known names at a later step than the open row's; False, and nothing done, for all else.

        It does what ``train`` does, in a few microseconds.
        """
        table = self.steps
        columns, writer, file = table.columns, table.writer, table.file
        number, other, _, _, packed_before, packed_with = table.row
        if step is None:
            step = number + 1
        if packed_with is not columns or writer is None or file is None or writer.columns is not columns.names:
            return False
        if type(step) is not int or not number < step <= LARGEST_STEP or self.epochs.row is not NO_ROW_YET:
            return False
        if type(values) is not dict or not values:
            return False
        try:
            cells = columns.in_order(values) if len(values) == columns.size else columns.some(values)
            for value in values.values():
                if type(value) is not float:
                    return False
            now = time_ns()
            payload = columns.pack(step, other, now, *cells)
        except (KeyError, NO_ROW):
            return False
        crc = crc32(payload)
        packed = payload + pack_crc(crc)
        writer.append_packed(number, packed_before)
        table.row = step, other, now, cells, packed, columns
        file.store(columns.names, packed, crc)
        return True

    def train(self, values: Mapping[str, Any], step: int | None) -> None:
        """Record values of a training step: in its row, which may be open, or as late where it has gone by."""
        table, now = self.steps, time_ns()
        last = table.last
        if step is None:
            step = max(0, last) + 1
        if step == table.number and table.is_open:
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
        if table.is_open and table.other == step:
            table.merge(values, self._warn)
        elif (cells := table.filled(values, [], self._warn)) is not None:
            table.close()
            self._close_before(step)
            number = table.queue.next
            table.put(number, step, now, cells)
            self.steps.queue.other = number + 1

    def _close_before(self, step: int) -> None:
        """Make rows of earlier steps final."""
        if self.steps.number < step:
            self.steps.close()
        if self.epochs.other < step:
            self.epochs.close()
