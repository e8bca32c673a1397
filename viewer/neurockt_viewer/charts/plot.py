"""The inside of a chart: which cell shows what, and in whose colour.

Invariant: no dot that is the smallest or largest of its column is erased by another curve of the same brightness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final, Literal

import numpy as np

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
    """What a line has in each dot column."""

    raw: Columns
    bright: Columns | None


def marked_cells(found: Sequence[Found], which: Literal["nan", "above", "below"], y: Scale | None = None) -> set[int]:
    """The cells in which something has no place: on any scale, or with ``y`` also on that one."""
    dots: set[int] = set()
    for columns in (each.raw for each in found):
        dots.update(getattr(columns, which).tolist())
        if y is not None:
            inside = columns.inside
            off = columns.high[inside] > y.high if which == "above" else columns.low[inside] < y.low
            dots.update(columns.place[inside][off].tolist())
    return {dot // CELL_WIDTH for dot in dots}


@dataclass(frozen=True, eq=False)
class _Layer:
    codes: Codes
    colour: int

    @cached_property
    def density(self) -> int:
        """Twice the logarithm of the dots in each column of cells that has any: 2 for a level line, 10 for a block."""
        dots = int(_BITS[self.codes].sum())
        return round(2 * math.log2(dots / np.count_nonzero(self.codes.any(axis=0)))) if dots else 0


class Plot:
    def __init__(self, width: int, height: int, x: Scale, y: Scale, settings: ChartSettings) -> None:
        self._width, self._height, self._x, self._y, self._settings = width, height, x, y, settings
        self._codes: Codes = np.zeros((height, width), np.uint8)
        self._most = np.zeros((height, width), np.uint8)
        """Dots of the line that owns the cell; 0 where that is a denser line than those that are added."""
        self._owner = np.full((height, width), -1, np.int16)
        self._bright = np.zeros((height, width), np.bool_)
        self._over: dict[tuple[int, int], Piece] = {}
        """Cells with a character of their own, by row and column."""

    def paint(self, lines: Sequence[Smoothed], found: Sequence[Found], cross: float | None) -> list[list[Piece]]:
        colours = [line.line.colour for line in lines]
        pairs = list(zip(colours, found, strict=True))
        self._add(_Layer(self._code(each.raw), colour) for colour, each in pairs if each.bright is not None)
        self._add((_Layer(self._code(each.bright or each.raw), colour) for colour, each in pairs), bright=True)
        if self._settings.letters:
            for index, (colour, each) in enumerate(pairs):
                self._put_letters(index, colour, each.bright or each.raw, len(found))
        for cell in marked_cells(found, "above", self._y):
            self._over[0, cell] = Piece(ABOVE_MARK, "mark")
        if cross is not None:
            self._put_upright(cross, Piece("│", "cross"))
        for place in dict.fromkeys(place for line in lines for place in line.line.begins):
            self._put_upright(place, Piece(BEGIN_MARK, "axis"))
        return [self._row(row) for row in range(self._height)]

    def _code(self, columns: Columns) -> Codes:
        return raster.pack(raster.dots(columns, self._y, self._width * CELL_WIDTH))

    def _add(self, layers: Iterable[_Layer], *, bright: bool = False) -> None:
        """Paint lines over what is there, those that cover most first, so that none vanishes under another.

        Dots of several lines in a cell are all shown. Its colour is that of the sparser line; of lines that cover
        about as much, that of the one with most dots there. Where denser lines fill a cell and those around it, the
        sparser line is drawn alone. A bright line is not mixed with the dim ones below it, which would thicken it.
        """
        density: int | None = None
        for layer in sorted(layers, key=lambda layer: layer.density, reverse=True):
            codes, there = layer.codes, layer.codes > 0
            if layer.density != density:
                density, filled = layer.density, _inside(self._codes)
                self._most[:] = 0
            erased = there & (filled | (bright & ~self._bright))
            self._codes[erased] = 0
            filled &= ~erased
            count = _BITS[codes]
            mine = count > self._most
            self._owner[mine] = layer.colour
            self._most[mine] = count[mine]
            self._codes |= codes
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
