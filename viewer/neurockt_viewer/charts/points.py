"""The points of a chart, as rows for a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurockt_viewer.charts.series import ChartSettings, Line


def points(lines: Sequence[Line], settings: ChartSettings) -> tuple[list[str], list[list[object]]]:
    """The columns and rows of the points within the window; of a stretch of values its extremes and its mean."""
    rows: list[list[object]] = []
    for line in lines:
        series = line.series
        start, stop = 0, len(series)
        if settings.window:
            start = int(np.searchsorted(series.x, settings.window[0]))
            stop = int(np.searchsorted(series.x, settings.window[1], side="right"))
        seen = series.part(start, stop)
        counts = np.ones(len(seen), np.int64) if seen.count is None else seen.count
        single = (seen.low == seen.high) | (counts == 0)
        value = np.where(single, seen.first, seen.mean)
        places = [int(place) if place.is_integer() else place for place in seen.x.tolist()]
        columns = [places, *(column.tolist() for column in (value, seen.low, seen.high, counts))]
        rows += [[line.label, *row] for row in zip(*columns, strict=True)]
    return ["line", settings.axis, "value", "low", "high", "values"], rows
