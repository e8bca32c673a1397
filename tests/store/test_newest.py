"""A list that is looked at repeatedly counts the rows of running runs as they come."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from live_run import LiveRun, wait_until

import neurockt
from neurockt import open_run
from neurockt.catalogue import RunWatcher
from neurockt.monitor import Recorder
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base.run_file import read_info


def looked_at(watcher: RunWatcher, *, at_running: bool = False) -> RunInfo:
    """The only run, after another look."""
    list(watcher.look(at_running=at_running))
    (info,) = watcher.runs
    return info


def counted(table: TableSummary) -> tuple[object, ...]:
    """What must be the same however the rows were added up; repr, since NaN does not equal itself."""
    return table.rows, table.last, repr(table.columns)


def test_rows_are_counted_before_run_json_is_written_again(tmp_path: Path) -> None:
    """Final rows, the row that log may still add to, and validations."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.log({"loss": 3.0}, step=1)
    recorder.log({"loss": 2.0}, step=2)
    watcher = RunWatcher(tmp_path)
    looked_at(watcher)
    recorder.log({"loss": 1.0, "lr": 0.1}, step=5)
    recorder.log({"acc": 0.5}, step=5, train=False)
    info = looked_at(watcher, at_running=True)
    assert (info.steps.rows, info.steps.last, info.steps.columns["loss"].last) == (3, 5, 1.0)
    assert info.epochs.columns["acc"].last == 0.5
    before = watcher.runs[0]
    assert looked_at(watcher, at_running=True) == before, "nothing is read again"
    recorder.log({"loss": 0.5}, step=5)
    assert looked_at(watcher, at_running=True).steps.columns["loss"].last == 0.5
    recorder.finish()
    assert looked_at(watcher) == open_run(tmp_path / "run").info


@pytest.mark.slow
def test_the_list_of_a_run_that_is_killed_has_all_its_rows(tmp_path: Path) -> None:
    """Each look has at least what was recorded two seconds before; after the end it is what opening the run gives."""
    with LiveRun(tmp_path, rate=3000.0) as live:
        live.wait_for(1)
        watcher = RunWatcher(tmp_path)
        looked_at(watcher)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            known = live.steps
            info = looked_at(watcher, at_running=True)
            assert info.state == "running"
            assert info.steps.rows >= known
            time.sleep(0.05)
        live.kill()
    info, exact = looked_at(watcher), open_run(live.path).current_info()
    assert info.state == "killed"
    assert info.steps.rows > read_info(live.path).steps.rows or info.steps.rows == exact.steps.rows
    assert counted(info.steps) == counted(exact.steps)
    assert counted(info.epochs) == counted(exact.epochs)


def test_what_is_attached_and_late_is_counted(tmp_path: Path) -> None:
    """Metrics that another process evaluates, and values of steps that have gone by."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.log({"loss": 1.0}, step=5)
    evaluation = neurockt.attach(tmp_path / "run", "eval")
    evaluation.log({"score": 1.0}, step=1)
    watcher = RunWatcher(tmp_path)
    looked_at(watcher)
    evaluation.log({"score": 2.0}, step=2)
    recorder.log({"loss": 4.0}, step=2)
    info = looked_at(watcher, at_running=True)
    assert info.attached["eval"].epochs.columns["score"].last == 2.0
    assert info.late.columns["loss"].last == 4.0
    evaluation.finish()
    recorder.finish()


@pytest.mark.parametrize("table", ["steps", "epochs"])
def test_a_run_that_goes_on_from_a_checkpoint_counts_what_is_valid(tmp_path: Path, table: str) -> None:
    """Rows past it are superseded, also while the list is looked at."""
    watcher = RunWatcher(tmp_path)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    for step in range(1, 9):
        recorder.log({"loss": float(step)}, step=step, train=table == "steps")
    looked_at(watcher)
    looked_at(watcher)
    recorder.finish()
    again = Recorder(tmp_path, run_id="run", resume=True, quiet=True)
    again.log({"loss": 0.5}, step=4, train=table == "steps")

    def seen() -> tuple[int, float | None]:
        summary = getattr(looked_at(watcher), table)
        return summary.rows, summary.columns["loss"].last

    wait_until(lambda: seen() == (4, 0.5), "what is valid")
    again.log({"loss": 0.4}, step=5, train=table == "steps")
    assert seen() == (5, 0.4)
    again.finish()
