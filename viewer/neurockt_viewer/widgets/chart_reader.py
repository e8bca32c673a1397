"""Reads the metrics of runs for charts, in a worker's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from neurockt_viewer import background
from neurockt_viewer.charts.lines import RunLines
from neurockt_viewer.charts.series import Axis
from neurockt_viewer.charts.source import Metric

REST: Final = 4
"""While much is being read: the shortest time between two drawings, as a multiple of what one takes."""
POLL_SECONDS: Final = 0.7
"""How often a live run is asked for new rows."""
CHANGE_SECONDS: Final = 0.2
"""How long the runs that were shown stay while others are read; then these are drawn as far as they are known."""
STATE_SECONDS: Final = 3.0
"""How often a run is asked whether it is live."""


class ChartReader:
    """Reads the metrics that are wanted, in the detail that is shown, and what live runs add to them."""

    def __init__(self, lines: RunLines, on_change: Callable[[], object]) -> None:
        """Nothing is read before ``follow``; ``on_change`` is called by its thread when there is more to draw, or an
        error.
        """
        self.lines = lines
        self.opened = False
        """Whether the runs have been opened once."""
        self.error = ""
        """What ended the latest attempt to read."""
        self.wake = threading.Event()
        """To be set when something else is wanted."""
        self.wanted: tuple[Metric, ...] = ()
        self.view: tuple[Axis, tuple[float, float] | None, int] = "step", None, 0
        self.seen = True
        """Whether somebody looks at the charts."""
        self._on_change = on_change
        self._live, self._checked = True, 0.0
        self._next = self._changed_to = self.lines
        self._expected: Sequence[Path] = ()
        self._ahead: tuple[RunLines, Sequence[Metric]] | None = None
        """Runs that may be shown next, and which metrics of them have been read."""
        self._to_draw_ahead: RunLines | None = None
        self._reported = 0.0
        self.drawing = 0.0
        """Seconds of a core that drawing took the last time."""

    def show_runs(self, paths: Sequence[Path], slots: Sequence[int], groups: Sequence[str | None]) -> bool:
        """Read other runs, once woken. Whether ``lines`` are theirs now; else as soon as there is something to draw."""
        known, metrics = self._ahead or (self._next, None)
        is_read = metrics == self.wanted and {*paths} <= {*known.paths}
        self._next = RunLines(paths, slots, groups, known if is_read else self._next)
        if is_read:
            self.lines = self._next
        else:
            self._ahead = None
        return is_read

    def expect(self, paths: Sequence[Path]) -> None:
        """Read these once all that is shown has been read: they may be shown next."""
        self._expected = paths
        self.wake.set()

    def take_ahead(self) -> RunLines | None:
        """Runs that may be shown next, once they have been read; each are given once."""
        lines, self._to_draw_ahead = self._to_draw_ahead, None
        return lines

    def follow(self) -> None:
        background.repeat(self._read, self.wake, self._report)

    def _read(self) -> float | None:
        if self._next is not self._changed_to:
            self._change_runs(self._next)
        lines, wanted, view = self.lines, self.wanted, self.view
        before = dict(lines.errors)
        found = lines.open()
        if found:
            lines.outline()
            self.opened = True
            self._on_change()
        live = self._live
        if time.monotonic() - self._checked >= STATE_SECONDS:
            live, self._checked = lines.live(), time.monotonic()
        found = lines.read(wanted, self._go_on)
        found |= lines.detail(wanted, *view)
        began = time.thread_time()
        found |= self._live and self.seen and lines.poll()  # once more when a run has ended
        cost = time.thread_time() - began + self.drawing
        self._live = live
        if found or before != lines.errors:
            self._on_change()
        if not self.seen:
            return None
        if self._expected:
            self._read_ahead(self._expected, wanted)
        return background.rest_after(cost, POLL_SECONDS) if live else STATE_SECONDS  # a dead run may be continued

    def _change_runs(self, lines: RunLines) -> None:
        until = time.monotonic() + CHANGE_SECONDS
        lines.open()
        lines.outline()
        lines.read(self.wanted, lambda: not self.wake.is_set() and time.monotonic() < until)
        if self._next is lines:
            self.lines = self._changed_to = lines
            self.opened, self._checked = True, 0.0
            self._on_change()

    def _read_ahead(self, paths: Sequence[Path], wanted: Sequence[Metric]) -> None:
        lines = RunLines(paths, known=self.lines)
        lines.open()
        lines.outline()
        lines.read(wanted, lambda: not self.wake.is_set())
        if not self.wake.is_set():
            self._ahead, self._expected = (lines, wanted), ()
            self._to_draw_ahead = lines
            self._on_change()

    def _go_on(self) -> bool:
        """Draw what has been read so far, unless drawing would take longer than reading; whether to read on."""
        if time.monotonic() - self._reported >= REST * self.drawing:
            self._reported = time.monotonic()
            self._on_change()
        return not self.wake.is_set()

    def _report(self, why: str) -> None:
        self.error = why
        self._on_change()
