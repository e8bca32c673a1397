"""The states of SLURM jobs, from ``squeue`` and ``sacct`` where they are installed, asked in the background.

Both may be missing, slow, or hang; each is called once for all jobs, for ``ASK_SECONDS`` at most, and not again for a
while after it hung. A job that has ended is asked about once.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from neurockt.run_info import State

if TYPE_CHECKING:
    import subprocess

ASK_SECONDS: Final = 10.0
FRESH_SECONDS: Final = 30.0
"""How long to wait before a job that has not ended, or is unknown, is asked about again."""
PAUSE_SECONDS: Final = 300.0
"""How long a command that hung or cannot be started is not called again."""
MOST_JOBS: Final = 2_000

_JOB: Final = re.compile(r"[0-9]{1,12}")
_LINE: Final = re.compile(r"^(\d+)\|([A-Z_]+)", re.MULTILINE)


@dataclass(frozen=True)
class Word:
    """What the state of its job means for a run without heartbeats."""

    state: State
    """*running* while the job is: then the missing heartbeats mean nothing."""
    cause: str | None = None


_ALIVE: Final = "RUNNING SUSPENDED STOPPED SIGNALING RESIZING STAGE_OUT".split()
_WAITING: Final = "PENDING CONFIGURING REQUEUED REQUEUE_HOLD REQUEUE_FED RESV_DEL_HOLD SPECIAL_EXIT".split()
_WORDS: Final[dict[str, Word]] = {
    **dict.fromkeys(_ALIVE, Word("running")),
    **dict.fromkeys(_WAITING, Word("preempted", "requeued")),
    **dict.fromkeys(("TIMEOUT", "DEADLINE"), Word("preempted", "time limit")),
    "PREEMPTED": Word("preempted", "preempted"),
    "OUT_OF_MEMORY": Word("killed", "out of memory"),
    **dict.fromkeys(("NODE_FAIL", "BOOT_FAIL"), Word("killed", "node failure")),
    **dict.fromkeys(("CANCELLED", "REVOKED"), Word("killed", "cancelled")),
    **dict.fromkeys(("FAILED", "COMPLETED"), Word("killed", "killed")),
}
"""By SLURM's name of the state. One that is not here, such as COMPLETING, means nothing yet."""

_COMMANDS: Final = {
    "squeue": ["squeue", "--noheader", "--states=all", "--format=%A|%T"],
    "sacct": ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobIDRaw,State"],
}


class Scheduler:
    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._paused: dict[str, float] = {}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._asking: threading.Thread | None = None

    def word(self, job: str | None) -> Word | None:
        return _WORDS.get(self._words.get(job or "", ""))

    def ask(self, jobs: Iterable[str | None]) -> None:
        """Start to ask about the jobs that are not known; returns at once."""
        import shutil  # loads the compressors; most lists have no job to ask about

        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return
            now = time.monotonic()
            wanted = [job for job in dict.fromkeys(jobs) if job and _JOB.fullmatch(job) and self._is_due(job, now)]
            commands = [name for name in _COMMANDS if now >= self._paused.get(name, 0.0) and shutil.which(name)]
            if wanted and commands:
                wanted = wanted[-MOST_JOBS:]
                self._asked.update(dict.fromkeys(wanted, now))
                self._asking = threading.Thread(target=self._ask, args=(commands, wanted), daemon=True)
                self._asking.start()

    def wait(self, seconds: float) -> None:
        if self._asking is not None:
            self._asking.join(seconds)

    def _is_due(self, job: str, now: float) -> bool:
        word = self.word(job)
        ended = word is not None and self._words[job] not in (*_ALIVE, *_WAITING)
        return not ended and now - self._asked.get(job, -FRESH_SECONDS) >= FRESH_SECONDS

    def _ask(self, commands: list[str], jobs: list[str]) -> None:
        answers: dict[str, dict[str, str]] = {}
        threads = [
            threading.Thread(target=lambda name=name: answers.update({name: self._call(name, jobs)}), daemon=True)
            for name in commands
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        queue, accounts = answers.get("squeue", {}), answers.get("sacct", {})
        for job in jobs:
            state = queue.get(job)
            if state in (*_ALIVE, *_WAITING) or job not in accounts:  # the queue is current, accounting a bit late
                state = state or self._words.get(job, "")
            else:
                state = accounts[job]
            self._words[job] = state

    def _call(self, name: str, jobs: list[str]) -> dict[str, str]:
        import shutil
        import subprocess  # only where there is a scheduler to ask

        program, *options = _COMMANDS[name]
        try:
            process = subprocess.Popen(
                # by its full path: to look for it, subprocess would replace the warning filters of all threads
                [shutil.which(program) or program, *options, f"--jobs={','.join(jobs)}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError:
            self._paused[name] = time.monotonic() + PAUSE_SECONDS
            return {}
        if not self._running:
            atexit.register(self.close)
        self._running.add(process)
        try:
            printed, _ = process.communicate(timeout=ASK_SECONDS)
        except subprocess.TimeoutExpired:
            _kill(process)
            printed = ""
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=1.0)
            self._paused[name] = time.monotonic() + PAUSE_SECONDS
        finally:
            self._running.discard(process)
        # a status other than 0 may be about one job of many, such as one that the queue has forgotten
        return dict(_LINE.findall(printed))

    def close(self) -> None:
        for process in list(self._running):
            _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)


scheduler: Final = Scheduler()
"""The one that all readers of this process share."""
