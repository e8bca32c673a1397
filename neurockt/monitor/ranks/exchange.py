"""The one collective of a ``torch.distributed`` job at the end of a block. It cannot deadlock.

It exchanges which torchmetrics metrics were called on which rank and, with ``reduce=``, the values. Each rank also
sends a fingerprint of what it exchanges, and compares only the result, which is the same on all ranks: either all of
them see that they differ, or none does.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurockt.errors import UsageError
from neurockt.monitor.capture.tensors import Partial, is_tensor
from neurockt.monitor.ranks.place import Place, Reduction, default_store
from neurockt.store.journal.records import NULL

if TYPE_CHECKING:
    from neurockt.store.base.layout import TableName

NOTHING: Final = Partial(0.0, 0)
"""The contribution of a rank that has no value for a column."""

MEETING_SECONDS: Final = 120.0
"""How long a rank waits for the others at the end of the first block that needs them all: a block that only some of
them open must not hang those. After that the process group's own time-out applies."""
MEETINGS: Final = 3
"""After this many failed meetings, what needs all ranks stays null, and no rank waits any more."""

CHUNK: Final = 256
"""Numbers exchanged at once, so that ranks with different columns still call the same collective."""
_HASH_LIMIT: Final = 1 << 20
"""Fingerprints are so small that float64 adds their squares over thousands of ranks without rounding."""

_ordinals: Final = count(1)
"""Distinguishes the recorders of a script; every rank counts those that need the others in the same order."""


class MetricCalls(NamedTuple):
    called: bool
    mergeable: bool
    """Whether it can be computed although some ranks did not call it: its states are sums or extremes."""


Outcome = tuple[Mapping[str, float], Sequence[str]]
"""The reduced columns, ``NULL`` where no rank had a value; and the metrics that every rank now computes, in order."""


class _Layout(NamedTuple):
    table: str
    columns: tuple[str, ...]
    metrics: tuple[str, ...]


class Together:
    def __init__(self, place: Place, reduction: Reduction | None, warn: Callable[[str], None]) -> None:
        self._place = place
        self._reduction = reduction
        self._warn = warn
        self._ordinal = 0
        self._met: dict[str, int | None] = {}
        """By table: None once all ranks have met, else how often they have not."""
        self._agreed: dict[_Layout, _Layout] = {}
        self._warned: set[str] = set()

    def exchange(
        self, table: TableName, shares: Mapping[str, Partial], calls: Mapping[str, MetricCalls], distributed: Any
    ) -> Outcome:
        """Reduce the columns of a block, and find out which metrics all ranks can compute.

        Raises UsageError if another rank has ended a block of the other table.
        """
        if not self._meet(table, distributed):
            return {}, ()
        own = _Layout(table, tuple(sorted(shares)), tuple(sorted(calls)))
        try:
            while True:
                agreed = self._agreed.get(own, own)
                summed = self._exchange(agreed, shares, calls, distributed)
                if summed is not None:
                    return self._outcome(agreed, summed)
                self._agreed[own] = self._compare(own, distributed)
        except UsageError:
            raise
        except Exception as error:  # a rank or its connection has died: the training will notice
            self._warn_once(
                f"rank {self._place.rank} could not exchange {table} with the other ranks, whose columns are null "
                f"({type(error).__name__}: {str(error).partition(chr(10))[0]})"
            )
            return {}, ()

    # The first time: does every rank arrive?

    def _meet(self, table: TableName, distributed: Any) -> bool:
        failed = self._met.get(table, 0)
        store = default_store(distributed) if failed is not None else None
        if failed is None or store is None:
            self._met[table] = None
            return True
        if failed >= MEETINGS:
            return False
        self._ordinal = self._ordinal or next(_ordinals)
        key = f"neurockt/{self._ordinal}/{table}/{failed}"
        try:
            met = self._all_arrive(store, key)
        except Exception as error:
            self._warn_once(f"cannot reach the store of the other ranks ({type(error).__name__}: {error})")
            met = False
        if met:
            self._met[table] = None
            return True
        self._met[table] = failed + 1
        kind = "training" if table == "steps" else "validation"
        self._warn_once(
            f"some ranks did not end a {kind} block within {MEETING_SECONDS:.0f} seconds of the others; what needs all "
            "of them is null. Open the block on every rank, or give the metric sync_on_compute=False"
        )
        return False

    def _all_arrive(self, store: Any, key: str) -> bool:
        """Whether all ranks arrived in time; all of them get the same answer, even those that arrive too late."""
        if store.add(f"{key}/arrived", 1) == self._place.size:
            return bool(store.compare_set(f"{key}/verdict", "", "yes") == b"yes")
        try:
            store.wait([f"{key}/verdict"], timedelta(seconds=MEETING_SECONDS))
        except RuntimeError:  # no verdict in time
            return bool(store.compare_set(f"{key}/verdict", "", "no") == b"yes")
        return bool(store.get(f"{key}/verdict") == b"yes")

    # The exchange

    def _exchange(
        self, layout: _Layout, shares: Mapping[str, Partial], calls: Mapping[str, MetricCalls], distributed: Any
    ) -> list[float] | None:
        """The reduced numbers, in the order of the layout; None if the layouts of the ranks differ."""
        extremes = self._reduction in ("min", "max")
        header = _fingerprint(layout)
        header = [sign * x for x in header for sign in (1, -1)] if extremes else [1, *header, *(x * x for x in header)]
        sent: list[Any] = [*header]
        for name in layout.columns:
            sent += self._packed(shares.get(name, NOTHING))
        for name in layout.metrics:
            called, mergeable = calls.get(name, MetricCalls(False, False))
            sent += [float(called), float(not called), float(not mergeable)]
        operation = distributed.ReduceOp.MAX if extremes else distributed.ReduceOp.SUM
        sent += [0.0] * (CHUNK - len(sent))
        got = _all_reduce(sent[:CHUNK], operation, distributed)
        if not (got[0] == -got[1] and got[2] == -got[3] if extremes else _all_same_sums(got)):
            return None
        if len(sent) > CHUNK:
            got += _all_reduce(sent[CHUNK:], operation, distributed)
        return got[len(header) :]

    def _packed(self, share: Partial) -> list[Any]:
        total, elements = share
        if self._reduction in ("mean", "sum"):
            return [total, float(elements)]
        value = float(total)
        counted, nan = float(elements > 0), float(math.isnan(value))
        if not counted or nan:
            return [-math.inf, counted, nan]  # how a NaN is reduced depends on the backend
        return [-value if self._reduction == "min" else value, counted, nan]

    def _unpacked(self, numbers: Sequence[float]) -> float:
        if self._reduction in ("mean", "sum"):
            total, elements = numbers
            if not elements:
                return NULL
            return total / elements if self._reduction == "mean" else total
        value, counted, nan = numbers
        if not counted:
            return NULL
        return math.nan if nan else -value if self._reduction == "min" else value

    def _outcome(self, layout: _Layout, numbers: Sequence[float]) -> Outcome:
        width = 2 if self._reduction in ("mean", "sum") else 3
        starts = range(0, width * len(layout.columns), width)
        values = {
            name: self._unpacked(numbers[start : start + width])
            for name, start in zip(layout.columns, starts, strict=True)
        }
        to_compute = []
        for index, name in enumerate(layout.metrics):
            start = width * len(layout.columns) + 3 * index
            called, not_called, unmergeable = (number > 0 for number in numbers[start : start + 3])
            if called and not_called and unmergeable:
                self._warn_once(
                    f"{name!r} was not called on every rank, and cannot be computed without that: it is null"
                )
            elif called:
                to_compute.append(name)
        return values, to_compute

    def _compare(self, own: _Layout, distributed: Any) -> _Layout:
        """What all ranks exchange from here on, because they differ."""
        everyones: list[Any] = [None] * self._place.size
        distributed.all_gather_object(everyones, own)
        layouts = [_Layout(*layout) for layout in everyones]
        tables = [layout.table for layout in layouts]
        if len(set(tables)) > 1:
            other = next(rank for rank, table in enumerate(tables) if table != tables[0])
            raise UsageError(
                f"rank 0 has ended a block of {tables[0]}, rank {other} one of {tables[other]}: with reduce=, or with "
                "metrics that torchmetrics computes over all ranks, every rank must go through the same blocks"
            )
        columns = sorted({name for layout in layouts for name in layout.columns})
        metrics = sorted({name for layout in layouts for name in layout.metrics})
        everywhere = [name for name in metrics if all(name in layout.metrics for layout in layouts)]
        for name in columns:
            having = [rank for rank, layout in enumerate(layouts) if name in layout.columns]
            if len(having) < len(layouts):
                self._warn_once(f"{name!r} is recorded only on {_ranks(having)}, and reduced over those")
        for name in metrics:
            if name not in everywhere:
                having = [rank for rank, layout in enumerate(layouts) if name in layout.metrics]
                self._warn_once(
                    f"{name!r} is declared only on {_ranks(having)}: it cannot be computed over all ranks, and is null"
                )
        return _Layout(own.table, tuple(columns), tuple(everywhere))

    def _warn_once(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._warn(what)


def _fingerprint(layout: _Layout) -> list[float]:
    digest = hashlib.sha256(json.dumps(layout).encode()).digest()
    return [float(int.from_bytes(digest[start : start + 4], "big") % _HASH_LIMIT) for start in (0, 4)]


def _all_same_sums(got: Sequence[float]) -> bool:
    """Whether all ranks had the same fingerprint: by Cauchy-Schwarz, if and only if this holds."""
    size, first, second, first_squared, second_squared = (int(number) for number in got[:5])
    return size * first_squared == first * first and size * second_squared == second * second


def _all_reduce(numbers: Sequence[Any], operation: Any, distributed: Any) -> list[float]:
    """Floats, and tensors on an accelerator, reduced over the ranks. Waits for them."""
    torch = sys.modules["torch"]
    device = _device(distributed)
    packed = torch.tensor(
        [0.0 if is_tensor(number) else number for number in numbers], dtype=torch.float64, device=device
    )
    for index, number in enumerate(numbers):
        if is_tensor(number):
            packed[index] = number.to(device)
    distributed.all_reduce(packed, op=operation)
    reduced: list[float] = packed.tolist()
    return reduced


def _device(distributed: Any) -> Any:
    torch = sys.modules["torch"]
    backend = str(distributed.get_backend())
    if backend in ("gloo", "mpi", "undefined") or "cpu:" in backend:
        return torch.device("cpu")
    if backend == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device(torch.accelerator.current_accelerator().type, torch.accelerator.current_device_index())


def _ranks(ranks: Sequence[int]) -> str:
    shown = ", ".join(str(rank) for rank in ranks[:8]) + (", ..." if len(ranks) > 8 else "")
    return f"rank {shown}" if len(ranks) == 1 else f"ranks {shown}"
