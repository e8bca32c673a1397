"""Bytes on disk a row after ``finish()``, of noisy float64 losses with their times.

The clock is a made one, that of steps which take 50 ms with 2 % of noise: a loop that does nothing else ends its
blocks at an even pace, and such times take less room than those of a training.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from pathlib import Path

from neurockt.monitor.capture import block
from tests.benchmarks.harness import Effort, Figure, Measure, fresh, progress
from tests.benchmarks.ways import make_loop, neurockt

SCALARS = (1, 5)
STEPS = 200_000
STEP_NS, NOISE_NS = 50_000_000, 1_000_000
TARGET_A_VALUE, TARGET_A_ROW = 8, 3


def bytes_a_row(scalars: int, directory: str) -> float:
    """Of everything in the run directory."""
    chance, now = random.Random(0), 1_795_000_000_000_000_000

    def clock() -> int:
        nonlocal now
        now += int(chance.gauss(STEP_NS, NOISE_NS))
        return now

    block.time_ns = clock
    made = neurockt(Path(directory), scalars)
    make_loop(made.body, made.names, scalars, timed=False)(0, STEPS, array("q"))
    made.finish()
    return sum(path.stat().st_size for path in made.run_dir().rglob("*") if path.is_file()) / STEPS


def disk(effort: Effort) -> Iterator[Figure]:
    """The figures; the same in every round."""
    for scalars in SCALARS:
        progress(f"disk: {scalars} scalars")
        size = fresh(bytes_a_row, scalars=scalars)
        target = TARGET_A_VALUE * scalars + TARGET_A_ROW
        yield Figure(
            f"bytes on disk a row, {scalars} scalar{'s' * (scalars > 1)}", f"{size:.1f}", f"<= {target}", size <= target
        )


MEASURES = [Measure("disk", "bytes on disk a row after finish()", disk)]
