"""How a run stands, as it is told from outside: by the process where it can be asked, else by its heartbeat."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import preloaded
import pytest
from msgspec.structs import replace

from neurockt import list_runs, open_run
from neurockt.monitor import Recorder
from neurockt.run_info import Attempt, RunInfo, State
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.owner import liveness, process
from neurockt.store.owner.liveness import CLOCK_SLACK_SECONDS, COPY_SECONDS, STALE_SECONDS, Liveness

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)

ELSEWHERE = "5d0c29ba-0000-4000-8000-000000000000/pid:[4026531836]/12345"
"""A process of another boot or machine; its pid means nothing here."""


class Clock:
    """Stands in for the module ``time``: stands still until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    def time(self) -> float:
        return NOW.timestamp() + self.passed

    def monotonic(self) -> float:
        return 1000.0 + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the reader."""
    made = Clock()
    monkeypatch.setattr(liveness, "time", made)
    return made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, alive until it is killed."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def attempt_of(pid: int) -> Attempt:
    return Attempt(1, process.host(), pid, process.process_identity(pid), NOW)


def distant_run(path: Path, *, age: float = 0.0, written: datetime = NOW, **fields: Any) -> RunInfo:
    """A run of another machine that wrote its ``run.json`` at ``written``; the file is ``age`` seconds old."""
    attempt = Attempt(1, "node-17", 4242, ELSEWHERE, NOW)
    info = RunInfo(path, "run", NOW, attempts=(attempt,), **{"updated": written, "heartbeat": 7, **fields})
    path.mkdir(exist_ok=True)
    write_info(info)
    moment = NOW.timestamp() - age
    os.utime(path / layout.RUN_FILE, (moment, moment))
    return info


# Where the process can be asked


def test_a_run_of_this_process_is_running(tmp_path: Path) -> None:
    """Also to the one who reads it meanwhile; afterwards it has finished."""
    recorder = Recorder(tmp_path, quiet=True)
    with recorder(train=True):
        pass
    assert open_run(recorder.run_dir).state == "running"
    assert [info.state for info in list_runs(tmp_path)] == ["running"]
    recorder.finish()
    assert open_run(recorder.run_dir).state == "finished"


def test_a_live_process_is_believed_whatever_its_heart_does(
    tmp_path: Path, clock: Clock, sleeper: subprocess.Popen[bytes]
) -> None:
    """A process that was stopped for a week, and goes on, is alive; the pid says so."""
    info = replace(distant_run(tmp_path, age=1e6), attempts=(attempt_of(sleeper.pid),))
    clock.passed = 7 * 86_400
    assert Liveness().infer(info).state == "running"


def test_a_dead_process_is_known_at_once(tmp_path: Path, clock: Clock, sleeper: subprocess.Popen[bytes]) -> None:
    """However fresh its heartbeat is; and before its parent has asked for its exit status, too."""
    info = replace(distant_run(tmp_path), attempts=(attempt_of(sleeper.pid),))
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # dead, and still in the process table
    assert Liveness().infer(info).state == "killed"
    sleeper.wait()
    assert Liveness().infer(info).state == "killed"


def test_another_process_with_the_same_pid_is_not_mistaken(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """Pids are given out again; the start time tells."""
    attempt = attempt_of(sleeper.pid)
    *place, started, stack = attempt.process.split("/")
    earlier = replace(attempt, process="/".join([*place, str(int(started) - 1), stack]))
    assert Liveness().infer(RunInfo(tmp_path, "run", NOW, attempts=(attempt,))).state == "running"
    assert Liveness().infer(RunInfo(tmp_path, "run", NOW, attempts=(earlier,))).state == "killed"


def test_only_the_last_attempt_counts(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    """A requeued job's first process is dead, its second alive."""
    gone = replace(attempt_of(sleeper.pid), pid=2**22 + 1)
    info = RunInfo(tmp_path, "run", NOW, attempts=(gone, attempt_of(sleeper.pid)))
    assert Liveness().infer(info).state == "running"


@pytest.mark.slow
def test_a_crashed_run_was_killed(crashed_run: Path) -> None:
    """Its own file still says running, and goes on saying so: a reader writes nothing down."""
    before = (crashed_run / layout.RUN_FILE).read_bytes()
    assert open_run(crashed_run).state == "killed"
    assert [info.state for info in list_runs(crashed_run.parent)] == ["killed"]
    assert read_info(crashed_run).state == "running"
    assert (crashed_run / layout.RUN_FILE).read_bytes() == before


@pytest.mark.slow
def test_a_process_that_ends_with_an_exception_has_failed(tmp_path: Path) -> None:
    """The exception is in ``run.json``."""
    script = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="failed", quiet=True)
with recorder(train=True):
    pass
raise ValueError("loss is negative")
"""
    done = preloaded.run([sys.executable, "-c", script, tmp_path])
    info = open_run(tmp_path / "failed").info
    assert done.returncode == 1
    assert info.state == "failed"
    assert info.failure is not None
    assert (info.failure.type, info.failure.message) == ("ValueError", "loss is negative")


# Where it cannot


@pytest.mark.parametrize("said", ["finished", "failed", "preempted", "killed"])
def test_an_end_that_was_written_down_is_believed(tmp_path: Path, clock: Clock, said: State) -> None:
    """Old or new, dead process or live."""
    info = distant_run(tmp_path, age=1e6, state=said)
    here = replace(info, attempts=(attempt_of(os.getpid()),))
    assert Liveness().infer(info).state == said
    assert Liveness().infer(here).state == said


def test_a_heart_that_beats_is_alive_whatever_the_clocks_say(tmp_path: Path, clock: Clock) -> None:
    """After the first beat the reader's own clock is enough: the file's time and the writer's are years off."""
    liveness = Liveness()
    off = {"age": 5e7, "written": NOW - timedelta(days=900)}
    assert liveness.infer(distant_run(tmp_path, heartbeat=7, **off)).state == "killed"
    for beat in range(8, 12):
        info = distant_run(tmp_path, heartbeat=beat, **off)
        for _ in range(5):
            assert liveness.infer(info).state == "running"
            clock.passed += STALE_SECONDS / 6


def test_a_heart_that_stands_still_is_dead_after_three_beats(tmp_path: Path, clock: Clock) -> None:
    """A fresh file is given the time; when the heart beats again the run is alive again."""
    liveness = Liveness()
    info = distant_run(tmp_path, heartbeat=7)
    assert liveness.infer(info).state == "running"
    clock.passed = STALE_SECONDS - 1
    assert liveness.infer(info).state == "running"
    clock.passed = STALE_SECONDS
    assert liveness.infer(info).state == "killed"
    assert liveness.infer(distant_run(tmp_path, heartbeat=8)).state == "running"


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (0, "running"),
        (STALE_SECONDS + CLOCK_SLACK_SECONDS - 1, "running"),
        (STALE_SECONDS + CLOCK_SLACK_SECONDS, "killed"),
        (1e6, "killed"),
        (-3600, "running"),
    ],
)
def test_a_first_look_goes_by_the_age_of_the_file(tmp_path: Path, clock: Clock, age: float, told: State) -> None:
    """A clock that is a little off, or a file from the future, makes no live run dead."""
    assert Liveness().infer(distant_run(tmp_path, age=age)).state == told


@pytest.mark.parametrize(
    ("behind", "told"), [(0, "running"), (COPY_SECONDS, "running"), (COPY_SECONDS + 1, "killed"), (-1e6, "running")]
)
def test_a_copy_of_an_old_run_is_dead_at_first_sight(tmp_path: Path, clock: Clock, behind: float, told: State) -> None:
    """`git clone` gives every file a new time; the writer's own last word is more than a day old."""
    info = distant_run(tmp_path, age=0, written=NOW - timedelta(seconds=behind))
    assert Liveness().infer(info).state == told


def test_a_copy_that_tells_no_time_of_writing_goes_by_its_creation(tmp_path: Path, clock: Clock) -> None:
    """``updated`` may be missing from a file that was edited."""
    info = replace(distant_run(tmp_path, age=0), updated=None, created=NOW - timedelta(days=2))
    assert Liveness().infer(info).state == "killed"


def test_a_run_whose_process_left_no_identity_goes_by_its_heartbeat(tmp_path: Path, clock: Clock) -> None:
    """Where the system has no /proc; the pid alone, here that of this process, proves nothing."""
    nameless = Attempt(1, process.host(), os.getpid(), "", NOW)
    assert Liveness().infer(replace(distant_run(tmp_path), attempts=(nameless,))).state == "running"
    assert Liveness().infer(replace(distant_run(tmp_path, age=1e6), attempts=(nameless,))).state == "killed"


def test_runs_are_remembered_apart(tmp_path: Path, clock: Clock) -> None:
    """One reader of many runs; the beat of one says nothing of another."""
    liveness = Liveness()
    one, other = distant_run(tmp_path / "a"), distant_run(tmp_path / "b")
    assert [liveness.infer(info).state for info in (one, other)] == ["running", "running"]
    clock.passed = STALE_SECONDS
    one = distant_run(tmp_path / "a", heartbeat=8)
    assert [liveness.infer(info).state for info in (one, other)] == ["running", "killed"]


def test_a_run_without_an_attempt_is_as_it_says(tmp_path: Path) -> None:
    """There is nobody to ask."""
    assert Liveness().infer(RunInfo(tmp_path, "run", NOW)).state == "running"


EXEC = """
import os, sys
print("first", flush=True)
sys.stdin.readline()
os.execv(sys.executable, [sys.executable, "-c", "print('second', flush=True); input()"])
"""


def test_a_process_that_runs_another_program_no_longer_writes_its_run() -> None:
    """It has the same pid and start time after ``exec``."""
    child = subprocess.Popen(
        [sys.executable, "-c", EXEC], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "first\n"
    attempt = attempt_of(child.pid)
    assert process.is_alive(attempt)
    child.stdin.write("go\n")
    assert child.stdout.readline() == "second\n"
    assert process.is_alive(attempt) is False
    unseen = replace(attempt, process=attempt.process.rpartition("/")[0] + "/0")
    assert process.is_alive(unseen), "where the kernel does not show it, the start time decides"
    child.communicate("\n")
    assert process.is_alive(unseen) is False
