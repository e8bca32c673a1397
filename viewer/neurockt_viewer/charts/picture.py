"""A chart as rows of styled text: legend, axes with round ticks, lines, marks, crosshair.

Nothing here knows of Textual: the widget and the tests draw through a ``Drawer``.

    train_loss 0.0812  · valid_loss 0.0934          the legend, outside the data
    1.0 ┤⡇
    0.5 ┤⠸⣀⣀⣀⡀
    0.0 ┼──────x──── NaN, and what else has no place, are marked on the axis
        0     500
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, TypeVar

import numpy as np

from neurockt.formatting import clip
from neurockt_viewer.charts import raster, ticks, time_ticks
from neurockt_viewer.charts.bounds import NOTHING, OffScale, Range, off_scale, x_bounds, y_bounds
from neurockt_viewer.charts.legend import legend_rows, short_labels
from neurockt_viewer.charts.pieces import Piece, Smoothed
from neurockt_viewer.charts.plot import Found, Plot, marked_cells
from neurockt_viewer.charts.raster import CELL_HEIGHT, CELL_WIDTH
from neurockt_viewer.charts.scale import Scale, around
from neurockt_viewer.charts.series import ChartSettings, Series

T = TypeVar("T")

LEAST_WIDTH: Final = 24
LEAST_HEIGHT: Final = 6
"""A chart smaller than this has no axes, only its lines."""

NAN_MARK: Final = "x"
BELOW_MARK: Final = "▾"


@dataclass(frozen=True, eq=False)
class Picture:
    """A chart that has been drawn, and what a pointer over it needs to know."""

    rows: list[list[Piece]]
    plot: Plot | None = None
    """None where there is nothing to see."""
    left: int = 0
    """Cells to the left of the plot, and rows above it."""
    top: int = 0
    width: int = 0
    """Cells of the plot."""
    height: int = 0
    off: OffScale = NOTHING
    """Of all lines together."""

    @property
    def x(self) -> Scale | None:
        return self.plot.x if self.plot else None

    @property
    def y(self) -> Scale | None:
        return self.plot.y if self.plot else None


@dataclass(frozen=True, eq=False)
class _Seen:
    """What of the lines is within the window, and in which column of a plot that is so wide."""

    width: int
    found: Found
    y_range: tuple[float, float]
    off: list[OffScale]


class Drawer:
    """Draws a chart again and again; what has not changed since the last time, such as the curves, is kept."""

    def __init__(self) -> None:
        self._of: tuple[object, ...] = ()
        """The lines drawn last, and how."""
        self._kept: dict[tuple[object, ...], dict[str, tuple[object, Any]]] = {(): {}}
        """What was made for them, and for what has been drawn ahead."""
        self._known = self._kept[()]

    def draw(
        self,
        lines: Sequence[Smoothed],
        settings: ChartSettings,
        width: int,
        height: int,
        *,
        title: str = "",
        cross: float | None = None,
        named: int | None = None,
        ahead: bool = False,
    ) -> Picture:
        """The chart, ``width`` cells wide and ``height`` rows high.

        Args:
            lines: its lines.
            settings: how they are drawn.
            width: of the chart with its axes.
            height: of the chart with its legend and its axes.
            title: what the legend begins with.
            cross: the position of the crosshair on x.
            named: the index of the line that is named first and drawn bright over all others.
            ahead: it may be drawn next, and what has been drawn may stay: both are kept.
        """
        of = (*lines, settings, width)
        if of not in self._kept:
            self._kept = {self._of: self._kept[self._of], of: {}} if ahead else {of: {}}
        self._known = self._kept[of]
        if not ahead:
            self._of = of
        picture = self._once(
            "picture",
            lambda: self._draw(lines, settings, width, height, title, cross, named),
            (height, title, cross, named),
        )
        return replace(picture, rows=[_in_ascii(row) for row in picture.rows]) if settings.plain else picture

    def _once(self, name: str, make: Callable[[], T], key: object = None) -> T:
        """What was made under that name, and with that key, the last time."""
        if name not in self._known or self._known[name][0] != key:
            self._known[name] = key, make()
        made: T = self._known[name][1]
        return made

    def _draw(
        self,
        lines: Sequence[Smoothed],
        settings: ChartSettings,
        width: int,
        height: int,
        title: str,
        cross: float | None,
        named: int | None,
    ) -> Picture:
        if width < 1 or height < 1:
            return Picture([])
        bare = width < LEAST_WIDTH or height < LEAST_HEIGHT
        x_range = x_bounds([line.line.series for line in lines], settings)
        likely = -1 if bare else self._once("likely", lambda: _likely_gutter(lines, settings, x_range, height), height)
        seen = x_range and self._once("seen", lambda: _seen(lines, settings, x_range, width - likely - 1), likely)
        off = seen.off if seen else [NOTHING] * len(lines)
        labels = self._once("labels", lambda: short_labels(lines, width))
        more: dict[str, Any] = {"title": title, "cross": cross, "named": named, "off": off, "labels": labels}
        heading = [] if height < 3 else legend_rows(lines, settings, width, height, **more)
        if x_range is None or not seen:
            return _empty(heading, lines, settings, width, height)
        plot_height = height - len(heading) - (0 if bare else 2)
        y = Scale(*seen.y_range, plot_height * CELL_HEIGHT, settings.log_y)
        y_ticks = [] if bare else _y_ticks(y, plot_height)
        gutter = -1 if bare else _gutter(y_ticks)
        plot_width = width - gutter - 1
        x = Scale(*x_range, plot_width * CELL_WIDTH, settings.is_log_x)
        found = seen.found if plot_width == seen.width else self._once("found", lambda: _columns(lines, settings, x), x)
        plot = self._once(
            "plot",
            lambda: Plot(lines, found, plot_width, plot_height, x, y, settings.plain),
            (plot_width, plot_height),
        )
        rows = plot.rows(letters=settings.letters, cross=cross, named=named)
        if not bare:
            marks = marked_cells(plot.found.raw, "nan"), marked_cells(plot.found.raw, "below", y)
            rows = _with_y_axis(rows, y_ticks, y, gutter) + _x_axis(x, settings, gutter, plot_width, marks)
        left, top = gutter + 1, len(heading)
        return Picture((heading + rows)[:height], plot, left, top, plot_width, plot_height, sum(off, NOTHING))


def _seen(lines: Sequence[Smoothed], settings: ChartSettings, x_range: Range, width: int) -> _Seen | None:
    found = _columns(lines, settings, Scale(*x_range, width * CELL_WIDTH, settings.is_log_x))
    y_range = settings.y_window or y_bounds(found.raw, settings)
    if y_range is None:
        return None
    off = off_scale(_raw(lines, settings), found.raw, Scale(*y_range, 1, settings.log_y))
    return _Seen(width, found, y_range, off)


def _likely_gutter(lines: Sequence[Smoothed], settings: ChartSettings, x_range: Range | None, height: int) -> int:
    """The gutter where the chart shows all values within the window, below a legend of one row."""
    low, high = settings.y_window or (math.inf, -math.inf)
    if x_range is not None and settings.y_window is None:
        for series in _raw(lines, settings):
            cut = slice(int(np.searchsorted(series.x, x_range[0])), int(np.searchsorted(series.x, x_range[1], "right")))
            low = min(low, float(np.fmin.reduce(series.low[cut], initial=math.inf)))
            high = max(high, float(np.fmax.reduce(series.high[cut], initial=-math.inf)))
    if low > high:
        return 0
    return _gutter(_y_ticks(Scale(*around(low, high, log=settings.log_y), 1, settings.log_y), height - 3))


def _y_ticks(y: Scale, height: int) -> list[ticks.Tick]:
    make = ticks.log_ticks if y.log else ticks.linear_ticks
    return make(y.low, y.high, max(2, min(height // 2, max(4, height // 3))))


def _gutter(y_ticks: Sequence[ticks.Tick]) -> int:
    return max((len(tick.label) for tick in y_ticks), default=0) + 1


def _raw(lines: Sequence[Smoothed], settings: ChartSettings) -> list[Series]:
    return [_drawn(line.line.series, settings) for line in lines]


def _columns(lines: Sequence[Smoothed], settings: ChartSettings, x: Scale) -> Found:
    raw = _raw(lines, settings)
    bright = [_drawn(line.bright, settings) for line in lines if line.bright is not None]
    has_bright = np.array([line.bright is not None for line in lines], np.bool_)
    return Found(raster.columns(raw, x), raster.columns(bright, x) if bright else None, has_bright)


def _drawn(series: Series, settings: ChartSettings) -> Series:
    return series.above_zero if settings.log_y else series


_ASCII: Final = str.maketrans("│┤─└┬━▴▾…┊▸◆", "|+-++-^v~:>*")


def _in_ascii(row: list[Piece]) -> list[Piece]:
    return [piece._replace(text=piece.text.translate(_ASCII).encode("ascii", "replace").decode()) for piece in row]


def _empty(
    heading: list[list[Piece]], lines: Sequence[Smoothed], settings: ChartSettings, width: int, height: int
) -> Picture:
    rows = [*heading, *([[]] * height)][:height]
    if not any(len(line.line.series) for line in lines):
        note = "reading …" if any(line.line.approximate for line in lines) else "no values yet"
    elif settings.window:
        note = "nothing here; 0 resets the zoom"
    elif settings.log_y or settings.is_log_x:
        note = f"nothing above 0; {'Y' if settings.log_y else 'X'} leaves the logarithm"
    else:
        note = "no finite values"
    middle = (height + len(heading)) // 2
    if middle < height:
        rows[middle] = [Piece(clip(note, width).center(width), "note")]
    return Picture(rows, None, 0, len(heading), width, height - len(heading))


# The axes


def _with_y_axis(body: list[list[Piece]], y_ticks: list[ticks.Tick], y: Scale, gutter: int) -> list[list[Piece]]:
    labels = {}
    for tick in y_ticks:
        dot = int(np.rint(float(y.place(tick.value))))
        labels[len(body) - 1 - dot // CELL_HEIGHT] = tick.label
    return [
        [Piece(labels.get(row, "").rjust(gutter), "tick"), Piece("┤" if row in labels else "│", "axis"), *pieces]
        for row, pieces in enumerate(body)
    ]


def _x_axis(
    x: Scale, settings: ChartSettings, gutter: int, width: int, marks: tuple[set[int], set[int]]
) -> list[list[Piece]]:
    """The axis with its marks, and the labels below it."""
    placed = x_labels(x, settings, width)
    line = ["─"] * width
    for cell, _, _ in placed:
        line[cell] = "┬"
    pieces = [Piece(" " * gutter, "space"), Piece("└", "axis")]
    nan, below = marks
    start = 0
    for cell in sorted(nan | below):
        pieces.append(Piece("".join(line[start:cell]), "axis"))
        pieces.append(Piece(NAN_MARK if cell in nan else BELOW_MARK, "mark"))
        start = cell + 1
    pieces.append(Piece("".join(line[start:]), "axis"))
    labels, used = [Piece(" " * (gutter + 1), "space")], 0
    for _, begin, label in placed:
        labels += [Piece(" " * (begin - used), "space"), Piece(label, "tick")]
        used = begin + len(label)
    return [pieces, labels]


@lru_cache(maxsize=64)
def x_labels(x: Scale, settings: ChartSettings, width: int) -> list[tuple[int, int, str]]:
    """The ticks of x: the cell of each, where its label begins, and the label; as many as fit with room between."""
    for most in range(max(2, width // 8), 0, -1):
        placed, free = [], 0
        for tick in x_ticks(x, settings, most):
            cell = int(np.rint(float(x.place(tick.value)))) // CELL_WIDTH
            begin = min(max(0, cell - len(tick.label) // 2), width - len(tick.label))
            if begin < free or not 0 <= cell < width:
                break
            placed.append((cell, begin, tick.label))
            free = begin + len(tick.label) + 2
        else:
            if placed:
                return placed
    return []


def x_ticks(x: Scale, settings: ChartSettings, most: int) -> list[ticks.Tick]:
    if settings.axis == "wall":
        return time_ticks.clock_ticks(x.low, x.high, most)
    if settings.axis == "relative":
        make = time_ticks.log_duration_ticks if settings.is_log_x else time_ticks.duration_ticks
    else:
        make = ticks.log_ticks if settings.is_log_x else ticks.linear_ticks
    found = make(x.low, x.high, most)
    if settings.axis in ("step", "epoch") and not all(tick.value.is_integer() for tick in found):
        whole = [tick.value for tick in found if tick.value.is_integer()]  # there is no step 0.5
        whole = whole if x.log else ticks.multiples(x.low, x.high, 1, 0)[:most]
        return [ticks.Tick(value, f"{value:,.0f}") for value in whole if value >= 0] or found
    return found
