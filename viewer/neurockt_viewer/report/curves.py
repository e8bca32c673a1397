"""The curves of a report: as many values as a browser draws at once, and every extreme of those left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from neurockt.run_info import RunInfo
from neurockt_viewer.charts.lines import RunLines
from neurockt_viewer.charts.series import Axis, Line, Series, condensed
from neurockt_viewer.charts.source import Metric
from neurockt_viewer.report.arrays import NONE, Arrays

ENTRIES: Final = 200_000
"""Entries of all curves together: in the worst case 5 MB of the page."""
LEAST: Final = 250
MOST: Final = 20_000
"""Entries of one curve."""


@dataclass
class Curves:
    """The curves of all runs, chart by chart."""

    charts: dict[Metric, list[dict[str, Any]]] = field(default_factory=dict)
    """Of each curve the index of its run, what it has on each axis, and its values that are not finite."""
    arrays: Arrays = field(default_factory=Arrays)
    problems: list[str] = field(default_factory=list)
    """What could not be read."""


def read(
    infos: Sequence[RunInfo],
    wanted: Callable[[Metric], bool] = lambda metric: True,
    progress: Callable[[], object] = lambda: None,
) -> Curves:
    """Read the wanted metrics of runs, one run at a time; ``progress`` is called after each."""
    curves = Curves()
    most = entries_each([count for info in infos for count in _counts(info, wanted)])
    for index, info in enumerate(infos):
        lines = RunLines([info.path])
        lines.open()
        lines.outline()
        metrics = list(filter(wanted, lines.metrics))
        lines.read(metrics, lambda: True)
        if lines.errors:  # perhaps of one metric: the others are in the report
            for metric in metrics:
                lines.read([metric], lambda: True)
        lines.live()
        lines.poll()
        axes: list[Axis] = ["step", "relative"]
        if any(metric.table == "epochs" for metric in lines.metrics):
            axes.append("epoch")
        for metric in metrics:
            known = {axis: line for axis in axes for line in lines.lines([metric], axis)}
            if "step" in known and len(known["step"].series):
                curves.charts.setdefault(metric, []).append(_curve(index, known, most, curves.arrays))
        curves.problems += [*lines.errors.values(), *map(str, lines.damaged)]
        progress()
    return curves


def _counts(info: RunInfo, wanted: Callable[[Metric], bool]) -> list[int]:
    """How many values each of the metrics has."""
    tables: Any = {"steps": info.steps, "epochs": info.epochs, "system": info.system}
    own = [
        column.count
        for table, summary in tables.items()
        for name, column in summary.columns.items()
        if wanted(Metric(table, name))
    ]
    return own + [count for attached in info.attached.values() for count in _counts(attached, wanted)]


def entries_each(counts: Sequence[int]) -> int:
    """The entries that a curve may have, where there are curves of so many values: what short ones leave is shared."""
    left = ENTRIES
    for at, count in enumerate(sorted(counts)):
        share = left // (len(counts) - at)
        if count > share:
            return min(max(share, LEAST), MOST)
        left -= count
    return MOST


def reduced(series: Series, most: int) -> Series:
    """At most so many entries, of equally many neighbours each."""
    stretch = -(-len(series) // most)
    return condensed(series, np.arange(0, len(series), stretch)) if stretch > 1 else series


def _curve(run: int, known: dict[Axis, Line], most: int, arrays: Arrays) -> dict[str, Any]:
    odd = [int(values.sum()) if values is not None else 0 for values in _odd(known["step"].series)]
    on: dict[str, Any] = {}
    for axis, line in known.items():
        on[axis] = _stored(reduced(line.series, most), axis, arrays, odd=any(odd))
        if line.begins:
            on[axis]["restarts"] = line.begins
    return {"run": run, "axes": on, **({"odd": odd} if any(odd) else {})}


def _odd(series: Series) -> tuple[Any, Any, Any]:
    return series.nan, series.above, series.below


def _stored(series: Series, axis: Axis, arrays: Arrays, *, odd: bool) -> dict[str, int]:
    """The indices of its arrays: x, low, high, mean, and what else there is.

    Where every entry is one value, low, high and mean are the same array.
    """
    low, high = arrays.exact(series.low), arrays.exact(series.high)
    above = series.above_zero.low
    found = {
        "x": arrays.places(series.x, moments=axis == "relative"),
        "low": low,
        "high": high,
        "mean": low if low == high else arrays.rounded(series.mean),
        "count": NONE if series.count is None or low == high else arrays.exact(series.count),
        "above": NONE if low == high or above is series.low else arrays.rounded(above),
        "first": arrays.exact(series.first) if odd else NONE,
        "gaps": NONE if series.gaps is None else arrays.exact(np.flatnonzero(series.gaps)),
    }
    return {name: index for name, index in found.items() if index != NONE}
