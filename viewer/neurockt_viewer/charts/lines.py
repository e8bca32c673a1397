"""The lines of each chart, of one run or of several, and what there is to read for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neurockt import open_run
from neurockt.errors import NeurocktError
from neurockt.run_info import RunInfo
from neurockt.store import TABLES, layout
from neurockt_viewer.charts.attached import AttachedSeries
from neurockt_viewer.charts.pyramid import ENTRIES
from neurockt_viewer.charts.seeds import Setting, band, settings_of
from neurockt_viewer.charts.series import Axis, Line, Series
from neurockt_viewer.charts.source import REPORT_SECONDS, Metric, RunSeries

if TYPE_CHECKING:
    from neurockt.store import Damage


class RunLines:
    """The series of one run or more. Which methods block is as in ``RunSeries``.

    A run whose ranks keep their own rows is as many series; each of its lines is their mean, with a band.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        slots: Sequence[int] = (),
        groups: Sequence[str | None] = (),
        known: RunLines | None = None,
    ) -> None:
        """The runs at ``paths``; ``slots`` and ``groups`` are as for ``ChartGrid``.

        Of the runs that are ``known`` too, what has been read is read once.
        """
        self.paths = list(paths)
        self.errors: dict[Path, str] = {}
        """The runs that could not be read since ``open`` was last called, and why."""
        self._slots = slots or range(len(paths))
        self._groups = groups
        self._series: dict[Path, list[RunSeries | AttachedSeries]] = {}
        self._ranked: set[Path] = set()
        self._settings: list[Setting] | None = None
        if known is not None:
            self._series = {path: known._series[path] for path in self.paths if path in known._series}
            self._ranked = known._ranked.intersection(paths)
        self._growing: set[RunSeries | AttachedSeries] = set()
        self._bands: dict[tuple[tuple[int, ...], Metric], tuple[list[Series], Line]] = {}

    @property
    def metrics(self) -> list[Metric]:
        """Every metric of any of them: of the steps, the epochs, the machine."""
        known = dict.fromkeys(metric for series in self._all for metric in series.metrics)
        return sorted(known, key=lambda metric: TABLES.index(metric.table))

    @property
    def damaged(self) -> list[Damage]:
        return [damage for series in self._all for damage in series.damaged]

    @property
    def _all(self) -> list[RunSeries | AttachedSeries]:
        return [series for path in self.paths for series in self._series.get(path, ())]

    @property
    def settings(self) -> list[Setting]:
        """Which runs are drawn as one where bands are asked for."""
        settings = self._settings
        if settings is None:
            names, infos = [self._name(path) for path in self.paths], [self._info(path) for path in self.paths]
            settings = self._settings = settings_of(infos, names, self._slots, self._groups)
        return settings

    def open(self) -> bool:
        """Open the runs, and the ranks, that have not been opened; whether there are new ones."""
        found, self.errors = False, {}
        for path in self.paths:
            if path in self._ranked or path not in self._series:
                found |= self._try(path, partial(self._open, path))
            for attached in layout.attached_paths(path).values():
                found |= self._try(attached, partial(self._open_attached, path, attached))
        if found:
            self._settings = None
        return found

    def _open(self, path: Path) -> bool:
        if path not in self._ranked and open_run(path).info.keeps_ranks:
            self._ranked.add(path)
        known = self._series.get(path, [])
        wanted = list(layout.rank_paths(path).values()) if path in self._ranked else [path]
        new = [each for each in wanted if each not in {series.run.path for series in known}]
        entries = ENTRIES // len(self.paths) // max(1, len(wanted))
        self._series[path] = [*known, *(RunSeries(each, entries) for each in new)]
        return bool(new)

    def _open_attached(self, path: Path, attached: Path) -> bool:
        known = self._series.get(path, [])
        beside = next((series for series in known if isinstance(series, RunSeries)), None)
        if beside is None or any(series.run.path == attached for series in known):
            return False
        series = AttachedSeries(open_run(path), beside, attached, ENTRIES // len(self.paths))
        self._series[path] = [*known, series]
        return True

    def _info(self, path: Path) -> RunInfo | None:
        series = self._series.get(path)
        return series[0].info if series else None

    def _try(self, path: Path, act: Callable[[], bool]) -> bool:
        """Do something with a run; where it cannot be read the others go on, and it is tried again the next time."""
        try:
            return act()
        except (NeurocktError, OSError) as error:
            self.errors[path] = str(error)
            return False

    def _each(self, act: Callable[[RunSeries | AttachedSeries], bool]) -> bool:
        found = False
        for path in self.paths:
            for series in self._series.get(path, ()):
                found |= self._try(series.run.path, partial(act, series))
        return found

    def outline(self) -> None:
        def outline(series: RunSeries | AttachedSeries) -> bool:
            series.outline()
            return False

        self._each(outline)

    def read(self, wanted: Sequence[Metric], go_on: Callable[[], bool]) -> bool:
        """Read what is not known yet, run by run, until ``go_on`` returns False; False where that is nothing."""
        stopped, asked = False, time.monotonic()

        def ask() -> bool:
            nonlocal stopped, asked
            stopped, asked = not go_on(), time.monotonic()
            return not stopped

        def read(series: RunSeries | AttachedSeries) -> bool:
            if stopped:
                return False
            found = series.read(wanted, ask)
            if found and not stopped and time.monotonic() - asked >= REPORT_SECONDS:
                ask()
            return found

        return self._each(read)

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        """Read single values where a window shows too few entries; False where there was no need."""
        return self._each(lambda series: series.detail(wanted, axis, window, dots))

    def poll(self) -> bool:
        """Read what has been recorded since by the runs that had not finished when ``live`` was last called, or the
        time before; False where that is nothing.
        """
        return self._each(lambda series: series in self._growing and series.poll())

    def live(self) -> bool:
        """Find out which runs are live; whether there are any."""
        before = {series for series in self._all if series.info.state != "finished"}
        found = self._each(lambda series: series.is_live())
        self._growing = before | {series for series in self._all if series.info.state != "finished"}
        return found

    def lines(self, together: Sequence[Metric], axis: Axis, *, banded: bool = False) -> list[Line]:
        """The lines of a chart: of one run a colour for each metric, of several one for each run.

        Args:
            banded: runs that differ only in the seed are one line, their mean, with a band from lowest to highest.
        """
        single = len(self.paths) == 1
        lines = []
        for index, metric in enumerate(together):
            suffix = f" · {self.title(metric)}" if len(together) > 1 else ""
            for setting in self.settings if banded else self._each_alone:
                paths = [self.paths[at] for at in setting.runs]
                members = [series for path in paths for series in self._series.get(path, ()) if series.has(metric)]
                if not members:
                    continue
                name = self.title(metric) if single else f"{setting.name}{suffix}"
                each = [member.line(metric, axis, index if single else setting.slot, name) for member in members]
                line = each[0] if len(each) == 1 else self._band((setting.runs, metric), each)
                lines.append(line if single else replace(line, begins=()))  # of many runs: whose would not be clear
        return lines

    @property
    def _each_alone(self) -> list[Setting]:
        return [Setting((at,), self._name(path), self._slots[at]) for at, path in enumerate(self.paths)]

    def _name(self, path: Path) -> str:
        series = self._series.get(path)
        return series[0].label if series else path.name

    def _band(self, key: tuple[tuple[int, ...], Metric], each: list[Line]) -> Line:
        """Several lines as one; the same as before where none has changed."""
        series = [line.series for line in each]
        made = self._bands.get(key)
        if made is None or [id(one) for one in made[0]] != [id(one) for one in series]:
            made = self._bands[key] = series, band(each)
        line = made[1]
        note = next((line.note for line in each if line.note), "")
        approximate = any(line.approximate for line in each)
        first = each[0]
        return replace(
            line, label=first.label, colour=first.colour, note=note, approximate=approximate, begins=first.begins
        )

    def title(self, metric: Metric) -> str:
        """Its name; with that of its table where another one has a metric of that name."""
        others = (Metric(table, metric.name) for table in TABLES if table != metric.table)
        both = any(series.has(other) for other in others for series in self._all)
        return f"{metric.name}@{metric.table}" if both else metric.name
