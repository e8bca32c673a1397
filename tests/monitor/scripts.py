"""Training scripts in processes of their own, which record a run and end it in some way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import preloaded

from neurockt import open_run
from neurockt.run_info import RunInfo
from neurockt.store.base.layout import part_paths

BEGIN = """
import os, signal, sys, threading, time
from neurockt.monitor import Recorder
from neurockt.monitor.lifetime import signals

signals.NOTE_SECONDS = signals.SEAL_SECONDS = 60.0  # the machine may be busy
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
SIGNAL = getattr(signal, sys.argv[2]) if len(sys.argv) > 2 else None

@recorder.track_scalar("loss")
def loss(value):
    return value

def train(steps=10):
    for step in range(steps):
        with recorder(train=True):
            loss(float(step))

def call(signum=None):
    os.kill(os.getpid(), signum or SIGNAL)
"""

LOADERS = """
import sys, warnings
warnings.filterwarnings("ignore", "This DataLoader will create")  # more workers than there are processors
import torch
from torch.utils.data import DataLoader
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], quiet=True)

@recorder.track_scalar("loss")
def loss(batch):
    return batch.mean()

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return loss(torch.tensor(float(index)))

if __name__ == "__main__":
    for context in ("fork", "spawn"):
        loader = DataLoader(Data(), num_workers=2, persistent_workers=True, multiprocessing_context=context)
        for _ in range(2):
            for batch in loader:
                with recorder(train=True):
                    loss(batch)
"""

NO_THREADS = """
start = threading.Thread.start
def refused(self):
    raise RuntimeError("can't start new thread")
threading.Thread.start = refused
"""

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLURM_", "NEUROCKT_"))
}

TEN = [float(step) for step in range(10)]


class Script:
    """A training script in a process of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def start(self, text: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run it; what it prints can be read while it runs."""
        command = [sys.executable, "-c", BEGIN + text, str(self._root), *arguments]
        return preloaded.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **environment}
        )

    def run(self, text: str, *arguments: str, **environment: str) -> int:
        """Run it to its end; gives its exit status."""
        process = self.start(text, *arguments, **environment)
        self.stdout, self.stderr = process.communicate(timeout=120)
        return process.returncode

    @property
    def info(self) -> RunInfo:
        """The run as a reader sees it."""
        return open_run(self._root / "run").info

    @property
    def told(self) -> tuple[str, str | None, str | None]:
        """The run's state, the cause, and the exception."""
        info = self.info
        assert info.attempt is not None
        return info.state, info.attempt.cause, info.failure.type if info.failure else None

    @property
    def losses(self) -> list[float]:
        """What was recorded."""
        values: list[float] = open_run(self._root / "run").steps()["loss"].to_pylist()
        return values

    @property
    def is_sealed(self) -> bool:
        """Whether all of it is in Parquet."""
        run_dir = self._root / "run"
        return bool(part_paths(run_dir, "steps")) and not list(run_dir.glob("*.journal*"))
