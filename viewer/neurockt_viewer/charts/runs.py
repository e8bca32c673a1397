"""One run, or several over each other: the lines of each chart, and what there is to read for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neurockt.query.fields import flat_config
from neurockt.run_info import RunInfo
from neurockt.store import TABLES
from neurockt_viewer.charts.band import band
from neurockt_viewer.charts.pyramid import ENTRIES
from neurockt_viewer.charts.ranks import RankedSeries, series_of
from neurockt_viewer.charts.series import Axis, Line
from neurockt_viewer.charts.source import Metric, RunSeries

if TYPE_CHECKING:
    from neurockt.store import Damage

_SEED: Final = re.compile(r"(?:^|[._-])(?:random_|rng_|torch_|np_|numpy_)?(?:seed|random_state|rng)$", re.IGNORECASE)
_SEED_IN_NAME: Final = re.compile(r"[-_. /]*(?:seed|s)?[-_. =]*$", re.IGNORECASE)


class Runs:
    """The series of one run or more. Which methods block is as in ``RunSeries``."""

    def __init__(self, paths: Sequence[Path], colours: Sequence[int] = ()) -> None:
        """Nothing is read yet but what the runs are.

        Args:
            paths: the runs.
            colours: the place of each in the palette; default the order.

        Raises:
            NeurocktError: one is no run, or cannot be read.
        """
        self.runs = [series_of(path, ENTRIES // len(paths)) for path in paths]
        self._colours = colours or range(len(paths))
        self.groups = same_but_seed([series.run.info for series in self.runs])
        """The runs that differ only in the seed, by their places."""

    @property
    def metrics(self) -> list[Metric]:
        """Every metric of any of them: of the steps, the epochs, the machine."""
        known = dict.fromkeys(metric for series in self.runs for metric in series.metrics)
        return sorted(known, key=lambda metric: TABLES.index(metric.table))

    @property
    def damaged(self) -> list[Damage]:
        """What could not be read, as far as it was tried."""
        return [damage for series in self.runs for damage in series.damaged]

    def outline(self) -> None:
        """Read the footers of long tables."""
        for series in self.runs:
            series.outline()

    def read(self, wanted: Sequence[Metric], tell: Callable[[], bool]) -> bool:
        """Read what is not known yet, run by run, until ``tell`` returns False; False where that is nothing."""
        stopped, found = False, False

        def go_on() -> bool:
            nonlocal stopped
            stopped = not tell()
            return not stopped

        for series in self.runs:
            found |= series.read(_of(series, wanted), go_on)
            if stopped:
                break
            if found and len(self.runs) > 1 and not go_on():
                break
        return found

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        """Read single values where a window shows too few entries; False where there was no need."""
        found = [series.detail(_of(series, wanted), axis, window, dots) for series in self.runs]
        return any(found)

    def poll(self) -> bool:
        """Take in what live runs have recorded since; False where that is nothing."""
        found = [series.poll() for series in self.runs]
        return any(found)

    def live(self) -> bool:
        """Whether any of them is still being written."""
        return any(series.is_live() for series in self.runs)

    def lines(self, together: Sequence[Metric], axis: Axis, *, banded: bool = False) -> list[Line]:
        """The lines of a chart: of one run a colour for each metric, of several one for each run.

        Args:
            banded: runs that differ only in the seed are one line, their mean, with a band from lowest to highest.
        """
        if len(self.runs) == 1:
            return [
                self.runs[0].line(metric, axis, index, self._label(metric)) for index, metric in enumerate(together)
            ]
        lines = []
        for metric in together:
            suffix = f" · {metric.name}" if len(together) > 1 else ""
            for group in self.groups if banded else [[index] for index in range(len(self.runs))]:
                members = [self.runs[index] for index in group if metric in self.runs[index].metrics]
                if not members:
                    continue
                name = members[0].label if len(members) == 1 else _common_name([member.label for member in members])
                colour = self._colours[group[0]]
                each = [
                    replace(member.line(metric, axis, colour, f"{name}{suffix}"), begins=())  # of many, whose they are?
                    for member in members
                ]
                lines.append(each[0] if len(each) == 1 else band(each))
        return lines

    def _label(self, metric: Metric) -> str:
        """A metric's name; with its table where both have one of that name."""
        both = any(other.name == metric.name and other.table != metric.table for other in self.metrics)
        return f"{metric.name} ({metric.table})" if both else metric.name


def _of(series: RunSeries | RankedSeries, wanted: Sequence[Metric]) -> list[Metric]:
    there = set(series.metrics)
    return [metric for metric in wanted if metric in there]


def same_but_seed(infos: Sequence[RunInfo]) -> list[list[int]]:
    """The places of runs that have the same config but for a seed; those without a config stay alone."""
    groups: dict[object, list[int]] = {}
    for index, info in enumerate(infos):
        config = sorted((key, repr(value)) for key, value in flat_config(info.config) if not _SEED.search(key))
        groups.setdefault(tuple(config) if info.config else index, []).append(index)
    return list(groups.values())


def _common_name(labels: Sequence[str]) -> str:
    """What names such as ``adam-s0`` and ``adam-s1`` share, and how many they are."""
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*labels, strict=False))
    shared = _SEED_IN_NAME.sub("", "".join(characters[0] for characters in alike)) or labels[0]
    return f"{shared} ×{len(labels)}"
