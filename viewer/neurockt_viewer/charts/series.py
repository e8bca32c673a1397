"""What a chart draws: values along an axis, each entry one value or a whole stretch of them.

Invariant: ``x`` never falls, and a stretch keeps its smallest and largest finite value, so that no spike is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.integer[Any]]
Flags = npt.NDArray[np.bool_]

Axis = Literal["step", "epoch", "relative", "wall"]
"""What runs along x: steps, epochs, seconds since the run's begin, or seconds since 1970."""

AXES: Final[tuple[Axis, ...]] = ("step", "epoch", "relative", "wall")


YRange = Literal["usual", "all", "close"]
"""What a linear y axis shows: all but what would flatten the rest, such as a run that diverged; all; or all but the
outermost values. Values off the scale are counted."""

Y_RANGES: Final[tuple[YRange, ...]] = ("usual", "all", "close")


@dataclass(frozen=True, eq=False)
class Series:
    """Values in the order of ``x``. Make one of single values with ``Series.of``."""

    x: Floats
    """Where each entry begins."""
    low: Floats
    """Smallest finite value; NaN where the entry has none."""
    high: Floats
    mean: Floats
    """Mean of the finite values; NaN where the entry has none."""
    first: Floats
    """The first and the last value, finite or not: what a line to the neighbour starts from."""
    last: Floats
    count: Integers | None = None
    """Finite values in each entry; None where every entry is one value."""
    nan: Integers | None = None
    """NaN in each entry; None where there are none at all."""
    above: Integers | None = None
    """Positive infinities in each entry; None where there are none."""
    below: Integers | None = None
    """Negative infinities in each entry; None where there are none."""
    positive: Floats | None = None
    """Smallest value above zero in each entry; None where ``low`` suffices."""
    not_positive: Integers | None = None
    """Finite values not above zero in each entry; None where ``low`` suffices."""
    gaps: Flags | None = None
    """Entries that no line joins to the one before; None where there are none."""

    @classmethod
    def of(cls, x: npt.ArrayLike, y: npt.ArrayLike, gaps: Flags | None = None) -> Series:
        """Single values; sorted by x where they are not."""
        place, value = np.asarray(x, np.float64), np.asarray(y, np.float64)
        if np.any(np.diff(place) < 0) or np.isnan(place).any():
            order = np.argsort(place, kind="stable")
            order = order[: len(order) - np.count_nonzero(np.isnan(place))]
            place, value = place[order], value[order]
            gaps = None if gaps is None else gaps[order]
        finite = np.isfinite(value)
        if finite.all():
            return cls(place, value, value, value, value, value, gaps=gaps)
        plain = np.where(finite, value, np.nan)
        odd = [np.isnan(value), value == np.inf, value == -np.inf]
        nan, above, below = (flags.astype(np.int32) if flags.any() else None for flags in odd)
        return cls(place, plain, plain, plain, value, value, finite.astype(np.int32), nan, above, below, gaps=gaps)

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def above_zero(self) -> Series:
        """The same on a logarithmic y axis, which has no place for zero and below."""
        if len(self) and np.nanmin(self.low, initial=np.inf) > 0:
            return self
        low = self.low if self.positive is None else self.positive
        return replace(
            self,
            low=_positive(low),
            high=_positive(self.high),
            mean=_positive(self.mean),
            first=_positive(self.first),
            last=_positive(self.last),
        )

    @cached_property
    def refused_by_log(self) -> int:
        """Finite values that a logarithmic y axis has no place for."""
        if self.not_positive is not None:
            return int(self.not_positive.sum())
        return int(np.count_nonzero(self.low <= 0))

    def with_values(self, y: Floats) -> Series:
        """One value ``y`` at each entry's place, as of a smoothed line."""
        return Series(self.x, y, y, y, y, y, gaps=self.gaps)

    def part(self, start: int, stop: int) -> Series:
        return replace(self, **{name: cut[start:stop] for name, cut in vars(self).items() if _is_field(name, cut)})


def join(parts: list[Series]) -> Series:
    """Series that follow each other, as one."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {}
    for name in ("x", "low", "high", "mean", "first", "last"):
        joined[name] = np.concatenate([getattr(part, name) for part in parts])
    fillers: dict[str, Any] = {"count": 1, "nan": 0, "above": 0, "below": 0, "gaps": False}
    for name, filler in fillers.items():
        if any(getattr(part, name) is not None for part in parts):
            joined[name] = np.concatenate([_filled(getattr(part, name), len(part), filler) for part in parts])
    if any(part.positive is not None for part in parts):
        joined["positive"] = np.concatenate([_positive(p.low) if p.positive is None else p.positive for p in parts])
        joined["not_positive"] = np.concatenate(
            [(p.low <= 0).astype(np.int32) if p.not_positive is None else p.not_positive for p in parts]
        )
    return Series(**joined)


def condensed(series: Series, starts: Integers) -> Series:
    """An entry for the neighbours from each of ``starts`` up to the next, with their extremes and their mean."""
    size = len(series)
    count = np.isfinite(series.mean).astype(np.int64) if series.count is None else series.count
    whole = np.add.reduceat(count, starts)
    share = count / np.repeat(np.maximum(whole, 1), np.diff(starts, append=size))
    mean = np.add.reduceat(np.where(count > 0, series.mean, 0.0) * share, starts)

    def total(values: Any) -> Any:
        return None if values is None else np.add.reduceat(values, starts)

    return Series(
        series.x[starts],
        np.fmin.reduceat(series.low, starts),
        np.fmax.reduceat(series.high, starts),
        np.where(whole > 0, mean, np.nan),
        series.first[starts],
        series.last[np.append(starts[1:], size) - 1],
        whole,
        nan=total(series.nan),
        above=total(series.above),
        below=total(series.below),
        positive=np.fmin.reduceat(_positive(series.low) if series.positive is None else series.positive, starts),
        gaps=None if series.gaps is None else np.logical_or.reduceat(series.gaps, starts),
    )


def merge(series: Series, other: Series) -> Series:
    """Two series as one, each entry in its place on x; at one place the entries of ``other`` come after those there."""
    joined = join([series, other])
    order = np.argsort(joined.x, kind="stable")
    fields = {name: values[order] for name, values in vars(joined).items() if _is_field(name, values)}
    if "gaps" in fields:  # no value is missing where one of the other series has come in between
        fields["gaps"] &= np.append(False, order[:-1] < len(series))
    return Series(**fields)


@dataclass(frozen=True)
class Line:
    """One line of a chart. Two lines are equal if all of it is, and their series are one and the same."""

    label: str
    """What the legend calls it; any text, it is made harmless when drawn."""
    series: Series
    colour: int = 0
    """Index into the palette; the same for the same thing in every chart."""
    band: bool = False
    """Draw the mean bright over a dim band from low to high, as for runs that differ in the seed."""
    note: str = ""
    """What the legend adds, such as how much has been read."""
    approximate: bool = False
    """Not all of it has been read yet: it has no last value."""
    begins: tuple[float, ...] = ()
    """Where on x a later attempt at the run began."""

    @classmethod
    def of(cls, label: str, x: npt.ArrayLike, y: npt.ArrayLike, colour: int = 0) -> Line:
        return cls(label, Series.of(x, y), colour)


@dataclass(frozen=True)
class ChartSettings:
    axis: Axis = "step"
    log_x: bool = False
    log_y: bool = False
    smoothing: float = 0.0
    """The part of all of x over which values are averaged; 0 for none."""
    window: tuple[float, float] | None = None
    x_range: tuple[float, float] | None = None
    """What to show of x where there is no window, so that charts side by side agree; None for all of the lines."""
    y_window: tuple[float, float] | None = None
    y_range: YRange = "usual"
    letters: bool = False
    """Mark lines by letters on them as well as by colour."""
    plain: bool = False
    """Draw with ASCII alone."""

    @property
    def is_log_x(self) -> bool:
        """The time of day has no logarithmic form."""
        return self.log_x and self.axis != "wall"


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)


def _filled(values: npt.NDArray[Any] | None, size: int, filler: object) -> npt.NDArray[Any]:
    return np.full(size, filler) if values is None else values


def _is_field(name: str, value: object) -> bool:
    return name in Series.__dataclass_fields__ and value is not None
