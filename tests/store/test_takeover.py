"""Taking a run over from a process that is dead, or seems so: one process wins, and the others do no harm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import preloaded
import pytest
from live_run import wait_until
from live_run.dying import die

from neurockt import open_run
from neurockt.errors import RunInUse
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner import liveness
from neurockt.store.owner.process import process_identity
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing

pytestmark = pytest.mark.slow

RACER = """
import sys
from neurockt.errors import RunInUse
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], run_id="run", resume=True, quiet=True)
loss = recorder.track_scalar("loss")(float)
print("ready", flush=True)
sys.stdin.readline()
try:
    with recorder(train=True):
        loss(float(sys.argv[2]))
except RunInUse as error:
    print("lost", error, flush=True)
else:
    print("won", flush=True)
    sys.stdin.readline()
"""

ELSEWHERE = """
import os, sys, time, warnings
from neurockt.monitor import Recorder
from neurockt.store.owner import process
from neurockt.store.writing import timing

process.machine = lambda: "elsewhere"
process.host = lambda: "node-17"
timing.default = timing.Timing(tick=0.01, sync=0.01, heartbeat=0.05, first_heartbeat=0.05, seal=0.05)
warnings.simplefilter("always")
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
while not os.path.exists(sys.argv[1] + "/stop"):
    with recorder(train=True):
        loss(1.0)
    time.sleep(0.001)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return preloaded.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def record(root: Path, steps: int, value: float) -> None:
    recorder = Recorder(root, run_id="run", quiet=True)
    loss = recorder.track_scalar("loss")(float)
    for _ in range(steps):
        with recorder(train=True):
            loss(value)
    recorder.finish()


@pytest.mark.parametrize("begun", [True, False], ids=["dead run", "new run"])
def test_of_several_processes_one_wins(tmp_path: Path, begun: bool) -> None:
    """They begin at the same moment; the others are refused in a sentence, and their rows are nowhere."""
    if begun:
        die(lambda: record(tmp_path, 10, 0.0))
    for round_ in range(1 + begun):
        racers = [start(RACER, tmp_path, number) for number in range(1, 5)]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        before = len(open_run(tmp_path / "run").steps()) if (tmp_path / "run").exists() else 0
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("\n")
            racer.stdin.flush()
        words = [racer.stdout.readline() for racer in racers if racer.stdout]
        assert sorted(word.split()[0] for word in words) == ["lost", "lost", "lost", "won"]
        winner = racers[words.index("won\n")]
        for word in words:
            if "lost" in word and "by process" in word:
                assert f"by process {winner.pid} on" in word
        run = open_run(tmp_path / "run")
        assert run.info.attempt is not None
        assert run.info.attempt.pid == winner.pid
        assert run.steps()["loss"].to_pylist()[before:] == [racers.index(winner) + 1]
        assert not list(run.path.glob("claim-*"))
        for racer in racers:
            racer.kill()
            racer.communicate()
        assert len(run.info.attempts) == round_ + 1 + begun


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that records, and says that it does so on another machine."""
    process = start(ELSEWHERE, tmp_path)
    path = tmp_path / "run"
    try:
        wait_until(lambda: (path / layout.RUN_FILE).exists() and read_info(path).heartbeat > 2, "its heart to beat")
        wait_until(lambda: len(open_run(path).steps()) > 3, "its first rows")
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_process_of_another_machine_is_known_by_its_heartbeat(
    tmp_path: Path, elsewhere: subprocess.Popen[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """It cannot be asked for; while the heart beats, the run is refused, and it is said what is waited for."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    with (
        pytest.raises(RunInUse, match=rf"still being written by process {elsewhere.pid} on node-17; wait"),
        recorder(True),
    ):
        pass
    assert "waiting up to 30 seconds to see whether it still is" in capfd.readouterr().err
    assert open_run(tmp_path / "run").info.attempts[-1].pid == elsewhere.pid


def test_a_process_that_was_taken_for_dead_does_no_harm(
    tmp_path: Path, elsewhere: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was only stopped, wakes up amid the other's run, warns once, writes nothing more, and trains to its end."""
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.3)
    monkeypatch.setattr(timing, "default", Timing(tick=0.01, seal=0.1))
    elsewhere.send_signal(signal.SIGSTOP)
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    recorder.resume(3)
    loss = recorder.track_scalar("loss")(float)
    for _ in range(5):
        with recorder(train=True):
            loss(2.0)
    elsewhere.send_signal(signal.SIGCONT)
    begun = time.monotonic()
    while time.monotonic() - begun < 1.0:  # twenty of its heartbeats and sealings
        with recorder(train=True):
            loss(2.0)
        time.sleep(0.001)
    (tmp_path / "stop").touch()
    _, told = elsewhere.communicate(timeout=120)
    assert elsewhere.returncode == 0
    assert told.count("Warning: ") == 1
    assert f"this process records nothing more (RunInUse: process {os.getpid()} on" in told
    last = recorder.step
    recorder.finish()
    run = open_run(tmp_path / "run")
    assert run.info.state == "finished"
    assert [attempt.number for attempt in run.info.attempts] == [1, 2]
    assert run.steps()["step"].to_pylist() == list(range(1, last + 1))
    assert run.steps()["loss"].to_pylist() == [1.0] * 3 + [2.0] * (last - 3)
    assert not run.damaged
    assert not list(run.path.glob("*.damaged"))


def test_who_seals_waits_for_who_takes_over(crashed_run: Path) -> None:
    """A claim of a live process keeps others off the run; when it is gone, they go on."""
    claim = layout.claim_path(crashed_run, 2)
    attempt = read_info(crashed_run).attempts[0]
    with start("import sys; sys.stdin.readline()") as owner:
        document = {"host": attempt.host, "pid": owner.pid, "process": process_identity(owner.pid)}
        claim.write_text(json.dumps(document))
        sealer = preloaded.Popen([sys.executable, "-m", "neurockt", "seal", crashed_run])
        with pytest.raises(subprocess.TimeoutExpired):
            sealer.wait(1.5)
        owner.kill()
    assert sealer.wait(120) == 0
    assert seal_run(crashed_run).already
    assert not claim.exists()
    assert [attempt.number for attempt in read_info(crashed_run).attempts] == [1]
