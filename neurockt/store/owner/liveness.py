"""The state of a run, inferred from outside. Readers never write it down."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from neurockt.run_info import RunInfo, State
from neurockt.store.base import layout
from neurockt.store.owner.process import is_alive, oom_kills
from neurockt.store.owner.slurm import Word, scheduler

STALE_SECONDS: Final = 30.0
"""A run of another machine whose heartbeat has not moved for three beats is dead."""
CLOCK_SLACK_SECONDS: Final = 90.0
"""How far the file server's clock may be off; at first sight, a reader only knows the age of the file."""
COPY_SECONDS: Final = 86_400.0
"""A copied ``run.json`` looks new, but contains the time of its last write: clocks do not differ by a day."""

_VAGUE: Final = ("SIGTERM", "SIGUSR1", "SIGUSR2", "lost", "killed")
"""Causes about which the scheduler may know more."""


class Liveness:
    """Remembers the heartbeats it has seen, so that a reader that keeps looking needs no clock but its own."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, float]] = {}

    def infer(self, info: RunInfo) -> RunInfo:
        """``info`` with the state *killed* or *preempted*, and the attempt's cause, where its writer is dead.

        Where the pid can be checked, it decides. Elsewhere the heartbeat counter does: the run is dead if it has not
        moved for ``STALE_SECONDS`` while this reader looked, or if the file was old, or a copy of an old one, at first
        sight. What the scheduler has answered about the run's job counts more. The same for what is attached to it.
        """
        if info.attached:
            info = replace(info, attached={name: self.infer(each) for name, each in info.attached.items()})
        attempt = info.attempt
        if attempt is None:
            return info
        word = scheduler.word(attempt.job)
        if info.state != "running":
            if self._seen:  # the hash of a path takes long
                self._seen.pop(info.path, None)
            return _refined(info, word)
        alive = is_alive(attempt)
        if alive or (alive is None and self._heart_beats(info)):
            return info
        if alive is None and word is not None and word.state == "running":
            return info
        return _dead(info, word, here=alive is False)

    def _heart_beats(self, info: RunInfo) -> bool:
        count, since = self._seen.get(info.path, (-1, -math.inf))
        if count != info.heartbeat:
            since = time.monotonic() if count != -1 or _looks_new(info) else -math.inf
            self._seen[info.path] = (info.heartbeat, since)
        return time.monotonic() - since < STALE_SECONDS


def ask_scheduler(runs: Iterable[RunInfo]) -> None:
    """Ask the scheduler about the jobs of runs whose end it may explain; returns at once."""
    each = [one for info in runs for one in (info, *info.attached.values())]
    jobs = [info.attempt.job for info in each if info.attempt is not None and wants_word(info)]
    if jobs:
        scheduler.ask(jobs)


def wants_word(info: RunInfo) -> bool:
    attempt = info.attempt
    return attempt is not None and attempt.job is not None and attempt.cause in _VAGUE


def _refined(info: RunInfo, word: Word | None) -> RunInfo:
    """The end in ``run.json``, with the cause that the scheduler knows: a signal alone may mean anything."""
    if info.state == "preempted" and wants_word(info) and word is not None and word.cause not in (None, *_VAGUE):
        return _ended(info, info.state, word.cause)
    return info


def _dead(info: RunInfo, word: Word | None, *, here: bool) -> RunInfo:
    attempt = info.attempt
    assert attempt is not None
    end = None if word is None or word.state == "running" else word
    if attempt.cause:  # a signal, written down when it arrived
        return _refined(_ended(info, "preempted", attempt.cause), end)
    if here and attempt.cgroup and oom_kills(attempt.cgroup) > attempt.oom_kills:
        return _ended(info, "killed", "out of memory")
    if end is not None:
        return _ended(info, end.state, end.cause)
    return _ended(info, "killed", "killed" if here else "lost")


def _ended(info: RunInfo, state: State, cause: str | None) -> RunInfo:
    *earlier, attempt = info.attempts
    return replace(info, state=state, attempts=(*earlier, replace(attempt, cause=cause)))


def _looks_new(info: RunInfo) -> bool:
    """Whether a run seen for the first time may be alive, by the age of its file and by its writer's clock."""
    written = info.updated or info.created
    if time.time() - written.timestamp() > COPY_SECONDS:
        return False
    try:  # by the file server's clock against ours
        age = time.time() - (info.path / layout.RUN_FILE).stat().st_mtime
    except OSError:
        age = 0.0
    return age < STALE_SECONDS + CLOCK_SLACK_SECONDS
