"""Syncs that are killed, that run at once, and runs that change between two of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import preloaded
import pytest
from wandb_server import Fault, StoredRun, WandbServer, wait_until

import neurockt

from .conftest import MakeRun, Sync

pytestmark = pytest.mark.slow


def start_sync(root: Path, *options: str) -> subprocess.Popen[bytes]:
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "neurockt", "sync", str(root), *options]
    return preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_at_any_moment_the_next_sync_completes_the_runs(
    server: WandbServer, make_run: MakeRun, root: Path, kills: int
) -> None:
    """SIGKILL at random moments, a quarter of ``--kills`` times: no row is missing, repeated, reordered or changed."""
    sizes = {make_run(steps=steps, run_id=f"r{steps}").name: steps + steps // 10 for steps in (30_000, 400, 9_000)}
    kills //= 4
    moments = random.Random(kills)
    killed_amid = 0
    for _ in range(kills):
        seen = threading.Event()
        wanted = moments.randrange(sum(sizes.values()))

        def watch(run: StoredRun, seen: threading.Event = seen, wanted: int = wanted) -> None:
            if sum(len(stored.history) for stored in server.runs.values()) >= wanted:
                seen.set()

        server.on_history = watch
        process = start_sync(root, "--jobs", "2")
        while process.poll() is None and not seen.wait(0.02):
            pass
        if process.poll() is None:
            threading.Event().wait(moments.random() * 0.05)
            killed_amid += 1
            process.send_signal(signal.SIGKILL)
        process.wait()
        if sum(len(stored.history) for stored in server.runs.values()) == sum(sizes.values()):
            assert start_sync(root).wait() == 0
            check(server, sizes)
            server.runs.clear()
            for ledger in root.glob("*/wandb.json*"):
                ledger.unlink()
    server.on_history = lambda run: None
    assert start_sync(root).wait() == 0
    check(server, sizes)
    assert killed_amid >= kills // 2


def check(server: WandbServer, sizes: dict[str, int]) -> None:
    """Each run is there, whole."""
    assert {run.name: len(run.rows) for run in server.runs.values()} == sizes
    assert all(run.is_exact and run.state == "finished" for run in server.runs.values())


def test_two_syncs_at_once_do_no_harm(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """No lock: they send the same lines to the same places."""
    sizes = {make_run(steps=steps, run_id=f"r{steps}").name: steps + steps // 10 for steps in (20_000, 300, 5_000)}
    processes = [start_sync(root, "--jobs", "2") for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    check(server, sizes)


def requeue(make_run: MakeRun, path: Path, checkpoint: int, steps: int, *, finish: bool = True) -> None:
    """Another attempt at the run, from a checkpoint: what it had recorded after it is superseded."""
    make_run(steps=steps - checkpoint, run_id=path.name, resume=checkpoint, finish=finish)


@pytest.mark.parametrize("steps", [60, 100, 300])
def test_a_rewound_run_is_told_and_can_be_replaced(
    steps: int, server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """With fewer rows than were uploaded, as many, or more: nothing is sent over the others unasked."""
    path = make_run(steps=100, run_id="requeued")
    sync()
    before = server.only_run.history
    requeue(make_run, path, 40, steps)
    (outcome,) = sync()
    assert outcome.status == "failed"
    assert "--replace" in (outcome.reason or "")
    assert server.only_run.history == before
    (outcome,) = sync(replace=True)
    assert (outcome.status, outcome.rows) == ("complete", steps + steps // 10)
    assert server.only_run.name == "requeued-2"
    assert server.only_run.is_exact
    assert sync()[0].sent == 0


def test_a_live_run_that_was_rewound_is_told(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """It is not taken for a file system that lags."""
    path = make_run(steps=100, run_id="requeued")
    sync()
    requeue(make_run, path, 40, 60, finish=False)
    (outcome,) = sync(running=True)
    assert "--replace" in (outcome.reason or "")
    assert sync(running=True, replace=True)[0].status == "running"
    assert len(server.run("requeued-2").rows) == 66
    assert {run.name for run in server.runs.values()} == {"requeued", "requeued-2"}, "until the new one is complete"


def test_a_run_that_goes_on_is_continued(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """An attempt that begins after what was uploaded takes nothing back: only its rows are sent."""
    path = make_run(steps=100, run_id="requeued")
    sync()
    requeue(make_run, path, 100, 150)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 165, 55)
    assert server.only_run.is_exact
    assert server.only_run.config["neurockt"]["value"]["attempts"] == 2


def test_an_interrupted_replacement_is_completed_unasked(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """The old upload is deleted when the new one is complete, and not before."""
    path = make_run(steps=100, run_id="requeued")
    sync()
    requeue(make_run, path, 40, 300)
    server.faults = [Fault("status", status=403)]
    assert sync(replace=True)[0].status == "failed"
    assert {run.name for run in server.runs.values()} == {"requeued", "requeued-2"}
    assert sync()[0].status == "complete"
    assert server.only_run.name == "requeued-2"


def test_watching_follows_runs_to_their_end(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """--running --watch sends what is new until it is interrupted."""
    recorder = neurockt.monitor.Recorder(root, quiet=True, run_id="live")
    loss = recorder.track_scalar("train_loss")(float)

    def train(steps: int) -> None:
        for step in range(steps):
            with recorder(train=True):
                loss(step)

    train(10)
    process = start_sync(root, "--running", "--watch", "0.2")
    try:
        wait_until(lambda: server.runs and len(server.only_run.rows) == 10)
        train(10)
        wait_until(lambda: len(server.only_run.rows) == 20)
        make_run(steps=10, run_id="other")
        wait_until(lambda: len(server.runs) == 2 and server.run("other").state == "finished")
        recorder.finish()
        wait_until(lambda: server.run("live").state == "finished")
    finally:
        process.send_signal(signal.SIGINT)
        status = process.wait()
    assert status == 130
    assert all(run.is_exact for run in server.runs.values())


def test_a_large_run_does_not_starve_the_others(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """While watching, each run sends a bounded number of rows before the next has its turn."""
    make_run(steps=25_000, every=10**9, run_id="a-large")
    make_run(steps=10, run_id="b-small")
    large, small = sync(turn_rows=10_000)
    assert (large.status, large.sent, small.status) == ("pending", 10_000, "complete")
    assert (server.run("a-large").state, server.run("b-small").state) == ("running", "finished")
    assert [sync(turn_rows=10_000)[0].sent for _ in range(2)] == [10_000, 5_000]
    assert server.run("a-large").is_exact
    assert server.run("a-large").state == "finished"


def test_memory_does_not_grow_with_the_run(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """Ten times the rows take less than a third more memory."""

    def peak(path: Path) -> int:
        process = subprocess.Popen([sys.executable, "-m", "neurockt", "sync", path], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss

    small = peak(make_run(steps=20_000, every=1000))
    assert peak(make_run(steps=200_000, every=1000)) < small * 4 / 3
    assert sorted(len(run.lines["wandb-history.jsonl"]) for run in server.runs.values()) == [20_020, 200_200]
    assert all(run.is_exact for run in server.runs.values())
