"""Where a session is between its first block and its end."""

from __future__ import annotations

from enum import Enum, auto


class Life(Enum):
    UNOPENED = auto()
    """No block has been opened: which rank this is, is not settled."""
    RECORDING = auto()
    FINISHED = auto()
    ELSEWHERE = auto()
    """Another process records the run: this one is its forked child, or has loaded a pickle."""
