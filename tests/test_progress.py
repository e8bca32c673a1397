"""How far a run is: what the Recorder is given, what run.json then has, and what is made of it."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live_run import wait_until
from msgspec.structs import replace

from neurockt import list_runs, open_run, progress, testing
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder
from neurockt.query.fields import parse_field
from neurockt.query.filter import parse
from neurockt.run_info import Attempt, RunInfo, TableSummary

NOW = datetime.now(timezone.utc)
ATTEMPT = Attempt(1, "node", 1, "", NOW - timedelta(hours=1), job="7", job_end=NOW + timedelta(hours=2))
RUN = RunInfo(
    Path("a"),
    "a",
    NOW - timedelta(hours=1),
    total_steps=10_000,
    attempts=(ATTEMPT,),
    steps=TableSummary(4_200, last=4_200, last_time=NOW - timedelta(seconds=90), speed=2.0),
    epochs=TableSummary(3, last=3, last_time=NOW - timedelta(seconds=30.5)),
)


@pytest.fixture(autouse=True)
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "utc_now", lambda: NOW)


def test_the_facts_of_a_run_that_is_running() -> None:
    """The share done, the speed, the time left, how long there has been no row, and the end of its job."""
    facts = progress.progress_facts(RUN)
    assert facts == ["42.0% of 10,000 steps", "2 steps/s", "48m 20s left", "last row 30s ago", "job ends in 2h 0m"]
    slow = replace(RUN, steps=replace(RUN.steps, speed=0.05))
    assert progress.progress_facts(slow)[1:3] == ["20s a step", "1d 8h left"]
    assert progress.progress_facts(slow)[-1] == "job ends in 2h 0m (too soon)"


def test_the_duration_of_a_running_run_is_up_to_now() -> None:
    """Not to its last heartbeat, which would stop for ten seconds; that ends the duration of a killed run."""
    created = datetime.now(timezone.utc) - timedelta(seconds=100)
    info = RunInfo(Path("r"), "r", created, updated=created + timedelta(seconds=90))
    assert info.seconds == pytest.approx(100, abs=5)
    assert replace(info, state="killed").seconds == 90
    assert replace(info, state="finished", ended=created + timedelta(seconds=95)).seconds == 95


def test_the_facts_of_a_run_that_has_ended() -> None:
    """How far it got; nothing that changes with time."""
    ended = replace(RUN, state="killed", ended=NOW)
    assert progress.progress_facts(ended) == ["42.0% of 10,000 steps"]
    for name in ("left", "idle", "job_left"):
        assert parse_field(name).value(ended) is None
    assert parse_field("speed").value(ended) == 2.0


def test_steps_counted_from_0_end_at_100_percent() -> None:
    """The last of 10 is then number 9; more than all steps are more than 100 %, and the rest is rounded down."""
    counted = replace(RUN, total_steps=10, steps=TableSummary(10, last=9))
    assert progress.progress_facts(counted)[0] == "100.0% of 10 steps"
    assert progress.share_done(replace(counted, steps=TableSummary(12, last=12))) == 1.2
    assert progress.progress_facts(replace(RUN, total_steps=4_201))[0] == "99.9% of 4,201 steps"


def test_lists_have_a_column_for_what_a_running_run_has() -> None:
    """Without one there is none, so that finished runs take no room for it."""
    assert progress.live_fields([RUN]) == ["progress", "left"]
    assert progress.live_fields([RUN, replace(RUN, total_steps=10**6)]) == ["progress", "left", "job_left"]
    assert progress.live_fields([replace(RUN, total_steps=None)]) == ["job_left"]
    assert progress.live_fields([replace(RUN, state="finished")]) == []


@pytest.mark.parametrize(("total", "rows"), [(10**400, 5), (5, 10**400), (0, 5), (-5, 5)])
def test_numbers_that_no_run_has_are_not_shown(total: int, rows: int) -> None:
    """A damaged run.json harms no list."""
    run = replace(RUN, total_steps=total, steps=TableSummary(rows, speed=1.0))
    assert (progress.share_done(run), progress.seconds_left(run)) == (None, None)


@pytest.mark.parametrize("speed", [None, 0.0, -1.0, float("nan"), float("inf")])
def test_without_a_speed_there_is_no_time_left(speed: float | None) -> None:
    run = replace(RUN, steps=replace(RUN.steps, speed=speed), attempts=())
    assert progress.progress_facts(run) == ["42.0% of 10,000 steps", "last row 30s ago"]


@pytest.mark.parametrize(
    "query",
    "progress>40% progress<0.5 left<1h left>30m idle<1m job_left>1h speed=2 total_steps>=10000".split(),
)
def test_runs_are_found_by_how_far_they_are(query: str) -> None:
    assert parse(query).matches(RUN)
    assert not parse(f"NOT {query}").matches(RUN)


def test_what_the_recorder_is_given_is_in_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it is assigned later. The job's end comes from SLURM; speed and last row's time from the rows."""
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("SLURM_JOB_END_TIME", "1800000000")
    with testing.writer_timing(tick=0.01, first_heartbeat=0.02, heartbeat=0.02):
        recorder = Recorder(tmp_path, run_id="a", quiet=True, total_steps=np.int64(100), system_seconds=None)
        assert recorder.total_steps == 100
        for step in range(20):
            recorder.log({"loss": 1.0}, step)
            time.sleep(0.005)
        wait_until(lambda: list_runs(tmp_path)[0].steps.last_time, "a heartbeat")
        (info,) = list_runs(tmp_path)
        assert info.total_steps == 100
        assert info.steps.last_time is not None
        assert 0 <= (datetime.now(timezone.utc) - info.steps.last_time).total_seconds() < 60
        assert info.attempt is not None
        assert info.attempt.job_end == datetime(2027, 1, 15, 8, tzinfo=timezone.utc)
        recorder.total_steps = 50.0  # type: ignore[assignment]
        with pytest.warns(NeurocktWarning, match=r"total_steps='many' is not a number of steps.*; it is left out"):
            recorder.total_steps = "many"  # type: ignore[assignment]
        recorder.finish()
    info = open_run(tmp_path / "a").info
    times = open_run(tmp_path / "a").steps()["time"].to_pylist()
    assert (info.total_steps, progress.share_done(info)) == (50, 0.4)
    assert info.steps.last_time == times[-1]
    assert info.steps.speed == pytest.approx(19 / (times[-1] - times[0]).total_seconds(), rel=0.01)
    assert open_run(tmp_path / "a").current_info() == info


def test_a_run_that_goes_on_keeps_its_total(tmp_path: Path) -> None:
    """Unless it is given another one."""
    for given, total in ((30, 30), (None, 30), (40, 40)):
        recorder = Recorder(tmp_path, run_id="a", quiet=True, resume=True if given != 30 else None, total_steps=given)
        assert recorder.total_steps == total
        recorder.log({"loss": 1.0})
        recorder.finish()
        assert open_run(tmp_path / "a").info.total_steps == total


def test_a_wandb_recorder_takes_it_too(tmp_path: Path) -> None:
    assert WandbRecorder(tmp_path, mode="disabled", total_steps=7).total_steps == 7


@pytest.mark.parametrize("given", [0, -5, 1.5, "100", True, float("inf"), float("nan"), 10**30, [1]])
def test_what_is_not_a_number_of_steps_is_refused(tmp_path: Path, given: Any) -> None:
    with pytest.raises(UsageError, match="is not a number of steps; give an integer from 1, or None"):
        Recorder(tmp_path, total_steps=given)


def test_a_job_without_an_end_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a job, and where the variable is no time."""
    for number, (job, end) in enumerate((("", "1800000000"), ("12", ""), ("12", "UNLIMITED"), ("12", "9" * 30))):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_JOB_END_TIME", end)
        recorder = Recorder(tmp_path, run_id=f"r{number}", quiet=True)
        recorder.log({"loss": 1.0})
        recorder.finish()
        document = json.loads((recorder.run_dir / "run.json").read_text())
        assert document["attempts"][0]["job_end"] is None
