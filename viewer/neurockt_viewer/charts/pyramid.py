"""A metric of a long run in bounded memory: stretches of values, each with its extremes, mean, first and last.

Invariant: an entry's extremes are those of its values, and its number is that of its first, however they were added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurockt_viewer.charts.series import Floats, Integers, Series

ENTRIES: Final = 2**17
"""Entries kept of all metrics of a table together, at about 80 bytes each: where there are more values, they are
kept in stretches, and a window that needs more detail is read again."""

_FIELDS: Final[dict[str, type[np.generic]]] = {
    "row": np.int32,
    "number": np.int64,
    "step": np.int64,
    "time": np.int64,
    "low": np.float64,
    "high": np.float64,
    "mean": np.float64,
    "first": np.float64,
    "last": np.float64,
    "positive": np.float64,
    "count": np.int32,
    "nan": np.int32,
    "above": np.int32,
    "below": np.int32,
    "not_positive": np.int32,
}
PLACE: Final = ("row", "number", "step", "time")
Entries = dict[str, Any]
"""Arrays of one length, by field. Of single values: row, number, step, time and ``last`` alone."""


@dataclass(frozen=True, eq=False)
class Values:
    """Values of a metric that are not null, in the order of their rows."""

    row: Integers
    """The row's position in the table, or in a part of it."""
    number: Integers
    """The row's number: its step in `steps`, its epoch in `epochs`."""
    step: Integers
    time: Integers
    """Microseconds since 1970, UTC."""
    value: Floats

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, cut: slice) -> Values:
        return Values(self.row[cut], self.number[cut], self.step[cut], self.time[cut], self.value[cut])


def stretch_for(values: int, entries: int) -> int:
    """Values in one entry, a power of two, so that ``values`` fit into ``entries``."""
    return 1 << max(0, -(-values // entries) - 1).bit_length()


class Pyramid:
    """The entries of one metric, as its values are added. One thread feeds it; ``entries`` may be read by any."""

    def __init__(self, stretch: int = 1, capacity: int = 1024, limit: int = 2**62) -> None:
        """``stretch`` values an entry; ``capacity`` values are expected.

        From ``limit`` entries on, each two become one, so that a run that goes on does not take ever more memory.
        """
        self.stretch = stretch
        self._limit = limit
        self.values = 0
        self.last_number = 0
        self._tail: list[Values] = []
        self._tail_size = 0
        self._names = list(_FIELDS) if stretch > 1 else [*PLACE, "last"]
        self._store = {name: np.empty(capacity // stretch + 1, _FIELDS[name]) for name in self._names}
        self._whole = 0
        self._entries = self._store, 0
        """What another thread may read: the arrays, and how many of their entries count."""

    def append(self, values: Values) -> None:
        if not len(values):
            return
        self.values += len(values)
        self.last_number = int(values.number[-1])
        self._add(values)
        while self._whole >= self._limit:
            self._halve()
        self._entries = self._store, self._whole + bool(self._tail_size)

    def _add(self, values: Values) -> None:
        if self.stretch == 1:
            single = {**{name: getattr(values, name) for name in PLACE}, "last": values.value}
            self._put(single, len(values))
            self._whole += len(values)
            return
        if self._tail_size:
            values = _together([*self._tail, values])
        whole = len(values) // self.stretch * self.stretch
        if whole:
            self._put(_fold(values[:whole], self.stretch), whole // self.stretch)
            self._whole += whole // self.stretch
        rest = _together([values[whole:]])  # a copy, so that the row group is not kept in memory
        self._tail, self._tail_size = [rest], len(rest)
        if len(rest):
            self._put(_fold(rest, len(rest)), 1)

    def _put(self, entries: Entries, size: int) -> None:
        end = self._whole + size
        for name in self._names:
            array = self._store[name]
            if end > len(array):
                grown = np.empty(max(end, 2 * len(array)), array.dtype)
                grown[: self._whole] = array[: self._whole]
                self._store[name] = array = grown
            array[self._whole : end] = entries[name]

    def _halve(self) -> None:
        """Make one entry of each two; a last one without a partner, and the values that do not fill one yet, stay."""
        size, even = self._whole, self._whole // 2 * 2
        entries: Entries = {name: array[:size] for name, array in self._store.items()}
        if self.stretch == 1:
            single = Values(*(entries[name] for name in (*PLACE, "last")))
            entries = {name: np.broadcast_to(array, size) for name, array in _fold(single, 1).items()}
        pairs = _paired({name: array[:even] for name, array in entries.items()})
        self._names, self._whole = list(_FIELDS), size - even // 2
        store = {name: np.empty(max(self._limit, self._whole) + 1, kind) for name, kind in _FIELDS.items()}
        for name, array in store.items():
            array[: even // 2] = pairs[name]
            array[even // 2 : self._whole] = entries[name][even:]
        self._store, self.stretch = store, 2 * self.stretch
        if self._tail_size:
            self._put(_fold(self._tail[0], self._tail_size), 1)

    @property
    def entries(self) -> Entries:
        store, end = self._entries
        return {name: array[:end] for name, array in store.items()}


def _together(parts: list[Values]) -> Values:
    names = (*PLACE, "value")
    return Values(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _fold(values: Values, stretch: int) -> Entries:
    """Entries of ``stretch`` values each."""
    value = values.value.reshape(-1, stretch)
    entries: Entries = {
        **{name: getattr(values, name)[::stretch] for name in PLACE},
        "first": value[:, 0],
        "last": value[:, -1],
    }
    with np.errstate(invalid="ignore", over="ignore"):
        sums = value.sum(axis=1)
        if np.isfinite(sums).all():
            entries |= {"low": value.min(axis=1), "high": value.max(axis=1), "mean": sums / stretch}
            entries |= {"count": np.int32(stretch), "nan": np.int32(0), "above": np.int32(0), "below": np.int32(0)}
        else:
            entries |= _fold_odd(value)
        low = entries["low"]
        if (low > 0).all():
            entries |= {"positive": low, "not_positive": np.int32(0)}
        else:
            above = np.isfinite(value) & (value > 0)
            entries["positive"] = _none_is_nan(np.min(value, axis=1, initial=np.inf, where=above))
            entries["not_positive"] = np.count_nonzero(np.isfinite(value) & ~above, axis=1)
    return entries


def _paired(entries: Entries) -> Entries:
    """Each two entries as one."""
    first, second = ({name: array[at::2] for name, array in entries.items()} for at in (0, 1))
    made: Entries = {name: first[name] for name in (*PLACE, "first")} | {"last": second["last"]}
    for name in ("count", "nan", "above", "below", "not_positive"):
        made[name] = first[name] + second[name]
    for name, least in (("low", np.fmin), ("positive", np.fmin), ("high", np.fmax)):
        made[name] = least(first[name], second[name])
    share = second["count"] / np.maximum(made["count"], 1)
    mean, other = (np.where(half["count"] > 0, half["mean"], 0.0) for half in (first, second))
    made["mean"] = np.where(made["count"] > 0, mean * (1 - share) + other * share, np.nan)
    return made


def _fold_odd(value: Floats) -> Entries:
    """The same where some values are not finite."""
    finite = np.isfinite(value)
    count = np.count_nonzero(finite, axis=1)
    halves = np.sum(value / 2, axis=1, where=finite)  # halves, so that the largest numbers do not overflow
    return {
        "low": _none_is_nan(np.min(value, axis=1, initial=np.inf, where=finite)),
        "high": _none_is_nan(np.max(value, axis=1, initial=-np.inf, where=finite)),
        "mean": np.where(count > 0, halves / np.maximum(count, 1) * 2, np.nan),
        "count": count,
        "nan": np.count_nonzero(np.isnan(value), axis=1),
        "above": np.count_nonzero(value == np.inf, axis=1),
        "below": np.count_nonzero(value == -np.inf, axis=1),
    }


def _none_is_nan(extremes: Floats) -> Floats:
    return np.where(np.isinf(extremes), np.nan, extremes)


def to_series(entries: Entries, x: Floats) -> Series:
    """Entries placed on an axis."""
    gaps = _gaps(entries["number"], entries["row"])
    if "low" not in entries:
        return Series.of(x, entries["last"], gaps)
    counted = {name: entries[name] if entries[name].any() else None for name in ("nan", "above", "below")}
    if np.any(np.diff(x) < 0):
        x = np.maximum.accumulate(x)  # a clock that was put back
    low = entries["low"]
    has_zero = entries["not_positive"].any()
    return Series(
        x,
        low,
        entries["high"],
        entries["mean"],
        entries["first"],
        entries["last"],
        entries["count"],
        **counted,
        positive=entries["positive"] if has_zero else None,
        not_positive=entries["not_positive"] if has_zero else None,
        gaps=gaps,
    )


GAP: Final = 2.5
"""A gap: more rows without a value than this many times the average between two values."""


def _gaps(number: Integers, row: Integers) -> npt.NDArray[np.bool_] | None:
    """Entries before which values are missing. A metric that is recorded every tenth step has no gaps of ten.

    Where the rows count up, a missing number is a row that is lost; where their numbers jump, none is missing.
    """
    if len(number) < 3:
        return None
    numbers, rows = (int(places[-1]) - int(places[0]) for places in (number, row))
    place, span = (number, numbers) if numbers < 2 * rows else (row, rows)
    gaps = np.concatenate([[False], np.diff(place) > GAP * max(1.0, span / (len(place) - 1))])
    return gaps if gaps.any() else None
