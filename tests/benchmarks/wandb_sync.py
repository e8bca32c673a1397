"""Runs to W&B: rows a second against W&B's own way, many small runs, and memory. The server is a local one.

W&B's own way is ``wandb.init(mode="offline")``, ``run.log`` and ``wandb sync`` with its defaults; ours is to record and
``neurockt sync``. Each is timed end to end, its processes' starts included, and what arrived is counted by the server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypedDict

from neurockt.monitor import Recorder
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, ratios, scratch, spread
from tests.benchmarks.served import served
from tests.benchmarks.ways import noisy_losses

ROWS, QUICK_ROWS = 100_000, 20_000
METRICS = (1, 10)
TARGET_RATIO = 2.0
RUNS, ROWS_OF_A_RUN = 100, 100
TARGET_SECONDS = 3.0
LARGE_ROWS, QUICK_LARGE_ROWS = 1_000_000, 200_000
TARGET_GROWTH = 1.1
"""How much more memory ten times the rows may take."""

_WANDB_WRITES = """
import sys
from tests.benchmarks.ways import noisy_losses
from wandb import Settings, init
rows, metrics = int(sys.argv[1]), int(sys.argv[2])
run = init(mode="offline", project="bench", settings=Settings(silent=True))
for step, values in enumerate(noisy_losses(rows, metrics)):
    run.log({f"metric_{index}": value for index, value in enumerate(values)}, step=step)
run.finish()
"""
_NEUROCKT_WRITES = """
import sys
from tests.benchmarks.wandb_sync import record
record(".", int(sys.argv[1]), int(sys.argv[2]))
"""
COUNT = """
import sys
from neurockt.sync.account import find_account
from neurockt.sync.client import Client
client = Client(find_account())
query = 'query All { project(name: "bench", entityName: "tester") { runs { edges { node { historyLineCount } } } } }'
project = client.graphql(query, {})["project"]  # none where nothing has arrived
print(sum(edge["node"]["historyLineCount"] for edge in project["runs"]["edges"]) if project else 0)
"""


class Taken(TypedDict):
    """How long one way took."""

    writing: float
    sending: float


def record(root: str, rows: int, metrics: int) -> None:
    """A finished run."""
    recorder = Recorder(root, project="bench", quiet=True)
    record_metric = [recorder.track_scalar(f"metric_{index}")(float) for index in range(metrics)]
    for values in noisy_losses(rows, metrics):
        with recorder(train=True):
            for record_value, value in zip(record_metric, values, strict=True):
                record_value(value)
    recorder.finish()


def seconds(command: list[str], directory: Path, environment: dict[str, str]) -> float:
    """How long a process took."""
    begun = time.perf_counter()
    subprocess.run(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=2, check=True)
    return time.perf_counter() - begun


def send(way: str, rows: int, metrics: int) -> Taken:
    """Write a run and send it."""
    python, size = sys.executable, [str(rows), str(metrics)]
    with scratch() as directory, served(directory) as environment:
        if way == "wandb":
            writing = seconds([python, "-c", _WANDB_WRITES, *size], directory, environment)
            (run,) = (directory / "wandb").glob("offline-run-*")
            sending = seconds([python, "-m", "wandb", "sync", str(run)], directory, environment)
        else:
            writing = seconds([python, "-c", _NEUROCKT_WRITES, *size], directory, environment)
            sending = seconds([python, "-m", "neurockt", "sync", "."], directory, environment)
        check_arrived(rows, directory, environment)
    return {"writing": writing, "sending": sending}


def check_arrived(rows: int, directory: Path, environment: dict[str, str]) -> None:
    """What did not arrive is not fast."""
    counted = subprocess.run(
        [sys.executable, "-c", COUNT], cwd=directory, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    if int(counted.stdout) != rows:
        raise RuntimeError(f"{counted.stdout.strip()} of {rows} rows arrived")


def rates(metrics: int, effort: Effort) -> Iterator[Figure]:
    """Rows a second, of W&B's own way."""
    rows = effort.of(ROWS, QUICK_ROWS)
    ways = [partial(send, way, rows, metrics) for way in ("neurockt", "wandb")]
    ours, theirs = alternate(effort, f"wandb{metrics}", *ways)
    faster = ratios([sum(taken.values()) for taken in theirs], [sum(taken.values()) for taken in ours])
    beside = ", ".join(
        f"{name} {spread(rows / sum(taken.values()) for taken in side).median:,.0f} rows/s "
        f"({spread(taken['writing'] for taken in side).median:.1f} + "
        f"{spread(taken['sending'] for taken in side).median:.1f} s)"
        for name, side in (("neurockt", ours), ("wandb", theirs))
    )
    yield Figure(
        f"{rows:,} rows of {metrics} metric{'s' * (metrics > 1)} to W&B, times as fast as its own way",
        faster.text(1),
        f">= {TARGET_RATIO:.0f}",
        faster.median >= TARGET_RATIO,
        beside,
    )


def many_runs() -> tuple[float, float]:
    """Seconds to send many small runs, and seconds that the same command takes where there is none."""
    with scratch() as directory, served(directory) as environment:
        empty = directory / "empty"
        empty.mkdir()
        for _ in range(RUNS):
            record(str(directory / "runs"), ROWS_OF_A_RUN, 3)
        command = [sys.executable, "-m", "neurockt", "sync"]
        none = seconds([*command, "empty"], directory, environment)
        taken = seconds([*command, "runs"], directory, environment)
        check_arrived(RUNS * ROWS_OF_A_RUN, directory, environment)
    return taken, none


def runs(effort: Effort) -> Iterator[Figure]:
    """Many small runs."""
    (times,) = alternate(effort, "wandbruns", many_runs)
    beyond = spread(taken - none for taken, none in times)
    yield Figure(
        f"{RUNS} runs of {ROWS_OF_A_RUN} rows to W&B, s beyond the start of the process",
        beyond.text(),
        f"<= {TARGET_SECONDS:.0f}",
        beyond.median <= TARGET_SECONDS,
        f"the whole process {spread(taken for taken, _ in times).text()}",
    )


def peak_megabytes(rows: int) -> float:
    """The most memory a sync of one run took."""
    with scratch() as directory, served(directory) as environment:
        record(str(directory / "runs"), rows, 1)
        process = subprocess.Popen(
            [sys.executable, "-m", "neurockt", "sync", "runs"],
            cwd=directory,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError("the sync failed")
        check_arrived(rows, directory, environment)
    return usage.ru_maxrss / 1024


def memory(effort: Effort) -> Iterator[Figure]:
    """Whether memory grows with the run."""
    rows = effort.of(LARGE_ROWS, QUICK_LARGE_ROWS)
    large, small = alternate(effort, "wandbmemory", partial(peak_megabytes, rows), partial(peak_megabytes, rows // 10))
    growth = ratios(large, small)
    yield Figure(
        f"memory of a sync of {rows:,} rows, of that of a tenth of them",
        growth.text(),
        f"<= {TARGET_GROWTH}",
        growth.median <= TARGET_GROWTH,
        f"{spread(large).text(0)} of {spread(small).text(0)} MB",
    )


MEASURES = [
    *(
        Measure(f"wandb{metrics}", f"rows a second to W&B, {metrics} metric(s)", partial(rates, metrics))
        for metrics in METRICS
    ),
    Measure("wandbruns", f"{RUNS} small runs to W&B", runs),
    Measure("wandbmemory", "memory of a sync as the run grows", memory),
]
