"""A metric where it has not been read yet: drawn from the extremes of its row groups, which Parquet's footers hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from neurockt_viewer.charts.pyramid import Entries
from neurockt_viewer.charts.series import Floats, Integers, Series

if TYPE_CHECKING:
    from neurockt.store import Outline

COARSE: Final = 8
"""Entries for a row group known only in outline, so that its extremes fill its width."""


def coarse(outline: Outline, name: str, key: str, known: int, place: Callable[[Entries], Floats]) -> list[Series]:
    """The row groups after the row numbered ``known``, as one series; none where there are none."""
    extremes = outline.metrics.get(name)
    left = outline.axes[key][0] > known
    if extremes is None or not left.any():
        return []
    spread = np.arange(COARSE) / COARSE

    def spaced(axis: str) -> Integers:
        low, high = (bound[left].astype(np.float64) for bound in outline.axes[axis])
        placed: Integers = np.rint(low[:, None] + (high - low)[:, None] * spread).astype(np.int64).reshape(-1)
        return placed

    x = place({"number": spaced(key), "step": spaced("step"), "time": spaced("time")})
    low, high = (np.repeat(bound[left], COARSE) for bound in (extremes.low, extremes.high))
    low, high = (np.where(np.isfinite(bound), bound, np.nan) for bound in (low, high))
    nothing = np.full(len(low), np.nan)
    count = np.repeat(outline.rows[left] // COARSE, COARSE)
    return [Series(np.maximum.accumulate(x), low, high, low / 2 + high / 2, nothing, nothing, count)]
