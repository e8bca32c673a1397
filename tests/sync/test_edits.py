"""What people change of a run after its upload: each change is sent once, and what was changed in W&B stays."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wandb_server import Fault, WandbServer, wait_until

from neurockt.errors import NeurocktWarning
from neurockt.store import Edit, edit_run, open_run
from neurockt.sync.ledger import is_synced

from .conftest import Done, MakeRun, MakeWandbRecorder, Sync

READ = """
import json, sys
from wandb import Api
run = Api().run(sys.argv[1])
print(json.dumps({"name": run.name, "tags": run.tags, "notes": run.notes, "group": run.group, "state": run.state}))
"""


def seen(path: str) -> dict[str, Any]:
    """The run as W&B's own SDK reads it."""
    done = subprocess.run([sys.executable, "-c", READ, path], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_edits_reach_a_run_that_is_complete_in_wandb(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """No row is sent again; the SDK reads the new texts, and that the run is still finished."""
    run = make_run(project="p", name="old", tags=("a", "b"), notes="n", group="g", run_id="run")
    sync()
    received = server.only_run.received
    edit_run(run, Edit({"name": "new", "notes": "", "group": "h"}, {"a": False, "c": True}, archived=True))
    (outcome,) = sync()
    assert (outcome.status, outcome.sent) == ("complete", 0)
    assert server.only_run.received == received
    assert server.only_run.is_exact
    expected = {"name": "new", "tags": ["b", "c"], "notes": "", "group": "h", "state": "finished"}
    assert seen("tester/p/run") == expected


def test_an_edit_is_sent_once_and_a_proved_run_costs_no_request(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    run = make_run(project="p")
    sync()
    edit_run(run, Edit({"name": "new"}))
    sync()
    asked = len(server.requests)
    sync()
    assert [request for request in server.requests[asked:] if "Viewer" not in request] == []
    edit_run(run, Edit(archived=True))  # W&B has no such thing
    sync()
    assert is_synced(open_run(run).info)
    assert server.requested("UpsertBucket") == 2
    assert [request for request in server.requests[asked:] if "Viewer" not in request] == []


def test_what_was_changed_in_wandb_stays_unless_the_same_is_edited_here(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """Tags that were added there stay in any case."""
    run = make_run(project="p", name="old", tags=("a",), notes="n")
    sync()
    there = server.only_run
    there.display_name, there.notes, there.tags = "theirs", "their note", ["a", "theirs"]
    edit_run(run, Edit({"group": "g"}, {"b": True}))
    sync()
    assert (there.display_name, there.notes, there.group, there.tags) == (
        "theirs",
        "their note",
        "g",
        ["theirs", "a", "b"],
    )
    edit_run(run, Edit({"name": "ours", "notes": ""}, {"a": False}))
    sync()
    assert (there.display_name, there.notes, there.group, there.tags) == ("ours", "", "g", ["theirs", "b"])


def test_edits_are_sent_where_the_ledger_is_lost(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """What was recorded, and edited away since, is taken from W&B too."""
    run = make_run(project="p", name="old", tags=("a", "b"), notes="n")
    sync()
    server.only_run.tags.append("theirs")
    edit_run(run, Edit({"name": "new", "notes": None}, {"a": False, "c": True}))
    (run / "wandb.json").unlink()
    sync()
    there = server.only_run
    assert (there.display_name, there.notes, sorted(there.tags)) == ("new", "", ["b", "c", "theirs"])
    assert there.is_exact


def test_an_edit_that_the_server_did_not_take_is_sent_by_the_next_sync(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    run = make_run(project="p")
    sync()
    edit_run(run, Edit({"name": "new"}))
    server.faults.append(Fault("status", "UpsertBucket", status=400))
    (outcome,) = sync()
    assert outcome.status == "failed"
    sync()
    assert server.only_run.display_name == "new"


def test_a_run_whose_edits_cannot_be_read_is_left_as_it_is_in_wandb(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """It fails with a sentence; what was sent of the edits is not taken back."""
    run = make_run(project="p", name="old")
    edit_run(run, Edit({"name": "new"}))
    sync()
    (run / "edits.json").write_text("{")
    with pytest.warns(NeurocktWarning, match="is damaged"):
        (outcome,) = sync()
    assert outcome.status == "failed"
    assert "edits.json is damaged" in (outcome.reason or "")
    assert server.only_run.display_name == "new"


def test_a_dry_run_names_a_run_that_was_edited(
    server: WandbServer, make_run: MakeRun, sync: Sync, root: Path, neurockt: Callable[..., Done]
) -> None:
    run = make_run(project="p", run_id="run")
    sync()
    edit_run(run, Edit({"name": "new"}))
    done = neurockt("sync", root, "--dry-run")
    assert done.out == "new: would send its changed description\n0 of 1 complete, 1 to be sent\n"
    assert server.only_run.display_name == "run"


def test_verify_names_an_edit_that_was_not_sent(
    server: WandbServer, make_run: MakeRun, sync: Sync, root: Path, neurockt: Callable[..., Done]
) -> None:
    run = make_run(project="p", run_id="run")
    sync()
    edit_run(run, Edit({"name": "new"}))
    done = neurockt("sync", root, "--verify")
    assert done.status == 1
    assert "its name in W&B is run, not new" in done.out


def test_a_run_whose_project_was_changed_is_uploaded_there_and_the_earlier_upload_is_named(
    server: WandbServer, make_run: MakeRun, sync: Sync, root: Path, neurockt: Callable[..., Done]
) -> None:
    """It is deleted with --replace, and later edits reach the upload that is left."""
    run = make_run(project="p", run_id="run")
    sync()
    edit_run(run, Edit({"project": "q"}))
    done = neurockt("sync", root)
    assert (done.status, done.out) == (0, "1 of 1 complete; 110 rows sent\n")
    assert "run: its upload to p stays; 'neurockt sync --replace' deletes it" in done.err
    assert {key[1] for key in server.runs} == {"p", "q"}
    assert neurockt("sync", root).err == ""
    done = neurockt("sync", root, "--replace")
    assert (done.status, done.out, done.err) == (0, "1 of 1 complete\n", "")
    assert {key[1] for key in server.runs} == {"q"}
    edit_run(run, Edit({"name": "new"}))
    sync()
    assert server.only_run.display_name == "new"


@pytest.mark.slow
def test_edits_of_a_run_that_trains_are_sent_by_the_process_beside_it(
    server: WandbServer, make_recorder: MakeWandbRecorder
) -> None:
    recorder = make_recorder(project="p", name="old")
    recorder.log({"loss": 1.0})
    recorder.log({"loss": 0.5})
    wait_until(lambda: server.runs)
    edit_run(recorder.run_dir, Edit({"name": "new"}, {"watch": True}))
    recorder.finish()
    assert (server.only_run.display_name, server.only_run.tags) == ("new", ["watch"])
