"""What ``log`` records outside of blocks: rows that stay open, and rows that arrive late.

Several calls at one step are one row. It is open until a later step is logged in either table, a block opens, or the
run ends; then it goes to its table. Until then its file has it, so that each call's values survive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.capture.values import Warn
from neurockt.monitor.capture.values import cells as cells_of
from neurockt.store.journal.records import NO_ROW, NULL, pack_crc, row_struct

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.row_queue import RowQueue
    from neurockt.store.base.layout import TableName
    from neurockt.store.writing.open_row_file import OpenRowFile
    from neurockt.store.writing.table_writer import TableWriter

OpenFile = Callable[["TableName"], "OpenRowFile | None"]
"""Gives the file of a table's open row; None where the run directory cannot be created now."""
NO_OPEN_ROW: Final = -1


class LoggedTable:
    """A table as ``log`` fills it: its columns, and its open row."""

    def __init__(self, queue: RowQueue, open_file: OpenFile, *, axes: tuple[str, ...] = ()) -> None:
        """``axes`` are columns that come before the metrics."""
        self.queue = queue
        self.slots: dict[str, int] = {}
        """The position of each metric among the cells of a row."""
        self.number = NO_OPEN_ROW
        """That of the open row."""
        self.other = 0
        self.writer: TableWriter | None = None
        """Takes packed rows of the present columns; None where they have to go through the queue."""
        self.packed = b""
        """The open row as a journal has it; empty while one of its numbers is on its way."""
        self.file: OpenRowFile | None = None
        self._open_file = open_file
        self.time_ns = 0
        self.cells: list[Cell] = []
        self._take_columns(axes)

    def _take_columns(self, columns: tuple[str, ...]) -> None:
        self.columns = columns
        self.blank: list[Cell] = [NULL] * len(columns)
        self.pack = row_struct(len(columns)).pack
        self.writer = None

    @property
    def is_open(self) -> bool:
        return self.number > self.queue.last  # else it was put into the table before an exception

    @property
    def last(self) -> int:
        """Number of the last row, an open one included."""
        return max(self.number, self.queue.last)

    def filled(self, values: Mapping[str, Any], onto: list[Cell], warn: Warn) -> list[Cell] | None:
        """The cells of a row with these values, over the first cells in ``onto``; None where none is a number."""
        found = cells_of(values, self.slots, warn)
        if not found:
            return None
        if new := [name for name in found if name not in self.slots]:
            begin = len(self.columns)
            self._take_columns((*self.columns, *new))
            self.slots.update((name, begin + index) for index, name in enumerate(new))
        cells = self.blank.copy()
        cells[: len(onto)] = onto
        for name, cell in found.items():
            cells[self.slots[name]] = cell
        return cells

    def merge(self, values: Mapping[str, Any], warn: Warn) -> None:
        """Add values to the open row."""
        if (cells := self.filled(values, self.cells, warn)) is not None:
            self.put(self.number, self.other, time_ns(), cells)

    def put(self, number: int, other: int, now: int, cells: list[Cell]) -> None:
        """Make this the open row; the one before it is in its table, or has the same number."""
        try:
            packed = stored = self._packed(number, other, now, cells)
        except NO_ROW:
            arrived = [cell if isinstance(cell, float) else cell.wait() if cell.ready() else NULL for cell in cells]
            packed, stored = b"", self._packed(number, other, now, arrived)
        # nothing is called between these: an exception cannot leave a part of the row before
        self.number, self.other, self.time_ns, self.cells, self.packed = number, other, now, cells, packed
        self.file = self.file or self._open_file(self.queue.table)
        if self.file is not None:
            self.file.store(self.columns, stored)

    def _packed(self, number: int, other: int, now: int, cells: list[Any]) -> bytes:
        payload: bytes = self.pack(number, other, now, *cells)
        return payload + pack_crc(crc32(payload))

    def close(self) -> None:
        """Put the open row into the table: it is final."""
        if self.is_open:
            self.add(self.number, self.other, self.time_ns, self.cells)
        self.number = NO_OPEN_ROW

    def add(self, number: int, other: int, now: int, cells: list[Cell]) -> None:
        cells = cells + self.blank[len(cells) :]
        self.writer = self.queue.add_logged(self.columns, number, other, now, cells)


class Log:
    """The rows of ``log`` outside of blocks, by the rules of their steps. Callers hold a lock."""

    def __init__(self, steps: RowQueue, epochs: RowQueue, late: RowQueue, open_file: OpenFile, warn: Warn) -> None:
        self.steps, self.epochs = LoggedTable(steps, open_file), LoggedTable(epochs, open_file)
        self.late = LoggedTable(late, open_file, axes=("epoch",))
        self._warn = warn

    def close(self) -> None:
        """Make the open rows final."""
        self.steps.close()
        self.epochs.close()

    def train_next(self, values: Mapping[str, Any], step: int | None) -> bool:
        """Record floats with known names at a later step than the open row's; False, and nothing done, for all else.

        It does what ``train`` does, in a few microseconds.
        """
        table = self.steps
        writer, file, number, slots = table.writer, table.file, table.number, table.slots
        if step is None:
            step = number + 1
        is_next = type(step) is int and step > number and self.epochs.number == NO_OPEN_ROW
        if writer is None or file is None or not is_next or not table.packed or not values:
            return False
        cells = table.blank.copy()
        try:
            for name, value in values.items():
                if type(value) is not float:
                    return False
                cells[slots[name]] = value
            other, now, columns = table.other, time_ns(), table.columns
            payload = table.pack(step, other, now, *cells)
        except (KeyError, AttributeError, NO_ROW):
            return False
        packed = payload + pack_crc(crc32(payload))
        writer.append_packed(number, table.packed)
        table.number, table.other, table.time_ns, table.cells, table.packed = step, other, now, cells, packed
        file.store(columns, packed)
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
