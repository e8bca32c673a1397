"""Turns a block into a row where a job has several ranks: reduced over the ranks, or this rank's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from neurockt.errors import UsageError
from neurockt.monitor.capture.collectors import Cell, Collector, ValueCollector
from neurockt.monitor.capture.tensors import Partial
from neurockt.monitor.capture.torchmetrics import MetricCollector, collecting
from neurockt.monitor.ranks.exchange import NOTHING, MetricCalls, Outcome, Together
from neurockt.monitor.ranks.place import Place, Recording, Reduction, initialised
from neurockt.store.journal.records import NULL, is_null

if TYPE_CHECKING:
    from neurockt.store.base.layout import TableName


class OverRanks:
    def __init__(
        self, place: Place, *, recording: Recording, reduction: Reduction | None, warn: Callable[[str], None]
    ) -> None:
        place.check(recording)
        self.place = place
        self.separate = recording == "all"
        self.writes = place.records(recording)
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
        cells: dict[str, Cell] = {}
        mistakes: dict[str, UsageError] = {}
        shares: dict[str, Partial] = {}
        calls: dict[str, MetricCalls] = {}

        def add(name: str, take: Callable[[list[Cell]], UsageError | None]) -> None:
            taken: list[Cell] = []
            if (mistake := take(taken)) is not None:
                mistakes[name] = mistake
            cells.update(zip(collectors[name].columns, taken, strict=True))

        for (name, collector), cell in zip(collectors.items(), slots, strict=True):
            if isinstance(collector, MetricCollector) and distributed is not None and collector.syncs():
                calls[name] = MetricCalls(collector.called(), collector.mergeable())
            elif self.reduces and distributed is not None and collector.has_values:
                found: list[UsageError] = []
                for part in collector.parts(found):
                    shares[part.columns[0]] = NOTHING
                    with collecting(found):
                        shares[part.columns[0]] = self._share(part, cell)
                mistakes.update((name, mistake) for mistake in found)
            elif self.writes:
                add(name, partial(_alone, collector, cell))
        outcome: Outcome = {}, ()
        if distributed is not None and (self.reduces or calls):
            outcome = self._together.exchange(table, shares, calls, distributed)
        for name in outcome[1]:
            metric = collectors[name]
            assert isinstance(metric, MetricCollector)
            add(name, partial(metric.take, over_all=True))
        cells.update(outcome[0])
        columns = [column for collector in collectors.values() for column in collector.columns]
        return [cells.get(column, NULL) for column in columns], mistakes

    def _share(self, collector: ValueCollector, cell: float | Collector) -> Partial:
        if isinstance(cell, float):
            return NOTHING if is_null(cell) else Partial(cell, 1)
        return collector.share(over_all=self._mean)


def _alone(collector: Collector, cell: float | Collector, row: list[Cell]) -> UsageError | None:
    if isinstance(cell, float):
        row.append(cell)
        return None
    if isinstance(collector, MetricCollector):
        with collector.unsynced():
            return collector.take(row)
    return collector.take(row)
