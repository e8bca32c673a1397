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
from neurockt_viewer.charts.pointing import value_at
from neurockt_viewer.charts.raster import CELL_HEIGHT, CELL_WIDTH, Codes, Columns
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import Flags, Integers

LETTER_EVERY: Final = 24
"""Cells between the letters on a line."""

ABOVE_MARK: Final = "▴"
POINT_MARK: Final = "◆"
BEGIN_MARK: Final = "┊"
"""Where a requeued job went on with the run."""

_NOWHERE: Final = np.int32(2**31 - 1)
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
    def __init__(
        self, lines: Sequence[Smoothed], found: Found, width: int, height: int, x: Scale, y: Scale, plain: bool
    ) -> None:
        """Paint the lines; ``width`` and ``height`` are in cells."""
        self.x, self.y, self.found = x, y, found
        self.width, self.height = width, height
        self._lines, self._plain = lines, plain
        self._codes: Codes = np.zeros((height, width), np.uint8)
        self._owner = np.full((height, width), -1, np.int16)
        self._bright = np.zeros((height, width), np.bool_)
        colours = np.array([line.line.colour for line in lines], np.int16)
        raw = raster.codes(found.raw, y, width * CELL_WIDTH)
        self._each = raw.copy()
        """The dots of each line as it is drawn bright."""
        if found.bright is not None:
            self._each[found.has_bright] = raster.codes(found.bright, y, width * CELL_WIDTH)
            self._add(raw[found.has_bright], colours[found.has_bright])
        self._add(self._each, colours, bright=True)

    def rows(self, *, letters: bool = False, cross: float | None = None, named: int | None = None) -> list[list[Piece]]:
        """What is seen: with letters on the lines, a crosshair, one line bright over all others."""
        codes, owner, bright = self._codes, self._owner, self._bright
        if named is not None:
            own = self._each[named]
            codes = np.where(own > 0, own, codes)
            owner = np.where(own > 0, self._lines[named].line.colour, owner)
            bright = own > 0
        over: list[dict[int, Piece]] = [{} for _ in range(self.height)]
        """Cells with a character of their own, by row and column."""
        if letters and named is None:
            for index, line in enumerate(self._lines):
                self._put_letters(over, index, line.line.colour)
        for cell in marked_cells(self.found.raw, "above", self.y):
            over[0][cell] = Piece(ABOVE_MARK, "mark")
        if cross is not None:
            if named is not None:
                self._put_point(over, self._lines[named], cross)
            self._put_upright(over, codes, cross, Piece("│", "cross"))
        for place in dict.fromkeys(place for line in self._lines for place in line.line.begins):
            self._put_upright(over, codes, place, Piece(BEGIN_MARK, "axis"))
        return _rows(codes, owner, bright, over, plain=self._plain)

    def nearest(self, column: int, row: int) -> int | None:
        """The line whose dots are nearest to a cell; None where there are none."""
        across, down = np.arange(self.width, dtype=np.int32) - column, np.arange(self.height, dtype=np.int32) - row
        away = across**2 + (CELL_HEIGHT // CELL_WIDTH * down[:, None]) ** 2
        far = np.where(self._each > 0, away, _NOWHERE).min(axis=(1, 2), initial=_NOWHERE)
        if far.min(initial=_NOWHERE) == _NOWHERE:
            return None
        alike = np.flatnonzero(far == far.min())
        owners = self._owner[max(0, min(row, self.height - 1)), max(0, min(column, self.width - 1))]
        on_top = [at for at in alike.tolist() if self._lines[at].line.colour == owners]
        return int((on_top or alike.tolist())[0])

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

    def _put_letters(self, over: list[dict[int, Piece]], index: int, colour: int) -> None:
        """The line's letter here and there on it, each line's elsewhere."""
        columns = self.found.drawn_bright(index)
        offset = LETTER_EVERY * (index + 1) // (len(self._lines) + 1)
        rows = self.y.place(columns.low / 2 + columns.high / 2)
        for cell in range(offset, self.width, LETTER_EVERY):
            nearest = np.flatnonzero((columns.place // CELL_WIDTH == cell) & np.isfinite(rows))
            if len(nearest):
                over[self._row_of(rows[nearest[0]])][cell] = Piece(palette.letter(colour), "line", colour)

    def _put_point(self, over: list[dict[int, Piece]], line: Smoothed, cross: float) -> None:
        """The place of a line where the crosshair is."""
        cell, row = self._cell_of(cross), self.y.place(value_at(line, cross, log=self.x.log))
        if cell is not None and np.isfinite(row):
            over[self._row_of(float(row))][cell] = Piece(POINT_MARK, "line", line.line.colour)

    def _put_upright(self, over: list[dict[int, Piece]], codes: Codes, at: float, sign: Piece) -> None:
        """A line from top to bottom, behind the curves."""
        cell = self._cell_of(at)
        if cell is not None:
            for row in np.flatnonzero(codes[:, cell] == 0).tolist():
                over[row].setdefault(cell, sign)

    def _cell_of(self, place: float) -> int | None:
        dot = float(self.x.place(place))
        cell = int(np.rint(dot)) // CELL_WIDTH if np.isfinite(dot) else -1
        return cell if 0 <= cell < self.width else None

    def _row_of(self, dot: float) -> int:
        return self.height - 1 - int(np.clip(dot, 0, self.y.dots - 1)) // CELL_HEIGHT


def _rows(
    codes: Codes, owner: Integers, bright: Flags, over: list[dict[int, Piece]], *, plain: bool
) -> list[list[Piece]]:
    """Cells as pieces: those side by side that look alike, and those with a character of their own, are one piece."""
    width = codes.shape[1]
    styles = np.where(codes > 0, owner * 2 + bright, -1)
    text = _characters(codes, plain=plain)
    changes: list[list[int]] = [[] for _ in over]
    for row, column in np.argwhere(np.diff(styles)).tolist():
        changes[row].append(column + 1)
    rows = []
    for at, (style, own) in enumerate(zip(styles.tolist(), over, strict=True)):
        pieces = []
        borders = {0, width, *changes[at], *own, *(column + 1 for column in own)}
        for start, stop in pairwise(sorted(borders)):
            if start in own:
                pieces.append(own[start])
            elif style[start] < 0:
                pieces.append(Piece(" " * (stop - start), "space"))
            else:
                part: Part = "line" if style[start] % 2 else "dim"
                pieces.append(Piece(text[at * width + start : at * width + stop], part, style[start] // 2))
        rows.append(pieces)
    return rows


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
