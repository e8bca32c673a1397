"""A real tmux of a test's own, with one window."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

PATIENCE: Final = 60.0
"""Seconds after which what should have come has not."""


class Tmux:
    def __init__(self, socket: Path) -> None:
        """Nothing is started before ``start``."""
        self._command = ["tmux", "-S", str(socket), "-f", "/dev/null"]

    def ask(self, *words: str) -> str:
        """What a command of tmux prints."""
        return subprocess.run([*self._command, *words], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    def start(self, command: str, width: int, height: int) -> None:
        """Run a command in a window of that size."""
        self.ask("new-session", "-d", "-x", str(width), "-y", str(height), command)

    def resize(self, width: int, height: int) -> None:
        self.ask("resize-window", "-x", str(width), "-y", str(height))

    def press(self, *keys: str) -> None:
        self.ask("send-keys", *keys)

    def drag(self, begin: tuple[int, int], end: tuple[int, int]) -> None:
        """Press the mouse in one cell, whose line shows that, and let it go in another; the first cell is 0, 0."""
        before = self._coloured(begin[1])
        self._mouse(0, begin, "M")
        self.wait(lambda _: self._coloured(begin[1]) != before)
        self._mouse(32, end, "M")
        self._mouse(0, end, "m")

    def _mouse(self, what: int, at: tuple[int, int], final: str) -> None:
        self.ask("send-keys", "-l", f"\x1b[<{what};{at[0] + 1};{at[1] + 1}{final}")

    def _coloured(self, line: int) -> str:
        return self.ask("capture-pane", "-ep").splitlines()[line]

    @property
    def screen(self) -> str:
        return self.ask("capture-pane", "-p")

    def wait(self, wanted: str | Callable[[str], object]) -> str:
        """Return the screen once it holds a text, or fits a condition."""
        holds = wanted if callable(wanted) else lambda screen: wanted in screen
        deadline = time.monotonic() + PATIENCE
        while not holds(shown := self.screen):
            assert time.monotonic() < deadline, f"waited for {wanted!r}; there is\n{shown}"
            time.sleep(0.02)
        return shown

    def close(self) -> None:
        subprocess.run([*self._command, "kill-server"], capture_output=True)
