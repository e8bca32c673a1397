"""The recording process: runs the commands on its standard input, one per line, and answers in JSON."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import replace

from live_run import LATE, PATIENCE, STEPS_AN_EPOCH, value_at

from neurockt.monitor import Recorder
from neurockt.monitor.lifetime import session
from neurockt.store.journal import repair
from neurockt.store.tables import parts
from neurockt.store.writing import backlog, run_writer, table_writer, timing
from neurockt.store.writing.timing import Timing

MODULES = (repair, backlog, parts)
QUICK = Timing(tick=0.005, heartbeat=0.02, first_heartbeat=0.02, sync=0.01, seal=0.03, seal_retry=0.01, retry=0.01)
SMALL = {"PIECE_BYTES": 4096, "PART_ROWS": 700, "ROW_GROUP_ROWS": 256}


class Child:
    def __init__(self, root: str) -> None:
        self.recorder = Recorder(root, run_id="run", quiet=True)
        self.scalars = {name: self.recorder.track_scalar(name)(float) for name in ("loss", "lr")}
        self.metric = self.recorder.metric("acc")(float)
        self.longest = 0.0

    def steps(self, count: str) -> None:
        self.longest = 0.0
        for _ in range(int(count)):
            self.step()

    def step(self) -> None:
        step = self.recorder.step + 1
        if step == LATE and "late" not in self.scalars:
            self.scalars["late"] = self.recorder.track_scalar("late")(float)
        values = {name: value_at(step, name) for name in self.scalars}
        began = time.perf_counter()
        with self.recorder(train=True):
            for name, value in values.items():
                if value is not None:
                    self.scalars[name](value)
        self.longest = max(self.longest, time.perf_counter() - began)
        if step % STEPS_AN_EPOCH == 0:
            with self.recorder(train=False):
                if (value := value_at(step // STEPS_AN_EPOCH, "acc")) is not None:
                    self.metric(value)

    def log(self, calls: str) -> None:
        """Two calls for each step; the second has a name of its own now and then, and the row stays open."""
        for _ in range(int(calls)):
            step = self.recorder.step + 10
            self.recorder.log({"first": float(step)}, step=step)
            self.recorder.log({"second": float(step), f"every {step // 1000}": 1.0}, step=step)

    def skip(self, rows: str) -> None:
        self.recorder._writer.tables["steps"].skip(int(rows))

    def settle(self) -> None:
        """Wait until no row waits, and the journals are where they belong."""
        deadline = time.monotonic() + PATIENCE
        tables = self.recorder._writer.tables.values()
        while any(table._fd < 0 for table in tables):
            assert time.monotonic() < deadline, "the disk was never written to again"
            time.sleep(0.002)

    def sealed(self) -> None:
        """Wait until parts hold all rows."""
        deadline = time.monotonic() + PATIENCE
        tables = self.recorder._writer.tables.values()
        while any(table._sealed.last < table.last or table._sealing_fd >= 0 for table in tables):
            assert time.monotonic() < deadline, "the rows were never sealed"
            for table in tables:
                table.seal_soon()
            time.sleep(0.002)

    def noticed(self) -> None:
        """Wait for a warning."""
        deadline = time.monotonic() + PATIENCE
        while not warned:
            assert time.monotonic() < deadline, "there was no warning"
            time.sleep(0.002)

    def ticks(self, count: str) -> None:
        """Let the background thread run this many times."""
        deadline = time.monotonic() + PATIENCE
        last = looks[0] + int(count)
        while looks[0] < last:
            assert time.monotonic() < deadline, "the background thread has stopped"
            time.sleep(0.002)

    def finish(self) -> None:
        began = time.perf_counter()
        self.recorder.finish()
        self.longest = time.perf_counter() - began


warned: list[str] = []
looks = [0]


class CountingWriter(table_writer.TableWriter):
    def retry(self) -> None:
        looks[0] += self._parts.name == "steps"
        super().retry()


run_writer.TableWriter = CountingWriter


def main(root: str, settings: dict[str, float]) -> None:
    sizes = {**SMALL, **{name: settings.pop(name) for name in [*settings] if name.isupper()}}
    for name, value in sizes.items():
        module = next(module for module in MODULES if hasattr(module, name))
        setattr(module, name, value)
    timing.default = replace(QUICK, **settings)
    session.RETRY_SECONDS = 0.0  # at each row: the rows of a test may take less than any time
    warnings.showwarning = lambda message, *rest: warned.append(str(message))
    warnings.simplefilter("always")
    child = Child(root)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        command, *arguments = line.split()
        getattr(child, command)(*arguments)
        writer = child.recorder._writer
        answer = {
            "warnings": warned,
            "dropped": sum(table.dropped for table in writer.tables.values()) if writer else 0,
            "step": child.recorder.step,
            "longest": child.longest,
        }
        print(json.dumps(answer), file=answers, flush=True)


main(sys.argv[1], json.loads(sys.argv[2]))
