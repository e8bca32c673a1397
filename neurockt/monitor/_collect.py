"""Collectors: each gathers what was computed inside an open block, and gives one number a column when it ends."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from neurockt.errors import UsageError
from neurockt.monitor._aggregate import Aggregator, mean, torch_mean
from neurockt.monitor._capture import Arrival, detached, number, partial
from neurockt.store.journal import NULL

Cell = float | Arrival
"""One column of a row: a float (``NULL`` for no value), or a float on its way from an accelerator."""


class Collector(Protocol):
    """Gathers values while its block is open."""

    columns: tuple[str, ...]

    def begin(self) -> None:
        """Forget what has been gathered: a block opens, or has been left by an exception."""

    def keep(self, value: Any) -> None:
        """Gather what a call returned."""

    def take(self, row: list[Cell]) -> None:
        """A block has ended: add one cell a column to ``row``, and forget the values."""


class ValueCollector:
    """The values that calls returned, reduced by an aggregator."""

    def __init__(self, name: str, aggregator: Aggregator | None) -> None:
        self.columns: tuple[str, ...] = (name,)
        self.values: list[Any] = []
        self.set_aggregator(aggregator)

    def set_aggregator(self, aggregator: Aggregator | None) -> None:
        """How the values become one number; the mean of ours needs only their sums and counts."""
        self.means = aggregator is None or aggregator is torch_mean
        self._aggregate: Aggregator = mean if aggregator is None or self.means else aggregator
        self._capture = partial if self.means else detached

    def begin(self) -> None:
        self.values.clear()

    def keep(self, value: Any) -> None:
        self.values.append(self._capture(value))

    def take(self, row: list[Cell]) -> None:
        taken = self.values.copy()
        self.values.clear()
        row.append(aggregated(self.columns[0], self._aggregate, taken) if taken else NULL)


def aggregated(name: str, aggregate: Aggregator, values: list[Any]) -> Cell:
    """One number from the values of a block.

    Raises:
        UsageError: the aggregator failed, or returned something else than one number; it names the metric.
    """
    try:
        return number(aggregate(values))
    except UsageError as error:
        raise UsageError(f"aggregating {name!r}: {error}") from None
    except Exception as error:
        raise UsageError(f"aggregating {name!r} failed: {type(error).__name__}: {error}") from error


class MetricCollector:
    """A torchmetrics ``Metric`` that accumulates by itself: ``compute()`` over the block, then ``reset()``."""

    def __init__(self, name: str, metric: Any) -> None:
        self.columns: tuple[str, ...] = (name,)
        self._metric = metric

    def begin(self) -> None:
        if self._metric.update_called:
            self._metric.reset()

    def keep(self, value: Any) -> None:
        pass  # the metric keeps what it needs

    def take(self, row: list[Cell]) -> None:
        if not self._metric.update_called:
            row.append(NULL)
            return
        try:
            row.append(aggregated(self.columns[0], lambda metrics: computed(metrics[0]), [self._metric]))
        finally:
            self._metric.reset()


class CollectionCollector:
    """A torchmetrics ``MetricCollection``: a column for each of its metrics, called ``name_key``."""

    def __init__(self, name: str, collection: Any) -> None:
        self._collection = collection
        self._keys = tuple(str(key) for key in collection.keys())  # noqa: SIM118  (a ModuleDict, no dict)
        self.columns = tuple(f"{name}_{key}" for key in self._keys)

    def begin(self) -> None:
        if self._called():
            self._collection.reset()

    def keep(self, value: Any) -> None:
        pass  # its metrics keep what they need

    def take(self, row: list[Cell]) -> None:
        if not self._called():
            row.extend([NULL] * len(self.columns))
            return
        try:
            values = computed(self._collection)
        finally:
            self._collection.reset()
        row.extend(_numbers(self.columns, self._keys, values))

    def _called(self) -> bool:
        return any(metric.update_called for metric in self._collection.values())


class BatchCollectionCollector:
    """A ``MetricCollection`` with an aggregator: what its calls returned, reduced key by key."""

    def __init__(self, name: str, collection: Any, aggregator: Aggregator) -> None:
        self._keys = tuple(str(key) for key in collection.keys())  # noqa: SIM118  (a ModuleDict, no dict)
        self._collectors = [ValueCollector(f"{name}_{key}", aggregator) for key in self._keys]
        self.columns = tuple(column for collector in self._collectors for column in collector.columns)

    def begin(self) -> None:
        for collector in self._collectors:
            collector.begin()

    def keep(self, value: Mapping[str, Any]) -> None:
        for key, collector in zip(self._keys, self._collectors, strict=True):
            if key in value:
                collector.keep(value[key])

    def take(self, row: list[Cell]) -> None:
        cells: list[Cell] = []
        for collector in self._collectors:
            collector.take(cells)
        row.extend(cells)


def computed(metric: Any) -> Any:
    """What a metric has accumulated, without a graph."""
    with sys.modules["torch"].no_grad():
        return metric.compute()


def _numbers(columns: Sequence[str], keys: Sequence[str], values: Mapping[str, Any]) -> list[Cell]:
    def value(key: str) -> Any:
        if key not in values:
            raise UsageError(f"compute() gave no {key!r}, only {', '.join(values)}")
        return values[key]

    return [aggregated(column, lambda keyed: value(keyed[0]), [key]) for column, key in zip(columns, keys, strict=True)]
