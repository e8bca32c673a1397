"""Attempts: what is written of the processes that record a run, and that older files lack it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.base.layout import RUN_FILE
from neurockt.store.owner.attempts import begin_attempt


def test_an_attempt_names_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job, its restarts, and the script by which a restarted job knows its run."""
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    monkeypatch.setattr("neurockt.monitor.recorder._numbers", iter([1]))
    recorder = Recorder(tmp_path, quiet=True)
    with recorder(train=True):
        pass
    recorder.finish()
    attempt = open_run(recorder.run_dir).info.attempts[0]
    assert (attempt.number, attempt.job, attempt.restart) == (1, "4711", 2)
    assert (attempt.first_step, attempt.first_epoch, attempt.recorder) == (0, 1, 1)
    assert attempt.script == begin_attempt().script
    monkeypatch.setattr("sys.argv", ["train.py", "--lr", "0.2"])
    assert attempt.script != begin_attempt().script


@pytest.mark.parametrize(("job", "restart"), [("", "1"), ("1\udce9", "1"), ("12", "x"), ("12", "")])
def test_an_environment_that_tells_nothing_is_no_restart(
    monkeypatch: pytest.MonkeyPatch, job: str, restart: str
) -> None:
    """Outside a job, or where the scheduler's variables hold something else."""
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.setenv("SLURM_RESTART_COUNT", restart)
    assert begin_attempt().restart == 0


def test_a_run_of_before_is_read(tiny_run: Path) -> None:
    """The fields that were added to an attempt may be missing: the format is the same."""
    document = json.loads((tiny_run / RUN_FILE).read_text())
    old = ("number", "host", "pid", "process", "started", "ended")
    document["attempts"] = [{name: document["attempts"][0][name] for name in old}]
    (tiny_run / RUN_FILE).write_text(json.dumps(document))
    attempt = open_run(tiny_run).info.attempts[0]
    assert (attempt.cause, attempt.job, attempt.restart, attempt.first_step) == (None, None, 0, 0)
