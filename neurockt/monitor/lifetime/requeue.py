"""Which run a recorder continues: the one that the user names, or that of the job that SLURM has restarted."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from neurockt.errors import NeurocktError, RunNotFound, UsageError
from neurockt.store.base import layout
from neurockt.store.owner.attempts import job_id, restart_count, script_digest
from neurockt.store.owner.process import is_alive

if TYPE_CHECKING:
    from neurockt.run_info import RunInfo
    from neurockt.store.recovery.takeover import Takeover


def run_to_continue(
    root: Path, run_id: str | None, recorder: int, *, writes: bool = True, resume: bool | None = None
) -> Takeover | None:
    """The run that a new recorder continues; None where it begins a new one.

    ``recorder`` is the number of the recorder in this process, from 1. ``writes`` is False where this process only
    counts, beside the one that writes. Without ``resume`` what has not finished continues. Raises UsageError, RunInUse,
    CorruptRun or FormatTooNew if the run cannot be continued.
    """
    if run_id is not None:
        path = root / run_id
        if not os.path.lexists(path) or (path.is_dir() and layout.is_of_others(path)):
            return None
        if resume is False:
            raise UsageError(f"{path} exists; resume=True continues it, another run_id records a new run")
        takeover = _takeover(path, writes)
        if takeover is not None and takeover.info.state == "finished" and writes and not resume:
            raise UsageError(
                f"the run {path} has finished; resume=True continues it, another run_id (or none) records a new run"
            )
        return takeover
    found = _of_this_job(root, recorder, writes) if restart_count() and resume is not False else None
    return _takeover(found, writes) if found is not None else None


def _takeover(path: Path, writes: bool) -> Takeover | None:
    from neurockt.store.recovery.takeover import Takeover

    try:
        return Takeover(path, writes=writes)
    except RunNotFound:
        if not writes or _remove_beginning(path):
            return None
        raise UsageError(f"{path} exists and is not a run; choose another run_id, or remove it") from None


def _remove_beginning(path: Path) -> bool:
    """Remove what a process left that died before it wrote ``run.json``; whether a run can begin there now."""
    from neurockt.store.owner.liveness import STALE_SECONDS

    try:
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            for name in os.listdir(path):
                if name.endswith(layout.TEMPORARY) or name == layout.claim_path(path, 1).name:
                    (path / name).unlink()
        return layout.is_of_others(path)
    except OSError:
        return False


def _of_this_job(root: Path, recorder: int, writes: bool) -> Path | None:
    """The run that this recorder wrote before the job was restarted.

    A candidate was written by this job, by the recorder of the same number in its process, and has not been continued
    since. The one with the same command line is chosen, else one that had not finished, else the oldest.
    """
    found: list[tuple[bool, bool, RunInfo]] = []
    for info in _runs_of_job(root):
        last = info.attempt
        if last is None or last.job != job_id() or last.recorder != recorder:
            continue
        if last.restart >= restart_count() + (not writes):
            continue
        if writes and info.state == "running" and is_alive(last):
            continue
        found.append((last.script != script_digest(), info.state == "finished", info))
    found.sort(key=lambda each: (*each[:2], each[2].created, each[2].id))
    return found[0][2].path if found else None


def _runs_of_job(root: Path) -> list[RunInfo]:
    """The runs of this job; the others, which may be thousands, are not parsed."""
    from neurockt.store.base.run_file import read_info

    sought = f'"job": {json.dumps(job_id())}'.encode()
    runs = []
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    for name in names:
        try:
            if sought in (root / name / layout.RUN_FILE).read_bytes():
                runs.append(read_info(root / name))
        except (OSError, NeurocktError):
            continue  # not a run, or one that cannot be continued
    return runs
