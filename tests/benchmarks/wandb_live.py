"""What the loop pays when its run goes to W&B while it is recorded: ``WandbRecorder`` over ``Recorder``, step for step.

Between the steps there is work that keeps a processor busy, for long enough that rows are sent several times meanwhile.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from functools import partial

import numpy as np

from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, ratios, scratch, spread
from tests.benchmarks.served import served

SECONDS, QUICK_SECONDS = 25, 8
"""How long a run takes; rows are sent every ten seconds, and at first."""
WORK = 160
"""Side of the matrices that are multiplied between two steps: a fraction of a millisecond."""
TARGET = 1.5


def blocked(recorder_name: str, seconds: int) -> tuple[float, float]:
    """Nanoseconds that a step blocks the loop: the median, and the mean."""
    recorder = {"Recorder": Recorder, "WandbRecorder": WandbRecorder}[recorder_name]("runs", quiet=True)
    loss = recorder.track_scalar("loss")(float)
    matrix = np.random.default_rng(0).random((WORK, WORK))
    clock, taken = time.perf_counter_ns, array("q")
    with recorder(train=True):  # the first row creates the run
        loss(0.0)
    until = time.monotonic() + seconds
    step = 0
    while time.monotonic() < until:
        for _ in range(100):
            value = float((matrix @ matrix)[0, 0]) + step
            begun = clock()
            with recorder(train=True):
                loss(value)
            taken.append(clock() - begun)
            step += 1
    recorder.finish()
    if isinstance(recorder, WandbRecorder) and not (recorder._uploader and recorder._uploader.is_complete):
        raise RuntimeError("the run is not in W&B")
    return statistics.median(taken), statistics.fmean(taken)


def one(recorder_name: str, seconds: int) -> tuple[float, float]:
    """The same, in a process of its own beside a server."""
    code = "import json, sys; from tests.benchmarks.wandb_live import blocked; "
    code += "print(json.dumps(blocked(sys.argv[1], int(sys.argv[2]))))"
    with scratch() as directory, served(directory) as environment:
        done = subprocess.run(
            [sys.executable, "-c", code, recorder_name, str(seconds)],
            cwd=directory,
            env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            check=True,
        )
    median, mean = json.loads(done.stdout)
    return median, mean


def live(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    seconds = effort.of(SECONDS, QUICK_SECONDS)
    wandb, plain = alternate(
        effort, "wandblive", partial(one, "WandbRecorder", seconds), partial(one, "Recorder", seconds)
    )
    medians = ratios([median for median, _ in wandb], [median for median, _ in plain])
    means = ratios([mean for _, mean in wandb], [mean for _, mean in plain])
    yield Figure(
        "blocked per step with WandbRecorder, of Recorder",
        medians.text(),
        f"<= {TARGET}",
        medians.median <= TARGET,
        f"means {means.text()}; {spread(median / 1000 for median, _ in wandb).text(1)} of "
        f"{spread(median / 1000 for median, _ in plain).text(1)} µs",
    )


MEASURES = [Measure("wandblive", "time the loop is blocked per step while its run goes to W&B", live)]
