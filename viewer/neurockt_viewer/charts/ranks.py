"""A run whose ranks keep their own rows as one line a metric: their mean, with a band from lowest to highest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurockt import open_run
from neurockt.store import TABLES, Run
from neurockt_viewer.charts.band import band
from neurockt_viewer.charts.pyramid import ENTRIES
from neurockt_viewer.charts.series import Axis, Line, Series
from neurockt_viewer.charts.source import Metric, RunSeries

if TYPE_CHECKING:
    from neurockt.store import Damage


class RankedSeries:
    """The metrics of all ranks of a run; which methods block is as in ``RunSeries``."""

    def __init__(self, run: Run, entries: int = ENTRIES) -> None:
        """Nothing is read yet; ``entries`` are kept of each table at most, of all ranks together.

        Raises:
            NeurocktError: a rank cannot be read.
        """
        self.run = run
        self.label = run.info.label
        self._entries = entries
        self._ranks: dict[int, RunSeries] = {}
        self._made: dict[Metric, tuple[list[Series], Line]] = {}
        self._find_ranks()

    def _find_ranks(self) -> bool:
        """Take in the ranks that have begun to record; whether there are new ones."""
        new = [rank for rank in self.run.ranks if rank not in self._ranks]
        for rank in new:
            series = RunSeries(self.run.rank(rank).path, self._entries // max(1, len(self.run.ranks)))
            self._ranks = dict(sorted({**self._ranks, rank: series}.items()))
        return bool(new)

    @property
    def metrics(self) -> list[Metric]:
        """Every metric of any of them, of the steps, the epochs, the machine."""
        known = dict.fromkeys(metric for series in self._ranks.values() for metric in series.metrics)
        return sorted(known, key=lambda metric: TABLES.index(metric.table))

    @property
    def damaged(self) -> tuple[Damage, ...]:
        """What could not be read of any of them."""
        return tuple(damage for series in self._ranks.values() for damage in series.damaged)

    def outline(self) -> None:
        """Read the footers of long tables."""
        for series in self._ranks.values():
            series.outline()

    def read(self, wanted: Sequence[Metric], tell: Callable[[], bool] = lambda: True) -> bool:
        """Read what is not known yet, rank by rank, until ``tell`` returns False; False where that is nothing."""
        stopped, found = False, False

        def go_on() -> bool:
            nonlocal stopped
            stopped = not tell()
            return not stopped

        for series in self._ranks.values():
            found |= series.read([metric for metric in wanted if metric in set(series.metrics)], go_on)
            if stopped:
                break
        return found

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        """Read single values where a window shows too few entries; False where there was no need."""
        each = [
            series.detail([metric for metric in wanted if metric in set(series.metrics)], axis, window, dots)
            for series in self._ranks.values()
        ]
        return any(each)

    def poll(self) -> bool:
        """Take in what live ranks have recorded since; False where that is nothing."""
        found = [self._find_ranks(), *(series.poll() for series in self._ranks.values())]
        return any(found)

    def is_live(self) -> bool:
        """Whether any of them is still being written."""
        return "running" in self.run.rank_states().values()

    def line(self, metric: Metric, axis: Axis, colour: int = 0, label: str | None = None) -> Line:
        """The mean of what is known of a metric by now, and the band around it."""
        each = [series.line(metric, axis) for series in self._ranks.values() if metric in series.metrics]
        name = metric.name if label is None else label
        if len(each) < 2:
            return replace(each[0], label=name, colour=colour) if each else Line(name, Series.of([], []), colour)
        series = [line.series for line in each]
        made = self._made.get(metric)
        if made is None or len(made[0]) != len(series) or any(a is not b for a, b in zip(made[0], series, strict=True)):
            made = series, band(each)
            self._made[metric] = made
        notes = [line.note for line in each if line.note]
        approximate = any(line.approximate for line in each)
        note, begins = notes[0] if notes else "", each[0].begins
        return replace(made[1], label=name, colour=colour, note=note, approximate=approximate, begins=begins)


def series_of(path: Path, entries: int = ENTRIES) -> RunSeries | RankedSeries:
    """The metrics of the run at ``path``.

    Raises:
        NeurocktError: it is no run, or cannot be read.
    """
    run = open_run(path)
    return RankedSeries(run, entries) if run.info.keeps_ranks else RunSeries(path, entries)
