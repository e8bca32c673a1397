"""What the readers of foreign formats find: the points of metrics, by process, and the description of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurockt.run_info import State
from neurockt.store.base.origin import Origin

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Points(NamedTuple):
    """The values of a metric, in the order in which they were written."""

    steps: Integers
    times: Floats
    """Seconds since 1970; NaN where it is not known."""
    values: Floats
    order: Integers
    """Rises with what was written later, over all metrics of a process."""

    def select(self, which: npt.NDArray[Any]) -> Points:
        """Those at these positions, or where a mask is true."""
        return Points(self.steps[which], self.times[which], self.values[which], self.order[which])

    def and_then(self, other: Points) -> Points:
        return Points(
            np.concatenate([self.steps, other.steps]),
            np.concatenate([self.times, other.times]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.order, other.order]),
        )


@dataclass
class Process:
    """What one process wrote."""

    points: dict[str, Points] = field(default_factory=dict)
    host: str = ""
    pid: int = 0
    first_step: int | None = None
    """The step at which it was restarted; None where it does not say so."""
    config: dict[str, Any] = field(default_factory=dict)
    """Its settings, and below its end, where these are known of each process."""
    end: tuple[State, str | None] | None = None

    @property
    def size(self) -> int:
        return sum(len(points.values) for points in self.points.values())


@dataclass
class Found:
    """A run in a foreign format, as it was read."""

    format: str
    path: Path
    """The directory or file that it is, which names it."""
    files: Sequence[Path]
    processes: list[Process] = field(default_factory=list)
    id: str = ""
    """Its own id; empty where the path gives one."""
    name: str = ""
    project: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    state: State = "finished"
    cause: str | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    """How many of each kind of data are not numbers over steps."""
    remarks: list[str] = field(default_factory=list)
    """What the user should know of it."""
    origin: Origin | None = None
    damaged: bool = False
    """Some of it cannot be read."""
    dated: bool = True
    """It says when its rows were written; else their times are estimated from that of the file."""
    by_epoch: frozenset[str] = frozenset()
    """Metrics whose steps are epochs. Where there are some, the table `epochs` has these and no others."""

    @property
    def size(self) -> int:
        return sum(process.size for process in self.processes)


class Collector:
    """Points of one process, collected one by one or many at once."""

    def __init__(self) -> None:
        self._single: dict[str, list[tuple[int, float, float, int]]] = {}
        self._many: dict[str, list[Points]] = {}

    def add(self, name: str, step: int, time: float, value: float, order: int) -> None:
        self._single.setdefault(name, []).append((step, time, value, order))

    def add_many(self, name: str, points: Points) -> None:
        self._many.setdefault(name, []).append(points)

    @property
    def names(self) -> int:
        return len(self._single.keys() | self._many.keys())

    def knows(self, name: str) -> bool:
        return name in self._single or name in self._many

    def points(self) -> dict[str, Points]:
        """All points by name, each in order. It may be called once."""
        found: dict[str, Points] = {}
        names = [*dict.fromkeys([*self._many, *self._single])]
        for name in names:
            pieces = self._many.pop(name, [])
            if rows := self._single.pop(name, None):
                steps, times, values, order = zip(*rows, strict=True)
                pieces.append(
                    Points(np.array(steps, np.int64), np.array(times, float), np.array(values, float), np.array(order))
                )
            joined = pieces[0] if len(pieces) == 1 else Points(*map(np.concatenate, zip(*pieces, strict=True)))
            found[name] = joined.select(np.argsort(joined.order, kind="stable"))
        return dict(sorted(found.items(), key=lambda item: int(item[1].order[0])))


def joined(first: Mapping[str, Points], second: Mapping[str, Points]) -> dict[str, Points]:
    """The points of two, in the order of their times; where some have none, those of the second were written later."""
    after = 1 + max((int(points.order[-1]) for points in first.values()), default=-1)
    found = dict(first)
    for name, points in second.items():
        later = points._replace(order=points.order + after)
        known = found.get(name)
        found[name] = later if known is None else known.and_then(later)
    times = np.unique(np.concatenate([points.times for points in found.values()])) if found else np.zeros(0)
    if np.isfinite(times).all():
        found = {name: each._replace(order=np.searchsorted(times, each.times)) for name, each in found.items()}
    return found
