"""Turns a block into a row where a job has several ranks: reduced over the ranks, or this rank's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from neurockt.errors import UsageError
from neurockt.monitor.capture.collectors import Cell, Collector, ValueCollector
from neurockt.monitor.capture.tensors import Partial
from neurockt.monitor.capture.torchmetrics import MetricCollector
from neurockt.monitor.ranks.exchange import NOTHING, MetricCalls, Outcome, Together, share_of
from neurockt.monitor.ranks.place import Place, Reduction, initialised
from neurockt.store.journal.records import NULL

if TYPE_CHECKING:
    from neurockt.store.base.layout import TableName


class OverRanks:
    def __init__(
        self, place: Place, *, separate: bool, reduction: Reduction | None, warn: Callable[[str], None]
    ) -> None:
        self.place = place
        self.separate = separate
        self.writes = separate or place.rank == 0
        self.reduces = reduction is not None
        self._mean = reduction == "mean"
        self._together = Together(place, reduction, warn if self.writes else lambda message: None)

    def row(
        self, table: TableName, collectors: Mapping[str, Collector], slots: list[float | Collector]
    ) -> tuple[list[Cell], dict[str, UsageError]]:
        """The row of a block that has ended, and the user's mistakes; meaningless where ``writes`` is false.

        Raises UsageError if another rank has ended a block of the other table.
        """
        distributed = None if self.separate else initialised()
        row = _Row()
        shares: dict[str, Partial] = {}
        calls: dict[str, MetricCalls] = {}
        for (name, collector), cell in zip(collectors.items(), slots, strict=True):
            if isinstance(collector, MetricCollector) and distributed is not None and collector.syncs():
                calls[name] = MetricCalls(collector.called(), collector.mergeable())
            elif self.reduces and distributed is not None and collector.has_values:
                for part in row.parts(name, collector):
                    shares[part.columns[0]] = row.share(name, partial(self._share, part, cell))
            elif self.writes:
                row.add(name, collector, partial(_alone, collector, cell))
        outcome = Outcome({}, ())
        if distributed is not None and (self.reduces or calls):
            outcome = self._together.exchange(table, shares, calls, distributed)
        for name in outcome.to_compute:
            metric = collectors[name]
            assert isinstance(metric, MetricCollector)
            row.add(name, metric, partial(metric.take, over_all=True))
        row.cells.update(outcome.values)
        columns = [column for collector in collectors.values() for column in collector.columns]
        return [row.cells.get(column, NULL) for column in columns], row.mistakes

    def _share(self, collector: ValueCollector, cell: float | Collector) -> Partial:
        if isinstance(cell, float):
            return share_of(cell)
        return collector.share(over_all=self._mean)


class _Row:
    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.mistakes: dict[str, UsageError] = {}

    def parts(self, name: str, collector: Collector) -> list[ValueCollector]:
        """The values of each column of a collector that has values."""
        if isinstance(collector, ValueCollector):
            return [collector]
        assert isinstance(collector, MetricCollector)
        mistakes: list[UsageError] = []
        parts = collector.parts(mistakes)
        self.mistakes.update((name, mistake) for mistake in mistakes)
        return parts

    def share(self, name: str, action: Callable[[], Partial]) -> Partial:
        """A rank's share; nothing after a mistake, which is kept until the exchange is done."""
        try:
            return action()
        except UsageError as mistake:
            self.mistakes[name] = mistake
            return NOTHING

    def add(self, name: str, collector: Collector, take: Callable[[list[Cell]], UsageError | None]) -> None:
        cells: list[Cell] = []
        mistake = take(cells)
        if mistake is not None:
            self.mistakes[name] = mistake
        self.cells.update(zip(collector.columns, cells, strict=True))


def _alone(collector: Collector, cell: float | Collector, row: list[Cell]) -> UsageError | None:
    if isinstance(cell, float):
        row.append(cell)
        return None
    if isinstance(collector, MetricCollector):
        with collector.unsynced():
            return collector.take(row)
    return collector.take(row)
