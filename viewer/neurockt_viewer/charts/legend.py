"""The legend of a chart: the names of its lines, with their last values or those at the crosshair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from neurockt.formatting import clean, clip, display_width, format_number
from neurockt.shortening import shorten
from neurockt_viewer.charts import palette, time_ticks
from neurockt_viewer.charts.bounds import NOTHING, OffScale
from neurockt_viewer.charts.pieces import Piece, Smoothed
from neurockt_viewer.charts.pointing import nearest, nearest_place
from neurockt_viewer.charts.series import Axis, ChartSettings, YRange

NAMED_MARK: Final = "▸"
GAP: Final = 2
"""Cells between two entries."""
LEAST_NAME: Final = 12
"""Cells that a name has at least, however narrow the chart."""
Y_NOTES: Final[dict[YRange, str]] = {"close": "y: without the outermost", "all": "y: all values"}


def short_labels(lines: Sequence[Smoothed], width: int) -> list[str]:
    """The names of the lines for the legend of a chart that is so wide."""
    return shorten([clean(line.line.label) for line in lines], max(LEAST_NAME, width // 3))


def legend_rows(
    lines: Sequence[Smoothed],
    settings: ChartSettings,
    width: int,
    height: int,
    *,
    labels: Sequence[str],
    off: Sequence[OffScale],
    title: str = "",
    cross: float | None = None,
    named: int | None = None,
) -> list[list[Piece]]:
    """The names of the lines with their last values, the named line first; with a crosshair, their values there.

    There are never more than a quarter of the chart's rows; what has no place is counted.
    """
    entries: list[list[Piece]] = []
    if named is not None:
        whole = clean(lines[named].line.label)
        entries.append(_entry(lines[named], whole, settings, cross, off[named], sign=NAMED_MARK))
    if title:
        entries.append([Piece(clean(title), "title")])
    if logarithmic := [name for name, log in (("x", settings.is_log_x), ("y", settings.log_y)) if log]:
        entries.append([Piece(f"log {' and '.join(logarithmic)}", "note")])
    if not settings.log_y and settings.y_range != "usual":
        entries.append([Piece(Y_NOTES[settings.y_range], "note")])
    if len(lines) > 1 and (total := sum(off, NOTHING)).count:
        entries.append([Piece(f"{total}", "mark"), Piece(_way_out(settings), "note")])
    if cross is not None and lines:
        place = nearest_place(lines if named is None else [lines[named]], cross)
        entries.append([Piece(place_label(place, settings.axis), "note")])
    others = [at for at in range(len(lines)) if at != named]
    several = len(lines) > 1 or settings.letters
    made = (
        _entry(lines[at], labels[at], settings, cross, off[at], sign=_sign(lines[at], settings) if several else "")
        for at in others
    )
    return _flow(chain(entries, made), len(entries) + len(others), width, max(1, (height - 4) // 4))


def _way_out(settings: ChartSettings) -> str:
    """Which key brings what is off the scale into sight."""
    return ", o shows all" if settings.y_range == "usual" else ""


def _sign(line: Smoothed, settings: ChartSettings) -> str:
    return palette.letter(line.line.colour) if settings.letters else "━"


def _entry(
    line: Smoothed, label: str, settings: ChartSettings, cross: float | None, off: OffScale, *, sign: str
) -> list[Piece]:
    series, colour = line.line.series, line.line.colour
    pieces = [Piece(f"{sign} ", "line", colour)] if sign else []
    pieces.append(Piece(label, "line", colour))
    at = len(series) - 1 if cross is None else nearest(series, cross, log=settings.is_log_x)
    if at >= 0 and not line.line.approximate:
        raw = series.last[at] if cross is None else series.first[at]
        pieces.append(Piece(f" {format_number(float(raw)) if cross is None else repr(float(raw))}", "value"))
        if line.bright is not None and settings.smoothing:
            pieces.append(Piece(f" ~{format_number(float(line.bright.last[at]))}", "note"))
    remarks = [clean(line.line.note)] if line.line.note else []
    for counts, word in ((series.nan, "NaN"), (series.above, "inf"), (series.below, "-inf")):
        if counts is not None:
            remarks.append(f"{int(counts.sum()):,} {word}")
    if off.count:
        remarks.append(f"{off}{'' if sign else _way_out(settings)}")
    if settings.log_y and series.refused_by_log:
        remarks.append(f"{series.refused_by_log:,} not above 0")
    if remarks:
        pieces.append(Piece(f" ({', '.join(remarks)})", "note"))
    return pieces


def _room(left: int, *, last: bool) -> int:
    """Cells for how many entries have no place, after what is in the last row."""
    return len(f"  +{left}") if last and left else 0


def _flow(entries: Iterable[list[Piece]], count: int, width: int, most: int) -> list[list[Piece]]:
    """The entries in rows, and how many more there are where they do not fit."""
    rows: list[list[Piece]] = [[]]
    used = 0
    for index, entry in enumerate(entries):
        size = sum(display_width(piece.text) for piece in entry)
        left = count - index
        if used and used + GAP + size > width - _room(left - 1, last=len(rows) == most):
            if len(rows) == most:
                rows[-1].append(Piece(clip(f"  +{left}", max(1, width - used)), "note"))
                return rows
            rows.append([])
            used = 0
        if used:
            rows[-1].append(Piece(" " * GAP, "space"))
            used += GAP
        end = max(1, width - _room(left - 1, last=len(rows) == most))
        for piece in entry:
            if text := clip(piece.text, end - used) if used < end else "":
                rows[-1].append(piece._replace(text=text))
                used += display_width(text)
    return rows


def place_label(place: float, axis: Axis) -> str:
    if axis == "wall":
        return time_ticks.moment_label(place)
    if axis == "relative":
        return f"{time_ticks.duration_label(place)} in"
    return f"{axis} {format_number(place)}" if place != round(place) else f"{axis} {int(place):,}"
