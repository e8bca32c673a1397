"""What the adapters share: the runs that one of them records, one after the other."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurockt import list_runs, open_run, testing
from neurockt.errors import UsageError
from neurockt.integrations.runs import Runs, runs_for
from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder


def record(runs: Runs, *losses: float) -> Path:
    testing.record(runs.recorder, {"loss": losses})
    return runs.recorder.run_dir


def test_options_that_recorder_lacks_are_refused_where_the_adapter_is_made() -> None:
    with pytest.raises(TypeError, match="projekt"):
        Runs(None, {"projekt": "toy"})


def test_a_recorder_and_options_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give name to the Recorder that is passed"):
        Runs(Recorder(tmp_path), {"name": "a"})


def test_what_is_not_a_recorder_is_refused() -> None:
    with pytest.raises(UsageError, match="must be a Recorder, not str 'toy'"):
        Runs("toy", {})  # type: ignore[arg-type]


def test_the_next_run_is_described_as_the_first_and_has_an_id_of_its_own(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path, "run_id": "a", "name": "toy", "tags": ["x"], "config": {"lr": 0.1}})
    first = record(runs, 1.0)
    runs.begin_next()
    second = record(runs, 2.0)
    runs.begin_next()
    assert (first.name, second.name, record(runs, 3.0).name) == ("a", "a-2", "a-3")
    assert open_run(first).state == "finished"
    info = open_run(second).info
    assert (info.name, info.tags, info.config) == ("toy", ("x",), {"lr": 0.1})
    runs.recorder.finish()


def test_the_next_run_after_a_recorder_of_the_user_is_recorded_as_that_was(tmp_path: Path) -> None:
    runs = Runs(WandbRecorder(tmp_path, mode="offline", id="w", entity="us", group="g", system_seconds=None), {})
    first = record(runs, 1.0)
    runs.begin_next()
    assert record(runs, 2.0) != first
    assert isinstance(runs.recorder, WandbRecorder)
    assert dict(runs.recorder._options) | {"id": "w-2", "group": "g", "system_seconds": None} == runs.recorder._options
    runs.recorder.finish()


def test_a_run_that_is_left_by_an_error_has_failed(tmp_path: Path) -> None:
    runs = Runs(Recorder(tmp_path, quiet=True), {})
    first = record(runs, 1.0)
    runs.begin_next(failed=RuntimeError("no memory"))
    failure = open_run(first).info.failure
    assert failure is not None
    assert (failure.type, failure.message) == ("RuntimeError", "no memory")


def test_going_back_supersedes_the_steps_that_come_again(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path})
    record(runs, 1.0, 2.0, 3.0)
    runs.go_back(1)
    run_dir = record(runs, 2.5)
    runs.recorder.finish()
    assert open_run(run_dir).steps()["loss"].to_pylist() == [1.0, 2.5]
    assert len(list_runs(tmp_path)) == 1


def test_a_description_replaces_only_what_the_user_left_open(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path, "name": "mine"})
    runs.describe(name="theirs", project="theirs")
    record(runs, 1.0)
    runs.recorder.finish()
    info = open_run(runs.recorder.run_dir).info
    assert (info.name, info.project) == ("mine", "theirs")


def in_another_process(runs: Runs, code: str) -> None:
    """Run code that has these ``runs``, from a pickle, as ``runs``."""
    script = f"import pickle, sys\nruns = pickle.loads(sys.stdin.buffer.read())\n{code}"
    subprocess.run([sys.executable, "-c", script], input=pickle.dumps(runs), check=True)


@pytest.mark.slow
def test_other_processes_record_the_run_that_has_not_begun_in_this_one(tmp_path: Path) -> None:
    """A training, then an evaluation; the next training from the start is a run of its own."""
    runs = Runs(None, {"root": tmp_path})
    runs.recorder.config.lr = 0.1
    in_another_process(runs, "assert not runs.begins_new(0)\nruns.continue_after(0)\nruns.recorder.log({'a': 1.0}, 5)")
    in_another_process(runs, "runs.keep_all()\nruns.recorder.log({'b': 0.5}, train=False)")
    run = open_run(runs.recorder.run_dir)
    assert (run.state, dict(run.config)) == ("finished", {"lr": 0.1})
    assert (run.steps()["step"].to_pylist(), run.epochs()["step"].to_pylist()) == ([5], [5])
    in_another_process(runs, "assert runs.begins_new(0)\nruns.begin_next()\nruns.recorder.log({'a': 1.0}, 1)")
    assert len(list_runs(tmp_path)) == 2
    assert runs.begins_new(0)
    assert not runs.begins_new(5)


@pytest.mark.slow
def test_another_process_records_a_run_of_its_own_beside_one_that_has_begun(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path, "run_id": "a", "project": "toy"})
    record(runs, 1.0)
    in_another_process(runs, "runs.recorder.log({'loss': 2.0}, 1)")
    record(runs, 3.0)
    assert open_run(tmp_path / "a").steps()["loss"].to_pylist() == [1.0, 3.0]
    assert [info.project for info in list_runs(tmp_path)] == ["toy", "toy"]


def test_a_pickle_records_the_same_run_in_this_process(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path})
    assert pickle.loads(pickle.dumps(runs)).recorder is runs.recorder
    record(runs, 1.0)
    assert pickle.loads(pickle.dumps(runs)).recorder is runs.recorder


def test_adapters_of_one_run_id_share_it_while_one_of_them_lives(tmp_path: Path) -> None:
    """Unless the run must be a new one. What is made later has the options of the last."""
    options: dict[str, Any] = {"root": tmp_path, "run_id": "a"}
    runs = runs_for(None, {**options, "project": "one"})
    assert runs_for(None, {**options, "root": f"{tmp_path}/", "project": "two"}) is runs
    assert runs_for(None, {**options, "run_id": "b"}) is not runs
    record(runs, 1.0)
    with pytest.raises(UsageError, match="exists; resume=True continues it"):
        runs_for(None, {**options, "resume": False}).recorder  # noqa: B018
    runs.begin_next()
    assert runs.project == "two"
    del runs
    assert runs_for(None, {**options, "project": "three"}).options["project"] == "three"


def test_a_row_after_the_end_continues_the_run(tmp_path: Path) -> None:
    runs = Runs(None, {"root": tmp_path})
    run_dir = record(runs, 1.0)
    runs.close()
    assert open_run(run_dir).state == "finished"
    assert record(runs, 2.0) == run_dir
    assert open_run(run_dir).steps()["loss"].to_pylist() == [1.0, 2.0]
