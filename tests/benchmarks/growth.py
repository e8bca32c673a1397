"""Whether a long run slows down, takes more and more memory, or leaves many files."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, spread
from tests.benchmarks.ways import make_loop, neurockt

STEPS, QUICK_STEPS = 10_000_000, 1_000_000
WARM_UP_STEPS = 200_000
"""Memory is compared with its size after these steps."""
SAMPLES = 50
"""How often memory is measured."""
TARGET_GROWTH = 1.1
TARGET_MEGABYTES = 20
TARGET_FILES = 16


class Grown(TypedDict):
    """Measurements of one long run."""

    slower: float
    """The median of the last tenth's steps over that of the first tenth's."""
    at_end: float
    """Megabytes that resident memory has grown by since the warm-up."""
    at_most: float
    """The same, where it was largest."""
    files: int
    """Parts of the table."""


def grow(steps: int, directory: str) -> Grown:
    """Record one long run."""
    made = neurockt(Path(directory), 1)
    taken = array("q", bytes(8 * steps))
    loop = make_loop(made.body, made.names, 1)
    loop(0, WARM_UP_STEPS, taken)
    before = resident_megabytes()
    marks = [WARM_UP_STEPS + (steps - WARM_UP_STEPS) * sample // SAMPLES for sample in range(SAMPLES + 1)]
    resident = []
    for first, last in pairwise(marks):
        loop(first, last, taken)
        resident.append(resident_megabytes() - before)
    made.finish()
    tenth = steps // 10
    return {
        "slower": statistics.median(taken[-tenth:]) / statistics.median(taken[:tenth]),
        "at_end": resident[-1],
        "at_most": max(resident),
        "files": len(list((made.run_dir() / "steps").iterdir())),
    }


def resident_megabytes() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def growth(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    steps = effort.of(STEPS, QUICK_STEPS)
    (runs,) = alternate(effort, "growth", partial(fresh, grow, steps=steps))
    slower = spread(run["slower"] for run in runs)
    yield Figure(
        f"growth: last tenth of {steps:,} steps over the first",
        slower.text(),
        f"<= {TARGET_GROWTH}",
        slower.median <= TARGET_GROWTH,
    )
    memory = spread(run["at_end"] for run in runs)
    yield Figure(
        "growth: resident memory, MB",
        memory.text(1),
        f"< {TARGET_MEGABYTES}",
        memory.median < TARGET_MEGABYTES,
        f"where it was largest {spread(run['at_most'] for run in runs).text(1)}",
    )
    files = max(run["files"] for run in runs)
    yield Figure("growth: files of the table", str(files), f"<= {TARGET_FILES}", files <= TARGET_FILES)


MEASURES = [Measure("growth", "how a long run's steps, memory and files grow", growth)]
