"""A chart for elsewhere: as a vector drawing, and as the points it shows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from neurockt.formatting import clean
from neurockt_viewer.charts import palette, raster, ticks
from neurockt_viewer.charts.picture import x_bounds, x_ticks, y_bounds
from neurockt_viewer.charts.pieces import Smoothed
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import ChartSettings, Series

WIDTH: Final = 960
HEIGHT: Final = 540
_LEFT: Final = 80
_RIGHT: Final = 20
_TOP: Final = 40
_BOTTOM: Final = 50
_LEGEND_ROW: Final = 18
_DASHES: Final = ("", "8 3", "3 3", "12 3 3 3", "1 3")
"""Tell lines apart in print."""
_NO_XML: Final = re.compile("[\ufffe\uffff]")
"""What XML forbids and a terminal does not mind."""


def to_svg(lines: Sequence[Smoothed], settings: ChartSettings, heading: str = "") -> str:
    """What is seen of the chart, exact to a quarter of a pixel; nothing in it is fetched or run."""
    top = _TOP + _LEGEND_ROW * len(lines)
    height = HEIGHT + _LEGEND_ROW * len(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="24" font-size="16" font-weight="bold">{_text(heading)}</text>',
    ]
    for index, line in enumerate(lines):
        y = _TOP + _LEGEND_ROW * index + 6
        parts.append(f'<path d="M{_LEFT} {y}h28" {_stroke(line, 2)}/>')
        parts.append(f'<text x="{_LEFT + 36}" y="{y + 4}">{_text(line.line.label)}</text>')
    x_range = x_bounds([line.line.series for line in lines], settings)
    if x_range is not None:
        plot_width, plot_height = WIDTH - _LEFT - _RIGHT, height - top - _BOTTOM
        x = Scale(*x_range, plot_width * 2, settings.log_x)
        shown = [line.line.series.above_zero if settings.log_y else line.line.series for line in lines]
        y_range = settings.y_window or y_bounds([raster.columns(series, x) for series in shown], settings)
        if y_range is not None:
            y_scale = Scale(*y_range, plot_height * 4, settings.log_y)
            parts += _axes(x, y_scale, settings, top, plot_width, plot_height)
            parts.append(
                f'<svg x="{_LEFT}" y="{top}" width="{plot_width}" height="{plot_height}"'
                f' viewBox="0 0 {plot_width} {plot_height}">'
            )
            for line, series in zip(lines, shown, strict=True):
                faint = ' opacity="0.35"' if line.bright is not None else ""
                parts.append(f'<path d="{_path(series, x, y_scale)}" {_stroke(line, 1)}{faint}/>')
            for line in lines:
                if line.bright is not None:
                    bright = line.bright.above_zero if settings.log_y else line.bright
                    parts.append(f'<path d="{_path(bright, x, y_scale)}" {_stroke(line, 2)}/>')
            parts.append("</svg>")
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    return escape(_NO_XML.sub("\N{REPLACEMENT CHARACTER}", clean(text)))


def _stroke(line: Smoothed, width: float) -> str:
    index = line.line.colour
    dash = _DASHES[index % len(_DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash and width > 1 else ""
    colour = palette.colour(index, dark=False)
    return f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-linecap="round"{dashes}'


def _path(series: Series, x: Scale, y: Scale) -> str:
    """A stroke from the smallest to the largest value of each column, and from each column to the next."""
    found = raster.columns(series, x)
    place = found.place / 2
    low, high, first, last = (
        (y.dots - 1 - y.place(values)) / 4 for values in (found.low, found.high, found.first, found.last)
    )
    strokes = []
    for at in np.flatnonzero(np.isfinite(low) & np.isfinite(high)).tolist():
        strokes.append(f"M{place[at]:.2f} {low[at]:.2f}L{place[at]:.2f} {high[at]:.2f}")
    for at in np.flatnonzero(found.joined).tolist():
        if np.isfinite(last[at - 1]) and np.isfinite(first[at]):
            strokes.append(f"M{place[at - 1]:.2f} {last[at - 1]:.2f}L{place[at]:.2f} {first[at]:.2f}")
    return "".join(strokes)


def _axes(x: Scale, y: Scale, settings: ChartSettings, top: int, width: int, height: int) -> list[str]:
    parts = [f'<path d="M{_LEFT} {top}v{height}h{width}" fill="none" stroke="#888888"/>']
    for tick in x_ticks(x, settings, 9):
        at = _LEFT + float(x.place(tick.value)) / 2
        parts.append(f'<path d="M{at:.1f} {top}v{height + 5}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="{at:.1f}" y="{top + height + 20}" text-anchor="middle">{_text(tick.label)}</text>')
    make = ticks.log_ticks if settings.log_y else ticks.linear_ticks
    for tick in make(y.low, y.high, 8):
        at = top + (y.dots - 1 - float(y.place(tick.value))) / 4
        parts.append(f'<path d="M{_LEFT - 5} {at:.1f}h{width + 5}" stroke="#e0e0e0"/>')
        parts.append(f'<text x="{_LEFT - 9}" y="{at + 4:.1f}" text-anchor="end">{_text(tick.label)}</text>')
    parts.append(f'<text x="{_LEFT + width / 2}" y="{top + height + 40}" text-anchor="middle">{settings.axis}</text>')
    return parts


def to_csv(lines: Sequence[Smoothed], settings: ChartSettings) -> str:
    """The points within the window, every float in full; of a stretch of values its extremes and its mean."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["line", settings.axis, "value", "low", "high", "values"])
    for line in lines:
        series = line.line.series
        start, stop = 0, len(series)
        if settings.window:
            start = int(np.searchsorted(series.x, settings.window[0]))
            stop = int(np.searchsorted(series.x, settings.window[1], side="right"))
        seen = series.part(start, stop)
        counts = np.ones(len(seen), np.int64) if seen.count is None else seen.count
        single = (seen.low == seen.high) | (counts == 0)
        value = np.where(single, seen.first, seen.mean)
        places = [int(place) if place.is_integer() else place for place in seen.x.tolist()]
        columns = [places, *(column.tolist() for column in (value, seen.low, seen.high, counts))]
        label = line.line.label.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which csv refuses before Python 3.11
        writer.writerows([label, *row] for row in zip(*columns, strict=True))
    return file.getvalue()


def free_path(folder: Path, name: str, ending: str) -> Path:
    """A file in ``folder`` that is not there yet, called after ``name`` as far as file names go."""
    plain = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:80] or "chart"
    path = folder / f"{plain}{ending}"
    number = 2
    while path.exists():
        path = folder / f"{plain}-{number}{ending}"
        number += 1
    return path
