"""The lines of each chart, of one run or of several, and what there is to read for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from neurockt import open_run
from neurockt.errors import NeurocktError
from neurockt.query.fields import flat_config
from neurockt.run_info import RunInfo
from neurockt.store import TABLES, layout
from neurockt_viewer.charts.attached import AttachedSeries
from neurockt_viewer.charts.pyramid import ENTRIES
from neurockt_viewer.charts.series import Axis, Floats, Line, Series
from neurockt_viewer.charts.source import Metric, RunSeries

if TYPE_CHECKING:
    from neurockt.store import Damage

_SEED: Final = re.compile(r"(?:^|[._-])(?:random_|rng_|torch_|np_|numpy_)?(?:seed|random_state|rng)$", re.IGNORECASE)
_SEED_IN_NAME: Final = re.compile(r"[-_. /]*(?:seed|s)?[-_. =]*$", re.IGNORECASE)


class RunLines:
    """The series of one run or more. Which methods block is as in ``RunSeries``.

    A run whose ranks keep their own rows is as many series; each of its lines is their mean, with a band.
    """

    def __init__(self, paths: Sequence[Path], slots: Sequence[int] = (), known: RunLines | None = None) -> None:
        """The runs at ``paths``; of those that are ``known`` too, what has been read is read once."""
        self.paths = list(paths)
        self.errors: dict[Path, str] = {}
        """The runs that could not be read since ``open`` was last called, and why."""
        self.groups = [[at] for at in range(len(paths))]
        """The runs that differ only in the seed, by their indices."""
        self._slots = slots or range(len(paths))
        self._series: dict[Path, list[RunSeries | AttachedSeries]] = {}
        self._ranked: set[Path] = set()
        self._grouped = False
        if known is not None:
            self._series = {path: known._series[path] for path in self.paths if path in known._series}
            self._ranked = known._ranked.intersection(paths)
        self._bands: dict[tuple[str, Metric], tuple[list[Series], Line]] = {}

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

    def open(self) -> bool:
        """Open the runs, and the ranks, that have not been opened; whether there are new ones."""
        found, self.errors = False, {}
        for path in self.paths:
            if path in self._ranked or path not in self._series:
                found |= self._try(path, partial(self._open, path))
            for attached in layout.attached_paths(path).values():
                found |= self._try(attached, partial(self._open_attached, path, attached))
        if found or not self._grouped:
            self.groups = same_but_seed([self._info(path) for path in self.paths])
            self._grouped = True
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
        stopped = False

        def ask() -> bool:
            nonlocal stopped
            stopped = not go_on()
            return not stopped

        def read(series: RunSeries | AttachedSeries) -> bool:
            if stopped:
                return False
            found = series.read(wanted, ask)
            if found and not stopped and len(self.paths) > 1:
                ask()
            return found

        return self._each(read)

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        """Read single values where a window shows too few entries; False where there was no need."""
        return self._each(lambda series: series.detail(wanted, axis, window, dots))

    def poll(self) -> bool:
        """Read what live runs have recorded since; False where that is nothing."""
        return self._each(lambda series: series.poll())

    def live(self) -> bool:
        return self._each(lambda series: series.is_live())

    def lines(self, together: Sequence[Metric], axis: Axis, *, banded: bool = False) -> list[Line]:
        """The lines of a chart: of one run a colour for each metric, of several one for each run.

        Args:
            banded: runs that differ only in the seed are one line, their mean, with a band from lowest to highest.
        """
        single = len(self.paths) == 1
        lines = []
        for index, metric in enumerate(together):
            suffix = f" · {metric.name}" if len(together) > 1 else ""
            for group in self.groups if banded else [[at] for at in range(len(self.paths))]:
                paths = [self.paths[at] for at in group]
                members = [series for path in paths for series in self._series.get(path, ()) if series.has(metric)]
                if not members:
                    continue
                labels = list(dict.fromkeys(self._series[path][0].label for path in paths if path in self._series))
                name = self._label(metric) if single else f"{common_name(labels)}{suffix}"
                colour = index if single else self._slots[group[0]]
                each = [member.line(metric, axis, colour, name) for member in members]
                line = each[0] if len(each) == 1 else self._band(metric, each)
                lines.append(line if single else replace(line, begins=()))  # of many runs: whose would not be clear
        return lines

    def _band(self, metric: Metric, each: list[Line]) -> Line:
        """Several lines as one; the same as before where none has changed."""
        key, series = (each[0].label, metric), [line.series for line in each]
        made = self._bands.get(key)
        if made is None or [id(one) for one in made[0]] != [id(one) for one in series]:
            made = self._bands[key] = series, band(each)
        line = made[1]
        note = next((line.note for line in each if line.note), "")
        approximate = any(line.approximate for line in each)
        return replace(line, colour=each[0].colour, note=note, approximate=approximate, begins=each[0].begins)

    def _label(self, metric: Metric) -> str:
        others = (Metric(table, metric.name) for table in TABLES if table != metric.table)
        both = any(series.has(other) for other in others for series in self._all)
        return f"{metric.name} ({metric.table})" if both else metric.name


def same_but_seed(infos: Sequence[RunInfo | None]) -> list[list[int]]:
    """The indices of runs that have the same config but for a seed; those without a config stay alone."""
    groups: dict[object, list[int]] = {}
    for index, info in enumerate(infos):
        pairs = flat_config(info.config) if info else ()
        config = sorted((key, repr(value)) for key, value in pairs if not _SEED.search(key))
        groups.setdefault(tuple(config) if info and info.config else index, []).append(index)
    return list(groups.values())


def common_name(labels: Sequence[str]) -> str:
    """What names such as ``adam-s0`` and ``adam-s1`` share, and how many they are; one name as it is."""
    if len(labels) == 1:
        return labels[0]
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*labels, strict=False))
    shared = _SEED_IN_NAME.sub("", "".join(characters[0] for characters in alike)) or labels[0]
    return f"{shared} ×{len(labels)}"


def band(lines: Sequence[Line]) -> Line:
    """Lines as one: at each place of the longest, the mean, lowest and highest of what each had recorded by then.

    Nothing is interpolated; a line that has ended, or not begun, has no part in the mean.
    """
    places: Floats = max((line.series.x for line in lines), key=len)
    shape = len(lines), len(places)
    low, high, mean = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, line in enumerate(lines):
        series = line.series
        if not len(series):
            continue
        at = np.searchsorted(series.x, places, side="right") - 1
        step = (series.x[-1] - series.x[0]) / max(1, len(series) - 1)
        there = (at >= 0) & ((places <= series.x[-1]) | (places < series.x[-1] + step))
        for target, source in ((low, series.low), (high, series.high), (mean, series.mean)):
            target[row, there] = source[at[there]]
    lowest, highest = np.fmin.reduce(low), np.fmax.reduce(high)
    counted = np.isfinite(mean)
    average = np.where(
        counted.any(axis=0), np.where(counted, mean, 0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1), np.nan
    )
    first = lines[0]
    return Line(
        first.label,
        Series(places, lowest, highest, average, average, average),
        first.colour,
        band=True,
        note=next((line.note for line in lines if line.note), ""),
        approximate=any(line.approximate for line in lines),
    )
