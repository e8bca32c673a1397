"""A block of the training loop: while it is open values are collected, when it ends a row is stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from neurockt.errors import UsageError
from neurockt.monitor.capture.collectors import Cell, Collector, ValueCollector
from neurockt.monitor.capture.compiling import leave_uncompiled
from neurockt.store.journal.records import NO_ROW, NULL

if TYPE_CHECKING:
    from neurockt.monitor.recorder import Recorder
    from neurockt.store.base.layout import TableName
    from neurockt.store.writing.table_writer import TableWriter

WAITING_ROWS: Final = 10_000
"""Rows that may wait, for an accelerator or for a directory that cannot be created yet."""

ALL: Final = slice(None)
"""All of a list; made once, since a row that makes its own costs the loop one percent more."""


def _detour(other: int, time_ns: int, slots: Any) -> None:
    """Refuses a row as the writer refuses what is no number: it has to be reduced, or to wait, first."""
    raise ValueError


class Block:
    """One of a recorder's two blocks, entered again and again: a training step, or a validation.

    Each collector has a slot. A slot that holds a float is a finished cell (``NULL`` when nothing was called), so the
    usual row, one loss that was computed once, is stored as it stands. A slot that holds its collector asks for the
    values to be reduced first.
    """

    def __init__(self, recorder: Recorder, table: TableName) -> None:
        self.table = table
        self.collectors: dict[str, Collector] = {}
        """By the name they were declared under, in that order."""
        self.slots: list[float | Collector] = []
        """One for each collector; always the same list."""
        self.other = 1
        """The other axis of the row that ends next: in `steps` the epoch, in `epochs` the step."""
        self._recorder = recorder
        self._blank: list[float | Collector] = []
        self._beginning: list[Collector] = []
        self._writer: TableWriter | None = None
        self._append: Callable[[int, int, Any], None] = _detour  # the writer's, while rows need no detour
        self._waiting: deque[tuple[int, int, list[Cell]]] = deque()
        self.before = 0
        """The number of the last row there was before this recorder's first."""
        self._unstored = 0
        """Blocks that have ended on a rank that stores none."""

    @property
    def rows(self) -> int:
        """The number of the last block that has ended with a row."""
        return (self._writer.last if self._writer else self.before + self._unstored) + len(self._waiting)

    @property
    def recorded(self) -> int:
        """How many blocks of this recorder have ended with a row."""
        return self.rows - self.before

    def has_waiting(self) -> bool:
        """Whether rows wait for their numbers, after those that have arrived were stored."""
        self.flush(wait=False)
        return bool(self._waiting)

    def detour(self) -> None:
        """Have the row of the block that ends next take the way that calls ``flush``."""
        self._append = _detour

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the rows that end from here on."""
        return tuple(column for collector in self.collectors.values() for column in collector.columns)

    def declare(self, name: str, collector: Collector) -> int:
        """Collect for this metric too, from the next row on; gives its slot."""
        leave_uncompiled(Block.keep)
        self.flush(wait=True)  # what waits has the columns of before
        self._append = _detour
        self.collectors[name] = collector
        self.refresh()
        return len(self.slots) - 1

    def refresh(self) -> None:
        """Look again at how each collector reduces its values; no block may be open."""
        collectors = list(self.collectors.values())
        means = [isinstance(collector, ValueCollector) and collector.means for collector in collectors]
        self._blank = [NULL if mean else collector for collector, mean in zip(collectors, means, strict=True)]
        self._beginning = [collector for collector, mean in zip(collectors, means, strict=True) if not mean]
        if self._recorder.open_block is self:
            self.slots.extend(self._blank[len(self.slots) :])
        else:
            self.slots[:] = self._blank

    def keep(self, slot: int, collector: Collector, value: Any) -> None:
        """Collect a value that cannot be its slot's only content: no plain float, or not the first.

        Several threads may call this at once. Nothing is called between taking the slot's content and replacing it, so
        the interpreter does not switch threads there, and one of them alone finds the first value.
        """
        slots = self.slots
        cell, slots[slot] = slots[slot], collector
        if isinstance(cell, float) and isinstance(collector, ValueCollector) and cell is not NULL:
            collector.values.append(cell)
        collector.keep(value)

    def __enter__(self) -> None:
        recorder = self._recorder
        if recorder.open_block is not None and not recorder.may_open_block():
            return
        if self._beginning:
            for collector in self._beginning:
                collector.begin()
        recorder.open_block = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        recorder = self._recorder
        if recorder.open_block is not self:
            return
        recorder.open_block = None
        slots = self.slots
        if kind is not None:
            self._discard()  # a partial mean is a wrong mean
            recorder.block_left(error)
            return
        append = self._append  # called by a local name, which is faster than as what looks like a method
        now = time_ns()
        try:
            append(self.other, now, slots)
            slots[ALL] = self._blank
        except NO_ROW:  # some slot wants reducing, or rows are waiting; nothing has been stored
            self._reduce_and_store(now)

    def _discard(self) -> None:
        for cell in self.slots:
            if not isinstance(cell, float):
                cell.begin()
        self.slots[:] = self._blank

    def _reduce_and_store(self, now: int) -> None:
        over_ranks = self._recorder.over_ranks
        try:
            row, wrong = self._row() if over_ranks is None else over_ranks.row(self.table, self.collectors, self.slots)
        finally:
            self.slots[:] = self._blank
        if over_ranks is None or over_ranks.writes:
            self._store(now, row)
        else:
            self._unstored += 1
        if wrong is not None:
            raise wrong

    def _row(self) -> tuple[list[Cell], UsageError | None]:
        """The row of the block that has ended, and what was wrong with it."""
        row: list[Cell] = []
        wrong: UsageError | None = None
        for cell in self.slots:
            if isinstance(cell, float):
                row.append(cell)
                continue
            try:
                cell.take(row)
            except UsageError as usage_error:
                wrong = wrong or usage_error
                row.extend([NULL] * len(cell.columns))
        return row, wrong

    def _store(self, now: int, row: list[Cell]) -> None:
        if len(self._waiting) >= WAITING_ROWS:
            self.flush(wait=True)
        if len(self._waiting) >= WAITING_ROWS:
            self._recorder.dropped += 1
        else:
            self._waiting.append((self.other, now, row))
            self.flush(wait=False)

    def flush(self, *, wait: bool) -> None:
        """Store the rows whose numbers have arrived, in order; with ``wait``, all of them."""
        recorder = self._recorder
        amid, recorder.amid = recorder.amid, True
        try:
            self._flush(wait)
        finally:
            recorder.amid = amid
        if recorder.called and not amid:
            recorder.attend()

    def _flush(self, wait: bool) -> None:
        self._append = _detour
        while self._waiting:
            other, time_ns, row = self._waiting[0]
            writer = self._writer = self._writer or self._recorder.start(self)
            if not wait and not all(isinstance(cell, float) or cell.ready() for cell in row):
                return
            values = [cell if isinstance(cell, float) else cell.wait() for cell in row]
            if writer is None:
                return
            if writer.columns != self.columns:
                writer.set_columns(self.columns)
            self._waiting.popleft()
            writer.append(other, time_ns, values)
            self._stored(writer.columns, values)
        over_ranks = self._recorder.over_ranks
        if over_ranks is not None and over_ranks.reduces:
            return  # every row goes by the other ranks first
        if self._writer is not None and self._writer.columns == self.columns:
            self._append = self._writer.append

    def _stored(self, columns: tuple[str, ...], values: list[float]) -> None:
        """A row has been stored by way of the queue."""


class ValidationBlock(Block):
    """The block of a validation: its row moves the training steps on to the next epoch, and is printed."""

    def __init__(
        self, recorder: Recorder, steps: Block, on_row: Callable[[tuple[str, ...], list[float]], None] | None
    ) -> None:
        """``on_row`` hears of each row as it is stored; with it, rows are waited for."""
        super().__init__(recorder, "epochs")
        self._steps = steps
        self._on_row = on_row

    def _reduce_and_store(self, now: int) -> None:
        self.other = self._steps.rows
        try:
            super()._reduce_and_store(now)
        finally:
            self._steps.other = self.rows + 1

    def flush(self, *, wait: bool) -> None:
        super().flush(wait=wait or self._on_row is not None)
        self._append = _detour  # every row is stored by way of the queue: there are few, and each tells the other axis

    def _stored(self, columns: tuple[str, ...], values: list[float]) -> None:
        if self._on_row is not None:
            self._on_row(columns, values)
