"""The scheduler's word on the job of a silent run, from programs called ``squeue`` and ``sacct`` on the PATH."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import preloaded
import pytest
from live_run import wait_until
from msgspec.structs import replace

from neurockt import open_run
from neurockt.catalogue import RunWatcher
from neurockt.cli import main, seal, show
from neurockt.run_info import Attempt, RunInfo
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.owner import liveness, slurm
from neurockt.store.owner.liveness import ask_scheduler
from neurockt.store.owner.slurm import Scheduler
from neurockt.store.recovery.sealing import seal_run

LONG_AGO = datetime.now(timezone.utc) - timedelta(days=3)

ELSEWHERE = "5d0c29ba-0000-4000-8000-000000000000/pid:[4026531836]/12345"
"""A process of another machine."""


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Scheduler:
    """One that has asked nothing yet."""
    made = Scheduler()
    monkeypatch.setattr(liveness, "scheduler", made)
    return made


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of programs, first on the PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    return directory


def install(programs: Path, name: str, *lines: str, before: str = "", status: int = 0) -> Path:
    """A program that prints these lines, and keeps what it was called with."""
    calls = programs / f"{name}.calls"
    told = "".join(f"echo '{line}'\n" for line in lines)
    (programs / name).write_text(f'#!/bin/sh\necho "$@" >> {calls}\n{before}\n{told}exit {status}\n')
    (programs / name).chmod(0o755)
    return calls


def silent_run(path: Path, job: str | None = "4711", **fields: Any) -> RunInfo:
    """A run of another machine that has said nothing for days."""
    attempt = replace(Attempt(1, "node-17", 4242, ELSEWHERE, LONG_AGO, job=job), cause=fields.pop("cause", None))
    info = RunInfo(path, path.name, LONG_AGO, attempts=(attempt,), updated=LONG_AGO, **fields)
    path.mkdir(parents=True, exist_ok=True)
    write_info(info)
    return info


def told(path: Path, scheduler: Scheduler) -> tuple[str, str | None]:
    """What a reader who asks tells of the run."""
    ask_scheduler([open_run(path).info])
    scheduler.wait(30)
    info = open_run(path).info
    return info.state, info.cause


@pytest.mark.parametrize(
    ("says", "state", "cause"),
    [
        ("TIMEOUT", "preempted", "time limit"),
        ("PREEMPTED", "preempted", "preempted"),
        ("OUT_OF_MEMORY", "killed", "out of memory"),
        ("NODE_FAIL", "killed", "node failure"),
        ("CANCELLED by 1000", "killed", "cancelled"),
        ("FAILED", "killed", "killed"),
        ("REQUEUED", "preempted", "requeued"),
        ("RUNNING", "running", None),
        ("COMPLETING", "killed", "lost"),
        ("\x1b[31mNEW_STATE", "killed", "lost"),
    ],
)
def test_the_word_of_accounting_is_used(
    tmp_path: Path, programs: Path, scheduler: Scheduler, says: str, state: str, cause: str | None
) -> None:
    """A silent run is called dead for the scheduler's reason, and not at all while its job is running."""
    silent_run(tmp_path / "run")
    assert (open_run(tmp_path / "run").state, open_run(tmp_path / "run").info.cause) == ("killed", "lost")
    calls = install(programs, "sacct", f"4711|{says}", "4712|FAILED")
    assert told(tmp_path / "run", scheduler) == (state, cause)
    assert calls.read_text() == "--noheader --parsable2 --allocations --format=JobIDRaw,State --jobs=4711\n"


def test_the_queue_is_more_up_to_date_than_accounting(tmp_path: Path, programs: Path, scheduler: Scheduler) -> None:
    """A job that was requeued is running again, whatever accounting says of it; it forgets jobs that have ended."""
    for job in ("1", "2", "3"):
        silent_run(tmp_path / job, job)
    install(programs, "sacct", "1|PREEMPTED", "2|PREEMPTED", "3|TIMEOUT")
    install(programs, "squeue", "1|RUNNING", "2|PENDING")
    ask_scheduler([open_run(tmp_path / job).info for job in "123"])
    scheduler.wait(30)
    found = [open_run(tmp_path / job).info for job in "123"]
    assert [info.standing for info in found] == ["running", "preempted (requeued)", "preempted (time limit)"]


def test_a_signal_that_was_written_down_is_explained(tmp_path: Path, programs: Path, scheduler: Scheduler) -> None:
    """SIGTERM may be scancel or anything; of an exception, and of a time limit, the run knows more itself."""
    silent_run(tmp_path / "dead", cause="SIGTERM")
    silent_run(tmp_path / "sealed", cause="SIGTERM", state="preempted")
    silent_run(tmp_path / "limit", cause="time limit")
    silent_run(tmp_path / "failed", cause="exception", state="failed")
    install(programs, "sacct", "4711|CANCELLED by 0")
    assert told(tmp_path / "dead", scheduler) == ("preempted", "cancelled")
    assert told(tmp_path / "sealed", scheduler) == ("preempted", "cancelled")
    assert told(tmp_path / "limit", scheduler) == ("preempted", "time limit")
    assert told(tmp_path / "failed", scheduler) == ("failed", "exception")


def test_all_jobs_are_asked_about_in_one_call_and_once(tmp_path: Path, programs: Path, scheduler: Scheduler) -> None:
    """However many runs there are and however often a viewer looks; what is no job's number is not asked about."""
    for number in range(30):
        silent_run(tmp_path / "runs" / f"{number:02}", str(number))
    silent_run(tmp_path / "runs" / "none", None)
    silent_run(tmp_path / "runs" / "odd", "--help")
    calls = install(programs, "sacct", *(f"{number}|TIMEOUT" for number in range(30)))
    watcher = RunWatcher(tmp_path / "runs")
    for _ in range(3):
        list(watcher.look())
        scheduler.wait(30)
    (call,) = calls.read_text().splitlines()
    assert sorted(call.rpartition("=")[2].split(","), key=int) == [str(number) for number in range(30)]
    assert [info.cause for info in watcher.runs].count("time limit") == 30


def test_a_scheduler_that_hangs_is_not_waited_for(
    tmp_path: Path, programs: Path, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by who asks nor by who reads; it is killed with all that it started, and left alone for a while."""
    silent_run(tmp_path / "run")
    calls = install(programs, "sacct", before="trap '' TERM; sleep 3600 & wait; sleep 3600")
    monkeypatch.setattr(slurm, "ASK_SECONDS", 3600.0)
    ask_scheduler([open_run(tmp_path / "run").info])
    assert open_run(tmp_path / "run").info.cause == "lost"
    wait_until(lambda: calls.exists() and scheduler._running, "the call")
    scheduler.close()
    scheduler.wait(60)
    assert not scheduler._running
    monkeypatch.setattr(slurm, "ASK_SECONDS", 0.5)
    scheduler.ask(["5"])
    scheduler.wait(60)
    asked = calls.read_text()
    scheduler.ask(["6"])
    scheduler.wait(60)
    assert not scheduler._running
    assert calls.read_text() == asked


def test_a_scheduler_that_fails_says_nothing(tmp_path: Path, programs: Path, scheduler: Scheduler) -> None:
    """Accounting may be switched off, and the queue knows no job that is over."""
    silent_run(tmp_path / "run")
    install(programs, "sacct", before="echo 'Slurm accounting storage is disabled' >&2", status=1)
    install(programs, "squeue", before="echo 'slurm_load_jobs error: Invalid job id specified' >&2", status=1)
    assert told(tmp_path / "run", scheduler) == ("killed", "lost")


def test_a_job_that_is_forgotten_does_not_silence_the_others(
    tmp_path: Path, programs: Path, scheduler: Scheduler
) -> None:
    """squeue fails for a job it no longer knows; a live run whose heartbeat is late is still asked about."""
    silent_run(tmp_path / "old", "1")
    silent_run(tmp_path / "live", "2")
    before = 'case "$*" in *=1) echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1;; esac'
    install(programs, "squeue", "2|RUNNING", before=before)
    assert told(tmp_path / "old", scheduler) == ("killed", "lost")
    assert told(tmp_path / "live", scheduler) == ("running", None)


def test_a_sealed_run_keeps_the_word(tmp_path: Path, programs: Path, scheduler: Scheduler) -> None:
    """What was known when it was sealed is written down."""
    silent_run(tmp_path / "run")
    install(programs, "sacct", "4711|NODE_FAIL")
    told(tmp_path / "run", scheduler)
    seal_run(tmp_path / "run")
    info = read_info(tmp_path / "run")
    assert (info.state, info.cause) == ("killed", "node failure")


@pytest.fixture
def neurockt(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command that has a minute to wait for the scheduler; gives what it prints."""
    for command in (show, seal):
        monkeypatch.setattr(command, "SCHEDULER_SECONDS", 60.0)
        monkeypatch.setattr(command, "scheduler", scheduler)

    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out

    return run


def test_the_commands_ask(tmp_path: Path, programs: Path, neurockt: Callable[..., str]) -> None:
    """``show`` and ``seal`` tell what the scheduler says; ``ls`` goes by the runs alone, and never asks."""
    runs = tmp_path / "runs"
    silent_run(runs / "one")
    calls = install(programs, "sacct", "4711|OUT_OF_MEMORY")
    assert "lost" in neurockt("ls", runs, "--columns", "name,cause")
    assert not calls.exists()
    assert "killed (out of memory)" in neurockt("show", runs / "one")
    neurockt("seal", runs)
    assert "out of memory" in neurockt("ls", runs, "--columns", "name,cause")


@pytest.mark.slow
def test_the_commands_do_not_wait_for_long(tmp_path: Path, programs: Path) -> None:
    """And leave nothing behind that asks."""
    silent_run(tmp_path / "runs" / "one")
    install(programs, "sacct", before="sleep 3600")
    command = [sys.executable, "-m", "neurockt", "show", tmp_path / "runs" / "one"]
    done = preloaded.run(command, timeout=120)
    assert "killed (lost)" in done.stdout
