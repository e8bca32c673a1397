"""Makes the sample runs beside this file: real trainings on handwritten digits, each in a process of its own.

    python sample_runs/make.py

They are what a search over optimizer, learning rate and seed leaves behind: most finish, one fails with an exception,
one is killed by SIGKILL and keeps its journals, one diverges to NaN, one records a metric only from some epoch on.
Runs that exist are made again. Only the clock and the machine's name are set, so that every machine sees the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent.resolve()
EPOCHS: Final = 20
FIRST_START: Final = datetime(2026, 11, 2, 9, 0, tzinfo=timezone.utc)
BETWEEN_STARTS: Final = timedelta(minutes=7)


@dataclass(frozen=True)
class Sample:
    """One run: its config, and how it ends."""

    optimizer: str
    lr: float
    seed: int = 0
    width: int = 32
    weight_decay: float = 0.0
    group: str | None = None
    id: str = ""
    name: str | None = None
    tags: tuple[str, ...] = ("sweep",)
    notes: str | None = None
    grad_norm_from: int = 1
    fails_after: int | None = None
    """The epoch after which its checkpoint cannot be saved."""
    killed_after: int | None = None
    """The epoch after which the process is killed."""

    @property
    def run_id(self) -> str:
        """Name of its directory."""
        return self.id or f"{self.optimizer}-{self.lr:g}-s{self.seed}"


SAMPLES: Final = (
    *(Sample("sgd", 0.1, seed, group="sgd-0.1") for seed in range(3)),
    Sample("sgd", 0.01),
    Sample("sgd", 1.0, weight_decay=1.82, id="sgd-diverged", notes="The weight decay should have been 1.82e-4."),
    *(Sample("adam", 0.003, seed, group="adam-0.003", tags=("sweep", "baseline")) for seed in range(3)),
    Sample("adam", 0.03, killed_after=13),
    Sample("adamw", 0.003, width=128, fails_after=9),
    Sample(
        "adamw", 0.003, width=64, id="adamw-0.003-late", grad_norm_from=8, notes="The gradient norm from epoch 8 on."
    ),
    Sample("adamw", 0.01, width=256, id="adamw-wide", name="手書き数字・大きいモデル", tags=("paper",)),
)


def main() -> None:
    """Make all of them."""
    for number, sample in enumerate(SAMPLES):
        shutil.rmtree(HERE / sample.run_id, ignore_errors=True)
        done = subprocess.run([sys.executable, __file__, str(number)], check=False, stderr=subprocess.PIPE)
        expected = 1 if sample.fails_after else -signal.SIGKILL if sample.killed_after else 0
        if done.returncode != expected:
            raise SystemExit(f"{sample.run_id} ended with {done.returncode}, not {expected}:\n{done.stderr.decode()}")
        _shorten_paths(HERE / sample.run_id / "run.json")
        print(f"{sample.run_id}: {sum(path.stat().st_size for path in (HERE / sample.run_id).rglob('*')):,} bytes")


def record(number: int) -> None:
    """Record one of them in this process."""
    _set_clock(FIRST_START + number * BETWEEN_STARTS)
    import torch

    from neurockt.cli._digits import train
    from neurockt.monitor import Recorder
    from neurockt.store.owner import process
    from neurockt.store.writing import timing

    timing.default = timing.Timing(heartbeat=0.25, first_heartbeat=0.25)  # these trainings last seconds
    process.host = lambda: f"node{1 + number % 4:02}"
    process.process_identity = lambda pid: ""
    sample = SAMPLES[number]
    recorder = Recorder(
        HERE,
        run_id=sample.run_id,
        project="digits",
        name=sample.name,
        group=sample.group,
        tags=sample.tags,
        notes=sample.notes,
        config={
            "optimizer": sample.optimizer,
            "lr": sample.lr,
            "weight_decay": sample.weight_decay,
            "batch_size": 32,
            "width": sample.width,
            "seed": sample.seed,
        },
        quiet=True,
    )
    for epoch in train(recorder, EPOCHS, grad_norm_from=sample.grad_norm_from):
        if epoch == sample.fails_after:
            torch.save({"epoch": epoch}, "checkpoints/last/model.pt")  # nobody made the directory
        if epoch == sample.killed_after:
            os.kill(os.getpid(), signal.SIGKILL)


def _set_clock(start: datetime) -> None:
    """Set the clock of this process to ``start``."""
    ahead = time.time_ns() - int(start.timestamp()) * 10**9
    real_time_ns = time.time_ns
    time.time_ns = lambda: real_time_ns() - ahead
    time.time = lambda: time.time_ns() / 1e9


def _shorten_paths(run_file: Path) -> None:
    """Have a traceback name files relative to the repository."""
    run_file.write_text(run_file.read_text(encoding="utf-8").replace(f"{HERE.parent}/", ""), encoding="utf-8")


if __name__ == "__main__":
    record(int(sys.argv[1])) if len(sys.argv) > 1 else main()
