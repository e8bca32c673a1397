"""A chart in the preview: the loss, or whatever the run has first, once the cursor has rested on it.

Nothing is loaded for it before the table of runs has been painted, and a long run is drawn in outline, which its
Parquet footers hold.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual import work
from textual.containers import Vertical
from textual.worker import get_current_worker

from neurockt.errors import NeurocktError
from neurockt.run_info import RunInfo

if TYPE_CHECKING:
    from neurockt_viewer.charts.series import Line
    from neurockt_viewer.charts.source import RunSeries

REST_SECONDS: Final = 0.3
"""How long the cursor has to stay on a run before it is read."""
ROWS_READ: Final = 200_000
"""Longer tables are drawn in outline alone."""


class PreviewChart(Vertical):
    """The training and the validation metric of the first thing that a run measures."""

    DEFAULT_CSS = """
    PreviewChart { height: 14; padding: 1 0 0 0; }
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._wanted: Path | None = None
        self._rows = -1
        self._series: RunSeries | None = None
        self._reading = threading.Lock()

    def show_run(self, info: RunInfo | None) -> None:
        rows = info.steps.rows + info.epochs.rows if info else 0
        path = info.path if info else None
        if (path, rows) == (self._wanted, self._rows):
            return
        if path != self._wanted:
            self.query("Chart").remove()
        self._wanted, self._rows = path, rows
        if path is not None and rows:
            self._read(path)

    @work(thread=True, exclusive=True, group="preview", exit_on_error=False)
    def _read(self, path: Path) -> None:
        worker = get_current_worker()
        if worker.cancelled_event.wait(REST_SECONDS):
            return
        from neurockt_viewer.charts import grouping
        from neurockt_viewer.charts.source import RunSeries

        with self._reading:
            if worker.is_cancelled:
                return
            try:
                series = self._series
                if series is None or series.run.path != path:
                    self._series = series = RunSeries(path)
                    series.outline()
                together = next(iter(grouping.group(series.metrics, paired=True)), ())
                info = series.run.info
                rows = {"steps": info.steps.rows, "epochs": info.epochs.rows}
                short = [metric for metric in together if rows[metric.table] <= ROWS_READ]
                series.read(short)
                series.poll()
                lines = [series.line(metric, "step", index, metric.name) for index, metric in enumerate(together)]
                for index, metric in enumerate(together):
                    if metric not in short:
                        lines[index] = replace(lines[index], note="in outline")
            except (NeurocktError, OSError):
                return  # the run's own screen shows why
        if not worker.is_cancelled:
            self.call_later(self._draw, path, lines)

    def _draw(self, path: Path, lines: list[Line]) -> None:
        from neurockt_viewer.widgets.chart import Chart

        if path != self._wanted:
            return
        shown = self.query(Chart)
        if shown:
            shown.first().show(lines)
        else:
            chart = Chart(lines=lines)
            chart.can_focus = False
            self.mount(chart)
