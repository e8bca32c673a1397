"""The inside of a chart: which cell shows what, and in whose colour.

Invariant: no dot that is the smallest or largest of its column is erased by another curve of the same brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from neurockt_viewer.charts import palette, raster
from neurockt_viewer.charts.pieces import Part, Piece, Smoothed
from neurockt_viewer.charts.raster import CELL_HEIGHT, CELL_WIDTH, Codes, Columns
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import ChartSettings, Flags

LETTER_EVERY: Final = 24
"""Cells between the letters on a line."""

ABOVE_MARK: Final = "▴"
BEGIN_MARK: Final = "┊"
"""Where a requeued job went on with the run."""

_FULL: Final = 0xFF
_TOP_ROW: Final = 0x01 | 0x08
_BOTTOM_ROW: Final = 0x40 | 0x80


@dataclass(frozen=True, eq=False)
class Found:
    """What the lines have in each dot column."""

    raw: Columns
    bright: Columns | None
    """Of the lines that have something to be drawn bright over their values; the others are bright themselves."""
    has_bright: Flags
    """Which lines those are."""

    def drawn_bright(self, index: int) -> Columns:
        if self.bright is None or not self.has_bright[index]:
            return self.raw.of(index)
        return self.bright.of(int(np.count_nonzero(self.has_bright[:index])))


def marked_cells(columns: Columns, which: Literal["nan", "above", "below"], y: Scale | None = None) -> set[int]:
    """The cells in which something has no place: on any scale, or with ``y`` also on that one."""
    dots = getattr(columns, which)
    if y is not None:
        off = columns.high > y.high if which == "above" else columns.low < y.low
        dots = np.concatenate([dots, columns.place[columns.inside & off]])
    return set((np.unique(dots) // CELL_WIDTH).tolist())


class Plot:
    def __init__(self, width: int, height: int, x: Scale, y: Scale, settings: ChartSettings) -> None:
        self._width, self._height, self._x, self._y, self._settings = width, height, x, y, settings
        self._codes: Codes = np.zeros((height, width), np.uint8)
        self._owner = np.full((height, width), -1, np.int16)
        self._bright = np.zeros((height, width), np.bool_)
        self._over: dict[tuple[int, int], Piece] = {}
        """Cells with a character of their own, by row and column."""

    def paint(self, lines: Sequence[Smoothed], found: Found, cross: float | None) -> list[list[Piece]]:
        colours = np.array([line.line.colour for line in lines], np.int16)
        raw = raster.codes(found.raw, self._y, self._width * CELL_WIDTH)
        bright, dim = raw.copy(), found.has_bright
        if found.bright is not None:
            bright[dim] = raster.codes(found.bright, self._y, self._width * CELL_WIDTH)
            self._add(raw[dim], colours[dim])
        self._add(bright, colours, bright=True)
        if self._settings.letters:
            for index, colour in enumerate(colours.tolist()):
                self._put_letters(index, colour, found.drawn_bright(index), len(lines))
        for cell in marked_cells(found.raw, "above", self._y):
            self._over[0, cell] = Piece(ABOVE_MARK, "mark")
        if cross is not None:
            self._put_upright(cross, Piece("│", "cross"))
        for place in dict.fromkeys(place for line in lines for place in line.line.begins):
            self._put_upright(place, Piece(BEGIN_MARK, "axis"))
        return [self._row(row) for row in range(self._height)]

    def _add(self, codes: Codes, colours: npt.NDArray[np.int16], *, bright: bool = False) -> None:
        """Paint lines over what is there, those that cover most first, so that none vanishes under another.

        Dots of several lines in a cell are all shown. Its colour is that of the sparser line; of lines that cover
        about as much, that of the one with most dots there. Where denser lines fill a cell and those around it, the
        sparser line is drawn alone. A bright line is not mixed with the dim ones below it, which would thicken it.
        """
        count = _BITS[codes]
        density = _density(count)
        for dense in sorted(set(density[density >= 0].tolist()), reverse=True):
            alike = np.flatnonzero(density == dense)
            most = count[alike].argmax(axis=0)
            there = np.take_along_axis(count[alike], most[None], axis=0)[0] > 0
            self._codes[there & (_inside(self._codes) | (bright & ~self._bright))] = 0
            self._owner[there] = colours[alike][most][there]
            self._codes |= np.bitwise_or.reduce(codes[alike], axis=0)
            if bright:
                self._bright |= there

    def _put_letters(self, index: int, colour: int, columns: Columns, lines: int) -> None:
        """The line's letter here and there on it, each line's elsewhere."""
        offset = LETTER_EVERY * (index + 1) // (lines + 1)
        rows = self._y.place((columns.low + columns.high) / 2)
        for cell in range(offset, self._width, LETTER_EVERY):
            nearest = np.flatnonzero((columns.place // CELL_WIDTH == cell) & np.isfinite(rows))
            if len(nearest):
                row = self._height - 1 - int(np.clip(rows[nearest[0]], 0, self._y.dots - 1)) // CELL_HEIGHT
                self._over[row, cell] = Piece(palette.letter(colour), "line", colour)

    def _put_upright(self, at: float, sign: Piece) -> None:
        """A line from top to bottom, behind the curves."""
        place = float(self._x.place(at))
        cell = int(np.rint(place)) // CELL_WIDTH if np.isfinite(place) else -1
        if 0 <= cell < self._width:
            for row in range(self._height):
                if not self._codes[row, cell]:
                    self._over.setdefault((row, cell), sign)

    def _row(self, row: int) -> list[Piece]:
        codes, owner, bright = self._codes[row], self._owner[row], self._bright[row]
        style = np.where(codes > 0, owner * 2 + bright, -1)
        text = _characters(codes, plain=self._settings.plain)
        borders = {0, self._width, *(np.flatnonzero(np.diff(style)) + 1).tolist()}
        over = {column: piece for (line, column), piece in self._over.items() if line == row}
        borders.update(over, (column + 1 for column in over))
        cuts = sorted(borders)
        pieces = []
        for start, stop in pairwise(cuts):
            if start in over:
                pieces.append(over[start])
            elif style[start] < 0:
                pieces.append(Piece(" " * (stop - start), "space"))
            else:
                part: Part = "line" if bright[start] else "dim"
                pieces.append(Piece(text[start:stop], part, int(owner[start])))
        return pieces


def _density(count: Codes) -> npt.NDArray[np.int_]:
    """Twice the logarithm of each line's dots in a column of cells that it is in: 2 for a level line; -1 for none."""
    dots, columns = count.sum(axis=(1, 2), dtype=np.int64), np.count_nonzero(count.any(axis=1), axis=1)
    found: npt.NDArray[np.int_] = np.rint(2 * np.log2(np.maximum(1, dots) / np.maximum(1, columns))).astype(np.int_)
    return np.where(dots > 0, found, -1)


def _inside(codes: Codes) -> Flags:
    """Full cells whose columns of dots go on in the cell above and in the one below."""
    full = codes == _FULL
    above, below = np.zeros_like(full), np.zeros_like(full)
    above[1:] = codes[:-1] & _BOTTOM_ROW == _BOTTOM_ROW
    below[:-1] = codes[1:] & _TOP_ROW == _TOP_ROW
    inside: Flags = full & above & below
    return inside


_BITS: Final = np.array([index.bit_count() for index in range(256)], np.uint8)
_UPPER: Final = 0x01 | 0x08 | 0x02 | 0x10
_LOWER: Final = 0xFF & ~_UPPER
_PLAIN: Final = np.array([ord(" .':"[bool(code & _LOWER) + 2 * bool(code & _UPPER)]) for code in range(256)], np.uint32)


def _characters(codes: Codes, *, plain: bool) -> str:
    points = _PLAIN[codes] if plain else np.where(codes > 0, codes.astype(np.uint32) + 0x2800, 0x20)
    return points.astype("<u4").tobytes().decode("utf-32-le")
