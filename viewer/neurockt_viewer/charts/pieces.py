"""What a drawn chart is made of: pieces of text, each of one style, and lines with what is drawn bright over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from neurockt_viewer.charts.series import Line, Series
from neurockt_viewer.charts.smoothing import smooth

Part = Literal["line", "dim", "axis", "tick", "title", "value", "note", "mark", "cross", "space"]
"""What a piece of text is; the widget knows its colours."""


class Piece(NamedTuple):
    text: str
    part: Part
    colour: int = -1
    """Index into the palette, of what belongs to a line."""


@dataclass(frozen=True, eq=False)
class Smoothed:
    line: Line
    bright: Series | None


def smoothed(line: Line, weight: float) -> Smoothed:
    """The line with its mean, or with its smoothed self, to be drawn bright over the raw values."""
    if weight <= 0 and not line.band:
        return Smoothed(line, None)
    series = line.series
    return Smoothed(line, series.with_values(smooth(series.mean, weight, series.count)))
