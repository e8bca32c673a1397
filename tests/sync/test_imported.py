"""Runs that were imported are uploaded as others are: those of W&B's own files with more rows than W&B uploads."""

from __future__ import annotations

from pathlib import Path

import pytest
from importing import event_files, wandb_files
from wandb_server import WandbServer

from neurockt.importing.importer import Importer, Options

from .conftest import Sync, killed

pytestmark = pytest.mark.slow


def imported(source: Path, root: Path) -> None:
    importer = Importer([source], root, Options())
    importer.find()
    list(importer.run())


def losses(server: WandbServer) -> list[tuple[int, float]]:
    return sorted((row["step"], row["loss"]) for row in server.only_run.rows)


def test_directories_of_one_id_are_uploaded_as_one_run(
    tmp_path: Path, root: Path, sync: Sync, server: WandbServer
) -> None:
    for at, steps in ((1, range(10)), (2, range(10, 20))):
        rows = [wandb_files.row({"loss": float(step)}, step) for step in steps]
        wandb_files.write(
            tmp_path / "wandb", "a", [wandb_files.run("a", project="toy"), *rows, wandb_files.end(0)], at=at
        )
    imported(tmp_path / "wandb", root)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 20)
    assert losses(server) == [(step, float(step)) for step in range(20)]
    assert sync(verify=True)[0].status == "complete"


def test_a_source_that_changes_uploaded_rows_is_another_upload(
    tmp_path: Path, root: Path, sync: Sync, server: WandbServer
) -> None:
    """Though its last row is the one that was uploaded."""
    path = event_files.write(tmp_path / "a", event_files.scalars("loss", {1: 1.0, 2: 2.0}))
    imported(tmp_path / "a", root)
    assert sync()[0].status == "complete"
    path.write_bytes(path.read_bytes() + b"".join(event_files.scalars("loss", {1: 9.0})))
    imported(tmp_path / "a", root)
    (outcome,) = sync()
    assert outcome.status == "failed"
    assert "the source that it is imported from has changed rows" in (outcome.reason or "")
    assert sync(replace=True)[0].status == "complete"
    assert losses(server) == [(1, 9.0), (2, 2.0)]
    assert sync()[0].status == "complete"


def test_rows_that_the_source_has_changed_meanwhile_are_noticed(
    tmp_path: Path, root: Path, sync: Sync, server: WandbServer
) -> None:
    """What a sync sent that was killed arrives after what another one has sent since."""
    path = event_files.write(tmp_path / "a", event_files.scalars("loss", {1: 1.0, 2: 2.0}))
    imported(tmp_path / "a", root)
    with killed(server, root):
        path.write_bytes(path.read_bytes() + b"".join(event_files.scalars("loss", {1: 9.0})))
        imported(tmp_path / "a", root)
        assert sync()[0].status == "complete"
    assert losses(server) == [(1, 1.0), (2, 2.0)]
    (outcome,) = sync()
    assert (outcome.status, "--replace" in (outcome.reason or "")) == ("failed", True), outcome
    assert sync(replace=True)[0].status == "complete"
    assert losses(server) == [(1, 9.0), (2, 2.0)]
    assert sync(verify=True)[0].status == "complete"


def test_a_source_that_grows_sends_what_is_new(tmp_path: Path, root: Path, sync: Sync, server: WandbServer) -> None:
    path = event_files.write(tmp_path / "a", event_files.scalars("loss", {0: 1.0, 2: 2.0}))
    imported(tmp_path / "a", root)
    assert sync()[0].sent == 2
    path.write_bytes(path.read_bytes() + b"".join(event_files.scalars("loss", {7: 3.0})))
    imported(tmp_path / "a", root)
    (outcome,) = sync()
    assert (outcome.status, outcome.sent, outcome.rows) == ("complete", 1, 3)
    assert losses(server) == [(0, 1.0), (2, 2.0), (7, 3.0)]
