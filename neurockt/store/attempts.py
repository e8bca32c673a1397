"""What an attempt is known by: its process, and its place in a job that the scheduler may restart."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from typing import Final

from neurockt.records import Attempt
from neurockt.store import process
from neurockt.store.info import now

_JOB: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_COUNT: Final = re.compile(r"[0-9]{1,9}")


def begin_attempt(number: int = 1, *, recorder: int = 1, first_step: int = 1, first_epoch: int = 1) -> Attempt:
    """An attempt of this process that begins now; the arguments are the fields of ``Attempt``."""
    pid = os.getpid()
    return Attempt(
        number,
        process.host(),
        pid,
        process.process_identity(pid),
        now(),
        first_step=first_step,
        first_epoch=first_epoch,
        job=job_id(),
        restart=restart_count(),
        recorder=recorder,
        script=script_digest(),
    )


def job_id() -> str | None:
    """The SLURM job this process belongs to. Each task of a job array is a job of its own."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return job if _JOB.fullmatch(job) else None


def restart_count() -> int:
    """How many times SLURM has restarted the job; 0 outside a job."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if job_id() and _COUNT.fullmatch(count) else 0


def script_digest() -> str:
    """The same for the same command line at the same place of a job, however often the job is restarted."""
    place = [os.environ.get(name, "") for name in ("SLURM_STEP_ID", "SLURM_PROCID")]
    return hashlib.sha256("\0".join([*place, *sys.argv]).encode(errors="surrogateescape")).hexdigest()[:12]
