"""A block of the training loop: while it is open values are collected, when it ends a row is stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from time import time_ns
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from neurockt.errors import UsageError
from neurockt.monitor.capture.collectors import Cell, Collector, ValueCollector
from neurockt.monitor.capture.mean import Aggregator
from neurockt.monitor.capture.tensors import NotNumeric, is_tensor, partial
from neurockt.monitor.capture.values import leaves
from neurockt.monitor.capture.wrap import leave_uncompiled, recorded
from neurockt.monitor.names import check_metric_name
from neurockt.store.journal.records import NO_ROW, NULL

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.row_queue import RowQueue
    from neurockt.monitor.lifetime.session import Session

F = TypeVar("F", bound=Callable[..., Any])

_WITHOUT_RESULT: Final = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)

ALL: Final = slice(None)
"""All of a list; made once, since a row that makes its own costs the loop one percent more."""


class Gate:
    """Which block of a recorder is open.

    The recorder, its blocks and the decorated functions hold the gate. When all of them are gone, the run ends.
    """

    __slots__ = ("__weakref__", "block")

    def __init__(self) -> None:
        self.block: Block | Closed | None = CLOSED
        """None between blocks; ``CLOSED`` where the session has to be asked before one can be opened."""


class Closed: ...


CLOSED: Final = Closed()
LOGGED: Final = Closed()
"""The recorder records, and ``log`` was called last: a block that opens makes open rows final."""


class Block:
    """One of a recorder's two blocks, entered again and again: a training step, or a validation.

    Each collector has a slot. A slot that holds a float is a finished cell (``NULL`` when nothing was called), so the
    usual row, one loss that was computed once, is stored as it is. A slot that holds its collector must be reduced.

    An end that was interrupted, by Ctrl-C for instance, leaves the block open; the next one to open removes its rest.
    """

    def __init__(self, session: Session, gate: Gate, rows: RowQueue) -> None:
        self.collectors: dict[str, Collector] = {}
        """By the name they were declared under, in that order."""
        self.slots: list[float | Collector] = []
        self.rows = rows
        self.outer: Block | None = None
        """The other block, where this one was opened inside it; it is open again afterwards."""
        self.has_inner = False
        """Whether the other block was opened inside this one."""
        self._session = session
        self._gate = gate
        self.owners: dict[str, str] = {}
        self._late: list[tuple[str, ...]] = []  # columns of the collectors whose results may add to them
        self._slot_of: dict[str, int] = {}
        self._declared_at: dict[str, int] = {}  # how many rows there were; mistakes raise in the first row after that
        self._blank: list[float | Collector] = []
        self._beginning: list[Collector] = []

    @property
    def is_open(self) -> bool:
        return self._gate.block is self

    def declare(self, name: str, collector: Collector) -> int:
        """Collect for this metric too, from the next row on; gives its slot. Raises InvalidName or UsageError."""
        check_metric_name(name)
        for column in collector.columns:
            check_metric_name(column)
            if self.owners.get(column, name) != name:
                raise UsageError(
                    f"{column!r} is recorded already, as part of {self.owners[column]!r}; choose another name"
                )
        leave_uncompiled(Block.keep)
        self.rows.flush(wait=True)
        known = self.collectors.get(name)
        self.collectors[name] = collector
        for column in known.columns if known else ():
            self.owners.pop(column, None)
        self.owners.update(dict.fromkeys(collector.columns, name))
        if known:
            self._set_columns()
        else:  # adding to what is there keeps thousands of declarations cheap
            self.rows.set_columns((*self.rows.columns, *collector.columns))
        self._slot_of.setdefault(name, len(self._slot_of))
        self._refresh(name)
        return self._slot_of[name]

    def decorator(self, name: str, aggregator: Aggregator | None) -> Callable[[F], F]:
        known = self.collectors.get(name)
        if isinstance(known, ValueCollector):  # a notebook cell that is run again, or two functions with one column
            known.set_aggregator(aggregator)
            self._refresh(name)
        elif known is None:
            self.declare(name, ValueCollector(name, aggregator))

        return lambda function: self._recorded(name, function)

    def _recorded(self, name: str, function: F) -> F:
        if isinstance(function, (staticmethod, classmethod)):
            return type(function)(self._recorded(name, function.__func__))
        if not callable(function) or (isinstance(function, type) and hasattr(function, "forward")):
            what = "a function, such as the forward() of a class, or a module"
            raise UsageError(f"{name!r} cannot record {function!r:.60}; decorate {what}")
        if any(is_kind(each) for is_kind in _WITHOUT_RESULT for each in (function, type(function).__call__)):
            raise UsageError(
                f"{name!r} cannot record {function!r:.60}: a call returns before anything is computed. Decorate the "
                "function that returns the number, or call recorder.log where it is computed"
            )
        collector = self.collectors[name]
        if not isinstance(collector, ValueCollector):
            raise UsageError(f"{name!r} is recorded already, by a torchmetric; choose another name")
        collector.has_functions = True
        return recorded(function, self._gate, self, self._slot_of[name], collector)

    def _refresh(self, name: str) -> None:
        self._declared_at[name] = self.rows.recorded
        slot, collector = self._slot_of[name], self.collectors[name]
        blank = NULL if isinstance(collector, ValueCollector) and collector.means else collector
        if slot == len(self._blank):
            self._blank.append(blank)
            self.slots.append(blank)
            if blank is not NULL:
                self._beginning.append(collector)
        elif self._blank[slot] is not blank:
            self._blank[slot] = self.slots[slot] = blank
            self._beginning = [cell for cell in self._blank if not isinstance(cell, float)]

    def _set_columns(self) -> None:
        self.rows.set_columns(tuple(column for each in self.collectors.values() for column in each.columns))

    def keep(self, slot: int, collector: Collector, value: Any) -> None:
        """Collect a value that cannot be its slot's only content: no plain float, or not the first.

        Several threads may call this at once. The interpreter does not switch threads between taking the slot's content
        and replacing it, since nothing is called there; so only one of them finds the first value.
        """
        slots = self.slots
        cell, slots[slot] = slots[slot], collector
        if isinstance(cell, float) and isinstance(collector, ValueCollector) and cell is not NULL:
            collector.values.append(cell)
        collector.keep(value)

    def log(self, values: Mapping[str, Any]) -> None:
        """Collect these values into the open row, each under its name."""
        warn = self._session.log.warn
        for name, value in leaves(values, self._slot_of, warn):
            if not is_tensor(value) and isinstance(found := partial(value), NotNumeric):
                warn(name, f"expected one number, got {found.description}")
                continue
            collector = self.collectors.get(name)
            if collector is None and self.owners.get(name, name) == name:
                collector = ValueCollector(name, None)
                self.declare(name, collector)
            if isinstance(collector, ValueCollector):
                self.keep(self._slot_of[name], collector, value)
            else:
                warn(name, "a module records it")

    def __enter__(self) -> None:
        gate = self._gate
        if gate.block is not None and not self._session.may_open(self, gate):
            return
        if self._beginning:
            for collector in self._beginning:
                collector.begin()
        gate.block = self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        gate = self._gate
        if gate.block is not self:
            self._session.report_nested(self)
            return
        if kind is not None:
            self.close()  # a partial mean is a wrong mean
            self._session.left = id(error)
            return
        rows = self.rows
        append = rows.fast_append
        now = time_ns()
        try:
            if append is not None:
                try:
                    append(rows.other, now, self.slots)
                    self.slots[ALL] = self._blank
                    gate.block = None
                    return
                except NO_ROW:  # a slot holds its collector; nothing has been stored
                    pass
            mistakes = self._reduce_and_store(now)
        except BaseException:
            self.close()
            raise
        self.close()
        for name, mistake in mistakes.items():
            if rows.recorded <= self._declared_at[name] + 1:
                raise mistake
            self._session.faults.warn_once(name, f"{mistake}; its value is null")

    def close(self) -> None:
        for cell in self.slots:
            if not isinstance(cell, float):
                cell.end()
        self.slots[:] = self._blank
        outer, self.outer = self.outer, None
        if outer is not None:
            outer.has_inner = True
            outer.rows.fast_append = None
        if self.is_open:
            self._gate.block = outer
        if self.has_inner:
            self.has_inner = False
            self._session.report_nested(self)

    def _reduce_and_store(self, now: int) -> dict[str, UsageError]:
        over_ranks = self._session.over_ranks
        if over_ranks is None:
            row, mistakes = self._row()
        else:
            row, mistakes = over_ranks.row(self.rows.table, self.collectors, self.slots)
        late = [collector.columns for collector in self._beginning]
        if late != self._late:
            self._late = late
            self._set_columns()
        if over_ranks is None or over_ranks.writes:
            self._store(now, row)
        else:
            self.rows.count()
        return mistakes

    def _row(self) -> tuple[list[Cell], dict[str, UsageError]]:
        row: list[Cell] = []
        mistakes: dict[str, UsageError] = {}
        for name, cell in zip(self.collectors, self.slots, strict=True):
            if isinstance(cell, float):
                row.append(cell)
                continue
            mistake = cell.take(row)
            if mistake is not None:
                mistakes[name] = mistake
        return row, mistakes

    def _store(self, now: int, row: list[Cell]) -> None:
        self.rows.add(now, row)


class ValidationBlock(Block):
    """The block of a validation: its row moves the training steps on to the next epoch, and is printed."""

    def __init__(
        self,
        session: Session,
        gate: Gate,
        rows: RowQueue,
        steps: RowQueue,
        on_row: Callable[[tuple[str, ...], list[float]], None] | None,
    ) -> None:
        """``on_row`` is called with each row before it is stored; with it, numbers are waited for."""
        super().__init__(session, gate, rows)
        self._steps = steps
        self._on_row = on_row

    def _reduce_and_store(self, now: int) -> dict[str, UsageError]:
        self.rows.other = max(0, self._steps.last)
        try:
            return super()._reduce_and_store(now)
        finally:
            self._steps.other = self.rows.last + 1

    def _store(self, now: int, row: list[Cell]) -> None:
        if self._on_row is not None:
            values = [cell if isinstance(cell, float) else cell.wait() for cell in row]
            self._on_row(self.rows.columns, values)
            row = [*values]
        super()._store(now, row)
