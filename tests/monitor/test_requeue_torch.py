"""A training script with a checkpoint, killed at random moments and requeued until it is done, as a cluster does it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import preloaded
import pyarrow.parquet as pq
import pytest

from neurockt import list_runs, open_run

MOST_PRINTED = 16
"""A job is killed once fewer than so many of its steps were read."""

SCRIPT = """
import os, sys
import torch
from neurockt.monitor import Recorder

torch.manual_seed(0)
recorder = Recorder(sys.argv[1], quiet=True)
model, checkpoint = torch.nn.Linear(4, 1), sys.argv[1] + "/last.pt"
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
attempt = int(os.environ["SLURM_RESTART_COUNT"])

@recorder.track_scalar("loss")
def loss(batch):
    return (model(batch) - 1).square().mean()

@recorder.track_scalar("attempt")
def number():
    return attempt

if os.path.exists(checkpoint):
    state = torch.load(checkpoint)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    recorder.resume(step=state["step"])

while recorder.step < int(sys.argv[2]):
    generator = torch.Generator().manual_seed(recorder.step)
    batch = torch.randn(8, 4, generator=generator)
    with recorder(train=True):
        optimizer.zero_grad()
        number()
        loss(batch).backward()
        optimizer.step()
    print(recorder.step, flush=True)
    if recorder.step % 7 == 0:
        with recorder(train=False):
            pass
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": recorder.step}
        torch.save(state, checkpoint + ".new")
        os.replace(checkpoint + ".new", checkpoint)
"""


def attempt(script: Path, root: Path, number: int, last: int) -> preloaded.Popen:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    environment |= {"SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": str(number)}
    command = [sys.executable, script, root, str(last)]
    return preloaded.Popen(command, preload="torch", stdout=subprocess.PIPE, env=environment)


@pytest.mark.slow
def test_a_job_that_is_killed_and_requeued_records_one_series(tmp_path: Path, kills: int) -> None:
    """Each step once, with the values of the attempt that trained it last: those of a job that was never killed."""
    script, root = tmp_path / "train.py", tmp_path / "runs"
    script.write_text(SCRIPT)
    chance = random.Random(5)
    times = max(2, kills // 10)
    for number in range(times):
        with attempt(script, root, number, 10**9) as job:
            for _ in range(chance.randrange(1, MOST_PRINTED)):
                job.stdout.readline()
            time.sleep(chance.uniform(0, 0.005))
            job.kill()
    (info,) = list_runs(root)
    last = len(open_run(info.path).steps()) + MOST_PRINTED
    with attempt(script, root, times, last) as job:
        job.communicate()
    assert job.returncode == 0
    (info,) = list_runs(root)
    assert info.state == "finished"
    assert [each.cause for each in info.attempts][:-1] == ["killed"] * (len(info.attempts) - 1)
    steps = pq.read_table(info.path / "steps", partitioning=None).to_pydict()
    assert steps["step"] == list(range(1, last + 1))
    assert steps["attempt"] == sorted(steps["attempt"]), "no earlier attempt's row after a later one's"
    epochs = open_run(info.path).epochs().to_pydict()
    assert (epochs["step"], epochs["epoch"]) == (list(range(7, last + 1, 7)), list(range(1, last // 7 + 1)))
    assert steps["epoch"] == [(step - 1) // 7 + 1 for step in range(1, last + 1)]

    with attempt(script, tmp_path / "unharmed", 0, last) as job:
        job.communicate()
    assert job.returncode == 0
    (unharmed,) = list_runs(tmp_path / "unharmed")
    assert open_run(unharmed.path).steps()["loss"].to_pylist() == steps["loss"]
