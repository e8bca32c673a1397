"""How long the loop is blocked per step: recording one float scalar, and ten, as a ratio to the floor.

The ratio is judged net: from each side, what the same step takes without recording is taken off. A user's loop calls
its loss function with neurockt or without, so that call is not a cost of recording; what the decorator adds is.
Of the floor's step only the reading of the clock is taken off. The gross ratio is shown beside it.
"""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios
from tests.benchmarks.ways import WAYS, make_loop

STEPS = 20_000
TARGETS = {1: 0.6, 10: 0.5}
"""By the number of scalars: the largest ratio."""


def median_steps(way: str, scalars: int, directory: str) -> tuple[float, float]:
    """Nanoseconds of the median step: recorded, and without recording."""
    made = WAYS[way](Path(directory), scalars)
    taken = array("q", bytes(8 * STEPS))
    make_loop(made.bare, made.names, scalars)(0, STEPS, taken)
    bare = statistics.median(taken)
    make_loop(made.body, made.names, scalars)(0, STEPS, taken)
    made.finish()
    return statistics.median(taken), bare


def blocked(scalars: int, effort: Effort) -> Iterator[Figure]:
    """The figure for this number of scalars."""
    ways = [partial(fresh, median_steps, way=way, scalars=scalars) for way in WAYS]
    floor, ours = alternate(effort, f"blocked{scalars}", *ways)
    net = ratios([step - bare for step, bare in ours], [step - bare for step, bare in floor])
    gross = ratios([step for step, _ in ours], [step for step, _ in floor])
    times = [statistics.median(step for step, _ in side) / 1000 for side in (ours, floor)]
    yield Figure(
        f"blocked per step, {scalars} scalar{'s' * (scalars > 1)}, net, of the floor",
        net.text(),
        f"<= {TARGETS[scalars]}",
        net.median <= TARGETS[scalars],
        f"gross {gross.text()}: {times[0]:.1f} of {times[1]:.1f} µs",
    )


MEASURES = [
    Measure(f"blocked{scalars}", f"time the loop is blocked per step, {scalars} scalar(s)", partial(blocked, scalars))
    for scalars in TARGETS
]
