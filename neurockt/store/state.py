"""How a run stands, told from outside. Readers infer it and never write it down."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from neurockt.records import RunInfo
from neurockt.store import layout
from neurockt.store.process import is_alive

STALE_SECONDS: Final = 30.0
"""A run of another machine whose heartbeat has not moved for three beats is dead."""
CLOCK_SLACK_SECONDS: Final = 90.0
"""How far the file server's clock may be off: a reader that looks only once has nothing but the file's age to go by."""
COPY_SECONDS: Final = 86_400.0
"""A copied ``run.json`` looks new, but tells when its writer last wrote it: clocks do not differ by a day."""


class Liveness:
    """Remembers the heartbeats it has seen, so that a reader who stays needs no clock but its own."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def infer(self, info: RunInfo) -> RunInfo:
        """``info`` with the state *killed* where its writer is dead.

        Where the pid can be asked, it is. Elsewhere the heartbeat counter decides: one that stands still for
        ``STALE_SECONDS`` under this reader's eyes, or whose file was old, or a copy of an old one, at first sight.
        """
        if info.state != "running" or info.attempt is None:
            self._seen.pop(info.path, None)
            return info
        alive = is_alive(info.attempt)
        if alive is None:
            alive = self._heart_beats(info)
        return info if alive else replace(info, state="killed")

    def _heart_beats(self, info: RunInfo) -> bool:
        count, since = self._seen.get(info.path, (-1, -math.inf))
        if count != info.heartbeat:
            since = time.monotonic() if count != -1 or _looks_new(info) else -math.inf
            self._seen[info.path] = (info.heartbeat, since)
        return time.monotonic() - since < STALE_SECONDS


def _looks_new(info: RunInfo) -> bool:
    """Whether a run seen for the first time may be alive, by its file's age and by what its writer's clock said."""
    written = info.updated or info.created
    if time.time() - written.timestamp() > COPY_SECONDS:
        return False
    return _age(info.path) < STALE_SECONDS + CLOCK_SLACK_SECONDS


def _age(run_dir: Path) -> float:
    """Seconds since the run's ``run.json`` was replaced, by the file server's clock against ours."""
    try:
        return time.time() - (run_dir / layout.RUN_FILE).stat().st_mtime
    except OSError:
        return 0.0
