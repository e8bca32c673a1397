"""One run in W&B, however many processes there are: workers, forks, syncs, ranks, and attempts one after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import preloaded
import pytest
from monitor.scripts import LOADERS
from sync.recording import check_completed, run_script, train
from wandb_server import WandbServer, wait_until

from neurockt.sync import client

from .conftest import MakeWandbRecorder, Sync

pytestmark = pytest.mark.slow


def test_workers_of_a_data_loader_are_no_runs(server: WandbServer, tmp_path: Path, root: Path) -> None:
    """Spawned ones import the script, forked ones hold the recorder: there is one run, sent by one process."""
    (tmp_path / "train.py").write_text(
        LOADERS.replace("neurockt.monitor import Recorder", "neurockt.monitor.wandb import WandbRecorder as Recorder")
    )
    done = preloaded.run([sys.executable, tmp_path / "train.py", root], preload="torch")
    assert (done.returncode, done.stderr) == (0, "")
    run = server.only_run
    assert [row["loss"] for row in run.rows] == [0.0, 1.0, 2.0, 3.0] * 4
    assert (run.state, run.is_exact, server.requested("Viewer")) == ("finished", True, 1)


def test_a_fork_that_outlives_training_does_not_keep_the_process_alive(server: WandbServer, root: Path) -> None:
    """It inherits the pipes; the death of the process that trains is seen all the same."""
    ending = """
import os
while not recorder.url:
    time.sleep(0.01)
if os.fork() == 0:
    os.close(1), os.close(2)
    time.sleep(30)
    os._exit(0)
os.kill(os.getpid(), 9)
"""
    run_script(root, ending)
    wait_until(lambda: server.only_run.tags == ["t", "killed"])
    assert json.loads((root / "run" / "run.json").read_text())["state"] == "running"


def test_a_sync_at_the_same_time_does_no_harm(
    server: WandbServer, make_recorder: MakeWandbRecorder, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both send the same lines to the same places."""
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.02)
    recorder = make_recorder()
    for _ in range(5):
        train(recorder, 400)
        assert sync(running=True)[0].status == "running"
    recorder.finish()
    check_completed(sync, server, 2005)


def test_a_requeued_run_goes_on_in_wandb(server: WandbServer, make_recorder: MakeWandbRecorder, root: Path) -> None:
    """The next attempt sends its rows after those of the one before, to where that one's user wanted them."""
    first = make_recorder(run_id="run", project="p", id="chosen")
    train(first)
    first.finish()
    second = make_recorder(run_id="run", project="p", resume=True)
    train(second)
    second.finish()
    run = server.only_run
    assert (run.name, run.project, run.state, len(run.rows), run.received) == ("chosen", "p", "finished", 102, 102)
    assert run.is_exact


def test_an_id_that_resumes_names_the_directory(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """As scripts do that W&B is to continue: ``id=`` and ``resume=`` are all it takes to continue both."""
    for _ in range(2):
        recorder = make_recorder(id="job-17", resume="allow")
        train(recorder)
        recorder.finish()
    assert recorder.run_dir.name == "job-17"
    assert (server.only_run.name, len(server.only_run.rows), server.only_run.is_exact) == ("job-17", 102, True)


RANKS = """
import os, sys, time
from neurockt.monitor.wandb import WandbRecorder

rank = int(os.environ["RANK"])
recorder = WandbRecorder(sys.argv[1], run_id="run", quiet=True, ranks=sys.argv[2])
loss = recorder.track_scalar("loss")(float)
for step in range(30):
    with recorder(train=True):
        loss(step + rank)
if rank == 1:
    time.sleep(1.5)
recorder.finish()
"""


@pytest.mark.parametrize(("ranks", "offset"), [("first", 0.0), ("all", 0.5)])
def test_ranks_are_one_run(ranks: str, offset: float, server: WandbServer, root: Path) -> None:
    """One process sends it, beside rank 0: its rows, or where each rank keeps its own, their means."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RANKS, root, ranks],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    run = server.only_run
    assert [row["loss"] for row in run.rows] == [step + offset for step in range(30)]
    assert (run.state, run.is_exact, server.requested("Viewer")) == ("finished", True, 1)
