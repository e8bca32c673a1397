"""Several sources of one sync, and run directories with a ``wandb.json`` that is not ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb_server import WandbServer

from .conftest import Done, MakeRun, MakeWandbRecorder
from .recording import train

pytestmark = pytest.mark.slow

FOREIGN = ["[]", "5", '{"_wandb": {}}', '{"version": 1}', '"text"', "{}"]
DAMAGED = ["", "{", "\0\0\0", "[" * 100_000, '{"version": 1, "run": 5, "entries": 3}']


@pytest.mark.parametrize("wrong", ["nowhere", "~nobody-here/runs", "a" * 5000, "x\0y", "/dev/null", "file"])
def test_one_wrong_source_does_not_stop_the_others(
    wrong: str, server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path, tmp_path: Path
) -> None:
    """It is named, and makes the command fail; the runs of the others are complete."""
    (tmp_path / "here" / "file").touch()
    first, last = make_run(run_id="a"), make_run(run_id="b")
    done = neurockt("sync", first, wrong, last)
    assert done.status == 1
    assert {run.name: run.state for run in server.runs.values()} == {"a": "finished", "b": "finished"}
    assert done.out.startswith("2 of 3 complete, 1 failed:"), done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("text", FOREIGN)
def test_a_foreign_file_is_left_alone(
    text: str, server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path
) -> None:
    """A sentence names it; the runs are complete, and what was proved is written down elsewhere."""
    path = make_run(run_id="a")
    make_run(run_id="b")
    (path / "wandb.json").write_text(text)
    done = neurockt("sync", root)
    assert done.out == "2 of 2 complete; 220 rows sent\n"
    assert f"{path / 'wandb.json'} is not neurockt's and is left alone" in done.err
    assert (path / "wandb.json").read_text() == text
    before = server.requested("query Run(")
    assert neurockt("sync", root).out == "2 of 2 complete\n"
    assert server.requested("query Run(") == before


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_ledger_is_written_again(
    text: str, server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path
) -> None:
    """It is no evidence: the server is asked."""
    path = make_run(run_id="a")
    (path / "wandb.json").write_text(text)
    assert neurockt("sync", root) == Done(0, "1 of 1 complete; 110 rows sent\n", "")
    assert json.loads((path / "wandb.json").read_bytes())["version"] == 1


@pytest.mark.parametrize("field", ["place", "rows", "run_id", "generation", "files", "superseded", "stamp"])
@pytest.mark.parametrize("value", [None, [], {"rows": "x"}, "text", -5, 1e300])
def test_a_ledger_with_a_wrong_value_loses_nothing(
    field: str, value: object, server: WandbServer, make_run: MakeRun, neurockt: Callable[..., Done], root: Path
) -> None:
    """Whatever one field says, the run is complete afterwards, each row once."""
    path = make_run(run_id="a", steps=5, every=2)
    neurockt("sync", root)
    document = json.loads((path / "wandb.json").read_bytes())
    for entry in document["entries"].values():
        entry[field] = value
        entry["stamp"] = "old"
    (path / "wandb.json").write_text(json.dumps(document))
    done = neurockt("sync", root)
    assert "Traceback" not in done.err
    assert done.out.startswith("1 of 1 complete") or field == "superseded", done
    assert server.run(server.only_run.name).is_exact


@pytest.mark.parametrize("text", ["[]", "{", '{"_wandb": {}}'])
def test_a_recorder_does_not_mind_such_a_file(
    text: str, server: WandbServer, make_run: MakeRun, make_recorder: MakeWandbRecorder
) -> None:
    """A run that goes on beside one is live as any other."""
    (make_run(run_id="run", steps=5) / "wandb.json").write_text(text)
    recorder = make_recorder(id="run", resume="allow", job_type="kind")
    train(recorder)
    recorder.finish()
    assert (server.only_run.state, server.only_run.job_type) == ("finished", "kind")
    assert server.only_run.is_exact
