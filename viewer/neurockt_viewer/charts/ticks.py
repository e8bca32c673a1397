"""Round numbers along an axis, and what to write at them.

Invariant: ticks rise, lie within the bounds, and are at most as many as asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Distances between ticks that are round on a clock; longer ones are 1, 2 or 5 times a power of ten days."""
DAY: Final = 86_400

_SUFFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Tick:
    value: float
    label: str


def linear_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At distances of 1, 2 or 5 times a power of ten."""
    steps = _round_steps(low, high, most)
    if steps is None:
        return []
    mantissa, exponent = steps
    values = _multiples(low, high, mantissa, exponent)
    digits = max(0, -exponent)
    return [Tick(value, label) for value, label in zip(values, _number_labels(values, digits), strict=True)]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At powers of ten; between them too where there are few; linear where there would be fewer than two."""
    if most < 1 or low <= 0:
        return []
    first, last = math.ceil(math.log10(low) - 1e-12), math.floor(math.log10(high) + 1e-12)
    decades = [exponent for exponent in range(first, last + 1) if low <= _power(exponent) <= high]
    if len(decades) > most:
        stride = -(-len(decades) // most)
        decades = [exponent for exponent in decades if exponent % stride == 0][:most]
    if len(decades) >= 2:
        for between in ((1, 2, 5), (1, 3)):
            values = [m * _power(e) for e in range(first - 1, last + 1) for m in between]
            values = [value for value in values if low <= value <= high]
            if len(values) <= most and len(decades) <= 3:
                return [Tick(value, _short(value)) for value in values]
        return [Tick(_power(exponent), _short(_power(exponent))) for exponent in decades]
    return linear_ticks(low, high, most)


def duration_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At round seconds, minutes, hours or days of an axis in seconds."""
    step = _time_step(low, high, most)
    if step is None:
        return linear_ticks(low, high, most)
    values = _multiples(low, high, step, 0)
    return [Tick(value, duration_label(value)) for value in values]


def clock_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At round local times of an axis in seconds since 1970: midnights have their date."""
    step = _time_step(low, high, most)
    if step is None:
        return []
    try:
        offset = (datetime.fromtimestamp(low).astimezone().utcoffset() or timedelta()).total_seconds()
        values = [value - offset for value in _multiples(low + offset, high + offset, step, 0)]
        return [Tick(value, _clock_label(datetime.fromtimestamp(value), step)) for value in values]
    except (ValueError, OverflowError, OSError):
        return []  # no year that a calendar has


def duration_label(seconds: float) -> str:
    """``1h30m``, ``45s``; the two largest units."""
    rest, sign = round(abs(seconds)), "-" if seconds < 0 else ""
    if rest == 0:
        return "0" if abs(seconds) < 1e-9 else f"{seconds:.3g}s"
    parts = []
    for unit, size in (("d", DAY), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts[:2])


def moment_label(seconds: float) -> str:
    """A moment of the reader's calendar, to the second."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.6g}s"


def _clock_label(moment: datetime, step: float) -> str:
    if step >= DAY or (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return f"{moment:%b %d}" if step < 300 * DAY else f"{moment:%Y-%m}"
    return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"


def _time_step(low: float, high: float, most: int) -> int | None:
    """The smallest round distance in whole seconds that gives few enough ticks; None where there is none."""
    if most < 1 or high - low < 2:
        return None
    days = (mantissa * 10**exponent * DAY for exponent in range(8) for mantissa in (1, 2, 5))
    for step in (*SECONDS, *days):
        if math.floor(high / step) - math.ceil(low / step) + 1 <= most:
            return int(step)
    return None


def _round_steps(low: float, high: float, most: int) -> tuple[int, int] | None:
    """The smallest distance, as mantissa and power of ten, that gives few enough ticks."""
    if most < 1 or not (math.isfinite(low) and math.isfinite(high)) or not high > low:
        return None
    span = high / 2 - low / 2
    exponent = math.floor(math.log10(span / most * 2)) - 1 if span / most > 0 else -323
    for power in range(exponent, exponent + 4):
        for mantissa in (1, 2, 5):
            if len(_multiples(low, high, mantissa, power)) <= most:
                return mantissa, power
    return None


def _multiples(low: float, high: float, mantissa: int, exponent: int) -> list[float]:
    """The multiples of ``mantissa * 10 ** exponent`` within the bounds, each the float nearest to it."""
    step = mantissa * 10.0**exponent
    if step == 0 or not math.isfinite(low / step) or not math.isfinite(high / step) or abs(high / step) > 1e15:
        return []
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first > 1000:
        return [math.nan] * 1001  # more than anyone asks for
    values = (float(f"{index * mantissa}e{exponent}") for index in range(first, last + 1))
    return [value for value in values if low <= value <= high]


def _number_labels(values: Sequence[float], digits: int) -> list[str]:
    """The shortest way to write all of them alike and in full."""
    largest = max(map(abs, values), default=0.0)
    if largest and (largest < 1e-4 or largest >= 1e15):
        return [_short(value) if value else "0" for value in values]
    if digits == 0 and largest >= 10_000:
        size, suffix = next((size, suffix) for size, suffix in _SUFFIXES if largest >= size)
        return [f"{value / size:.12g}{suffix}" if value else "0" for value in values]
    return [f"{value:.{digits}f}" if value else "0" for value in values]


def _short(value: float) -> str:
    """A number of few digits: ``500``, ``20k``, ``0.01``, ``1e-5``."""
    if value and not 1e-4 <= abs(value) < 1e15:
        mantissa, _, exponent = f"{value:.12e}".partition("e")
        return f"{float(mantissa):.12g}e{int(exponent)}"
    if abs(value) >= 10_000:
        size, suffix = next((size, suffix) for size, suffix in _SUFFIXES if abs(value) >= size)
        return f"{value / size:.12g}{suffix}"
    return f"{value:.12g}"


def _power(exponent: int) -> float:
    return float(f"1e{exponent}")
