"""Looks at a directory of runs again and again, in a worker's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from textual.worker import get_current_worker

from neurockt.catalogue import RunWatcher
from neurockt.query.fields import Field
from neurockt.run_info import RunInfo
from neurockt_viewer import background

POLL_SECONDS: Final = 1.5
HIDDEN_SECONDS: Final = 10.0
"""How often to look at the directory while its list is on the screen, and while it is not."""
RUNNING_SECONDS: Final = 1.0
"""How often to look at the runs in it that are running."""
ARRANGE_REST: Final = 8.0
"""While runs are being read: the shortest time between two reports, as a multiple of what drawing one takes."""
FIRST_SECONDS: Final = 0.3
"""How long at most reading waits for the first rows to be drawn: both at once take longer."""
POLL_SHARE: Final = 0.02
"""The share of a core that looking may take: ten thousand runs on a slow disk are looked at less often."""
FIELDS_SECONDS: Final = 1.0
"""How long fields are read from tables before the directory is looked at again."""
DRAWING_SHARE: Final = 0.05
"""The share of a core that drawing what is running may take."""


@dataclass
class Listing:
    """The runs of a directory at one moment."""

    runs: list[RunInfo]
    total: int
    problems: dict[Path, str]
    """The runs that cannot be read, and why."""
    whole: bool
    """Whether all of them have been read."""
    valued: frozenset[str]
    """Those of the fields that are read from tables whose values are known, by name."""


class DirectoryWatch:
    """Reports the runs of a directory whenever they change."""

    def __init__(self, root: Path, found: Callable[[Listing], object], failed: Callable[[str], object]) -> None:
        """Nothing is read before ``follow``.

        Args:
            root: the directory.
            found: called in the reading thread with the runs.
            failed: called there with the reason why the directory cannot be listed; empty when it can again.
        """
        self.wake = threading.Event()
        """To be set to look at once."""
        self.hidden = False
        self._fields: Sequence[Field] = ()
        self._valued: set[str] = set()
        self._read_of: dict[str, dict[Path, RunInfo]] = {}
        """The runs of which a field has been read, by the field's name."""
        self._next_whole = 0.0
        """When to look at all runs again, and not only at those that are running."""
        self._watcher = RunWatcher(root)
        self._found, self._failed = found, failed
        self._reported = False
        self._drawn = threading.Event()
        self._drawing = 0.0
        """Seconds that drawing a report took the last time."""

    def drew(self, begun: float) -> None:
        """What was found has been drawn; ``begun`` is when that began."""
        self._drawing = time.thread_time() - begun
        self._drawn.set()

    def look_now(self) -> None:
        self._next_whole = 0.0
        self.wake.set()

    def read_fields(self, fields: Sequence[Field]) -> None:
        """Read these from the tables of the runs, from now on: their values are then known where they are drawn."""
        if {field.name for field in fields} - {field.name for field in self._fields}:
            self.wake.set()
        self._fields = fields

    def follow(self) -> None:
        background.repeat(self._read, self.wake, self._failed)

    def _read(self) -> float:
        worker = get_current_worker()
        began, reported_at, unreported = time.thread_time(), 0.0, False
        whole = time.monotonic() >= self._next_whole
        for changed in self._watcher.look(at_running=not whole):
            if worker.is_cancelled:
                break
            unreported |= changed
            due = time.monotonic() - reported_at >= self._drawing * ARRANGE_REST
            if unreported and due and self._watcher.is_reading:
                self._report(whole=False)
                self._drawn.wait(FIRST_SECONDS)
                reported_at, unreported = time.monotonic(), False
        if unreported or reported_at or not self._reported:
            self._report(whole=True)
        valued = len(self._valued)
        self._read_tables([field for field in self._fields if field.name not in self._valued])
        if len(self._valued) > valued:
            self._report(whole=True)
        now, cost = time.monotonic(), time.thread_time() - began
        if whole:
            self._next_whole = now + max(HIDDEN_SECONDS if self.hidden else POLL_SECONDS, cost / POLL_SHARE)
        rest = self._next_whole - now
        if self._watcher.running and not self.hidden:
            rest = min(rest, max(RUNNING_SECONDS, cost / POLL_SHARE * (not whole), self._drawing / DRAWING_SHARE))
        return max(0.0, rest) if all(field.name in self._valued for field in self._fields) else 0.0

    def _report(self, *, whole: bool) -> None:
        watcher = self._watcher
        self._reported = True
        self._read_tables([field for field in self._fields if field.name in self._valued])
        self._found(Listing(watcher.runs, watcher.total, dict(watcher.problems), whole, frozenset(self._valued)))

    def _read_tables(self, fields: Sequence[Field]) -> None:
        """Read fields of the runs that are new, or have changed, as far as the time allows; the values are cached."""
        until, worker = time.monotonic() + FIELDS_SECONDS, get_current_worker()
        for field in fields:
            known = self._read_of.setdefault(field.name, {})
            for info in self._watcher.runs:
                if known.get(info.path) is not info:
                    if time.monotonic() >= until or worker.is_cancelled:
                        return
                    field.value(info)
                    known[info.path] = info
            self._valued.add(field.name)
