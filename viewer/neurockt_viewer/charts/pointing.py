"""What of the lines a pointer or the crosshair is at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurockt_viewer.charts.pieces import Smoothed
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import Series


def nearest(series: Series, place: float, *, log: bool = False) -> int:
    """The entry nearest to a place on x, by the eye's measure; -1 where there is none."""
    if not len(series):
        return -1
    after = int(np.searchsorted(series.x, place))
    if after == 0 or after == len(series):
        return min(after, len(series) - 1)
    low, high = float(series.x[after - 1]), float(series.x[after])
    if log and low > 0:
        return after if high * low < place * place else after - 1
    return after if high - place < place - low else after - 1


def nearest_place(lines: Sequence[Smoothed], place: float) -> float:
    places = [float(line.line.series.x[at]) for line in lines if (at := nearest(line.line.series, place)) >= 0]
    return min(places, key=lambda found: abs(found - place), default=place)


def value_at(line: Smoothed, place: float, *, log: bool = False) -> float:
    """The value nearest to a place on x, as it is drawn bright; NaN where there is none."""
    series = line.bright or line.line.series
    at = nearest(series, place, log=log)
    return float(series.first[at]) if at >= 0 else float("nan")


def neighbour(lines: Sequence[Smoothed], place: float, x: Scale, y: Scale, named: int | None, direction: int) -> int:
    """The line next to the named one at a place on x, -1 above or 1 below; without a named one, the middle one."""
    heights = y.place([value_at(line, place, log=x.log) for line in lines])
    order = np.argsort(-np.where(np.isfinite(heights), heights, -np.inf), kind="stable").tolist()
    at = (len(order) - 1) // 2 if named is None else order.index(named) + direction
    return int(order[min(max(0, at), len(order) - 1)])
