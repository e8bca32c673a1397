"""Collectors: each gathers values inside an open block, and reduces them to one number per column when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from neurockt.errors import UsageError
from neurockt.monitor.capture.arrivals import Arrival, current_stream, is_capturing
from neurockt.monitor.capture.mean import Aggregator, check_aggregator, mean, summed, torch_mean
from neurockt.monitor.capture.tensors import (
    Partial,
    captured,
    detached,
    error_line,
    is_on_cuda,
    is_tensor,
    join_streams,
    number,
)
from neurockt.store.journal.records import NULL

Cell = float | Arrival
"""One column of a row: a float (``NULL`` for no value), or a float on its way from an accelerator."""


class Collector(Protocol):
    columns: tuple[str, ...]
    has_values: bool
    """Whether it reduces values that calls returned."""
    has_functions: bool
    """Whether wrapped functions feed it."""
    handles: list[Any]
    """Handles of the hooks that feed it."""

    def begin(self) -> None:
        """A block opens: forget what came before it."""

    def end(self) -> None:
        """A block has ended, with a row or without: forget what was gathered."""

    def keep(self, value: Any) -> None: ...

    def parts(self, mistakes: list[UsageError]) -> list[ValueCollector]:
        """The values of each column, where it has values. Adds to ``mistakes`` what could not be computed."""

    def take(self, row: list[Cell]) -> UsageError | None:
        """Add one cell per column to ``row``; returns the user's mistake, whose cells are null."""


class ValueCollector:
    has_values = True

    def __init__(self, name: str, aggregator: Aggregator | None) -> None:
        self.columns: tuple[str, ...] = (name,)
        self.has_functions = False
        self.handles: list[Any] = []
        self.values: list[Any] = []
        self._streams: set[Any] = set()  # those on which values are computed that the user's aggregator takes
        self.set_aggregator(aggregator)

    def set_aggregator(self, aggregator: Aggregator | None) -> None:
        """Reduce values like this from now on; the built-in mean keeps only their sums and counts."""
        check_aggregator(self.columns[0], aggregator)
        self.means = aggregator is None or aggregator is torch_mean
        self._aggregate: Aggregator = mean if aggregator is None or self.means else aggregator
        self._capture = captured if self.means else detached

    def begin(self) -> None:
        self.values.clear()

    end = begin

    def keep(self, value: Any) -> None:
        if is_on_cuda(value):
            if is_capturing():
                return  # a captured graph computes its values when it is replayed
            if not self.means:
                self._streams.add(current_stream(value))
        self.values.append(self._capture(value))

    def take(self, row: list[Cell]) -> UsageError | None:
        values = self._take_values()
        try:
            row.append(aggregated(self.columns[0], self._aggregate, values) if values else NULL)
        except UsageError as mistake:
            row.append(NULL)
            return mistake
        return None

    def parts(self, mistakes: list[UsageError]) -> list[ValueCollector]:
        return [self]

    def _take_values(self) -> list[Any]:
        values, streams = self.values.copy(), self._streams.copy()
        self.values.clear()
        if streams:
            self._streams.clear()
            join_streams(streams, values)
        return values

    def share(self, *, over_all: bool) -> Partial:
        """What this rank's values contribute to the column over all ranks. Raises UsageError if they cannot be reduced.

        With ``over_all`` each value has the same weight, and so has the number of a user's own aggregator. Without, the
        share is the number that this rank would record alone.
        """
        if not self.values:
            return Partial(0.0, 0)
        values = self._take_values()
        if over_all and self.means:
            with naming(self.columns[0]):
                total, elements = summed(values)
                if isinstance(total, Arrival):
                    total = total.wait()
                return Partial(total if is_tensor(total) else float(total), elements)
        cell = aggregated(self.columns[0], self._aggregate, values)
        return Partial(cell if isinstance(cell, float) else cell.wait(), 1)


def aggregated(name: str, aggregate: Aggregator, values: list[Any]) -> Cell:
    """One number from the values of a block. Raises UsageError, which names the metric, where that fails."""
    with naming(name):
        return number(aggregate(values))


@contextmanager
def naming(name: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        raise UsageError(f"aggregating {name!r}: {error}") from None
    except Exception as error:
        raise UsageError(f"aggregating {name!r} failed: {error_line(error)}") from error
