"""What recording a loss of a CUDA device costs the host a step: as a tensor, which is not waited for, and by `.item()`.

The device is kept busy with some matrix products a step, as in training. The host only enqueues them, and runs ahead;
``.item()`` makes it wait until the device has caught up. Now and then all wait for the device, untimed: what can
be enqueued is bounded, and who has filled it is held to the pace of the device. Needs a CUDA device.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import partial

from neurockt.monitor import Recorder
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios, spread

STEPS, WARM_UP = 400, 20
AHEAD = 20
"""How many steps the host may run ahead."""
PRODUCTS, SIZE = 8, 1024
WAYS = ("none", "tensor", "log", "item")


def host_step(way: str, directory: str) -> float:
    """Microseconds that the host takes for the median step, by way of recording."""
    import torch

    recorder = Recorder(directory, quiet=True)
    loss = recorder.track_scalar("loss")(lambda value: value)
    weight = torch.randn(SIZE, SIZE, device="cuda") / SIZE
    taken = []
    for _ in range(STEPS + WARM_UP):
        began = time.perf_counter_ns()
        value = weight
        for _ in range(PRODUCTS):
            value = value @ weight
        value = value.square().mean()
        if way == "log":
            recorder.log({"loss": value})
        elif way != "none":
            with recorder(train=True):
                loss(value if way == "tensor" else value.item())
        taken.append(time.perf_counter_ns() - began)
        if len(taken) % AHEAD == 0:
            torch.cuda.synchronize()
    torch.cuda.synchronize()
    recorder.finish()
    return statistics.median(taken[WARM_UP:]) / 1000


def accelerator(effort: Effort) -> Iterator[Figure]:
    """The figures, or why there are none."""
    import torch

    if not torch.cuda.is_available():
        yield Figure("a step of the host with a loss on an accelerator", "no CUDA device")
        return
    none, tensor, log, item = alternate(effort, "accelerator", *(partial(fresh, host_step, way=way) for way in WAYS))
    yield Figure("a step of the host, its loss recorded as a tensor, of one by .item()", ratios(tensor, item).text())
    yield Figure("the same, its loss logged", ratios(log, item).text())
    for way, times in zip(WAYS, (none, tensor, log, item), strict=True):
        yield Figure(f"a step of the host, recorded: {way}, \u00b5s", spread(times).text(1))


MEASURES = [Measure("accelerator", "a loss on a CUDA device: recorded as a tensor against .item()", accelerator)]
