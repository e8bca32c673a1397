"""The longest single stall of the loop, after the first hundred steps.

The background thread fsyncs, seals and writes ``run.json`` meanwhile. The floor, which has no such thread, is
shown beside it: what stalls that too is the machine.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, spread
from tests.benchmarks.ways import WAYS, make_loop

STEPS, QUICK_STEPS = 1_000_000, 300_000
FIRST = 100
"""Steps that do not count: the first one creates the run directory."""
TARGET_MS = 5.0


def longest(way: str, steps: int, directory: str) -> float:
    """Milliseconds of the longest step."""
    made = WAYS[way](Path(directory), 1)
    taken = array("q", bytes(8 * steps))
    make_loop(made.body, made.names, 1)(0, steps, taken)
    made.finish()
    return max(taken[FIRST:]) / 1e6


def stall(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    steps = effort.of(STEPS, QUICK_STEPS)
    floor, ours = alternate(effort, "stall", *(partial(fresh, longest, way=way, steps=steps) for way in WAYS))
    stalls = spread(ours)
    yield Figure(
        f"longest stall in {steps:,} steps, ms",
        stalls.text(),
        f"< {TARGET_MS:g}",
        stalls.median < TARGET_MS,
        f"the floor's {spread(floor).text()}",
    )


MEASURES = [Measure("stall", "the longest single stall of the loop", stall)]
