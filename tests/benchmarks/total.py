"""What recording takes in all: the whole loop and ``finish()``, as a ratio to the floor's loop and close."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios, spread
from tests.benchmarks.ways import WAYS, make_loop

STEPS = 200_000
TARGET = 0.9


def seconds(way: str, directory: str) -> float:
    """From the first step to the end of ``finish()``; the first row loads pyarrow, which counts."""
    made = WAYS[way](Path(directory), 1)
    loop = make_loop(made.body, made.names, 1, timed=False)
    begun = time.perf_counter()
    loop(0, STEPS, array("q"))
    made.finish()
    return time.perf_counter() - begun


def total(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    floor, ours = alternate(effort, "total", *(partial(fresh, seconds, way=way) for way in WAYS))
    ratio = ratios(ours, floor)
    yield Figure(
        f"loop and finish(), {STEPS:,} steps, of the floor",
        ratio.text(),
        f"<= {TARGET}",
        ratio.median <= TARGET,
        f"{spread(ours).text()} of {spread(floor).text()} s",
    )


MEASURES = [Measure("total", f"loop and finish() in all, {STEPS:,} steps", total)]
