"""The metrics of what is attached to a run, as lines beside those of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neurockt_viewer.charts.series import Axis, Line
from neurockt_viewer.charts.source import Metric, RunSeries

if TYPE_CHECKING:
    from neurockt.run_info import RunInfo
    from neurockt.store import Damage, Run


class AttachedSeries:
    """A ``RunSeries`` of what is attached, whose metrics have the names under which they are shown with the run's."""

    def __init__(self, run: Run, beside: RunSeries, path: Path, entries: int) -> None:
        """Raises as ``RunSeries`` does. ``beside`` is the series of the run, or of its first rank."""
        self._own = RunSeries(path, entries, beside=beside)
        self._beside = beside
        self._run = run
        self._info = run.info
        self._state: object = None
        self._shown: dict[Metric, Metric] = {}

    @property
    def run(self) -> Run:
        return self._own.run

    @property
    def info(self) -> RunInfo:
        return self._own.info

    @property
    def label(self) -> str:
        return self._beside.label

    @property
    def damaged(self) -> tuple[Damage, ...]:
        return self._own.damaged

    @property
    def _names(self) -> dict[Metric, Metric]:
        """Its own metric for each that is shown."""
        own, beside = self._own.metrics, self._beside
        state = len(own), len(beside.metrics), self._info
        if state != self._state:
            name = self._own.run.path.name
            shown = {whose: alias for alias, whose in self._info.attached_metrics.items()}
            taken = {metric.name for metric in beside.metrics}
            names = {metric: shown.get((name, metric.name), metric.name) for metric in own}
            self._shown = {
                Metric(metric.table, f"{name}/{alias}" if alias in taken else alias): metric
                for metric, alias in names.items()
            }
            self._state = state
        return self._shown

    @property
    def metrics(self) -> list[Metric]:
        return list(self._names)

    def has(self, metric: Metric) -> bool:
        return metric in self._names

    def outline(self) -> None:
        self._own.outline()

    def read(self, wanted: Sequence[Metric], go_on: Callable[[], bool] = lambda: True) -> bool:
        return self._own.read(self._of(wanted), go_on)

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        return self._own.detail(self._of(wanted), axis, window, dots)

    def _of(self, wanted: Sequence[Metric]) -> list[Metric]:
        names = self._names
        return [names[metric] for metric in wanted if metric in names]

    def poll(self) -> bool:
        return self._own.poll()

    def is_live(self) -> bool:
        self._info = self._run.info
        return self._own.is_live()

    def line(self, metric: Metric, axis: Axis, colour: int = 0, label: str | None = None) -> Line:
        line = self._own.line(self._names[metric], axis, colour, metric.name if label is None else label)
        return replace(line, begins=())  # where an evaluator began again is no part of the run's curve
