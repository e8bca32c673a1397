"""Collectors: each gathers what was computed inside an open block, and gives one number a column when it ends."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from neurockt.errors import UsageError
from neurockt.monitor.capture.mean import Aggregator, mean, summed, torch_mean
from neurockt.monitor.capture.tensors import (
    Arrival,
    Partial,
    current_stream,
    detached,
    is_capturing,
    is_on_cuda,
    is_tensor,
    join_streams,
    number,
    partial,
)
from neurockt.store.journal.records import NULL

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
        self._streams: set[Any] = set()  # those on which values are computed
        self.set_aggregator(aggregator)

    def set_aggregator(self, aggregator: Aggregator | None) -> None:
        """How the values become one number; the mean of ours needs only their sums and counts."""
        self.means = aggregator is None or aggregator is torch_mean
        self._aggregate: Aggregator = mean if aggregator is None or self.means else aggregator
        self._capture = partial if self.means else detached

    def begin(self) -> None:
        self.values.clear()

    def keep(self, value: Any) -> None:
        if is_on_cuda(value):
            if is_capturing():
                return  # no value is computed now, but each time the graph is replayed
            self._streams.add(current_stream(value))
        self.values.append(self._capture(value))

    def take(self, row: list[Cell]) -> None:
        taken = self._taken()
        row.append(aggregated(self.columns[0], self._aggregate, taken) if taken else NULL)

    def _taken(self) -> list[Any]:
        taken, streams = self.values.copy(), self._streams.copy()
        self.values.clear()
        if streams:
            self._streams.clear()
            join_streams(streams, taken)
        return taken

    def share(self, *, over_all: bool) -> Partial:
        """A block has ended: what its values contribute to the column over all ranks.

        Args:
            over_all: each value counts alike; a number of the user's own aggregator counts as one. Else the number
                that this rank would record alone.
        """
        if not self.values:
            return Partial(0.0, 0)
        if over_all and self.means:
            taken = self._taken()
            with _naming(self.columns[0]):
                total, elements = summed(taken)
                return Partial(total if is_tensor(total) else float(total), elements)
        cells: list[Cell] = []
        self.take(cells)
        return Partial(cells[0] if isinstance(cells[0], float) else cells[0].wait(), 1)


def aggregated(name: str, aggregate: Aggregator, values: list[Any]) -> Cell:
    """One number from the values of a block.

    Raises:
        UsageError: the aggregator failed, or returned something else than one number; it names the metric.
    """
    with _naming(name):
        return number(aggregate(values))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Within, every mistake names the metric."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"aggregating {name!r}: {error}") from None
    except Exception as error:
        raise UsageError(f"aggregating {name!r} failed: {type(error).__name__}: {error}") from error


MERGEABLE: Final = frozenset({"dim_zero_sum", "dim_zero_max", "dim_zero_min"})
"""The torchmetrics reductions of states to which a metric that has seen nothing adds nothing."""


class TorchMetrics:
    """What torchmetrics accumulates by itself: ``compute()`` over the block, then ``reset()``."""

    columns: tuple[str, ...]

    def __init__(self, metric: Any) -> None:
        self._metric = metric

    def called(self) -> bool:
        """Whether it was updated in this block."""
        raise NotImplementedError

    def compute(self) -> list[Cell]:
        """Its values, then forgotten. Where ``syncs()``, every rank must call it."""
        raise NotImplementedError

    def begin(self) -> None:
        if self.called():
            self._metric.reset()

    def keep(self, value: Any) -> None:
        pass  # the metric keeps what it needs

    def take(self, row: list[Cell]) -> None:
        row.extend(self.compute() if self.called() else [NULL] * len(self.columns))

    def syncs(self) -> bool:
        """Whether ``compute()`` goes over all ranks, once ``torch.distributed`` is initialised."""
        return any(metric.sync_on_compute for metric in self._all())

    def mergeable(self) -> bool:
        """Whether ``compute()`` over all ranks is right where some ranks have not called it."""
        return all(
            getattr(reduction, "__name__", "") in MERGEABLE
            and getattr(metric, name).shape == metric._defaults[name].shape
            for metric in self._all()
            for name, reduction in metric._reductions.items()
        )

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Within, ``compute()`` talks to no other rank."""
        before = [(metric, metric.distributed_available_fn) for metric in self._all()]
        for metric, _ in before:
            metric.distributed_available_fn = _not_distributed
        try:
            yield
        finally:
            for metric, available in before:
                metric.distributed_available_fn = available

    def _all(self) -> list[Any]:
        """The metrics it is made of, those that others wrap included."""
        return [module for module in self._metric.modules() if isinstance(module, sys.modules["torchmetrics"].Metric)]

    def _computed(self) -> Any:
        """What has been accumulated, without a graph."""
        with sys.modules["torch"].no_grad():
            if self.called():
                return self._metric.compute()
            with warnings.catch_warnings():  # it was called on other ranks
                warnings.filterwarnings("ignore", "The ``compute`` method of metric")
                return self._metric.compute()


class MetricCollector(TorchMetrics):
    """A torchmetrics ``Metric``."""

    def __init__(self, name: str, metric: Any) -> None:
        super().__init__(metric)
        self.columns: tuple[str, ...] = (name,)

    def called(self) -> bool:
        return bool(self._metric.update_called)

    def compute(self) -> list[Cell]:
        try:
            return [aggregated(self.columns[0], lambda collectors: collectors[0]._computed(), [self])]
        finally:
            self._metric.reset()


class CollectionCollector(TorchMetrics):
    """A torchmetrics ``MetricCollection``: a column for each of its metrics, called ``name_key``."""

    def __init__(self, name: str, collection: Any) -> None:
        super().__init__(collection)
        self._keys = tuple(str(key) for key in collection.keys())  # noqa: SIM118  (a ModuleDict, no dict)
        self.columns = tuple(f"{name}_{key}" for key in self._keys)

    def called(self) -> bool:
        return any(metric.update_called for metric in self._metric.values())

    def compute(self) -> list[Cell]:
        try:
            values = self._computed()
        finally:
            self._metric.reset()
        return _numbers(self.columns, self._keys, values)


class BatchCollectionCollector:
    """A ``MetricCollection`` with an aggregator: what its calls returned, reduced key by key."""

    def __init__(self, name: str, collection: Any, aggregator: Aggregator) -> None:
        self._keys = tuple(str(key) for key in collection.keys())  # noqa: SIM118  (a ModuleDict, no dict)
        self.collectors = [ValueCollector(f"{name}_{key}", aggregator) for key in self._keys]
        self.columns = tuple(column for collector in self.collectors for column in collector.columns)

    def begin(self) -> None:
        for collector in self.collectors:
            collector.begin()

    def keep(self, value: Mapping[str, Any]) -> None:
        for key, collector in zip(self._keys, self.collectors, strict=True):
            if key in value:
                collector.keep(value[key])

    def take(self, row: list[Cell]) -> None:
        cells: list[Cell] = []
        for collector in self.collectors:
            collector.take(cells)
        row.extend(cells)


def value_collectors(collector: Collector) -> list[ValueCollector]:
    """The collectors of single columns that a collector consists of."""
    if isinstance(collector, BatchCollectionCollector):
        return collector.collectors
    return [collector] if isinstance(collector, ValueCollector) else []


def _not_distributed() -> bool:
    return False


def _numbers(columns: Sequence[str], keys: Sequence[str], values: Mapping[str, Any]) -> list[Cell]:
    def value(key: str) -> Any:
        if key not in values:
            raise UsageError(f"compute() gave no {key!r}, only {', '.join(values)}")
        return values[key]

    return [aggregated(column, lambda keyed: value(keyed[0]), [key]) for column, key in zip(columns, keys, strict=True)]
