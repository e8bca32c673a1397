"""W&B LEET on the same terminal, where it can do what the viewer is measured at: a list of runs, and charts.

It counts as loaded once it and its children have been idle for a second, since it draws while it reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, clean_environment, fresh, progress, scratch
from tests.benchmarks.terminal import DOTS, Response, Terminal, opened
from tests.benchmarks.viewer import DOWN, at_most, key_figure, press_all, redraw_figure
from tests.benchmarks.viewer_data import copy_leet_run, leet_run

KEYS = ["g", "g", "[", "[", "]", "]", "d", "d"]
"""Guides, the two sidebars, the focus."""
LOADED_IDLE = 1.0


def leet(directory: Path) -> AbstractContextManager[Terminal]:
    """LEET over the runs that W&B has written there, as it is when first started."""
    environment = {**clean_environment(), "WANDB_CONFIG_DIR": str(directory / "config")}
    return opened([sys.executable, "-m", "wandb", "leet", str(directory / "wandb")], environment)


def listing(effort: Effort) -> Iterator[Figure]:
    """A list of 200 runs of 300 steps."""
    first: list[float] = []
    memory: list[float] = []
    idle: list[float] = []
    keys: list[Response] = []
    with scratch() as directory:
        fresh(leet_run, steps=300, directory=str(directory))
        copy_leet_run(next((directory / "wandb").glob("offline-run-*")), 199)
        for _ in range(effort.rounds):
            with leet(directory) as terminal:
                first.append(terminal.until(DOTS))
                terminal.until_idle(LOADED_IDLE)
                keys += press_all(terminal, [DOWN] * 8)
                memory.append(terminal.resident())
                idle.append(100 * terminal.idle_share(5.0))
    yield at_most("LEET, list of 200 runs: first chart, s", first, None)
    yield key_figure("LEET, list of 200 runs: key, ms p50 / p95", keys, None)
    yield redraw_figure("LEET, list of 200 runs: whole redraw, ms p50 / p95", keys, None)
    yield at_most("LEET, list of 200 runs: memory, MB", memory, None, places=0)
    yield at_most("LEET, list of 200 runs: idle, % of a core", idle, None, places=1)


def charts(effort: Effort, steps: int = 100_000, rounds: int = 3) -> Iterator[Figure]:
    """Charts of five metrics."""
    first: list[float] = []
    whole: list[float] = []
    memory: list[float] = []
    idle: list[float] = []
    keys: list[Response] = []
    with scratch() as directory:
        progress(f"LEET: writing {steps:,} steps")
        fresh(leet_run, steps=steps, directory=str(directory))
        for number in range(min(rounds, effort.rounds)):
            progress(f"LEET, charts of {steps:,} steps: round {number + 1}")
            with leet(directory) as terminal:
                first.append(terminal.until(DOTS))
                whole.append(terminal.until_idle(LOADED_IDLE))
                memory.append(terminal.resident())
                keys += press_all(terminal, KEYS)
                idle.append(100 * terminal.idle_share(5.0))
    name = f"LEET, charts of {steps:,} steps"
    yield at_most(f"{name}: first, of a part, s", first, None)
    yield at_most(f"{name}: complete, s", whole, None)
    yield key_figure(f"{name}: key, ms p50 / p95", keys, None)
    yield at_most(f"{name}: memory, MB", memory, None, places=0)
    yield at_most(f"{name}: idle, % of a core", idle, None, places=1)


def both(effort: Effort) -> Iterator[Figure]:
    """What takes seconds."""
    yield from listing(effort)
    yield from charts(effort)


MEASURES = [
    Measure("leet", "W&B LEET's list of 200 runs, and its charts of 100,000 steps", both),
]
