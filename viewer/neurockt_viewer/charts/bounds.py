"""What part of x and of y a chart shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from neurockt_viewer.charts.raster import Columns
from neurockt_viewer.charts.scale import Scale, around
from neurockt_viewer.charts.series import ChartSettings, Flags, Floats, Integers, Series

Range = tuple[float, float]

OUTERMOST: Final = 0.04
"""Part of the dot columns, on either side, whose extremes a close range leaves out."""
DIVERGED: Final = 100.0
"""A line has diverged where values are larger than the usual ones, and than those it began with, by this factor."""
LARGER: Final = 1000.0
"""Up to this many times the usual size a line may begin with other values than the others, as of another unit."""
NEAR: Final = 4.0
"""Of a line that has diverged, values up to this many times the usual size stay in sight."""
NEAR_OTHERS: Final = 10.0
"""Of the other lines, those up to this many times the size that they began with."""
LEAST_COLUMNS: Final = 8
"""From fewer dot columns nothing is left out."""


def x_bounds(lines: Sequence[Series], settings: ChartSettings) -> Range | None:
    """The range of x: the window, else that of all charts side by side, else that of the lines."""
    room = 1.0 if settings.axis == "wall" else None  # a tenth of the time since 1970 would be years
    for chosen in (settings.window, settings.x_range):
        if chosen and (not settings.is_log_x or chosen[0] > 0):
            return around(*chosen, log=settings.is_log_x, room=room)
    lows, highs = [], []
    for series in lines:
        start = int(np.searchsorted(series.x, 0, side="right")) if settings.is_log_x else 0
        if start < len(series):
            lows.append(float(series.x[start]))
            highs.append(float(series.x[-1]))
    return around(min(lows), max(highs), log=settings.is_log_x, room=room) if lows else None


def smoothing_scale(lines: Sequence[Series], settings: ChartSettings) -> float:
    """The distance on x, or of its logarithm, over which lines are smoothed: a share of all of x, zoomed or not."""
    whole = x_bounds(lines, replace(settings, window=None)) if settings.smoothing else None
    if whole is None:
        return 0.0
    low, high = (math.log10(end) for end in whole) if settings.is_log_x else whole
    return settings.smoothing * (high - low)


def y_bounds(found: Columns, settings: ChartSettings) -> Range | None:
    """The range of y: that of all within the window, but for what ``settings.y_range`` leaves out."""
    there = found.inside & ~np.isnan(found.low)
    lows, highs = found.low[there], found.high[there]
    if not len(lows):
        return None
    low, high = float(lows.min()), float(highs.max())
    if settings.y_range == "close":
        low, high = _sorted_at(lows, OUTERMOST), _sorted_at(highs, 1 - OUTERMOST)
    elif settings.y_range == "usual" and not settings.log_y and len(lows) >= LEAST_COLUMNS:
        sizes, line = np.maximum(np.abs(lows), np.abs(highs)), found.line[there]
        seen = _usual(sizes, line)
        if not seen.all() and 2 * np.count_nonzero(seen) >= len(seen):
            low, high = float(lows[seen].min()), float(highs[seen].max())
    return around(low, max(low, high), log=settings.log_y)


def _usual(sizes: Floats, line: Integers) -> Flags:
    """Which columns have values of a usual size: all of them, unless a line has diverged, which flattens the rest.

    The usual size is one that half of the lines have. That of a line is one that half of its columns have, or half of
    its first quarter, so that of a line that falls the values it begins with are not left out.
    """
    everything = np.ones(len(sizes), np.bool_)
    if not (sizes < sizes.max() / DIVERGED).any():
        return everything
    each = np.split(sizes, np.flatnonzero(np.diff(line)) + 1)
    early = np.array([_median(size[: -(-len(size) // 4)]) for size in each])
    own = np.maximum(early, [_median(size) for size in each])
    usual = _median(own[own > 0]) if own.any() else math.inf
    begun = np.clip(early, usual, LARGER * usual)
    diverged = np.array([size.max() for size in each]) / DIVERGED > begun
    if not diverged.any():
        return everything
    limits = np.where(diverged, NEAR * usual, NEAR_OTHERS * begun)
    near: Flags = sizes <= np.repeat(limits, [len(size) for size in each])
    return near


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


NOTHING: Final = OffScale()


def off_scale(each: Sequence[Series], found: Columns, y: Scale) -> list[OffScale]:
    """Those of every line."""
    off = found.inside & ((found.high > y.high) | (found.low < y.low))
    some = set(found.line[off].tolist())
    return [_off_scale(series.part(*found.spans[at]), y) if at in some else NOTHING for at, series in enumerate(each)]


def _off_scale(series: Series, y: Scale) -> OffScale:
    some = (series.high > y.high) | (series.low < y.low)
    if series.count is None:
        return OffScale(int(np.count_nonzero(some)))
    every = (series.low > y.high) | (series.high < y.low)
    partly = some & ~every & (series.count > 1)
    return OffScale(int(np.where(every, series.count, some).sum()), not partly.any())
