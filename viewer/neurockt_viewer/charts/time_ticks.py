"""Round numbers along an axis of time: durations since a run began, and the hours, days and months of a calendar.

Invariant: as that of ``ticks``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Final

from neurockt_viewer.charts.ticks import Tick, linear_ticks, multiples

MINUTE: Final = 60
HOUR: Final = 3600
DAY: Final = 86_400

_WITHIN_AN_HOUR: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds between ticks, each a part of the next hour."""
_HOURS: Final = (2, 3, 6, 12)
_DAYS: Final = (1, 2, 7, 14)
_MONTHS: Final = (1, 2, 3, 6)
_DECADES: Final = (1, 10, MINUTE, 10 * MINUTE, HOUR, 10 * HOUR, *(DAY * 10**power for power in range(7)))
_BETWEEN: Final = (
    2,
    5,
    30,
    120,
    300,
    1800,
    7200,
    5 * HOUR,
    *(DAY * m * 10**power for power in range(7) for m in (2, 5)),
)
"""Round durations on a logarithmic axis, and those between them."""


def duration_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At round parts of seconds, or round seconds, minutes, hours or days, of an axis in seconds."""
    if most < 1 or not high > low or not math.isfinite(high - low):
        return []
    days = (mantissa * 10**power * DAY for power in range(8) for mantissa in (1, 2, 5))
    for step in (*_WITHIN_AN_HOUR, *(hours * HOUR for hours in _HOURS), *days):
        if step == 1 and high - low < 2:
            break
        if (high - low) / step < most + 1 and len(values := multiples(low, high, step, 0)) <= most:
            return [Tick(value, duration_label(value, step)) for value in values]
    ticks = linear_ticks(low, high, most)
    step = min((b.value - a.value for a, b in pairwise(ticks)), default=1.0)
    return [Tick(tick.value, duration_label(tick.value, step)) for tick in ticks]


def log_duration_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At 1 and 10 seconds, minutes and hours, then at days; between them too where there are few."""
    parts = [float(f"1e{power}") for power in range(-9, 0)]
    decades = [value for value in (*parts, *_DECADES) if low <= value <= high]
    between = [value for value in (*(m * part for part in parts for m in (2, 5)), *_BETWEEN) if low <= value <= high]
    if len(decades) + len(between) <= most:
        decades = sorted(decades + between)
    if len(decades) < 2 or most < 1:
        return duration_ticks(low, high, most)
    return [Tick(value, duration_label(value, value)) for value in decades[:: -(-len(decades) // most)]]


def duration_label(seconds: float, step: float | None = None) -> str:
    """``1h30m``, ``45s``, ``1.5s``: down to the unit of ``step``; default the two largest units."""
    if seconds == 0:
        return "0"
    sign, size = "-" if seconds < 0 else "", abs(seconds)
    decimals = 0 if size >= MINUTE else 3
    if step is not None:
        decimals = max(0, -math.floor(math.log10(step) + 1e-9)) + 1 if step < 1 else 0
    whole, _, fraction = f"{size:.{decimals}f}".partition(".")
    rest, fraction, parts = int(whole), fraction.rstrip("0"), []
    for unit, length in (("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)):
        count, rest = divmod(rest, length)
        if length == 1 and fraction:
            parts.append(f"{count}.{fraction}s")
        elif count:
            parts.append(f"{count}{unit}")
    return sign + "".join(parts if step is not None else parts[:2]) if parts else "0"


def clock_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At round local times of an axis in seconds since 1970: within a second up to years; midnights have their date."""
    if most < 1 or not high > low:
        return []
    try:
        for step, values, label in _calendars(low, high):
            if (high - low) / step > most + 1:
                continue
            places = sorted({value for value in values() if low <= value <= high})
            if len(places) <= most:
                return [Tick(value, label(datetime.fromtimestamp(value))) for value in places]
    except (ValueError, OverflowError, OSError):
        pass  # no year that a calendar has
    return []


def moment_label(seconds: float) -> str:
    """A moment of the reader's calendar, to the second."""
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.6g}s"


_Calendar = tuple[float, Callable[[], Iterator[float]], Callable[[datetime], str]]


def _calendars(low: float, high: float) -> Iterator[_Calendar]:
    """From short to long: about how many seconds between ticks, the ticks, and how they are written."""
    offset = (datetime.fromtimestamp(low).astimezone().utcoffset() or timedelta()).total_seconds()
    first, last = datetime.fromtimestamp(low).date(), datetime.fromtimestamp(high).date()

    def shifted(mantissa: int, exponent: int) -> Iterator[float]:
        return (value - offset for value in multiples(low + offset, high + offset, mantissa, exponent))

    def daily(hours: int) -> Iterator[float]:
        for number in range(first.toordinal(), last.toordinal() + 1):
            midnight = datetime.combine(date.fromordinal(number), datetime.min.time())
            yield from ((midnight + timedelta(hours=hour)).timestamp() for hour in range(0, 24, hours))

    def dates(days: int) -> Iterator[float]:
        begin = first.toordinal() - (first.toordinal() - 1) % days  # day 1 was a Monday
        return (_midnight(date.fromordinal(number)) for number in range(begin, last.toordinal() + 1, days))

    def months(count: int) -> Iterator[float]:
        begin = (first.year * 12 + first.month - 1) // count * count
        numbers = range(max(12, begin), last.year * 12 + last.month, count)
        return (_midnight(date(number // 12, number % 12 + 1, 1)) for number in numbers)

    for power in range(-4, 0):
        for mantissa in (1, 2, 5):
            yield mantissa * 10.0**power, partial(shifted, mantissa, power), partial(_second_label, digits=-power)
    for step in _WITHIN_AN_HOUR:
        yield step, partial(shifted, step, 0), partial(_clock_label, seconds=step < MINUTE)
    for hours in _HOURS:
        yield hours * HOUR, partial(daily, hours), _clock_label
    for days in _DAYS:
        yield days * DAY, partial(dates, days), lambda moment: f"{moment:%b %d}"
    for count in _MONTHS:
        yield count * 30 * DAY, partial(months, count), lambda moment: f"{moment:%Y-%m}"
    for years in (m * 10**power for power in range(4) for m in (1, 2, 5)):
        yield years * 365 * DAY, partial(months, 12 * years), lambda moment: f"{moment:%Y}"


def _midnight(day: date) -> float:
    return datetime.combine(day, datetime.min.time()).timestamp()


def _clock_label(moment: datetime, *, seconds: bool = False) -> str:
    if (moment.hour, moment.minute, moment.second) == (0, 0, 0):
        return f"{moment:%b %d}"
    return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"


def _second_label(moment: datetime, digits: int) -> str:
    fraction = f"{moment.microsecond / 1e6:.{digits}f}"[1:]
    return f"{moment:%H:%M:%S}{fraction}"
