"""W&B LEET over a run of a million steps, which takes it minutes to write and to load."""

from __future__ import annotations

from functools import partial

from tests.benchmarks import leet
from tests.benchmarks.harness import Measure

MEASURES = [
    Measure("leet-1m", "its charts of 1,000,000 steps: many minutes", partial(leet.charts, steps=1_000_000, rounds=1))
]
