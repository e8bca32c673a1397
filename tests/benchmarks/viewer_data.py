"""What the viewer is measured with: lists of runs, runs of millions of steps, a run that goes on, and LEET's likes."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tests.benchmarks.harness import REPOSITORY, clean_environment

MODEL = REPOSITORY / "sample_runs" / "adam-0.003-s0" / "run.json"
METRICS = tuple(f"loss_{index}" for index in range(5))
RATE = 20.0
"""Rows a second of a run that goes on."""


def make_list(root: Path, number: int) -> None:
    """So many finished runs, each with values of its own in ``run.json``; the rows, for charts, are the model's."""
    description = json.loads(MODEL.read_text())
    chance = random.Random(number)
    for run in range(number):
        description["id"] = f"20261123-{run:06}-copy"
        description["name"] = f"copy-{run:06}"
        for column in description["epochs"]["columns"].values():
            column["last"] = column["max"] = chance.random()
        path = root / description["id"]
        path.mkdir()
        (path / "run.json").write_text(json.dumps(description, indent=1))
        for table in ("steps", "epochs"):
            (path / table).symlink_to(MODEL.parent / table)


def make_run(path: Path, steps: int) -> None:
    """A finished run of five noisy, falling losses, written as sealing writes it."""
    import numpy as np
    import pyarrow as pa

    from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
    from neurockt.store.base import layout
    from neurockt.store.base.run_file import write_info
    from neurockt.store.tables import parts

    noise = np.random.default_rng(0)
    schema = parts.table_schema(METRICS)
    created = datetime(2026, 11, 1, tzinfo=timezone.utc)
    begin = int(created.timestamp() * 1e6)
    for table in layout.TABLES:
        (path / table).mkdir(parents=True)
    for number, start in enumerate(range(0, steps, parts.PART_ROWS)):
        step = np.arange(start + 1, min(start + parts.PART_ROWS, steps) + 1)
        moments = pa.array(begin + step * 10_000).cast(schema.field("time").type)
        columns = [pa.array(step), pa.array(step // 100_000 + 1), moments]
        for index in range(len(METRICS)):
            columns.append(pa.array((index + 1) * np.exp(-4 * step / steps) + noise.normal(0, 0.05, len(step))))
        with parts.open_writer(layout.part_path(path, "steps", number), schema) as writer:
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=parts.ROW_GROUP_ROWS)
    summary = TableSummary(steps, {name: ColumnSummary(steps, 0.1, steps, 0.0, 1, 1.0, 2) for name in METRICS})
    ended = created + timedelta(hours=9)
    write_info(
        RunInfo(path, path.name, created, state="finished", ended=ended, updated=ended, heartbeat=9, steps=summary)
    )


LIVE_RUN = """
import sys, time
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], run_id="live", quiet=True)
clock = recorder.track_scalar("clock", lambda values: values[-1])(float)
begun, rate = float(sys.argv[2]), float(sys.argv[3])
step = 0
while True:
    with recorder(train=True):
        clock(time.time() - begun)
    step += 1
    if step == 1:
        print("begun", flush=True)
    time.sleep(max(0.0, begun + step / rate - time.time()))
"""


@contextmanager
def going_on(script: str, directory: Path, begun: float) -> Iterator[None]:
    """A process that records, 20 times a second, the seconds since ``begun`` as ``clock``; killed afterwards."""
    command = [sys.executable, "-c", script, str(directory), repr(begun), str(RATE)]
    with subprocess.Popen(command, env=clean_environment(), cwd=REPOSITORY, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        try:
            yield
        finally:
            child.kill()


def leet_run(steps: int, directory: str) -> None:
    """An offline W&B run like ``make_run``'s, in ``directory``; in a process of its own."""
    import wandb

    noise = random.Random(0)
    wandb.init(mode="offline", project="bench", dir=directory, settings=wandb.Settings(silent=True))
    for step in range(1, steps + 1):
        falling = math.exp(-4 * step / steps)
        wandb.log({name: (index + 1) * falling + noise.gauss(0, 0.05) for index, name in enumerate(METRICS)})
    wandb.finish()


def copy_leet_run(run: Path, number: int) -> None:
    """So many copies of it beside it, each with an id of its own."""
    for index in range(number):
        name = f"copy{index:04}"
        path = run.with_name(f"offline-run-20261101_{index:06}-{name}")
        path.mkdir()
        (path / f"run-{name}.wandb").write_bytes(next(run.glob("*.wandb")).read_bytes())
