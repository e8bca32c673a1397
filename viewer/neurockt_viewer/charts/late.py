"""The values that arrived late: each at its step among those of `steps`, whatever their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import numpy as np

from neurockt.store import KEY, arrays
from neurockt_viewer.charts.series import Floats, Integers

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import Run, TableFollower

AXES: Final = (KEY["late"], "step", "time")

Late = tuple[Integers, Integers, Floats]
"""Steps, times and values, in the order of their arrival."""


class LateValues:
    """Those of one run. One thread reads; ``of`` may be called from any."""

    def __init__(self, run: Run, names: Iterable[str]) -> None:
        """``names`` are those of the metrics that are known to have some."""
        self.names = dict.fromkeys(names)
        self._run = run
        self._follower: TableFollower | None = None
        self._known: dict[str, Late] = {}

    def outline(self) -> None:
        """Find out what metrics have late values."""
        self.names |= dict.fromkeys(self._run.outline("late").metrics)

    def read(self, metrics: Iterable[str]) -> bool:
        """Read what is not known yet of some metrics; False where that is nothing."""
        new = [metric for metric in metrics if metric in self.names and metric not in self._known]
        if new:
            rows = self._run.window("late", [*AXES, *new], until=self._followed.last)
            self._known = {**self._known, **{name: _values(rows, name) for name in new}}
        return bool(new)

    def poll(self) -> bool:
        """Read what has arrived since; False where that is nothing."""
        rows = self._followed.new_rows()
        for name in [name for name in rows.column_names if name not in (*AXES, "epoch")] if len(rows) else []:
            self.names[name] = None
            if name in self._known:
                known, new = self._known[name], _values(rows, name)
                steps, times, values = (np.append(*pair) for pair in zip(known, new, strict=True))
                self._known = {**self._known, name: (steps, times, values)}
        return len(rows) > 0

    @property
    def _followed(self) -> TableFollower:
        if self._follower is None:
            self._follower = self._run.follower("late", after=self._run.settled("late"))
        return self._follower

    def of(self, metric: str) -> Late | None:
        found = self._known.get(metric)
        return found if found is not None and len(found[0]) else None


def _values(rows: pa.Table, name: str) -> Late:
    missing = arrays.missing(rows[name])
    there = slice(None) if missing is None else ~missing
    steps, times, values = (arrays.numbers(rows[column])[there] for column in ("step", "time", name))
    return steps, times, values
