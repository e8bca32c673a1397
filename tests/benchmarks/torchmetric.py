"""Memory while torchmetrics record batch values for many steps: also of those that collect what they are given."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

from neurockt.monitor import Recorder, RecorderHelper, torch_mean
from tests.benchmarks.growth import resident_megabytes
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, spread

STEPS, QUICK_STEPS = 50_000, 5_000
WARM_UP_STEPS = 1_000
BATCH = 64
TARGET_MEGABYTES = 10.0
METRICS = {
    "BinaryAUROC, which collects": lambda module: module.BinaryAUROC(),
    "BinaryAccuracy, which counts": lambda module: module.BinaryAccuracy(),
}


def grow(metric: str, steps: int, directory: str) -> float:
    """Megabytes by which a training with a metric in the README's form grows after its first steps."""
    import torch
    from torchmetrics import classification

    warnings.simplefilter("ignore")
    recorder = Recorder(directory, quiet=True)
    made: Any = METRICS[metric](classification)
    tracked = RecorderHelper(recorder).track_scalar(torch_mean, tracked=made)["tracked"]
    layer = torch.nn.Linear(10, 1)
    inputs, targets = torch.randn(BATCH, 10), torch.randint(0, 2, (BATCH,))
    before = 0.0
    for step in range(steps):
        if step == WARM_UP_STEPS:
            before = resident_megabytes()
        with recorder(train=True):
            tracked(layer(inputs).squeeze(1).sigmoid(), targets)
    grown = resident_megabytes() - before
    recorder.finish()
    return grown


def torchmetric(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    steps = effort.of(STEPS, QUICK_STEPS)
    for metric in METRICS:
        (grown,) = alternate(effort, metric, partial(fresh, grow, metric=metric, steps=steps))
        megabytes = spread(grown)
        met = megabytes.median <= TARGET_MEGABYTES
        yield Figure(f"{metric}: MB in {steps:,} steps", megabytes.text(1), f"<= {TARGET_MEGABYTES:g}", met)


MEASURES = [Measure("torchmetric", "memory while torchmetrics record batch values for many steps", torchmetric)]
