"""Series as dots: the smallest and the largest value of every dot column are drawn, and all between them.

A terminal cell is 2 dots wide and 4 high, a Braille character. The work is that of two passes over the values in the
window, whatever their number; everything after them is a few hundred columns of each series, all series at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import Flags, Floats, Integers, Series

CELL_WIDTH: Final = 2
CELL_HEIGHT: Final = 4
"""Dots of a terminal cell."""

Codes = npt.NDArray[np.uint8]
"""What is added to U+2800 for the Braille character of each cell."""

FAR: Final = 1e9
"""Dots outside a chart beyond which it makes no difference where a line comes from."""
WORD: Final = 64
"""Dots of a column that are drawn at once."""
_ALL: Final = np.uint64(2**WORD - 1)
_CELL: Final = np.uint64(2**CELL_HEIGHT - 1)
_SHIFTS: Final = np.arange(0, WORD, CELL_HEIGHT, dtype=np.uint64)


def _codes_of(*bits: int) -> Codes:
    """The code for each set of dots in one column of a cell; ``bits`` are those of single dots, from the bottom up."""
    sets = range(2 ** len(bits))
    return np.array([sum(bit for at, bit in enumerate(bits) if dots >> at & 1) for dots in sets], np.uint8)


_LEFT: Final = _codes_of(0x40, 0x04, 0x02, 0x01)
_RIGHT: Final = _codes_of(0x80, 0x20, 0x10, 0x08)


@dataclass(frozen=True, eq=False)
class Columns:
    """What series have in each dot column that they have anything in, one series after the other.

    The first and the last column of a series may lie outside the window.
    """

    spans: Integers
    """The entries of each series within the window: from one up to another."""
    line: Integers
    """Which series each column belongs to."""
    place: Integers
    low: Floats
    high: Floats
    first: Floats
    last: Floats
    joined: Flags
    """Whether a line leads here from the column before."""
    inside: Flags
    """Whether the column is within the window."""
    nan: Integers
    """The dot columns in which any has NaN, positive and negative infinities."""
    above: Integers
    below: Integers

    def of(self, line: int) -> Columns:
        """Those of one series."""
        own = slice(*np.searchsorted(self.line, [line, line + 1]))
        names = ("line", "place", "low", "high", "first", "last", "joined", "inside")
        return replace(self, **{name: getattr(self, name)[own] for name in names})


def columns(each: Sequence[Series], scale: Scale) -> Columns:
    """The extremes of each dot column, of the entries that start in it; and one entry beyond each side."""
    edges = scale.edges()
    bounds = np.array([np.searchsorted(series.x, edges) for series in each]).reshape(len(each), -1)
    spans = bounds[:, [0, -1]]
    before, after = spans[:, 0] - 1, spans[:, 1]
    left, right = (_beyond(each, scale, entries) for entries in (before, after))
    begun, ended = np.flatnonzero(~np.isnan(left)), np.flatnonzero(~np.isnan(right))
    inner, dot = np.nonzero(np.diff(bounds))

    # the entries that count, one series after the other, and where among them each column begins
    cuts = [slice(a - b, z + c) for (a, z), b, c in zip(spans.tolist(), ~np.isnan(left), ~np.isnan(right), strict=True)]
    sizes = np.array([cut.stop - cut.start for cut in cuts], np.intp)
    shift = np.cumsum(sizes) - sizes - [cut.start for cut in cuts]
    line = np.concatenate([begun, inner, ended])
    order = np.argsort(line * 3 + np.repeat([0, 1, 2], [len(begun), len(inner), len(ended)]), kind="stable")
    line = line[order]
    begins = np.concatenate([before[begun], bounds[inner, dot], after[ended]])[order] + shift[line]
    far = 1000 * scale.dots  # farther away makes no difference
    outside = np.clip(np.rint(left[begun]), -far, -1), np.clip(np.rint(right[ended]), scale.dots, far)
    place = np.concatenate([outside[0], dot, outside[1]])[order].astype(np.intp)
    inside = (place >= 0) & (place < scale.dots)

    def entries(name: str) -> Any:
        arrays = [getattr(series, name)[cut] for series, cut in zip(each, cuts, strict=True)]
        return np.concatenate(arrays)

    def reduced(reduce: np.ufunc, name: str) -> Floats:
        found: Floats = reduce.reduceat(entries(name), begins) if len(begins) else np.empty(0)
        return found

    def counted(name: str) -> Integers:
        """The dot columns with entries that have some."""
        with_some = [at for at, series in enumerate(each) if getattr(series, name) is not None]
        dots = np.zeros(scale.dots, np.bool_)
        for at in with_some:
            some = np.flatnonzero(getattr(each[at], name)[slice(*spans[at])]) + spans[at, 0]
            dots[np.searchsorted(bounds[at], some, side="right") - 1] = True
        return np.flatnonzero(dots)

    first = entries("first")[begins]
    last = entries("last")[np.append(begins[1:], sizes.sum()) - 1] if len(begins) else first
    joined = np.isfinite(first)
    joined[:1] = False
    joined[1:] &= np.isfinite(last[:-1]) & (line[1:] == line[:-1])
    if any(series.gaps is not None for series in each):
        gaps = [np.zeros(len(series), np.bool_) if series.gaps is None else series.gaps for series in each]
        joined &= ~np.concatenate([gap[cut] for gap, cut in zip(gaps, cuts, strict=True)])[begins]
    return Columns(
        spans,
        line,
        place,
        reduced(np.fmin, "low"),
        reduced(np.fmax, "high"),
        first,
        last,
        joined,
        inside,
        *(counted(name) for name in ("nan", "above", "below")),
    )


def _beyond(each: Sequence[Series], scale: Scale, entries: Integers) -> Floats:
    """The dots of one entry of each series, outside the window; NaN where there is none."""
    there = [0 <= at < len(series) for series, at in zip(each, entries.tolist(), strict=True)]
    x = [series.x[at] if known else np.nan for series, at, known in zip(each, entries, there, strict=True)]
    places = scale.place(x)
    return np.where(np.isfinite(places), places, np.nan)


def codes(found: Columns, scale: Scale, width: int) -> Codes:
    """The Braille codes of each series, by series, row and column of cells.

    The dots of a series are, in each column, all between its extremes, and between columns straight lines.
    """
    lines, rows = len(found.spans), scale.dots // CELL_HEIGHT
    spans = [(found.line, found.place, scale.place(found.low), scale.place(found.high))]
    spans.append(_joints(found, scale, width))
    line, place, bottom, top = (np.concatenate(parts) for parts in zip(*spans, strict=True))
    there = np.isfinite(bottom) & np.isfinite(top) & (place >= 0) & (place < width)
    edge = float(scale.dots)
    lowest = np.rint(np.clip(bottom[there], -1, edge)).astype(np.int64)
    highest = np.rint(np.clip(top[there], -1, edge)).astype(np.int64)
    at = (line * width + place)[there]
    made = np.empty((lines, rows, width // CELL_WIDTH), np.uint8)
    for begin in range(0, scale.dots, WORD):
        words = _words(np.maximum(lowest - begin, 0), np.minimum(highest - begin, WORD - 1), at, lines * width)
        first, last = begin // CELL_HEIGHT, min(rows, (begin + WORD) // CELL_HEIGHT)
        dots = (words >> _SHIFTS[: last - first, None]) & _CELL
        left, right = dots.reshape(last - first, lines, -1, CELL_WIDTH).transpose(3, 1, 0, 2)
        made[:, rows - last : rows - first] = (_LEFT[left] | _RIGHT[right])[:, ::-1]
    return made


def _words(lowest: Integers, highest: Integers, at: Integers, size: int) -> npt.NDArray[np.uint64]:
    """Columns of dots, a bit each from the bottom up, with all from ``lowest`` to ``highest`` in column ``at`` set."""
    seen = highest >= lowest
    length, shift = (highest - lowest)[seen].astype(np.uint64), lowest[seen].astype(np.uint64)
    words = np.zeros(size, np.uint64)
    np.bitwise_or.at(words, at[seen], _ALL >> (np.uint64(WORD - 1) - length) << shift)
    return words


def _joints(found: Columns, scale: Scale, width: int) -> tuple[Integers, Integers, Floats, Floats]:
    """The straight lines from the last value of a column to the first of the next: spans of rows, column by column."""
    to = np.flatnonzero(found.joined)
    left, right = found.place[to - 1], found.place[to]
    begin, end = (np.clip(scale.place(values), -FAR, FAR) for values in (found.last[to - 1], found.first[to]))
    start, stop = np.maximum(left, 0), np.minimum(right, width - 1)
    sizes = np.maximum(stop - start + 1, 0)
    joint = np.repeat(np.arange(len(to)), sizes)
    place = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes) + start[joint]
    distance = np.maximum(right - left, 1)[joint]
    passed = place - left[joint]
    rise = (end - begin)[joint]
    entered = begin[joint] + rise * np.maximum(passed - 0.5, 0) / distance
    left_at = begin[joint] + rise * np.minimum(passed + 0.5, distance) / distance
    return found.line[to][joint], place, np.minimum(entered, left_at), np.maximum(entered, left_at)
