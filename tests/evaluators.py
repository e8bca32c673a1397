"""Processes that train or evaluate, and acknowledge each value once it has been logged."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import preloaded

from neurockt.monitor import Recorder

EVALUATE: Final = """
import sys, neurockt
evaluation = neurockt.attach(sys.argv[1], sys.argv[2])
for step in range(int(sys.argv[3]), 10**6):
    evaluation.log({"acc": float(step)}, step=step)
    print(step, flush=True)
    if not sys.stdin.readline():
        break
"""
TRAIN: Final = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id=sys.argv[2], quiet=True, system_seconds=None)
for step in range(int(sys.argv[3]), 10**6):
    recorder.log({"loss": float(step)}, step=step)
    if step % 3 == 0:
        recorder.log({"late": float(step)}, step=step - 1)
    print(step, flush=True)
    if not sys.stdin.readline():
        break
"""
LOG: Final = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=None)
for step in map(int, sys.argv[2:]):
    recorder.log({"loss": float(step)}, step=step)
print(0, flush=True)
sys.stdin.readline()
"""
"""Logs these steps, acknowledges once, and ends when it is asked."""


class Process:
    """A script that logs one value, and another one each time it is asked; closing its stdin ends it in order."""

    def __init__(self, script: str, *arguments: object) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        self.process = preloaded.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def acknowledged(self) -> int:
        """Wait for the next value to be acknowledged."""
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def ask(self) -> None:
        """Ask for another value."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def kill(self) -> list[int]:
        """SIGKILL; what it had acknowledged until then, and nobody has waited for."""
        self.process.kill()
        return [int(line) for line in self.process.communicate()[0].split()]

    def end(self) -> list[int]:
        """Let it finish."""
        found = [int(line) for line in self.process.communicate()[0].split()]
        assert self.process.returncode == 0
        return found


def log_and_die(root: Path, *steps: int, between: Callable[[], object] = lambda: None) -> None:
    """Log these steps of the run ``run``, then do something, then kill the process."""
    process = Process(LOG, root, *steps)
    process.acknowledged()
    between()
    process.kill()


def requeue(root: Path, *steps: int) -> None:
    """Continue it with these steps, the negative of each as its loss."""
    with Recorder(root, run_id="run", quiet=True, system_seconds=None) as recorder:
        for step in steps:
            recorder.log({"loss": -float(step)}, step=step)
