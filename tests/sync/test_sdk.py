"""W&B's own SDK: as the way that rows go where its version is unknown, for artifacts, and as a second witness."""

from __future__ import annotations

import json
import math
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb_server import Fault, WandbServer, wait_until

import neurockt
from neurockt.monitor import Recorder
from neurockt.sync import rows, sdk

from .conftest import Done, MakeRun, Sync

READ = """
import json, sys
from wandb import Api
run = Api().run(sys.argv[1])
rows = [{name: float(value).hex() for name, value in row.items()} for row in run.scan_history()]
told = {"name": run.name, "state": run.state, "tags": run.tags, "config": run.config, "last": run.lastHistoryStep}
print(json.dumps({"rows": rows, **told}))
"""


def test_the_sdk_reads_back_what_was_sent(server: WandbServer, root: Path, sync: Sync) -> None:
    """``wandb.Api().run(...).scan_history()`` gives each row, each value to the last bit, NaN and infinities too."""
    values = [0.1, 5e-324, 1.7976931348623157e308, math.pi, math.nan, math.inf, -math.inf, 2.0**53 + 2]
    values += [struct.unpack("<d", struct.pack("<Q", 0x3FE0000000000000 + 977 * index))[0] for index in range(1500)]
    recorder = Recorder(root, quiet=True, project="p", name="n", tags=("t",), config={"lr": 0.1})
    value = recorder.track_scalar("value")(lambda number: number)
    accuracy = recorder.metric("acc")(float)
    for number in values:
        with recorder(train=True):
            value(number)
    with recorder(train=False):
        accuracy(0.5)
    recorder.finish()
    sync()
    path = f"tester/p/{recorder.run_dir.name}"
    done = subprocess.run([sys.executable, "-c", READ, path], stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    found = told.pop("rows")
    assert [row["value"] for row in found[:-1]] == [number.hex() for number in values]
    assert [row["acc"] for row in found[-1:]] == [(0.5).hex()]
    times = [moment.timestamp().hex() for moment in neurockt.open_run(recorder.run_dir).steps()["time"].to_pylist()]
    assert [row["_timestamp"] for row in found[:-1]] == times
    assert [row["_step"] for row in found] == [float(number).hex() for number in range(len(values) + 1)]
    assert told.pop("config")["lr"] == 0.1
    assert told == {"name": "n", "state": "finished", "tags": ["t"], "last": len(values)}


def test_the_way_through_the_sdk(server: WandbServer, make_run: MakeRun, sync: Sync, tmp_path: Path) -> None:
    """The same rows at the same places with the same description; only ``_runtime`` is the SDK's own."""
    path = make_run(steps=200, config={"lr": 0.1, "nested": {"a": [1, None]}}, tags=("t",), notes="n", group="g")
    assert sync(project="bulk")[0].status == "complete"
    (outcome,) = sync(project="public", through="public")
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 220, 220)
    bulk, slow = (server.runs[("tester", project, path.name)] for project in ("bulk", "public"))
    assert (bulk.is_exact, slow.is_exact) == (True, True)
    assert [without_runtime(row) for row in slow.rows] == [without_runtime(row) for row in bulk.rows]
    for what in ("display_name", "tags", "notes", "group", "state", "exit_code", "host"):
        assert getattr(slow, what) == getattr(bulk, what), what
    ours = {name: value for name, value in slow.config.items() if name != "_wandb"}
    assert ours == {name: value for name, value in bulk.config.items() if name != "_wandb"}
    assert axes(slow.config) == axes(bulk.config) == {"train_loss": "step", "acc": "epoch"}
    assert set(slow.files) <= {"config.yaml", "wandb-summary.json"}, "nothing of this machine"
    assert server.requested("otel") == 0
    assert list((tmp_path / "here").iterdir()) == []
    assert sync(project="public")[0].sent == 0


def without_runtime(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "_runtime"}


def axes(config: dict[str, object]) -> dict[str, str]:
    metrics = config["_wandb"]["value"]["m"]
    return {metric["1"]: metrics[metric["5"] - 1]["1"] for metric in metrics if "5" in metric}


def test_an_unknown_version_goes_through_the_sdk(
    server: WandbServer, make_run: MakeRun, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The protocol that we speak is that of versions it was compared with; what is sent is proved either way."""
    monkeypatch.setattr(sdk, "sdk_version", lambda: "0.99.0")
    make_run(steps=50)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 55)
    assert server.only_run.is_exact
    assert server.requested("CreateRunFiles") > 0, "the SDK was there"


def test_the_way_through_the_sdk_goes_on_where_another_stopped(
    server: WandbServer, make_run: MakeRun, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are there are not sent again, whichever way they came."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 200)
    make_run(steps=500, every=10**9)
    assert sync(turn_rows=200)[0].status == "pending"
    (outcome,) = sync(through="public")
    assert (outcome.status, outcome.sent) == ("complete", 300)
    assert server.only_run.is_exact


def test_what_the_sdk_loses_quietly_is_found_out(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """After such an answer it drops all rows and says that it is done; the server shows otherwise."""
    path = make_run(steps=100)
    server.faults = [Fault("status", status=404, times=1000)]
    (outcome,) = sync(through="public", settle=1.0)
    assert outcome.status == "failed"
    assert "does not show it: it has 0 of 110 rows" in (outcome.reason or "")
    assert not (path / "wandb.json").exists()
    server.faults = []
    (outcome,) = sync(through="public")
    assert (outcome.status, outcome.rows) == ("complete", 110)
    assert server.only_run.is_exact


def test_the_process_of_the_sdk_may_be_killed(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """SIGKILL amid the rows: the run fails with a sentence, and the next sync completes it."""
    make_run(steps=4_000, every=10**9)
    killed = []

    def kill(run: object) -> None:
        if not killed:
            killed.extend(helpers())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    server.on_history = kill
    (outcome,) = sync(through="public")
    assert killed
    assert outcome.status == "failed"
    assert "SDK" in (outcome.reason or "")
    server.on_history = lambda run: None
    assert sync(through="public")[0].status == "complete"
    assert server.only_run.is_exact


def helpers() -> list[int]:
    """The SDK's processes that this one started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
            parent = int((status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"neurockt.sync.sdk_worker" in words and parent == os.getpid():
            found.append(int(status.parent.name))
    return found


def test_a_missing_sdk_is_a_sentence(
    server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to install."""
    import importlib.metadata

    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    make_run()
    monkeypatch.setattr(importlib.metadata, "version", absent)
    done = neurockt("sync")
    assert (done.status, done.err) == (1, "neurockt: W&B needs its SDK: pip install 'neurockt[wandb]'\n")


def test_files_are_attached_once(server: WandbServer, make_run: MakeRun, sync: Sync, tmp_path: Path) -> None:
    """--files: the Parquet files and ``run.json`` as an artifact, byte for byte; also of a run that is there."""
    path = make_run(run_id="run", steps=1000)
    sync()
    (outcome,) = sync(files=True)
    assert (outcome.status, outcome.sent) == ("complete", 0)
    (artifact,) = server.artifacts.committed
    names = ["run.json", "steps/part-00000.parquet", "epochs/part-00000.parquet"]
    assert server.artifacts.files() == {name: (path / name).read_bytes() for name in names}
    assert artifact["artifactTypeName"] == "neurockt-run"
    assert (server.only_run.state, server.only_run.is_exact, server.only_run.received) == ("finished", True, 1100)
    assert sync(files=True)[0].status == "complete"
    assert len(server.artifacts.committed) == 1
    assert list((tmp_path / "here").iterdir()) == []
    wait_until(lambda: not helpers())
