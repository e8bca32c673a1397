"""Where the rows of a run lie on the axis of a chart: by step, by epoch, or by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurockt.store import KEY, arrays
from neurockt_viewer.charts.pyramid import Entries, Values
from neurockt_viewer.charts.series import Axis, Floats, Integers

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import TableName


class Places:
    """The axes of one run."""

    def __init__(self, begin: float) -> None:
        """``begin`` is when the run began, in seconds since 1970."""
        self.begin = begin
        self._ends: tuple[Floats, Floats] = np.zeros(1), np.zeros(1)
        """The steps at which epochs end, and the epochs."""

    @property
    def epochs(self) -> int:
        """The last epoch that has ended, as far as is known."""
        return int(self._ends[1][-1])

    def add_epochs(self, rows: pa.Table) -> None:
        """Take in where epochs end; those known are passed over."""
        steps, epochs = arrays.numbers(rows["step"]), arrays.numbers(rows["epoch"])
        new = epochs > self._ends[1][-1]
        ends = np.append(self._ends[0], steps[new])
        # a validation of an earlier step ends no epoch there
        self._ends = np.maximum.accumulate(ends), np.append(self._ends[1], epochs[new])

    def of(self, table: TableName, entries: Entries, axis: Axis) -> Floats:
        if axis == "step":
            return np.asarray(entries["step"], np.float64)
        if axis == "epoch":
            is_number = table == "epochs"
            return np.asarray(entries["number"], np.float64) if is_number else self._between_epochs(entries["step"])
        seconds: Floats = entries["time"] / 1e6
        return seconds if axis == "wall" else seconds - self.begin

    def _between_epochs(self, steps: Integers) -> Floats:
        """Steps between the ends of epochs: half of the third epoch's steps in lies 2.5."""
        ends, epochs = self._ends
        placed: Floats = np.interp(steps, ends, epochs)
        if len(ends) > 1:
            length = max(1.0, float(ends[-1] - ends[-2]))
            beyond = np.minimum((steps - ends[-1]) / length, 1.0)
            placed = np.where(steps > ends[-1], epochs[-1] + beyond, placed)
        return placed


def axes_of(rows: pa.Table, table: TableName) -> Values:
    """The axes of rows, with nothing for a value."""
    step, number, time = (arrays.numbers(rows[name]) for name in ("step", KEY[table], "time"))
    return Values(np.arange(len(number)), number, step, time, np.zeros(len(number)))


def values_of(axes: Values, column: pa.ChunkedArray, begin: int = 0) -> Values:
    """The values of the rows from one position on."""
    missing = arrays.missing(column)
    there = slice(begin, None) if missing is None else np.flatnonzero(~missing[begin:]) + begin
    values = arrays.numbers(column)[there]
    return Values(axes.row[there], axes.number[there], axes.step[there], axes.time[there], values)
