"""How an attempt is identified: by its process, and by its job, which the scheduler may restart."""

from __future__ import annotations

import os
import re
import sys
from datetime import datetime
from typing import Final

from neurockt.run_info import Attempt
from neurockt.store.base.run_file import moment, now
from neurockt.store.owner import process

_JOB: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_SECONDS: Final = re.compile(r"[1-9][0-9]{8,10}")
"""Since 1970, up to the year 5138."""


def begin_attempt(number: int = 1, *, recorder: int = 1, first_step: int = 0, first_epoch: int = 1) -> Attempt:
    """A new attempt of this process; the arguments are fields of ``Attempt``."""
    pid = os.getpid()
    cgroup = process.own_cgroup()
    return Attempt(
        number,
        process.host(),
        pid,
        process.process_identity(pid),
        now(),
        first_step=first_step,
        first_epoch=first_epoch,
        job=job_id(),
        job_end=job_end(),
        restart=restart_count(),
        recorder=recorder,
        script=script_digest(),
        cgroup=cgroup,
        oom_kills=process.oom_kills(cgroup),
    )


def is_same(one: Attempt | None, other: Attempt | None) -> bool:
    identities = [each and (each.number, each.host, each.pid, each.process, each.started) for each in (one, other)]
    return identities[0] == identities[1]


def by_whom(attempt: Attempt | None) -> str:
    """Which process writes, for a message, after `` by ``; empty where that is not known."""
    if attempt is None:
        return ""
    is_this = (attempt.pid, attempt.host) == (os.getpid(), process.host())
    return f" by process {attempt.pid} on {attempt.host}{', this one' if is_this else ''}"


def job_id() -> str | None:
    job = os.environ.get("SLURM_JOB_ID", "")
    return job if _JOB.fullmatch(job) else None


def job_end() -> datetime | None:
    """When the scheduler will end the job; None where it has no limit, or does not say."""
    seconds = os.environ.get("SLURM_JOB_END_TIME", "")
    return moment(int(seconds) * 10**9) if job_id() and _SECONDS.fullmatch(seconds) else None


def restart_count() -> int:
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if job_id() and _COUNT.fullmatch(count) else 0


def script_digest() -> str:
    """A digest of the command line and the job step, which a restarted job has again."""
    import hashlib

    words = [os.environ.get("SLURM_STEP_ID", ""), *sys.argv]
    return hashlib.sha256("\0".join(words).encode(errors="surrogateescape")).hexdigest()[:12]
