"""The right to change a run whose process is dead: one process at a time has it, and nothing has to release it.

The process that creates ``claim-NNN`` has it; only one can. A claim whose process has died is overridden after a while
by a claim of the next number. Needs only exclusive creation and rename, which NFS has too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurockt.errors import RunInUse
from neurockt.run_info import Attempt, RunInfo
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner import liveness
from neurockt.store.owner.attempts import begin_attempt, by_whom
from neurockt.store.owner.process import is_alive

LOOK_SECONDS: Final = 0.1
BEAT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Claim:
    """A claim of this process, until it gives it up or is taken for dead."""

    path: Path
    number: int
    """The number of the next attempt."""
    info: RunInfo
    """The run as it was when it was claimed."""

    def check(self) -> None:
        """Raise RunInUse if another process has taken this one for dead."""
        if not self.path.exists():
            raise RunInUse(f"{self.info.path}: another process has taken the run over meanwhile")


@contextmanager
def claimed(run_dir: Path, hint: str, report: Callable[[str], None] = lambda message: None) -> Iterator[Claim]:
    """The right to change a dead run, for as long as the ``with`` lasts; ``run.json`` must name its new writer by then.

    Raises RunInUse, with the ``hint`` what to do, where a live process writes the run or has claimed it.
    """
    claim = None
    while claim is None:
        info = _wait_for_death(run_dir, hint, report)
        number = _wait_for_claims(run_dir, info, hint)
        if number is not None:
            claim = _create(run_dir, number, info)
    stop = threading.Event()
    beats = threading.Thread(target=_beat, args=(claim.path, stop), daemon=True)
    beats.start()
    try:
        yield claim
    finally:
        stop.set()
        beats.join()
        with suppress(FileNotFoundError):  # the run has been moved to the trash
            for number, path in layout.claim_paths(run_dir).items():
                if number <= claim.number:
                    path.unlink(missing_ok=True)


def _create(run_dir: Path, number: int, info: RunInfo) -> Claim | None:
    path = layout.claim_path(run_dir, number)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        attempt = begin_attempt(number)
        json.dump({"host": attempt.host, "pid": attempt.pid, "process": attempt.process}, file)
    now = read_info(run_dir)
    if (now.attempts, now.heartbeat, now.state) == (info.attempts, info.heartbeat, info.state):
        return Claim(path, number, info)
    path.unlink(missing_ok=True)  # it has been taken over and released meanwhile
    return None


def _beat(path: Path, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            os.utime(path)
        except OSError:
            continue  # it has been overridden: `check` raises


def _wait_for_death(run_dir: Path, hint: str, report: Callable[[str], None]) -> RunInfo:
    watched = liveness.Liveness()
    found = info = read_info(run_dir)
    reported = False
    while watched.infer(info).state == "running":
        attempt = info.attempt
        where = by_whom(attempt)
        if (info.attempts, info.heartbeat) != (found.attempts, found.heartbeat) or (attempt and is_alive(attempt)):
            raise RunInUse(f"{run_dir} is still being written{where}; {hint}")
        if not reported:
            reported = True
            report(
                f"{run_dir} was being written{where} a moment ago; "
                f"waiting up to {liveness.STALE_SECONDS:.0f} seconds to "
                "see whether it still is"
            )
        time.sleep(LOOK_SECONDS)
        info = read_info(run_dir)
    return info


def _wait_for_claims(run_dir: Path, info: RunInfo, hint: str) -> int | None:
    """The number of the first free claim; None where the run has changed meanwhile."""
    begun = time.monotonic()
    seen: tuple[int, float] | None = None
    while True:
        claims = layout.claim_paths(run_dir)
        next_attempt = (info.attempt.number if info.attempt else 0) + 1
        number = max(claims, default=0)
        if number < next_attempt:
            return next_attempt
        try:
            owner, stamp = _owner(claims[number], info)
        except FileNotFoundError:
            return None
        if seen != (number, stamp):
            seen, begun = (number, stamp), time.monotonic()
        alive = is_alive(owner) if owner else None
        stale = time.monotonic() - begun >= liveness.STALE_SECONDS
        if alive is False or (stale and not alive):
            return number + 1
        if stale:
            raise RunInUse(f"{run_dir} is being taken over{by_whom(owner)}; {hint}")
        time.sleep(LOOK_SECONDS)
        if read_info(run_dir).heartbeat != info.heartbeat:
            return None


def _owner(claim: Path, info: RunInfo) -> tuple[Attempt | None, float]:
    """The process that made a claim, None while that is not written yet; and when it last touched the claim."""
    with claim.open(encoding="utf-8") as file:
        stamp = os.fstat(file.fileno()).st_mtime
        try:
            owner: dict[str, Any] = json.load(file)
            return Attempt(0, owner["host"], owner["pid"], owner["process"], info.created), stamp
        except (ValueError, KeyError, TypeError):
            return None, stamp
