"""Several lines as one: their mean, and a band from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurockt_viewer.charts.series import Floats, Line, Series


def band(lines: Sequence[Line]) -> Line:
    """Lines as one: at each place of the longest, the mean, lowest and highest of what each had recorded by then.

    Nothing is interpolated; a line that has ended, or not begun, has no part in the mean.
    """
    places: Floats = max((line.series.x for line in lines), key=len)
    shape = len(lines), len(places)
    low, high, mean = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, line in enumerate(lines):
        series = line.series
        if not len(series):
            continue
        at = np.searchsorted(series.x, places, side="right") - 1
        step = (series.x[-1] - series.x[0]) / max(1, len(series) - 1)
        there = (at >= 0) & ((places <= series.x[-1]) | (places < series.x[-1] + step))
        for target, source in ((low, series.low), (high, series.high), (mean, series.mean)):
            target[row, there] = source[at[there]]
    lowest, highest = np.fmin.reduce(low), np.fmax.reduce(high)
    counted = np.isfinite(mean)
    average = np.where(
        counted.any(axis=0), np.where(counted, mean, 0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1), np.nan
    )
    first = lines[0]
    return Line(
        first.label,
        Series(places, lowest, highest, average, average, average),
        first.colour,
        band=True,
        note=next((line.note for line in lines if line.note), ""),
        approximate=any(line.approximate for line in lines),
    )
