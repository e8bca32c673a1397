"""However a process ends, the open row is in the run, as the last call left it."""

from __future__ import annotations

import sys
from pathlib import Path

import preloaded
import pytest

from neurockt import open_run

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal, sys, time
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=None)
for step in range(0, 50, 10):
    recorder.log({"loss": float(step)}, step)
    recorder.log({"lr": step}, step)
    recorder.log({"acc": float(step)}, step, train=False)
"""
ENDS = {
    "": ("finished", None),
    "raise ValueError": ("failed", "exception"),
    "sys.exit(3)": ("failed", "exit 3"),
    "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)": ("preempted", "SIGTERM"),
    "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)": ("failed", "KeyboardInterrupt"),
    "os._exit(0)": ("killed", "killed"),
    "del recorder": ("finished", None),
    "os.execv('/bin/true', ['true'])": ("finished", None),
    "os.fork() or (recorder.log({'loss': 99.0}, 99), os._exit(0)); os.wait()": ("finished", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_open_row_is_in_the_run(tmp_path: Path, end: str) -> None:
    """Of training and of validation; a run that has ended by itself keeps no open row."""
    preloaded.run([sys.executable, "-c", SCRIPT + end, tmp_path])
    run = open_run(tmp_path / "run")
    assert (run.state, run.info.cause) == ENDS[end]
    steps = [0.0, 10.0, 20.0, 30.0, 40.0]
    assert run.steps(["step", "loss", "lr"]).to_pydict() == {"step": steps, "loss": steps, "lr": steps}
    assert run.epochs(["step", "acc"]).to_pydict() == {"step": steps, "acc": steps}
    assert bool(list(run.path.glob("*.open"))) == (run.state == "killed")
