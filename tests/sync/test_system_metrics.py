"""What the machine did becomes W&B's system metrics: every sample once, at its place, with what the run is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wandb_server import WandbServer
from wandb_server.runs import EVENTS

from neurockt import open_run
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.journal.records import NULL
from neurockt.store.writing.table_writer import TableWriter

MakeRun = Callable[..., Path]
Sync = Callable[..., list[Any]]


def add_samples(path: Path, count: int) -> None:
    """A run whose machine was sampled so many times, a minute apart; its GPU from the second on."""
    table = TableWriter(path, "system", ["epoch", "cpu_percent", "gpu0_power_w"])
    begin = int(read_info(path).created.timestamp()) * 10**9
    for number in range(count):
        table.append(number, begin + number * 60 * 10**9, [1.0, number / 2, number or NULL])
    info = read_info(path).with_tables({"system": table.summary()})
    table.close()
    write_info(info)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 12_001])
def test_every_sample_arrives_once(count: int, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """At its place and time, null left out; a second sync sends nothing."""
    path = make_run(steps=20)
    add_samples(path, count)
    assert [outcome.status for outcome in sync(path)] == ["complete"]
    (stored,) = server.runs.values()
    lines = stored.lines[EVENTS]
    assert sorted(lines) == list(range(count))
    rows = open_run(path).system()
    times = rows["time"].to_pylist()
    for number in {0, count // 2, count - 1}:
        line = json.loads(lines[number])
        assert line["_wandb"] is True
        assert line["_timestamp"] == times[number].timestamp()
        assert line["system.cpu_percent"] == number / 2
        assert line.get("system.gpu0_power_w") == (number or None)
    assert stored.is_exact
    assert [outcome.sent for outcome in sync(path)] == [0]


def test_samples_that_were_lost_are_sent_again(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """What the server does not count is sent by the next sync, once the ledger is gone too."""
    path = make_run(steps=20)
    add_samples(path, 10)
    sync(path)
    (stored,) = server.runs.values()
    complete = dict(stored.lines[EVENTS])
    stored.lines[EVENTS] = {number: complete[number] for number in range(4)}
    (path / "wandb.json").unlink()
    assert [outcome.status for outcome in sync(path)] == ["complete"]
    assert stored.lines[EVENTS] == complete


def test_where_it_came_from_is_told_in_short(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Command and versions in the config, without packages and paths."""
    path = make_run(steps=5)
    origin = open_run(path).origin()
    assert origin is not None
    sync(path)
    (stored,) = server.runs.values()
    told = stored.config["neurockt"]["value"]["origin"]
    assert told["python"] == origin.python
    assert set(told) <= {"command", "git", "python", "torch", "cuda", "gpus", "world_size", "slurm"}
