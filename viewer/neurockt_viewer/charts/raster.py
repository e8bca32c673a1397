"""A series as dots: the smallest and the largest value of every dot column are drawn, and all between them.

A terminal cell is 2 dots wide and 4 high, a Braille character. The work is that of two passes over the values in the
window, whatever their number; everything after them is a few hundred columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import Flags, Floats, Integers, Series

CELL_WIDTH: Final = 2
CELL_HEIGHT: Final = 4
"""Dots of a terminal cell."""

Dots = npt.NDArray[np.bool_]
"""Rows from the top, columns from the left."""
Codes = npt.NDArray[np.uint8]
"""What is added to U+2800 for the Braille character of each cell."""

_BRAILLE_BITS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)


@dataclass(frozen=True, eq=False)
class Columns:
    """What a series has in each dot column that it has anything in; the first and last may lie outside the window."""

    place: Integers
    low: Floats
    high: Floats
    first: Floats
    last: Floats
    joined: Flags
    """Whether a line leads here from the column before."""
    nan: Integers
    """The dot columns with NaN, with positive and with negative infinities."""
    above: Integers
    below: Integers
    start: int
    """The entries within the window: from ``start`` up to ``stop``."""
    stop: int
    inside: slice
    """The columns within the window."""


def columns(series: Series, scale: Scale) -> Columns:
    """The extremes of each dot column, of the entries that start in it; and one entry beyond each side."""
    bounds = np.searchsorted(series.x, scale.edges())
    start, stop = int(bounds[0]), int(bounds[-1])
    occupied = np.flatnonzero(np.diff(bounds))
    starts = bounds[:-1][occupied]
    ends = bounds[1:][occupied]
    far = 1000 * scale.dots  # farther away makes no difference
    before = _beyond(series, scale, start - 1, -far, -1)
    after = _beyond(series, scale, stop, scale.dots, far)

    def stretched(values: Floats, inner: Floats) -> Floats:
        """With the values of the entries beyond, where there are such."""
        return np.concatenate(
            [values[start - 1 : start] if before else [], inner, values[stop : stop + 1] if after else []]
        )

    begins = np.concatenate([[start - 1] if before else [], starts, [stop] if after else []]).astype(np.intp)
    first, last = stretched(series.first, series.first[starts]), stretched(series.last, series.last[ends - 1])
    joined = np.isfinite(first)
    joined[:1] = False
    joined[1:] &= np.isfinite(last[:-1])
    if series.gaps is not None:
        joined &= ~series.gaps[begins]

    def marked(counts: Integers | None) -> Integers:
        if counts is None or not len(starts):
            return np.empty(0, np.intp)
        return occupied[np.add.reduceat(counts[start:stop], starts - start) > 0]

    def reduced(reduce: np.ufunc, values: Floats) -> Floats:
        found: Floats = reduce.reduceat(values[start:stop], starts - start) if len(starts) else np.empty(0)
        return stretched(values, found)

    return Columns(
        np.concatenate([before, occupied, after]).astype(np.intp),
        reduced(np.fmin, series.low),
        reduced(np.fmax, series.high),
        first,
        last,
        joined,
        marked(series.nan),
        marked(series.above),
        marked(series.below),
        start,
        stop,
        slice(len(before), len(before) + len(occupied)),
    )


def _beyond(series: Series, scale: Scale, index: int, least: int, most: int) -> list[int]:
    """The dot column of an entry outside the window, where it has one."""
    if not 0 <= index < len(series):
        return []
    place = float(scale.place(series.x[index]))
    return [int(np.clip(np.rint(place), least, most))] if np.isfinite(place) else []


def dots(found: Columns, scale: Scale, width: int) -> Dots:
    """The dots of a line: in each column all between its extremes, and between columns straight lines."""
    low, high = scale.place(found.low), scale.place(found.high)
    spans = [(found.place, low, high), *_joints(found, scale, width)]
    place, bottom, top = (np.concatenate(parts) for parts in zip(*spans, strict=True))
    there = np.isfinite(bottom) & np.isfinite(top) & (place >= 0) & (place < width)
    place = place[there]
    edge = float(scale.dots)
    lowest = np.rint(np.clip(bottom[there], -1, edge)).astype(np.intp)
    highest = np.rint(np.clip(top[there], -1, edge)).astype(np.intp)
    seen = (highest >= 0) & (lowest < scale.dots)
    place, lowest, highest = place[seen], np.maximum(lowest[seen], 0), np.minimum(highest[seen], scale.dots - 1)
    changes = np.zeros((scale.dots + 1, width), np.int16)
    np.add.at(changes, (lowest, place), 1)
    np.add.at(changes, (highest + 1, place), -1)
    upright: Dots = np.cumsum(changes[:-1], axis=0, dtype=np.int16) > 0
    return upright[::-1]


def _joints(found: Columns, scale: Scale, width: int) -> list[tuple[Integers, Floats, Floats]]:
    """The straight lines from the last value of a column to the first of the next: spans of rows, column by column."""
    to = np.flatnonzero(found.joined)
    if not len(to):
        return []
    left, right = found.place[to - 1], found.place[to]
    begin, end = scale.place(found.last[to - 1]), scale.place(found.first[to])
    start, stop = np.maximum(left, 0), np.minimum(right, width - 1)
    sizes = np.maximum(stop - start + 1, 0)
    joint = np.repeat(np.arange(len(to)), sizes)
    place = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + start[joint]
    distance = np.maximum(right - left, 1)[joint]
    passed = place - left[joint]
    rise = (end - begin)[joint]
    entered = begin[joint] + rise * np.maximum(passed - 0.5, 0) / distance
    left_at = begin[joint] + rise * np.minimum(passed + 0.5, distance) / distance
    return [(place, np.minimum(entered, left_at), np.maximum(entered, left_at))]


def pack(grid: Dots) -> Codes:
    """The Braille codes of a grid whose sides are whole cells."""
    rows, width = grid.shape
    cells = grid.reshape(rows // CELL_HEIGHT, CELL_HEIGHT, width // CELL_WIDTH, CELL_WIDTH)
    packed: Codes = np.einsum("rhcw,hw->rc", cells.view(np.uint8), _BRAILLE_BITS)
    return packed
