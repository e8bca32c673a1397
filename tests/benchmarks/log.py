"""How long ``log`` blocks the loop, as a ratio to one ``json.dumps`` and one ``os.write`` of the same dict."""

from __future__ import annotations

import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from neurockt.monitor import Recorder
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios

STEPS = {10: 20_000, 2_000: 1_000}
"""By the number of floats in the dict."""
TARGET = 0.6
DICTS = 64
"""Dicts that are made beforehand, and used over and over."""


def floor(directory: Path) -> Callable[[dict[str, float], int], object]:
    file = os.open(directory / "floor.jsonl", os.O_WRONLY | os.O_CREAT)
    return lambda values, step: os.write(file, (json.dumps(values) + "\n").encode())


def neurockt(directory: Path) -> Callable[[dict[str, float], int], object]:
    return Recorder(directory, quiet=True).log


def median_step(way: str, floats: int, directory: str) -> float:
    """Nanoseconds of the median call."""
    record = {"floor": floor, "neurockt": neurockt}[way](Path(directory))
    chance, clock = random.Random(0), time.perf_counter_ns
    dicts = [{f"metric/{index}": chance.random() for index in range(floats)} for _ in range(DICTS)]
    taken = []
    for step in range(STEPS[floats]):
        values = dicts[step % DICTS]
        begun = clock()
        record(values, step)
        taken.append(clock() - begun)
    return statistics.median(taken)


def log(floats: int, effort: Effort) -> Iterator[Figure]:
    """The figure for this number of floats."""
    ways = [partial(fresh, median_step, way=way, floats=floats) for way in ("floor", "neurockt")]
    floors, ours = alternate(effort, f"log{floats}", *ways)
    ratio = ratios(ours, floors)
    times = [statistics.median(side) / 1000 for side in (ours, floors)]
    yield Figure(
        f"log of {floats:,} floats, of the floor",
        ratio.text(),
        f"<= {TARGET}",
        ratio.median <= TARGET,
        f"{times[0]:.1f} of {times[1]:.1f} µs",
    )


MEASURES = [
    Measure(f"log{floats}", f"time the loop is blocked by log of {floats:,} floats", partial(log, floats))
    for floats in STEPS
]
