"""Where a value lies among the dots of an axis, linear or logarithmic."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurockt_viewer.charts.series import Floats


@dataclass(frozen=True)
class Scale:
    """``low`` lies on the first of ``dots`` dots, ``high`` on the last; both are finite, and above zero if ``log``."""

    low: float
    high: float
    dots: int
    log: bool = False

    def place(self, values: npt.ArrayLike) -> Floats:
        """The dots that values fall on, before rounding; NaN for what has no place."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            linear = np.log10(values) if self.log else np.asarray(values, np.float64)
            low, half = self._low_and_half
            placed: Floats = (linear / 2 - low / 2) / half * max(1, self.dots - 1)
        return placed

    def value(self, dot: npt.ArrayLike) -> Floats:
        low, half = self._low_and_half
        part = np.asarray(dot, np.float64) / max(1, self.dots - 1) * half
        linear = low + part + part
        found: Floats = np.power(10.0, linear) if self.log else linear
        return found

    def edges(self) -> Floats:
        """The borders between dots: dot ``i`` has the values from ``edges[i]`` up to ``edges[i + 1]``, without that."""
        edges = self.value(np.arange(self.dots + 1) - 0.5)
        edges[0], edges[-1] = self.low, math.nextafter(self.high, math.inf)
        rising: Floats = np.maximum.accumulate(edges)  # which rounding might not leave them
        return rising

    @property
    def _low_and_half(self) -> tuple[float, float]:
        """Where the axis begins, and half of its length: the whole might be more than the largest number."""
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        return low, high / 2 - low / 2


def around(low: float, high: float, *, log: bool = False, room: float | None = None) -> tuple[float, float]:
    """The range to show for values from ``low`` to ``high``; of a single one, with ``room`` (a tenth)."""
    if log:
        if math.log10(high) - math.log10(low) > 1e-12:
            return low, high
        return low / 2 or low, min(high * 2, sys.float_info.max)
    if high / 2 - low / 2 > max(abs(high) * 5e-14, 1e-320):
        return low, high
    room = room or abs(high) * 0.1 or 1.0
    return low - room, high + room
