"""``neurockt import``: event files against TensorBoard's own Python reader, W&B's files, what has not changed, and
the whole way of W&B's offline directories to a server against ``wandb sync``.

Whole commands are timed, their start included, except TensorBoard's reader, of which the reading alone is.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np

from neurockt.importing.checksum import masked_crcs
from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, scratch, spread
from tests.benchmarks.served import served
from tests.benchmarks.wandb_sync import COUNT, seconds
from tests.importing import event_files, wandb_files

TAGS, STEPS = 10, 100_000
ROWS, METRICS = 100_000, 10
RUNS = 100
RESUMES, RESUMED_ROWS = 3, 2_000


class Taken(TypedDict):
    """What a command took."""

    seconds: float
    megabytes: float


def write_events(directory: Path) -> None:
    """A million scalars, as torch writes them: of each tag and length of the step one record, with other numbers."""
    steps = np.arange(1, STEPS + 1)
    records: list[list[bytes]] = [[] for _ in steps]
    for tag in range(TAGS):
        for size in (1, 2, 3):
            some = steps[(steps >= 128 ** (size - 1)) & (steps < 128**size)]
            first = event_files.event(0.0, int(some[0]), event_files.simple(f"metric/{tag}", 0.0))
            rows = np.tile(np.frombuffer(first, np.uint8), (len(some), 1))
            rows[:, 13:21] = (1.7e9 + some * 0.1)[:, None].view(np.uint8)
            for index in range(size):
                rows[:, 22 + index] = some >> 7 * index & 0x7F | 0x80 * (index < size - 1)
            rows[:, -8:-4] = np.sin(some * 0.01 + tag).astype(np.float32)[:, None].view(np.uint8)
            rows[:, -4:] = masked_crcs(rows[:, 12:-4])[:, None].view(np.uint8)
            for step, row in zip(some.tolist(), rows, strict=True):
                records[step - 1].append(row.tobytes())
    event_files.write(directory, [record for each in records for record in each])


def timed(*words: object) -> Taken:
    """A command in a process of its own."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "neurockt", "import", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    taken = time.perf_counter() - begun
    return {"seconds": taken, "megabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024}


def convert(source: str, directory: str) -> Taken:
    return timed(source, "--into", directory)


def tensorboard_reads(source: str) -> float:
    """Seconds of TensorBoard's EventAccumulator; 0 where TensorBoard is not installed."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        return 0.0
    begun = time.perf_counter()
    EventAccumulator(source, size_guidance={"scalars": 0, "tensors": 0}).Reload()
    return time.perf_counter() - begun


def events(effort: Effort) -> Iterator[Figure]:
    with scratch() as directory:
        write_events(directory / "events")
        ours, theirs = alternate(
            effort,
            "import-events",
            partial(fresh, convert, source=str(directory / "events")),
            partial(fresh, tensorboard_reads, source=str(directory / "events")),
        )
    taken, memory = spread(each["seconds"] for each in ours), spread(each["megabytes"] for each in ours)
    yield Figure("import of 1,000,000 scalars of event files", f"{taken.text()} s", "<= 2.5", taken.median <= 2.5)
    yield Figure("  memory", f"{memory.text(0)} MB", "< 300", memory.median < 300)
    if all(theirs):
        share = spread(each["seconds"] / other for each, other in zip(ours, theirs, strict=True))
        beside = f"{spread(theirs).median:.1f} s, reading alone"
        yield Figure("  of TensorBoard's reader", share.text(), "<= 0.25", share.median <= 0.25, beside)


def wandb_rows(effort: Effort) -> Iterator[Figure]:
    with scratch() as directory:
        names = [f"metric_{index}" for index in range(METRICS)]
        values = (dict.fromkeys(names, step * 7919 % 1000 / 997) for step in range(ROWS))
        rows = [wandb_files.row(each, step) for step, each in enumerate(values)]
        wandb_files.write(directory / "wandb", "a", [wandb_files.run("a"), *rows, wandb_files.end(0)])
        (taken,) = alternate(effort, "import-wandb", partial(fresh, convert, source=str(directory / "wandb")))
    time_taken, memory = spread(each["seconds"] for each in taken), spread(each["megabytes"] for each in taken)
    beside = f"{memory.text(0)} MB"
    yield Figure("import of 100,000 rows x 10 of W&B", f"{time_taken.text()} s", "<= 5", time_taken.median <= 5, beside)


def unchanged(effort: Effort) -> Iterator[Figure]:
    with scratch() as directory:
        for index in range(RUNS):
            event_files.write(
                directory / "logs" / str(index), event_files.scalars("loss", dict.fromkeys(range(1000), 1.0))
            )
        timed(directory / "logs", "--into", directory / "runs")
        (taken,) = alternate(
            effort, "import-again", lambda: timed(directory / "logs", "--into", directory / "runs")["seconds"]
        )
    again = spread(taken)
    yield Figure("import of 100 runs that have not changed", f"{again.text()} s", "< 0.3", again.median < 0.3)


def write_resumed(directory: Path, left: str) -> None:
    """Five runs of three offline directories each, as a cluster may leave them."""
    for run in range(5):
        for at in range(1, RESUMES + 1):
            steps = range((at - 1) * RESUMED_ROWS, at * RESUMED_ROWS)
            rows = [wandb_files.row({"loss": step / 3, "acc": 0.5}, step) for step in steps]
            start = wandb_files.run(f"run{run}", project="bench", started=1_700_000_000 + at)
            path = wandb_files.write(directory / "wandb", f"run{run}", [start, *rows, wandb_files.end(0)], at=at)
            if left == "cut" and at == 1:
                path.write_bytes(path.read_bytes()[:-40])
    if left == "empty":
        wandb_files.write(directory / "wandb", "run0", [], at=RESUMES + 1).write_bytes(b"")


def import_and_sync(directory: Path, environment: dict[str, str]) -> float:
    command = [sys.executable, "-m", "neurockt"]
    return seconds([*command, "import", "wandb", "--into", "runs"], directory, environment) + seconds(
        [*command, "sync", "runs"], directory, environment
    )


def wandb_sync(directory: Path, environment: dict[str, str]) -> float:
    paths = [str(path) for path in sorted((directory / "wandb").iterdir())]
    return seconds([sys.executable, "-m", "wandb", "sync", *paths], directory, environment)


def whole_way(effort: Effort) -> Iterator[Figure]:
    """Runs that were resumed offline: what arrives at the server, and how long it takes."""

    def once(way: Callable[[Path, dict[str, str]], float], left: str = "whole") -> tuple[float, int]:
        with scratch() as directory, served(directory) as environment:
            write_resumed(directory, left)
            taken = way(directory, environment)
            counted = subprocess.run(
                [sys.executable, "-c", COUNT], cwd=directory, env=environment, stdout=subprocess.PIPE, check=True
            )
            return taken, int(json.loads(counted.stdout))

    mine, theirs = alternate(effort, "import-sync", partial(once, import_and_sync), partial(once, wandb_sync))
    times = spread(one[0] / other[0] for one, other in zip(mine, theirs, strict=True))
    yield Figure("import and sync of resumed offline runs, of wandb sync", times.text(), "< 1", times.median < 1)
    total = 5 * RESUMES * RESUMED_ROWS
    for what, left, rows, counts in (
        ("  rows that arrive", "whole", total, (mine[0][1], theirs[0][1])),
        ("  rows where SIGKILL cut the last record of each first directory", "cut", total - 5, None),
        ("  rows where one directory has an empty file", "empty", total, None),
    ):
        ours, of_wandb = counts or (once(import_and_sync, left)[1], once(wandb_sync, left)[1])
        yield Figure(what, f"{ours:,}", f"{rows:,}", ours == rows, f"wandb sync {of_wandb:,}")


MEASURES = [
    Measure("import-events", "time and memory to import a million scalars of event files", events),
    Measure("import-wandb", "time to import 100,000 rows of a W&B file", wandb_rows),
    Measure("import-again", "time to import what has not changed", unchanged),
    Measure("import-sync", "W&B's offline directories, imported and synced, against wandb sync", whole_way),
]
