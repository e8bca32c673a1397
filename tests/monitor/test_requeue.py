"""A run that is continued: by its id, or by a job that SLURM has restarted."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from live_run.dying import die, live

from neurockt import open_run
from neurockt.errors import RunInUse, UsageError
from neurockt.monitor import Recorder
from neurockt.monitor.lifetime.ending import Ending

pytestmark = pytest.mark.slow


def train(recorder: Recorder, blocks: str, value: float) -> Recorder:
    """A step for each ``s`` and a validation for each ``v``, all of the same value."""
    loss = recorder.track_scalar("loss")(float)
    accuracy = recorder.metric("acc")(float)
    for block in blocks:
        with recorder(train=block == "s"):
            (loss if block == "s" else accuracy)(value)
    return recorder


def dead_run(root: Path, blocks: str = "ssvssv", **described: Any) -> Path:
    """A run of a process that was killed: by default four steps and two validations, of value 1."""
    die(lambda: train(Recorder(root, run_id="run", quiet=True, system_seconds=None, **described), blocks, 1.0))
    return root / "run"


def rows(path: Path, table: str) -> list[tuple[float, ...]]:
    """Each row's step, epoch and value, by Arrow alone."""
    read = pq.read_table(path / table, partitioning=None).to_pydict()
    return list(zip(read["step"], read["epoch"], read["loss" if table == "steps" else "acc"], strict=True))


def test_a_dead_run_goes_on(tmp_path: Path) -> None:
    """Steps and epochs count on from what is stored; it is the same run, with another attempt."""
    path = dead_run(tmp_path)
    before = open_run(path).info
    recorder = Recorder(tmp_path, run_id="run", quiet=True, system_seconds=None)
    assert (recorder.step, recorder.epoch, recorder.run_dir) == (4, 2, path)
    train(recorder, "sv", 2.0)
    assert open_run(path).state == "running"
    assert len(open_run(path).steps()) == 5
    recorder.finish()
    info = open_run(path).info
    assert rows(path, "steps") == [(1, 1, 1), (2, 1, 1), (3, 2, 1), (4, 2, 1), (5, 3, 2)]
    assert rows(path, "epochs") == [(2, 1, 1), (4, 2, 1), (5, 3, 2)]
    assert sorted(each.name for each in path.iterdir()) == ["epochs", "origin", "run.json", "steps"]
    assert (info.state, info.created, info.id) == ("finished", before.created, before.id)
    assert info.heartbeat > before.heartbeat
    assert info.steps.columns["loss"].count == 5
    assert (info.steps.columns["loss"].max, info.steps.columns["loss"].max_at) == (2.0, 5)
    first, second = info.attempts
    assert (first.number, first.cause, first.first_step, first.first_epoch) == (1, "killed", 0, 1)
    assert first.ended is not None
    assert (second.number, second.pid, second.first_step, second.first_epoch) == (2, os.getpid(), 5, 3)


def test_rows_past_the_checkpoint_are_superseded(tmp_path: Path) -> None:
    """Later rows continue from there, in one clean series; what was moved can be read, and the summaries are right."""
    path = dead_run(tmp_path, "ssvssvs")
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(step=3)
    assert (recorder.step, recorder.epoch) == (3, 1)
    assert len(open_run(path).steps()) == 5, "nothing is moved before the first row"
    train(recorder, "sv", 0.5)
    run = open_run(path)
    assert run.steps()["loss"].to_pylist() == [1, 1, 1, 0.5]
    assert run.epochs()["epoch"].to_pylist() == [1, 2]
    recorder.finish()
    assert rows(path, "steps") == [(1, 1, 1), (2, 1, 1), (3, 2, 1), (4, 2, 0.5)]
    assert rows(path, "epochs") == [(2, 1, 1), (4, 2, 0.5)]
    assert rows(path / "superseded" / "attempt-001", "steps") == [(4, 2, 1), (5, 3, 1)]
    assert rows(path / "superseded" / "attempt-001", "epochs") == [(4, 2, 1)]
    assert [(each, list(table["step"].to_pylist())) for each, table in run.superseded().items()] == [(1, [4, 5])]
    info = run.info
    assert (info.steps.rows, info.epochs.rows) == (4, 2)
    column = info.steps.columns["loss"]
    assert (column.count, column.last, column.min, column.min_at, column.max_at) == (4, 0.5, 0.5, 4, 1)
    assert info.attempts[1].first_step == 4


def test_a_run_that_is_resumed_from_nothing_begins_again(tmp_path: Path) -> None:
    """Step 0: every row is superseded, and kept."""
    path = dead_run(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(0)
    train(recorder, "svs", 2.0)
    recorder.finish()
    assert rows(path, "steps") == [(1, 1, 2), (2, 2, 2)]
    assert rows(path, "epochs") == [(1, 1, 2)]
    assert len(open_run(path).superseded("steps")[1]) == 4
    assert len(open_run(path).superseded("epochs")[1]) == 2


def test_the_last_word_on_where_to_resume_counts(tmp_path: Path) -> None:
    """Nothing has been moved before the first row, so that it can be said again."""
    path = dead_run(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(1)
    recorder.resume(3)
    train(recorder, "s", 2.0)
    recorder.finish()
    assert rows(path, "steps")[2:] == [(3, 2, 1), (4, 2, 2)]


@pytest.mark.parametrize("step", [4, 5, 10**6])
def test_a_checkpoint_at_or_past_the_end_supersedes_nothing(tmp_path: Path, step: int) -> None:
    """The validation after the last step stays, too."""
    path = dead_run(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(step)
    assert (recorder.step, recorder.epoch) == (4, 2)
    train(recorder, "s", 2.0)
    recorder.finish()
    assert [step for step, *_ in rows(path, "steps")] == [1, 2, 3, 4, 5]
    assert not (path / "superseded").exists()


def test_a_new_run_has_nothing_to_resume(tmp_path: Path) -> None:
    """The same script runs the first time."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(100)
    assert recorder.step == 0
    train(recorder, "s", 1.0)
    recorder.finish()
    assert rows(tmp_path / "run", "steps") == [(1, 1, 1)]


def test_resuming_too_late_is_an_error(tmp_path: Path) -> None:
    """Inside a block, after rows of this attempt, after the end, or to no step at all."""
    dead_run(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    with pytest.raises(UsageError, match="0 or above"):
        recorder.resume(-1)
    with pytest.raises(TypeError):
        recorder.resume(1.5)  # type: ignore[arg-type]
    with recorder(train=True), pytest.raises(UsageError, match="inside a block"):
        recorder.resume(1)
    with pytest.raises(UsageError, match=r"after 1 step and 0 validations; call it before the first"):
        recorder.resume(1)
    recorder.finish()
    with pytest.raises(UsageError, match="has finished"):
        recorder.resume(1)


def test_a_recorder_that_records_nothing_leaves_the_run_as_it_is(tmp_path: Path) -> None:
    """A script that fails before its first row, or a worker that imports it again."""
    path = dead_run(tmp_path)
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file()}
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(2)
    recorder.finish()
    assert {each: each.read_bytes() for each in path.rglob("*") if each.is_file()} == before


def test_what_is_known_of_the_run_stays_unless_it_is_said_anew(tmp_path: Path) -> None:
    """Name, tags and config; a failure is no failure any more."""

    def fail() -> None:
        recorder = Recorder(tmp_path, run_id="run", quiet=True, name="first", tags=["a"], config={"lr": 1, "seed": 3})
        train(recorder, "s", 1.0)
        recorder._session.finish(Ending("failed"))

    live(fail)
    recorder = Recorder(tmp_path, run_id="run", quiet=True, notes="again", config={"lr": 2})
    assert dict(recorder.config) == {"lr": 2, "seed": 3}
    recorder.config["node"] = 7
    train(recorder, "s", 1.0)
    info = open_run(tmp_path / "run").info
    assert (info.state, info.failure, info.ended) == ("running", None, None)
    recorder.finish()
    info = open_run(tmp_path / "run").info
    assert (info.name, info.tags, info.notes) == ("first", ("a",), "again")
    assert info.config == {"lr": 2, "seed": 3, "node": 7}
    assert info.attempts[0].cause == "failed"


def test_a_run_whose_process_died_at_its_very_beginning_is_begun_again(tmp_path: Path) -> None:
    """It had made the directory and not yet said what it is; half a minute later nobody is at it any more."""
    path = tmp_path / "run"
    path.mkdir()
    (path / ".run.json.tmp").write_text("{")
    (path / "claim-001").touch()
    os.utime(path, (time.time() - 3600,) * 2)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    train(recorder, "s", 1.0)
    recorder.finish()
    assert rows(path, "steps") == [(1, 1, 1)]


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """At once, and nothing is written into it: it has what belongs to a run, and no description of one."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "steps.journal").touch()
    with pytest.raises(UsageError, match="exists and is not a run"):
        Recorder(tmp_path, run_id="run")


def test_a_run_that_another_recorder_of_this_process_records_is_refused(tmp_path: Path) -> None:
    """As a notebook cell that is run again meets it."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.log({"loss": 1.0})
    again = Recorder(tmp_path, run_id="run", quiet=True)
    with pytest.raises(RunInUse, match=rf"by process {os.getpid()} on .*, this one; wait for its end, finish\(\)"):
        again.log({"loss": 2.0})
    recorder.finish()


def test_a_process_beside_the_one_that_records_counts_as_it_does(tmp_path: Path) -> None:
    """A rank, or a worker that imports the script again: it counts from where this attempt began, and takes nothing."""
    dead_run(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(3)
    train(recorder, "ss", 2.0)

    def beside() -> None:
        other = Recorder(tmp_path, run_id="run", quiet=True)
        assert (other.step, other.epoch) == (3, 1)
        other.resume(3)
        assert (other.step, other.epoch) == (3, 1)
        with pytest.raises(RunInUse, match=f"by process {os.getppid()} on"):
            train(other, "s", 3.0)
        with pytest.raises(UsageError, match="finished"):
            train(other, "s", 3.0)

    live(beside)
    train(recorder, "s", 2.0)
    recorder.finish()
    assert [value for *_, value in rows(tmp_path / "run", "steps")] == [1, 1, 1, 2, 2, 2]


# SLURM


@pytest.fixture
def in_job(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Takes how often SLURM has restarted the job, and its command line."""

    def enter(restart: int, *arguments: str, job: str = "4711") -> None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(restart))
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        monkeypatch.setattr("neurockt.monitor.recorder._numbers", iter(range(1, 100)))

    return enter


def job(root: Path, blocks: str, value: float) -> Recorder:
    """Record with a recorder that is told nothing."""
    return train(Recorder(root, quiet=True), blocks, value)


def test_a_restarted_job_continues_its_run(tmp_path: Path, in_job: Callable[..., None]) -> None:
    """No run_id: the run is known by the job. A job of another id, as each task of an array has, begins its own."""
    in_job(0)
    die(lambda: job(tmp_path, "ss", 1.0))
    (path,) = tmp_path.iterdir()
    in_job(0)
    assert Recorder(tmp_path).run_dir != path, "the same job, not restarted: another script"
    in_job(1, job="4712")
    assert Recorder(tmp_path).run_dir != path
    in_job(1, "--resume", "last.pt")
    recorder = Recorder(tmp_path, quiet=True)
    recorder.resume(1)
    train(recorder, "ss", 2.0)
    recorder.finish()
    assert recorder.run_dir == path
    assert [value for *_, value in rows(path, "steps")] == [1, 2, 2]
    assert [(attempt.job, attempt.restart) for attempt in open_run(path).info.attempts] == [("4711", 0), ("4711", 1)]
    in_job(1)
    assert Recorder(tmp_path).run_dir != path, "continued since the job was restarted"
    in_job(2)
    assert Recorder(tmp_path).run_dir == path


def test_each_recorder_of_a_job_continues_its_own_run(tmp_path: Path, in_job: Callable[..., None]) -> None:
    """The n-th of the process; and of two scripts of one job, the one with the same command line."""

    def both() -> list[Recorder]:
        first, second = Recorder(tmp_path, quiet=True, name="a1"), Recorder(tmp_path, quiet=True, name="a2")
        return [train(second, "s", 1.0), train(first, "ss", 1.0)]

    in_job(0, "--lr", "1")
    die(both)
    in_job(0, "--lr", "2")
    die(lambda: train(Recorder(tmp_path, quiet=True, name="b1"), "sss", 1.0))

    def continued(*arguments: str) -> list[tuple[str | None, int]]:
        in_job(1, *arguments)
        made = [Recorder(tmp_path) for _ in range(3)]
        return [
            (recorder._session.destination.takeover and recorder._session.destination.takeover.info.name, recorder.step)
            for recorder in made
        ]

    assert continued("--lr", "1") == [("a1", 2), ("a2", 1), (None, 0)]
    assert continued("--lr", "2") == [("b1", 3), ("a2", 1), (None, 0)]
    assert continued("--lr", "3") == [("a1", 2), ("a2", 1), (None, 0)]


def test_a_job_without_runs_begins_one(tmp_path: Path, in_job: Callable[..., None]) -> None:
    """The first attempt died before its first row."""
    in_job(3)
    assert Recorder(tmp_path / "none").step == 0


@pytest.mark.parametrize("word", ["never", "must", 2])
def test_a_word_of_wandb_for_resume_is_refused(tmp_path: Path, word: Any) -> None:
    """`never` would be true, and continue a finished run."""
    with pytest.raises(UsageError, match=f"resume={word!r} is not True, False or None"):
        Recorder(tmp_path, run_id="a", resume=word)
