"""The child process: records steps and validations, seals very often, and reports its position after each block."""

from __future__ import annotations

import os
import sys
import time

from live_run import LATE, REPORT, STEPS_AN_EPOCH, value_at
from neurockt.monitor import Recorder
from neurockt.store.tables import parts
from neurockt.store.writing import timing

# Much shorter than in earnest: a run of a second seals some twenty times and fills several parts.
timing.default = timing.Timing(tick=0.005, heartbeat=0.05, first_heartbeat=0.05, sync=0.05, seal=0.03)
parts.PART_ROWS = 700
parts.ROW_GROUP_ROWS = 256


def main(root: str, run_id: str, rate: float, steps: int) -> None:
    recorder = Recorder(root, run_id=run_id, quiet=True)
    scalars = {name: recorder.track_scalar(name)(float) for name in ("loss", "lr")}
    metrics = {"acc": recorder.metric("acc")(float)}
    began = time.monotonic()
    step = 0
    while not steps or step < steps:
        step += 1
        if step == LATE:
            scalars["late"] = recorder.track_scalar("late")(float)
        with recorder(train=True):
            record(scalars, step)
        os.write(1, REPORT.pack(step, recorder.epoch))
        if step % STEPS_AN_EPOCH == 0:
            with recorder(train=False):
                record(metrics, step // STEPS_AN_EPOCH)
            os.write(1, REPORT.pack(step, recorder.epoch))
        if rate and (ahead := began + step / rate - time.monotonic()) > 0:
            time.sleep(ahead)
    recorder.finish()


def record(functions: dict, number: int) -> None:
    for name, function in functions.items():
        if (value := value_at(number, name)) is not None:
            function(value)


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
