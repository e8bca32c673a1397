"""A screen that looks at a directory of runs again and again, in a thread, and is told of what has changed."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from textual import work
from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from neurockt.catalogue import RunWatcher
from neurockt.errors import NeurocktError
from neurockt.run_info import RunInfo

POLL_SECONDS: Final = 1.0
"""How often the directory is looked at."""
ARRANGE_REST: Final = 8.0
"""How many times as long as arranging the runs took it is at least to the next time, while more are being read."""
POLL_SHARE: Final = 0.02
"""The share of a core that looking may take: ten thousand runs on a slow disk are looked at less often."""


class WatchingScreen(Screen[None]):
    """Posts what the runs of a directory are, as they come, grow and end."""

    @dataclass
    class RunsRead(Message):
        """The directory has been looked at."""

        runs: list[RunInfo]
        total: int
        problems: dict[Path, str]
        whole: bool
        """Whether all of them have been read."""

        def can_replace(self, message: Message) -> bool:
            """The latest look says all."""
            return isinstance(message, WatchingScreen.RunsRead)

    @dataclass
    class DirectoryLost(Message):
        """The directory cannot be listed."""

        why: str

    def __init__(self, root: Path) -> None:
        """Looks at ``root`` once ``watch_directory`` is called."""
        super().__init__()
        self._root = root
        self._watcher = RunWatcher(root)
        self._wake = threading.Event()
        self._arranging = 0.0
        """Seconds that the last ``RunsRead`` kept who heard it."""

    def on_unmount(self) -> None:
        """Let the thread end."""
        self._wake.set()

    def on_screen_resume(self) -> None:
        """Look at once when this is on top again."""
        self._wake.set()

    @work(thread=True, exclusive=True, group="look", exit_on_error=False)
    def watch_directory(self) -> None:
        """Look at the directory again and again, and tell what has changed."""
        worker = get_current_worker()
        first = True
        while not worker.is_cancelled:
            self._wake.clear()
            began = time.thread_time()
            try:
                told, told_at = 0, 0.0
                for changed in self._watcher.look():
                    if worker.is_cancelled:
                        return
                    rested = time.monotonic() - told_at >= self._arranging * ARRANGE_REST
                    if changed and told and rested:
                        self._tell(whole=False)
                        told_at = time.monotonic()
                    told += changed
                    pending = changed
                if first or pending or told:
                    self._tell(whole=True)
                first = False
            except NeurocktError as error:
                self.post_message(self.DirectoryLost(str(error)))
            cost = time.thread_time() - began
            self._wake.wait(max(POLL_SECONDS, cost / POLL_SHARE))
            while not self.is_current and self.is_running and not worker.is_cancelled:
                self._wake.clear()
                self._wake.wait(POLL_SECONDS * 10)

    def _tell(self, *, whole: bool) -> None:
        watcher = self._watcher
        self.post_message(self.RunsRead(watcher.runs, watcher.total, dict(watcher.problems), whole))
