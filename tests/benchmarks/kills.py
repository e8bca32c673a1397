"""Rows lost to SIGKILL at a random moment, of those whose block had ended, at 2,000 steps a second.

The process counts its ended blocks in memory shared with the process that kills it. Every second process seals at each
tick of its background thread instead of each minute, so that many kills happen during a sealing.
"""

from __future__ import annotations

import mmap
import random
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.writing import timing
from tests.benchmarks.harness import (
    REPOSITORY,
    Effort,
    Figure,
    Measure,
    clean_environment,
    progress,
    scratch,
)

KILLS, QUICK_KILLS = 200, 20
STEPS_PER_SECOND = 2_000
LONGEST_LIFE_SECONDS = 1.5
RUN_ID = "killed"
COUNTER = struct.Struct("<q")


def loss_of(step: int) -> float:
    """The recorded value of a step."""
    return 1.0 / step


def live(directory: Path, *, sealing: bool) -> None:
    """Record until killed."""
    if sealing:
        timing.default = timing.Timing(seal=0.0)
    recorder = Recorder(directory, run_id=RUN_ID, quiet=True)
    loss = recorder.track_scalar("loss")(loss_of)
    with shared_counter(directory) as ended:
        begun, step = time.perf_counter(), 0
        while True:
            step += 1
            with recorder(train=True):
                loss(step)
            COUNTER.pack_into(ended, 0, step)
            time.sleep(max(0.0, begun + step / STEPS_PER_SECOND - time.perf_counter()))


def shared_counter(directory: Path) -> mmap.mmap:
    """How many blocks have ended; outlives the process that counts."""
    with (directory / "ended").open("r+b") as file:
        return mmap.mmap(file.fileno(), COUNTER.size)


def kill_one(directory: Path, *, sealing: bool, seconds: float) -> tuple[int, int]:
    """Kill a process some seconds after its first row: how many blocks had ended, how many of their rows are lost."""
    (directory / "ended").write_bytes(bytes(COUNTER.size))
    command = [sys.executable, "-m", __name__, str(directory), "sealing" * sealing]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=clean_environment())
    with shared_counter(directory) as counter:
        while not COUNTER.unpack_from(counter)[0] and process.poll() is None:
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()
        process.wait()
        ended = COUNTER.unpack_from(counter)[0]
    rows = open_run(directory / RUN_ID).steps(columns=["step", "loss"])
    there = dict(zip(rows["step"].to_pylist(), rows["loss"].to_numpy(), strict=True))
    kept = sum(there.get(step) == loss_of(step) for step in range(1, ended + 1))
    wrong = len(rows) - len(there) + (not np.array_equal(rows["step"], np.arange(1, len(rows) + 1)))
    return ended, ended - kept + wrong


def kills(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    number = effort.of(KILLS, QUICK_KILLS)
    chance = random.Random()
    ended = lost = 0
    for kill in range(number):
        if kill % 10 == 0:
            progress(f"kills: {kill} of {number}")
        with scratch() as directory:
            rows = kill_one(directory, sealing=kill % 2 == 1, seconds=chance.uniform(0, LONGEST_LIFE_SECONDS))
        ended, lost = ended + rows[0], lost + rows[1]
    beside = f"of {ended:,} whose block had ended"
    yield Figure(f"rows lost to SIGKILL, {number} kills", str(lost), "0", lost == 0, beside)


MEASURES = [Measure("kills", "rows lost to SIGKILL at a random moment", kills)]

if __name__ == "__main__":
    live(Path(sys.argv[1]), sealing=bool(sys.argv[2]))
