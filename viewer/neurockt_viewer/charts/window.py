"""The part of x that is seen, when it is zoomed and moved. A window of None is all of x."""

from __future__ import annotations

from typing import Final

import numpy as np

from neurockt_viewer.charts.scale import Scale

Window = tuple[float, float] | None

NARROWEST: Final = 1e-12
"""The least width of a window, as a part of its largest end: floats have no more digits."""


def zoomed(seen: Scale, whole: tuple[float, float], factor: float, centre: float | None) -> Window:
    """``factor`` of what is seen, about a place that stays where it is; default the middle."""
    size = seen.dots - 1
    at = size / 2 if centre is None else float(np.clip(seen.place(centre), 0, size))
    return _from_dots(seen, whole, at - at * factor, at + (size - at) * factor)


def moved(seen: Scale, whole: tuple[float, float], dots: float) -> Window:
    """What is seen, moved by a number of dots, as far as there is something."""
    size = seen.dots - 1
    low, high = (float(place) for place in seen.place(np.array(whole)))
    by = float(np.clip(dots, min(0.0, low), max(0.0, high - size)))
    return _from_dots(seen, whole, by, size + by)


def _from_dots(seen: Scale, whole: tuple[float, float], low: float, high: float) -> Window:
    begin, end = (float(value) for value in seen.value(np.array([low, high])))
    if begin <= whole[0] and end >= whole[1]:
        return None
    if not (np.isfinite([begin, end]).all() and end - begin > max(abs(begin), abs(end)) * NARROWEST):
        return None if (seen.low, seen.high) == whole else (seen.low, seen.high)
    return max(begin, whole[0]), min(end, whole[1])
