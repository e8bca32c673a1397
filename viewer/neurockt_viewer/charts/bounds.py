"""What part of x and of y a chart shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from neurockt_viewer.charts.raster import Columns
from neurockt_viewer.charts.scale import Scale, around
from neurockt_viewer.charts.series import ChartSettings, Floats, Series

Range = tuple[float, float]

OUTERMOST: Final = 0.04
"""Part of the dot columns, on either side, whose extremes a close range leaves out."""
DIVERGED: Final = 100.0
"""Values beyond this many times the usual ones flatten the rest of a chart to a line."""
KEPT: Final = 4.0
"""Of a line that has such values, all up to this many times the usual ones stay in sight; of other lines all do."""
LEAST_COLUMNS: Final = 8
"""From fewer dot columns nothing is left out."""


def x_bounds(lines: Sequence[Series], settings: ChartSettings) -> Range | None:
    """The range of x: the window, else that of all charts side by side, else that of the lines."""
    for chosen in (settings.window, settings.x_range):
        if chosen and (not settings.is_log_x or chosen[0] > 0):
            return chosen
    lows, highs = [], []
    for series in lines:
        start = int(np.searchsorted(series.x, 0, side="right")) if settings.is_log_x else 0
        if start < len(series):
            lows.append(float(series.x[start]))
            highs.append(float(series.x[-1]))
    return around(min(lows), max(highs), log=settings.is_log_x) if lows else None


def smoothing_scale(lines: Sequence[Series], settings: ChartSettings) -> float:
    """The distance on x, or of its logarithm, over which lines are smoothed: a share of all of x, zoomed or not."""
    whole = x_bounds(lines, replace(settings, window=None)) if settings.smoothing else None
    if whole is None:
        return 0.0
    low, high = (math.log10(end) for end in whole) if settings.is_log_x else whole
    return settings.smoothing * (high - low)


def y_bounds(found: Sequence[Columns], settings: ChartSettings) -> Range | None:
    """The range of y: that of all within the window, but for what ``settings.y_range`` leaves out."""
    inner = [(columns.low[columns.inside], columns.high[columns.inside]) for columns in found]
    pairs = [(low[~np.isnan(low)], high[~np.isnan(low)]) for low, high in inner]
    lows, highs = (np.concatenate(parts) for parts in zip(*pairs, strict=True)) if pairs else (np.empty(0),) * 2
    if not len(lows):
        return None
    low, high = float(lows.min()), float(highs.max())
    if settings.y_range == "close":
        low, high = _sorted_at(lows, OUTERMOST), _sorted_at(highs, 1 - OUTERMOST)
    elif settings.y_range == "usual" and not settings.log_y and len(lows) >= LEAST_COLUMNS:
        sizes = [np.maximum(np.abs(low), np.abs(high)) for low, high in pairs]
        limit = DIVERGED * _usual([size for size in sizes if len(size)])
        if 0 < limit < max(-low, high):
            near = [size <= (limit if size.max(initial=0) <= limit else limit / DIVERGED * KEPT) for size in sizes]
            if 2 * np.count_nonzero(seen := np.concatenate(near)) >= len(seen):
                low, high = float(lows[seen].min()), float(highs[seen].max())
    return around(low, max(low, high), log=settings.log_y)


def _usual(sizes: Sequence[Floats]) -> float:
    """The usual size of the values: of half of the lines, at least half of the columns have none that is larger.

    A line that falls is measured by its first quarter, so that the values it begins with are not left out.
    """
    own = [max(_median(size), _median(size[: -(-len(size) // 4)])) for size in sizes]
    known = [size for size in own if size > 0]
    return _median(np.array(known)) if known else 0.0


def _median(values: Floats) -> float:
    """The lower one of the two in the middle."""
    return float(np.partition(values, (len(values) - 1) // 2)[(len(values) - 1) // 2])


def _sorted_at(values: Floats, part: float) -> float:
    """The value at that part of the way from the smallest to the largest."""
    at = round(part * (len(values) - 1))
    return float(np.partition(values, at)[at])


@dataclass(frozen=True)
class OffScale:
    """Values of a line within the window that lie above or below the chart."""

    count: int = 0
    exact: bool = True
    """False where there may be more: of a stretch of values only the extremes are known."""

    def __add__(self, other: OffScale) -> OffScale:
        return OffScale(self.count + other.count, self.exact and other.exact)

    def __str__(self) -> str:
        return f"{self.count:,}{'' if self.exact else '+'} off the scale"


def off_scale(series: Series, columns: Columns, y: Scale) -> OffScale:
    inside = columns.inside
    if not ((columns.high[inside] > y.high) | (columns.low[inside] < y.low)).any():
        return OffScale()
    cut = slice(columns.start, columns.stop)
    low, high = series.low[cut], series.high[cut]
    some = (high > y.high) | (low < y.low)
    if series.count is None:
        return OffScale(int(np.count_nonzero(some)))
    count = series.count[cut]
    every = (low > y.high) | (high < y.low)
    partly = some & ~every & (count > 1)
    return OffScale(int(np.where(every, count, some).sum()), not partly.any())
