"""``neurockt ls`` over many runs, whole process: copies of one real run's ``run.json`` with ids of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.harness import REPOSITORY, Effort, Figure, Measure, clean_environment, progress, scratch, spread

MODEL = REPOSITORY / "sample_runs" / "adam-0.003-s0" / "run.json"
TARGET_SECONDS = {1_000: 0.5, 10_000: 1.0}
"""By the number of runs."""


def make_runs(root: Path, number: int) -> None:
    """So many run directories."""
    description = json.loads(MODEL.read_text())
    for run in range(number):
        description["id"] = f"20261123-{run:06}-copy"
        path = root / description["id"]
        path.mkdir()
        (path / "run.json").write_text(json.dumps(description, indent=1))


def seconds(root: Path, number: int) -> float:
    """From the process's start to its end."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "neurockt", "ls", str(root)]
    done = subprocess.run(command, env=clean_environment(), stdout=subprocess.PIPE, check=True)
    taken = time.perf_counter() - begun
    assert done.stdout.count(b"\n") == number + 1, "not every run is listed"
    return taken


def listing(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    for number, target in TARGET_SECONDS.items():
        progress(f"listing: {number:,} runs")
        with scratch() as root:
            make_runs(root, number)
            seconds(root, number)  # brings the files to the page cache
            taken = spread(seconds(root, number) for _ in range(effort.rounds))
        yield Figure(f"neurockt ls over {number:,} runs, s", taken.text(), f"<= {target:g}", taken.median <= target)


MEASURES = [Measure("listing", "neurockt ls over 1,000 and 10,000 runs", listing)]
