"""W&B's own SDK: it attaches files, and reads back what was sent."""

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
from typing import Any

import pytest
from wandb_server import WandbServer, wait_until
from written import attached

import neurockt
from neurockt.monitor import Recorder
from neurockt.store import Edit, edit_run

from .conftest import Done, MakeRun, Sync

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("version", ["0.15.0", "0.99.0", None])
def test_rows_need_no_version_of_the_sdk(
    version: str | None,
    server: WandbServer,
    make_run: MakeRun,
    sync: Sync,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """An old SDK, a new one, or none: rows go to the server directly, and what it shows decides."""
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setitem(sys.modules, "wandb", None)
    if version:
        (tmp_path / "site" / f"wandb-{version}.dist-info").mkdir()
        (tmp_path / "site" / f"wandb-{version}.dist-info" / "METADATA").write_text(f"Name: wandb\nVersion: {version}\n")
    make_run(steps=50)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 55)
    assert server.only_run.is_exact
    assert server.requested("CreateRunFiles") == 0, "the SDK was not there"


def helpers() -> list[int]:
    """The SDK's processes that this one started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
            parent = int((status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if b"neurockt.sync.artifact" in words and parent == os.getpid():
            found.append(int(status.parent.name))
    return found


def test_only_files_need_the_sdk(
    server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, --files is refused in a sentence that names what to install."""
    make_run()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not (Path(path) / "wandb").is_dir()])
    monkeypatch.setattr(sys, "meta_path", [*(finder for finder in sys.meta_path if not hasattr(finder, "MAPPING"))])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    done = neurockt("sync", "--files")
    assert (done.status, done.err) == (
        1,
        "neurockt: attaching files needs the W&B SDK: pip install 'neurockt[wandb]'\n",
    )


def test_the_process_that_attaches_may_be_killed(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """SIGKILL of the SDK's process: the run fails with a sentence, and the next sync attaches the files."""
    make_run(steps=100)
    sync()
    attaching = server.artifacts.resolve

    def kill(*request: Any) -> Any:
        for pid in helpers():
            os.kill(pid, signal.SIGKILL)
        return attaching(*request)

    server.artifacts.resolve = kill  # type: ignore[method-assign]
    (outcome,) = sync(files=True)
    assert outcome.status == "failed"
    assert "SDK" in (outcome.reason or "")
    server.artifacts.resolve = attaching  # type: ignore[method-assign]
    assert sync(files=True)[0].status == "complete"
    assert server.artifacts.committed  # twice, where the process had committed them before it was killed
    assert server.only_run.is_exact


def test_files_are_attached_once(server: WandbServer, make_run: MakeRun, sync: Sync, tmp_path: Path) -> None:
    """--files: Parquet, ``run.json`` and the edits as an artifact, byte for byte; also of a run that is there."""
    path = make_run(run_id="run", steps=1000)
    sync()
    edit_run(path, Edit({"name": "new"}))
    (outcome,) = sync(files=True)
    assert (outcome.status, outcome.sent) == ("complete", 0)
    (artifact,) = server.artifacts.committed
    names = ["run.json", "edits.json", "steps/part-00000.parquet", "epochs/part-00000.parquet"]
    assert server.artifacts.files() == {name: (path / name).read_bytes() for name in names}
    assert server.only_run.display_name == "new", "the SDK changes nothing of it"
    assert artifact["artifactTypeName"] == "neurockt-run"
    assert (server.only_run.state, server.only_run.is_exact, server.only_run.received) == ("finished", True, 1100)
    assert sync(files=True)[0].status == "complete"
    assert len(server.artifacts.committed) == 1
    assert list((tmp_path / "here").iterdir()) == []
    wait_until(lambda: not helpers())


def test_files_of_what_is_attached_are_among_them(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """What has come since is in the next version of the artifact."""
    path = make_run(run_id="run", steps=10)
    attached(path, "eval", {1: {"x": 1.0}}).finish()
    names = ["run.json", "steps/part-00000.parquet", "epochs/part-00000.parquet"]
    names += ["attached/eval/run.json", "attached/eval/epochs/part-00000.parquet"]
    assert sync(files=True)[0].status == "complete"
    assert server.artifacts.files() == {name: (path / name).read_bytes() for name in names}
    attached(path, "later", {1: {"y": 1.0}}).finish()
    assert sync(files=True)[0].sent == 1
    assert len(server.artifacts.committed) == 2
    assert (server.only_run.state, server.only_run.is_exact) == ("finished", True)
