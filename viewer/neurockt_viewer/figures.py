"""Figures for papers, drawn by matplotlib: what the charts show, as PNG, SVG or PDF.

A curve of millions of rows is drawn from its extremes: of each column of the figure's pixels, the smallest and the
largest value and the first and the last one.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neurockt.errors import MissingExtra, UsageError
from neurockt.formatting import clean
from neurockt.store import files
from neurockt_viewer.charts import palette
from neurockt_viewer.charts.bounds import smoothing_scale
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.series import Axis, ChartSettings, Floats, Line, Series, condensed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS: Final = (".png", ".svg", ".pdf")
COLUMNS: Final = 4000
"""Pixel columns of a curve, at most: those of a figure of 13 inches at 300 dots an inch."""
BAND: Final = 0.22
"""Opacity of a band, and of the raw curve behind a smoothed one."""
_AXIS_LABELS: Final[dict[Axis, str]] = {"step": "step", "epoch": "epoch", "relative": "time", "wall": ""}
_UNITS: Final = ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))


@dataclass(frozen=True)
class Chart:
    """One plot of a figure."""

    title: str
    lines: Sequence[Line]


@dataclass(frozen=True)
class Look:
    """How a figure looks."""

    settings: ChartSettings = field(default_factory=ChartSettings)
    """What is drawn; of the ranges, ``window`` or else ``x_range``."""
    y_range: tuple[float, float] | None = None
    """None for all of y."""
    title: str = ""
    x_label: str | None = None
    y_label: str | None = None
    labels: tuple[str, ...] = ()
    """What the legend calls the curves, in their order, in place of their own names."""
    legend: bool = True
    size: tuple[float, float] | None = None
    """Width and height in inches; default 4 by 3 for each plot."""
    font: str = ""
    font_size: float | None = None
    """In points; default: that of the style, else 9."""
    style: str = ""
    """The name or the file of a style of matplotlib."""
    dots: int = 200
    """Dots an inch, of a PNG."""


def save(path: Path, charts: Sequence[Chart], look: Look) -> None:
    """Draw the charts side by side, and put the figure in a file, by the ending of its name.

    Raises:
        MissingExtra: matplotlib is not installed.
        UsageError: there is no such style or font, the figure is too small or too large, or the name has another
            ending.
        OSError: the file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise UsageError(f"{path.name}: end the name of a figure in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    try:
        import matplotlib as mpl
        from matplotlib import font_manager, style
    except ImportError as error:
        raise MissingExtra("figures need matplotlib: pip install 'neurockt[plot]'") from error
    usual: Any = {
        "font.size": 9.0,
        "pdf.fonttype": 42,  # text that journals can search
        "svg.hashsalt": "neurockt",  # the same figure gives the same file
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    wanted: Any = {"font.family": look.font, "font.size": look.font_size}
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[ending]
    kind = ending.removeprefix(".")
    try:
        with mpl.rc_context(usual), style.context(look.style or []), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a glyph that the font lacks is a box, limits that are equal are widened
            warnings.filterwarnings("error", "constrained_layout not applied")
            mpl.rcParams |= {name: value for name, value in wanted.items() if value}
            if look.font:
                font_manager.findfont(look.font, fallback_to_default=False)
            figure = _draw(charts, look)
            data = BytesIO()  # matplotlib does not survive that a file cannot be written
            figure.savefig(data, format=kind, dpi=look.dots, metadata=metadata, bbox_inches="tight")
            files.publish_bytes(path, data.getvalue())
    except UserWarning:
        width, height = _size(charts, look)
        raise UsageError(f"a figure of {width:g} by {height:g} inches has no room for its axes") from None
    except (ValueError, RuntimeError) as error:  # of matplotlib: a font that there is not, or too many or few pixels
        raise UsageError(f"matplotlib cannot draw this: {error}") from None
    except OSError as error:
        if look.style and error.filename is None:
            raise UsageError(f"matplotlib has no style {look.style!r}, and there is no such file") from None
        raise


def _draw(charts: Sequence[Chart], look: Look) -> Figure:
    from matplotlib.figure import Figure

    width, height = _size(charts, look)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, len(charts), squeeze=False)[0]
    columns = min(COLUMNS, max(100, int(width / len(charts) * look.dots)))
    for chart, plot in zip(charts, axes, strict=True):
        _draw_chart(plot, chart, look, columns)
    if look.title:
        figure.suptitle(clean(look.title)).set_parse_math(False)
    return figure


def _size(charts: Sequence[Chart], look: Look) -> tuple[float, float]:
    return look.size or (4.0 * len(charts), 3.0)


def _draw_chart(plot: Axes, chart: Chart, look: Look, columns: int) -> None:
    settings = look.settings
    if settings.is_log_x:
        plot.set_xscale("log")
    if settings.log_y:
        plot.set_yscale("log")
    unit, unit_name = _unit(chart.lines) if settings.axis == "relative" else (1.0, "")
    names = [*look.labels[: len(chart.lines)], *(line.label for line in chart.lines[len(look.labels) :])]
    scale = smoothing_scale([line.series for line in chart.lines], settings)
    for line, name in zip(chart.lines, names, strict=True):
        _draw_line(plot, line, clean(name), settings, scale, unit, columns)
    x_label = (
        look.x_label
        if look.x_label is not None
        else f"{_AXIS_LABELS[settings.axis]}{f' ({unit_name})' * bool(unit_name)}"
    )
    plot.set_xlabel(clean(x_label)).set_parse_math(False)
    plot.set_ylabel(clean(look.y_label if look.y_label is not None else chart.title)).set_parse_math(False)
    plot.margins(x=0.01)
    _place_ticks(plot, settings)
    if x_range := settings.window or settings.x_range:
        plot.set_xlim(*_places(np.array(x_range), settings.axis, unit))
    if look.y_range:
        plot.set_ylim(*look.y_range)
    if look.legend and (len(chart.lines) > 1 or look.labels):
        for text in plot.legend(frameon=False).get_texts():
            text.set_parse_math(False)


def _place_ticks(plot: Axes, settings: ChartSettings) -> None:
    """Whole steps and epochs, and times with room between them."""
    from matplotlib import ticker

    if settings.axis == "wall":
        dates: Any = import_module("matplotlib.dates")  # it has no types
        zone = datetime.now().astimezone().tzinfo
        locator = dates.AutoDateLocator(zone, minticks=3, maxticks=7)
        plot.xaxis.set_major_locator(locator)
        plot.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, zone))
    elif settings.axis != "relative" and not settings.log_x:
        plot.xaxis.set_major_locator(ticker.MaxNLocator("auto", integer=True, steps=[1, 2, 2.5, 5, 10]))


def _draw_line(
    plot: Axes, line: Line, name: str, settings: ChartSettings, scale: float, unit: float, columns: int
) -> None:
    """A curve; behind a smoothed one or a mean, what it is made of, from the lowest to the highest."""
    colour = palette.colour(line.colour, dark=False)
    series = line.series.above_zero if settings.log_y else line.series
    if settings.is_log_x:
        series = series.part(int(np.searchsorted(series.x, 0, side="right")), len(series))
    if not len(series):
        plot.plot([], [], color=colour, label=name)
        return
    bright = smoothed(replace(line, series=series), scale, log_x=settings.is_log_x).bright
    raw = reduced(series, columns, log_x=settings.is_log_x)
    if bright is None:
        x, y = _traced(raw)
        plot.plot(_places(x, settings.axis, unit), y, color=colour, linewidth=1.2, label=name, **_marker(series))
        return
    plot.fill_between(_places(raw.x, settings.axis, unit), raw.low, raw.high, color=colour, alpha=BAND, linewidth=0)
    if not line.band:  # between two columns the band of a curve of single values has no height
        x, y = _traced(raw)
        plot.plot(_places(x, settings.axis, unit), y, color=colour, alpha=BAND, linewidth=0.8)
    mean = reduced(bright, columns, log_x=settings.is_log_x)
    plot.plot(_places(mean.x, settings.axis, unit), mean.mean, color=colour, linewidth=1.4, label=name)


def _marker(series: Series) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3} if len(series) <= 1 else {}


def reduced(series: Series, columns: int, *, log_x: bool = False) -> Series:
    """A series with at most so many entries, each of the values of one column; no extreme is lost."""
    if len(series) <= columns:
        return series
    places = np.log10(series.x) if log_x else series.x
    share = (places - places[0]) / (places[-1] - places[0] or 1.0)
    column = np.minimum((share * columns).astype(np.int64), columns - 1)
    return condensed(series, np.flatnonzero(np.diff(column, prepend=-1)))


def _traced(series: Series) -> tuple[Floats, Floats]:
    """A line through every entry's first, lowest, highest and last value; where all are one, through that."""
    if np.array_equal(series.low, series.high, equal_nan=True):
        return series.x, np.where(np.isfinite(series.last), series.last, np.nan)
    values = np.stack([series.first, series.low, series.high, series.last], axis=1)
    values[~np.isfinite(values)] = np.nan
    return np.repeat(series.x, 4), values.reshape(-1)


def _places(x: Floats, axis: Axis, unit: float) -> Any:
    if axis != "wall":
        return x / unit
    return [datetime.fromtimestamp(place, timezone.utc).astimezone() for place in x.tolist()]


def _unit(lines: Sequence[Line]) -> tuple[float, str]:
    """The largest unit of time of which the longest curve has two."""
    longest = 0.0
    for line in lines:
        with suppress(IndexError):
            longest = max(longest, float(line.series.x[-1]))
    return next(((size, name) for size, name in _UNITS if longest >= 2 * size), _UNITS[-1])
