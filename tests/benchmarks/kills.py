"""What is lost to SIGKILL at a random moment, at 2,000 steps a second: rows whose block had ended, values logged.

The process counts its ended blocks, or the calls of ``log`` that have returned, in memory shared with the process that
kills it. Every second process seals at each
tick of its background thread instead of each minute, so that many kills happen during a sealing.
"""

from __future__ import annotations

import mmap
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from neurockt import Run, open_run
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


def blocks(recorder: Recorder) -> Callable[[int], None]:
    loss = recorder.track_scalar("loss")(loss_of)

    def record(step: int) -> None:
        with recorder(train=True):
            loss(step)

    return record


def logged(recorder: Recorder) -> Callable[[int], None]:
    """Each call is the first or the second of its row, whose numbers jump."""
    return lambda call: recorder.log({("even", "odd")[call % 2]: loss_of(call)}, step=10 * (call // 2))


WAYS = {"blocks": blocks, "log": logged}


def live(directory: Path, way: str, *, sealing: bool) -> None:
    """Record until killed."""
    if sealing:
        timing.default = timing.Timing(seal=0.0)
    record = WAYS[way](Recorder(directory, run_id=RUN_ID, quiet=True))
    with shared_counter(directory) as ended:
        begun, step = time.perf_counter(), 0
        while True:
            step += 1
            record(step)
            COUNTER.pack_into(ended, 0, step)
            time.sleep(max(0.0, begun + step / STEPS_PER_SECOND - time.perf_counter()))


def lost_blocks(run: Run, ended: int) -> int:
    """How many rows of these blocks are missing or wrong."""
    rows = run.steps(columns=["step", "loss"])
    there = dict(zip(rows["step"].to_pylist(), rows["loss"].to_numpy(), strict=True))
    kept = sum(there.get(step) == loss_of(step) for step in range(1, ended + 1))
    wrong = len(rows) - len(there) + (not np.array_equal(rows["step"], np.arange(1, len(rows) + 1)))
    return ended - kept + wrong


def lost_values(run: Run, ended: int) -> int:
    """How many values of these calls are missing or wrong."""
    rows = run.steps().to_pylist()
    there = {2 * (row["step"] // 10) + odd: row.get(("even", "odd")[odd]) for row in rows for odd in (0, 1)}
    kept = sum(there.get(call) == loss_of(call) for call in range(1, ended + 1))
    steps = [row["step"] for row in rows]
    return ended - kept + (steps != sorted(set(steps)))


LOST = {"blocks": lost_blocks, "log": lost_values}


def shared_counter(directory: Path) -> mmap.mmap:
    """How many blocks have ended; outlives the process that counts."""
    with (directory / "ended").open("r+b") as file:
        return mmap.mmap(file.fileno(), COUNTER.size)


def kill_one(directory: Path, way: str, *, sealing: bool, seconds: float) -> tuple[int, int]:
    """Kill a process some seconds after its first row: how many blocks or calls had ended, how much of them is lost."""
    (directory / "ended").write_bytes(bytes(COUNTER.size))
    command = [sys.executable, "-m", __name__, str(directory), way, "sealing" * sealing]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=clean_environment())
    with shared_counter(directory) as counter:
        while not COUNTER.unpack_from(counter)[0] and process.poll() is None:
            time.sleep(0.001)
        time.sleep(seconds)
        process.kill()
        process.wait()
        ended = COUNTER.unpack_from(counter)[0]
    return ended, LOST[way](open_run(directory / RUN_ID), ended)


def kills(way: str, effort: Effort) -> Iterator[Figure]:
    """The figure."""
    number = effort.of(KILLS, QUICK_KILLS)
    chance = random.Random()
    ended = lost = 0
    for kill in range(number):
        if kill % 10 == 0:
            progress(f"kills, {way}: {kill} of {number}")
        with scratch() as directory:
            rows = kill_one(directory, way, sealing=kill % 2 == 1, seconds=chance.uniform(0, LONGEST_LIFE_SECONDS))
        ended, lost = ended + rows[0], lost + rows[1]
    what, beside = {"blocks": ("rows", "whose block had ended"), "log": ("values", "whose log had returned")}[way]
    yield Figure(f"{what} lost to SIGKILL, {number} kills", str(lost), "0", lost == 0, f"of {ended:,} {beside}")


MEASURES = [
    Measure("kills", "rows lost to SIGKILL at a random moment", partial(kills, "blocks")),
    Measure("log_kills", "logged values lost to SIGKILL at a random moment", partial(kills, "log")),
]

if __name__ == "__main__":
    live(Path(sys.argv[1]), sys.argv[2], sealing=bool(sys.argv[3]))
