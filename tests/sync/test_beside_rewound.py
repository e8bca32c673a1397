"""Runs that are resumed from a checkpoint after late rows, or those of what is attached, had been uploaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluators import LOG, Process, log_and_die, requeue
from wandb_server import WandbServer
from written import attached

from .conftest import Sync

pytestmark = pytest.mark.slow


def upload(sync: Sync) -> None:
    assert sync(running=True)[0].status == "running"


def losses(server: WandbServer) -> list[tuple[int, float]]:
    return sorted((row["step"], row["loss"]) for row in server.only_run.rows if "loss" in row)


def test_late_rows_that_are_superseded_make_it_another_upload(root: Path, sync: Sync, server: WandbServer) -> None:
    """Though all rows of `steps` that were uploaded are still the run's: the last one was open."""
    log_and_die(root, 10, 20, 15, between=lambda: upload(sync))
    assert losses(server) == [(10, 10.0), (15, 15.0)]
    requeue(root, 12, 20, 14)
    (outcome,) = sync()
    assert outcome.status == "failed"
    assert "--replace" in (outcome.reason or "")
    (outcome,) = sync(replace=True)
    assert (outcome.status, outcome.rows) == ("complete", 4)
    assert losses(server) == [(10, 10.0), (12, -12.0), (14, -14.0), (20, -20.0)]
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_what_stays_is_not_sent_again(root: Path, sync: Sync, server: WandbServer) -> None:
    """Where nothing that was uploaded is superseded, the new rows follow."""
    log_and_die(root, 10, 20, 5, 30, between=lambda: upload(sync))
    attached(root / "run", "a", {10: {"acc": 0.5}}).finish()
    requeue(root, 25, 35, 15)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 7), outcome.reason
    assert losses(server) == [(5, 5.0), (10, 10.0), (15, -15.0), (20, 20.0), (25, -25.0), (35, -35.0)]
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_what_is_attached_goes_with_the_new_upload(root: Path, sync: Sync, server: WandbServer) -> None:
    process = Process(LOG, root, 10, 20, 30)
    process.acknowledged()
    evaluator = attached(root / "run", "a", {10: {"acc": 0.5}})
    sync(running=True)
    process.kill()
    requeue(root, 15)
    assert sync(verify=True)[0].status == "failed"
    assert "--replace" in (sync()[0].reason or "")
    assert sync(replace=True)[0].status == "complete"
    evaluator.add("epochs", 15, {"acc": 0.75})
    assert sync()[0].sent == 1
    assert [(row["step"], row.get("acc")) for row in server.only_run.rows] == [
        (10, None),
        (15, None),
        (10, 0.5),
        (15, 0.75),
    ]
    assert server.only_run.is_exact
