"""Torchmetrics: what they accumulate during a block, or what their calls return.

A metric may wrap, combine or collect others, be fed by ``update()`` or by being called, and have several names. So
whether it was fed is decided by all the metrics that it consists of, and it is reset after all collectors have read it.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from neurockt.errors import UsageError
from neurockt.monitor.capture.collectors import Cell, ValueCollector, aggregated, naming
from neurockt.monitor.capture.mean import Aggregator, check_aggregator
from neurockt.monitor.capture.tensors import is_tensor
from neurockt.monitor.names import check_metric_name
from neurockt.store.journal.records import NULL

JOINT: Final = "/"
"""Joins the name of a metric and a key of its result."""
VECTOR_LIMIT: Final = 100
"""A vector of up to this many elements becomes a column per element."""
MERGEABLE: Final = frozenset({"dim_zero_sum", "dim_zero_max", "dim_zero_min"})
"""The torchmetrics reductions of states to which a metric that was not fed adds nothing."""


class Output(NamedTuple):
    column: str
    copy: Any
    """The metric that was called, if it is a copy of the one that was declared; otherwise None."""
    value: Any


def is_torchmetric(value: Any) -> bool:
    torchmetrics = sys.modules.get("torchmetrics")
    return torchmetrics is not None and isinstance(
        value, (torchmetrics.Metric, torchmetrics.MetricCollection, torchmetrics.MetricTracker)
    )


class MetricCollector:
    """A torchmetric, or a collection of them.

    Without an aggregator: its ``compute()`` over the block. With one: what its calls returned; if it was only fed by
    ``update()``, what ``compute()`` gives. It is reset when the block ends; with an aggregator, when the next block
    begins, so that it can still be asked for the last one. Results that are dicts or vectors get a column for each key
    or index, which is known after the first result.
    """

    def __init__(self, name: str, metric: Any, aggregator: Aggregator | None, owners: dict[str, str]) -> None:
        """``owners`` maps each column of the table to its metric's name; columns that appear later are added."""
        check_aggregator(name, aggregator)
        self._name = name
        self._metric = metric
        self._aggregator = aggregator
        self.has_values = aggregator is not None
        self.has_functions = False
        self._owners = owners
        self._is_tracker = isinstance(metric, sys.modules["torchmetrics"].MetricTracker)
        self._before = 0  # how often the metric had been fed when the block began
        self._is_used = False  # fed or computed, and not reset since
        self._called: set[str] = set()
        self._copies: dict[int, Output] = {}
        self._values: dict[str, ValueCollector] = {}
        self.handles: list[Any] = []
        self.columns: tuple[str, ...] = tuple(self.members())

    def members(self) -> dict[str, Any]:
        """The metrics that get a column, by column: those of a collection, or the metric itself."""
        if isinstance(self._metric, sys.modules["torchmetrics"].MetricCollection):
            # the states of metrics that share them are made the same, but not copied
            return {f"{self._name}{JOINT}{key}": metric for key, metric in self._metric.items(copy_state=False)}
        return {self._name: self._metric}

    def called(self) -> bool:
        return bool(self._called) or _feeds(self._metric) != self._before

    def begin(self) -> None:
        if self._is_tracker:
            self._before = _feeds(self._metric)  # the user's increment() takes the place of reset()
        elif self._is_used or _feeds(self._metric):
            self._reset()

    def end(self) -> None:
        self._is_used |= self.called()
        if self._aggregator is not None:
            _drop_graphs(self._metric)
        elif self._is_used and not self._is_tracker:
            self._reset()
        for output in self._copies.values():
            _reset(output.copy)
        self._values.clear()
        self._called.clear()
        self._copies.clear()

    def _reset(self) -> None:
        self._is_used = True  # a reset that is interrupted sets the count of updates back first, and is done again
        _reset(self._metric)
        self._is_used = False

    def keep(self, value: Output) -> None:
        self._called.add(value.column)
        if value.copy is not None:
            self._copies[id(value.copy)] = value
        if self._aggregator is not None:
            self._keep_result(value.column, value.value)

    def _keep_result(self, column: str, result: Any) -> None:
        for key, value in _flat(column, result, vectors=False):
            if key not in self._values:
                self._values[key] = ValueCollector(key, self._aggregator)
            self._values[key].keep(value)

    def take(self, row: list[Cell], *, over_all: bool = False) -> UsageError | None:
        """As every collector does.

        With ``over_all`` compute over all ranks, also what was not fed on this one; all ranks must do so at once.
        """
        cells: dict[str, Cell] = {}
        mistakes: list[UsageError] = []
        self._is_used |= over_all  # it keeps what it has computed, also where it was not fed
        if self._aggregator is None:
            self._compute(cells, mistakes, over_all)
            self._add_columns(cells, mistakes)
        else:
            for part in self.parts(mistakes):
                found: list[Cell] = []
                mistakes += filter(None, [part.take(found)])
                cells[part.columns[0]] = found[0]
        row.extend(cells.get(column, NULL) for column in self.columns)
        if len(mistakes) > 1:
            return UsageError("; ".join(map(str, mistakes)))
        return mistakes[0] if mistakes else None

    def parts(self, mistakes: list[UsageError]) -> list[ValueCollector]:
        for column, metric in self.members().items():
            for source in self._fed(column, metric, mistakes) if column not in self._called else ():
                with collecting(mistakes), self.unsynced():
                    self._keep_result(column, _computed(column, source))
        self._add_columns(self._values, mistakes)
        return [part for column, part in self._values.items() if self._owners.get(column) == self._name]

    def _compute(self, cells: dict[str, Cell], mistakes: list[UsageError], over_all: bool) -> None:
        for column, metric in self.members().items():
            for source in [metric] if over_all else self._fed(column, metric, mistakes):
                with collecting(mistakes):
                    for key, value in _flat(column, _computed(column, source), vectors=True):
                        cells[key] = NULL
                        with collecting(mistakes):
                            cells[key] = aggregated(key, lambda values: values[0], [value])

    def _fed(self, column: str, metric: Any, mistakes: list[UsageError]) -> list[Any]:
        """The metric or its copy, whichever was fed in this block; nothing if none was."""
        copies = [output.copy for output in self._copies.values() if output.column == column]
        is_fed = _feeds(metric) != (self._before if self._is_tracker else 0)
        fed = [metric] * (is_fed or (column in self._called and not copies)) + copies
        if len(fed) > 1:
            mistakes.append(UsageError(f"{column!r} was fed through {len(fed)} copies of one metric; feed only one"))
            return []
        return fed

    def _add_columns(self, found: Mapping[str, Any], mistakes: list[UsageError]) -> None:
        new: list[str] = []
        for column in found:
            if self._owners.get(column) != self._name:
                with collecting(mistakes):
                    check_metric_name(column)
                    if column in self._owners:
                        owner = self._owners[column]
                        raise UsageError(
                            f"{self._name!r} gives a value {column!r}, which is recorded as part of {owner!r}"
                        )
                    self._owners[column] = self._name
                    new.append(column)
        if new:
            replaced = {
                column
                for column in self.members()
                if column not in found and any(key.startswith(column + JOINT) for key in new)
            }
            for column in replaced & self._owners.keys():
                del self._owners[column]
            self.columns = (*(column for column in self.columns if column not in replaced), *new)

    def syncs(self) -> bool:
        """Whether ``compute()`` goes over all ranks, once ``torch.distributed`` is initialised."""
        return self._aggregator is None and any(metric.sync_on_compute for metric in _metrics(self._metric))

    def mergeable(self) -> bool:
        """Whether ``compute()`` over all ranks is right where some ranks have not fed it."""
        return all(
            getattr(reduction, "__name__", "") in MERGEABLE
            and getattr(metric, name).shape == metric._defaults[name].shape
            for metric in _metrics(self._metric)
            for name, reduction in metric._reductions.items()
        )

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """Within, ``compute()`` does not communicate with other ranks."""
        before = [(metric, metric.distributed_available_fn) for metric in _metrics(self._metric)]
        for metric, _ in before:
            metric.distributed_available_fn = lambda: False
        try:
            yield
        finally:
            for metric, available in before:
                metric.distributed_available_fn = available


def _metrics(metric: Any) -> list[Any]:
    """The metrics it consists of, itself included."""
    return [module for module in metric.modules() if isinstance(module, sys.modules["torchmetrics"].Metric)]


def _is_wrapper(metric: Any) -> bool:
    """Whether it leaves counting to what it wraps, or, as Running does, counts for itself."""
    wrappers = getattr(sys.modules["torchmetrics"].wrappers, "abstract", None)
    return wrappers is not None and isinstance(metric, wrappers.WrapperMetric)


def _feeds(metric: Any) -> int:
    """A number that grows with each ``update()`` of the metric or of one inside it, and is 0 after ``reset()``."""
    total = 0
    for each in _metrics(metric):
        total += getattr(each, "_num_vals_seen", 0) if _is_wrapper(each) else each._update_count
        total += sum(len(state) for name in each._defaults if isinstance(state := getattr(each, name), list))
    return total


def _reset(metric: Any) -> None:
    with sys.modules["torch"].inference_mode(False):  # else its states could not be updated in training
        metric.reset()
    for each in _metrics(metric):
        if not _is_wrapper(each):
            each._update_count = 0  # a composition resets only what it combines
    _drop_graphs(metric)


def _drop_graphs(metric: Any) -> None:
    """Let go of the graphs that calls leave in states and caches; some wrappers keep them over a reset."""
    for each in _metrics(metric):
        each._forward_cache = each._computed = None
        for name in each._defaults:
            if isinstance(state := getattr(each, name), list):
                state[:] = [value.detach() for value in state]


def _computed(column: str, metric: Any) -> Any:
    """What has been accumulated, without a graph. Raises UsageError if ``compute()`` fails."""
    with naming(column), sys.modules["torch"].no_grad():
        if _feeds(metric):
            return metric.compute()
        with warnings.catch_warnings():  # it was fed on other ranks
            warnings.filterwarnings("ignore", "The ``compute`` method of metric")
            return metric.compute()


def _flat(column: str, result: Any, *, vectors: bool) -> Iterator[tuple[str, Any]]:
    """The columns of a result: one per key of a mapping and, where wanted, one per element of a vector."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _flat(f"{column}{JOINT}{key}", value, vectors=vectors)
    elif vectors and is_tensor(result) and result.dim() == 1 and 1 < len(result) <= VECTOR_LIMIT:
        for index in range(len(result)):
            yield f"{column}{JOINT}{index}", result[index]
    else:
        yield column, result


@contextmanager
def collecting(mistakes: list[UsageError]) -> Iterator[None]:
    try:
        yield
    except UsageError as mistake:
        mistakes.append(mistake)
