"""The legend of a chart: the names of its lines, with their last values or those at the crosshair."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

from neurockt.formatting import clean, clip, display_width, format_number
from neurockt_viewer.charts import palette, time_ticks
from neurockt_viewer.charts.bounds import OffScale
from neurockt_viewer.charts.pieces import Piece, Smoothed
from neurockt_viewer.charts.pointing import nearest, nearest_place
from neurockt_viewer.charts.series import Axis, ChartSettings, YRange

NAMED_MARK: Final = "▸"
Y_NOTES: Final[dict[YRange, str]] = {"close": "y: without the outermost", "all": "y: all values"}


def legend_rows(
    lines: Sequence[Smoothed],
    settings: ChartSettings,
    width: int,
    height: int,
    title: str,
    cross: float | None,
    off: Sequence[OffScale],
    named: int | None = None,
) -> list[list[Piece]]:
    """The names of the lines with their last values, the named line first; with a crosshair, their values there.

    It never has more than a quarter of the rows; what has no place is counted.
    """
    entries: list[list[Piece]] = []
    if title:
        entries.append([Piece(clean(title), "title")])
    if logarithmic := [name for name, log in (("x", settings.is_log_x), ("y", settings.log_y)) if log]:
        entries.append([Piece(f"log {' and '.join(logarithmic)}", "note")])
    if not settings.log_y and settings.y_range != "usual":
        entries.append([Piece(Y_NOTES[settings.y_range], "note")])
    if len(lines) > 1 and (total := sum(off, OffScale())).count:
        entries.append([Piece(f"{total}", "mark")])
    if cross is not None and lines:
        entries.append([Piece(place_label(nearest_place(lines, cross), settings.axis), "note")])
    order = sorted(range(len(lines)), key=lambda at: at != named)
    made = (_entry(lines[at], settings, cross, len(lines) > 1, off[at], is_named=at == named) for at in order)
    return _flow(chain(entries, made), len(entries) + len(lines), width, max(1, (height - 4) // 4))


def _entry(
    line: Smoothed, settings: ChartSettings, cross: float | None, several: bool, off: OffScale, *, is_named: bool
) -> list[Piece]:
    series, colour = line.line.series, line.line.colour
    sign = NAMED_MARK if is_named else palette.letter(colour) if settings.letters else "━"
    pieces = [Piece(f"{sign} ", "line", colour)] if several or settings.letters else []
    pieces.append(Piece(clean(line.line.label), "line", colour))
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
        remarks.append(str(off))
    if settings.log_y and series.refused_by_log:
        remarks.append(f"{series.refused_by_log:,} not above 0")
    if remarks:
        pieces.append(Piece(f" ({', '.join(remarks)})", "note"))
    return pieces


def _flow(entries: Iterable[list[Piece]], count: int, width: int, most: int) -> list[list[Piece]]:
    """The entries in rows, and how many more there are where they do not fit."""
    rows: list[list[Piece]] = [[]]
    used = 0
    for index, entry in enumerate(entries):
        size = sum(display_width(piece.text) for piece in entry)
        gap = 2 if used else 0
        left = count - index
        reserve = 0 if left == 1 or len(rows) < most else len(f"  +{left}")
        if used and used + gap + size > width - reserve:
            if len(rows) == most:
                rows[-1].append(Piece(clip(f"  +{left}", max(1, width - used)), "note"))
                return rows
            rows.append([])
            used, gap = 0, 0
        if gap:
            rows[-1].append(Piece("  ", "space"))
        for piece in entry:
            text = clip(piece.text, max(1, width - used - gap)) if used + gap < width else ""
            if text:
                rows[-1].append(piece._replace(text=text))
                used += display_width(text)
        used += gap
    return rows


def place_label(place: float, axis: Axis) -> str:
    if axis == "wall":
        return time_ticks.moment_label(place)
    if axis == "relative":
        return f"{time_ticks.duration_label(place)} in"
    return f"{axis} {format_number(place)}" if place != round(place) else f"{axis} {int(place):,}"
