"""What a drawn chart is made of: pieces of text, each of one style, and lines with what is drawn bright over them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from neurockt_viewer.charts.series import Line, Series
from neurockt_viewer.charts.smoothing import smooth

Part = Literal["line", "dim", "axis", "tick", "title", "value", "note", "mark", "cross", "space"]
"""What a piece of text is; the widget knows its colours."""


class Piece(NamedTuple):
    text: str
    part: Part
    colour: int = -1
    """Index into the palette, of what belongs to a line."""


@dataclass(frozen=True)
class Smoothed:
    line: Line
    bright: Series | None


def smoothed(line: Line, scale: float, *, log_x: bool = False) -> Smoothed:
    """The line with its mean, or with its smoothed self, to be drawn bright over the raw values.

    ``scale`` is a distance on x, or of its logarithm to base 10 where that is what is drawn; 0 for no smoothing.
    """
    if scale <= 0 and not line.band:
        return Smoothed(line, None)
    series = line.series
    with np.errstate(divide="ignore", invalid="ignore"):
        places = np.log10(series.x) if log_x else series.x
    return Smoothed(line, series.with_values(smooth(places, series.mean, scale)))
