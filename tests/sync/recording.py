"""Training that is recorded by a WandbRecorder, in this process or in one of its own, and what W&B then has."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import preloaded
from wandb_server import WandbServer

from neurockt.monitor.wandb import WandbRecorder

if TYPE_CHECKING:
    from .conftest import Sync

SCRIPT = """
import random, sys, time
from neurockt.monitor{module} import {recorder} as Chosen
recorder = Chosen(sys.argv[1], run_id="run", project="digits", name="a name", config={{"lr": 0.1}}, tags=("t",),
                  notes="n", group="g", system_seconds=None{more})

@recorder.track_scalar("loss")
def loss(value):
    return value

@recorder.metric("acc")
def accuracy(value):
    return value

numbers = random.Random(0)

def train(steps):
    for _ in range(steps):
        with recorder(train=True):
            loss(numbers.gauss(0, 1))
    with recorder(train=False):
        accuracy(numbers.random())

train(50)
train(50)
"""


def run_script(
    root: Path, ending: str = "", *, recorder: str = "WandbRecorder", more: str = ""
) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, and do ``ending``."""
    module = ".wandb" if recorder == "WandbRecorder" else ""
    script = SCRIPT.format(module=module, recorder=recorder, more=f", {more}" if more else "")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return preloaded.run(
        [sys.executable, "-c", script + ending, str(root)],
        env=environment,
        timeout=100,  # less than `finish` waits at most, of itself
    )


def train(recorder: WandbRecorder, steps: int = 50) -> None:
    """Record so many steps and a validation."""
    loss = recorder.track_scalar("loss")(float)
    accuracy = recorder.metric("acc")(float)
    for step in range(steps):
        with recorder(train=True):
            loss(random.random() + step)
    with recorder(train=False):
        accuracy(random.random())


def check_completed(sync: Sync, server: WandbServer, rows: int = 102) -> None:
    """A sync sends what W&B lacks, and each row is there once."""
    assert [(outcome.status, outcome.rows) for outcome in sync()] == [("complete", rows)]
    assert (server.only_run.is_exact, server.only_run.state) == (True, "finished")
