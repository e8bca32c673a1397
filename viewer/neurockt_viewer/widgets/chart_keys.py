"""The keys of charts, and one rule of what they change: a key for x changes all charts, a key for y only its own.

So does what belongs to neither: the crosshair, smoothing, which is along x, and how curves are marked are the same in
all charts.
"""

from __future__ import annotations

from typing import Any, Final

from textual.binding import Binding

from neurockt_viewer.charts.series import Axis

OWN: Final = ("log_y", "y_range", "y_window")
"""The settings of a chart that are its own; all others are those of all charts."""
AXIS_NAMES: Final[dict[Axis, str]] = {
    "step": "step",
    "epoch": "epoch",
    "relative": "time since the start",
    "wall": "time of day",
}


def _key(keys: str, action: str, title: str, words: str, **options: Any) -> Binding:
    return Binding(keys, action, title, tooltip=words, id=f"chart.{title.lower().replace(' ', '_')}", **options)


CHART_KEYS: Final = (
    _key("x", "axis", "X axis", "x by step, epoch, time since the start, time of day; all charts"),
    _key("s", "smooth(1)", "Smooth", "average over more of x; all charts"),
    _key("S", "smooth(-1)", "Smooth less", "average over less of x; all charts", show=False),
    _key("Y", "log('log_y')", "Log y", "logarithmic or linear y; this chart"),
    _key("X", "log('log_x')", "Log x", "logarithmic or linear x; all charts", show=False),
    _key("o", "y_range", "Y range", "y without what flattens the rest, all of it, or closer; this chart", show=False),
    _key("i", "cross", "Inspect", "a crosshair, with exact values; all charts"),
    _key("plus,equals_sign", "zoom(1)", "Zoom", "zoom in on x, about the crosshair; all charts", key_display="+"),
    _key("minus", "zoom(-1)", "Zoom out", "zoom out of x; all charts", key_display="-", show=False),
    _key("0", "whole", "Reset zoom", "see all of x again; all charts", show=False),
    _key("left,h", "move(-1)", "Left", "move the crosshair or the zoomed part of x; else go left", show=False),
    _key("right,l", "move(1)", "Right", "move the crosshair or the zoomed part of x; else go right", show=False),
    _key("up,k", "name(-1)", "Curve above", "name the next curve above, at the crosshair", show=False),
    _key("down,j", "name(1)", "Curve below", "name the next curve below, at the crosshair", show=False),
    _key("m", "letters", "Letter labels", "letters on the curves; all charts", show=False),
)

GRID_KEYS: Final = (
    _key("enter", "large", "Enlarge", "see only this chart, or all again"),
    _key("b", "band", "Bands", "draw runs that differ only in the seed as their mean and range; all charts"),
    _key("slash", "search", "Search", "see only charts whose names have these words", key_display="/"),
    _key("t", "pair", "Train+valid", "training and validation of a metric in one chart, or apart"),
    _key("e", "export", "Export", "write the points of this chart to a file"),
    _key("pagedown,right_square_bracket", "page(1)", "Next page", "the next charts", key_display="]"),
    _key("pageup,left_square_bracket", "page(-1)", "Previous page", "the charts before", show=False),
    _key("escape", "back", "Back", "leave the crosshair, the zoom, the enlarged chart, the search", show=False),
    _key("up,k", "focus_by(-1, True)", "Up", "to the chart above", show=False),
    _key("down,j", "focus_by(1, True)", "Down", "to the chart below", show=False),
)
