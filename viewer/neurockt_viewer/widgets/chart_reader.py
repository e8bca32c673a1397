"""What reads the metrics of runs for charts: a thread that posts that it knows more; who hears it draws that."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from textual import work
from textual.message import Message
from textual.widget import Widget
from textual.worker import get_current_worker

from neurockt.errors import NeurocktError
from neurockt_viewer.charts.runs import Runs
from neurockt_viewer.charts.series import Axis
from neurockt_viewer.charts.source import Metric

POLL_SECONDS: Final = 0.5
"""How often a live run is asked for new rows."""
STATE_SECONDS: Final = 3.0
"""How often a live run is asked whether it still is."""


class ChartReader(Widget):
    """Reads, while it is on the screen, the metrics that are wanted, in the detail that is looked at."""

    @dataclass
    class Known(Message):
        """The thread knows more of the run."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartReader.Known)

    @dataclass
    class Failed(Message):
        """The run cannot be read."""

        why: str

    def __init__(self, paths: Sequence[Path], colours: Sequence[int], **options: Any) -> None:
        """The runs at ``paths``, with the place of each of several in the palette; ``follow`` begins to read."""
        super().__init__(**options)
        self._paths = paths
        self._colours = colours
        self._series: Runs | None = None
        self._wake = threading.Event()
        self._wanted: tuple[Metric, ...] = ()
        self._view: tuple[Axis, tuple[float, float] | None, int] = "step", None, 0
        self._seen = True
        """Whether it is on the screen."""

    def on_unmount(self) -> None:
        """Let the thread end."""
        self._wake.set()

    @property
    def series(self) -> Runs | None:
        """The metrics of the runs; None until these have been opened."""
        return self._series

    @work(thread=True, exclusive=True, group="series", exit_on_error=False)
    def follow(self) -> None:
        """Read what is wanted, and what comes, until the widget goes away."""
        worker = get_current_worker()
        try:
            series = Runs(self._paths, self._colours)
            self._series = series
            series.outline()
            self.post_message(self.Known())
            live, checked = True, 0.0
            while not worker.is_cancelled:
                self._wake.clear()
                wanted, view = self._wanted, self._view
                still_live = live
                if time.monotonic() - checked >= STATE_SECONDS:
                    still_live, checked = series.live(), time.monotonic()
                found = series.read(wanted, self._tell)
                found |= series.detail(wanted, *view)
                found |= live and self._seen and series.poll()
                if found:
                    self.post_message(self.Known())
                live = still_live
                seconds = POLL_SECONDS if live else STATE_SECONDS  # a dead run may be continued
                self._wake.wait(seconds if self._seen else None)
        except (NeurocktError, OSError) as error:
            self.post_message(self.Failed(str(error)))

    def _tell(self) -> bool:
        """Amid a long read: tell, and say whether to go on."""
        self.post_message(self.Known())
        return not self._wake.is_set()
