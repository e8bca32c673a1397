"""Runs that are resumed from an earlier step while a sync sends what it has read before."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluators import LOG, Process, log_and_die, requeue
from wandb_server import WandbServer

from neurockt.sync import rows

from .conftest import Sync, held, killed

pytestmark = pytest.mark.slow


def check_noticed(sync: Sync, server: WandbServer, losses: list[tuple[int, float]]) -> None:
    """Each sync refuses, until the run is replaced."""
    for _ in range(2):
        (outcome,) = sync()
        assert (outcome.status, "--replace" in (outcome.reason or "")) == ("failed", True), outcome
    assert sync(replace=True)[0].status == "complete"
    assert sorted((row["step"], row["loss"]) for row in server.only_run.rows if "loss" in row) == losses
    assert sync(verify=True)[0].status == "complete"
    assert sync()[0].status == "complete"


def test_rows_that_arrive_over_those_of_another_sync_are_noticed(root: Path, sync: Sync, server: WandbServer) -> None:
    """The last row that W&B has is the run's."""
    log_and_die(root, 10, 20, 30, between=lambda: sync(running=True))
    with held(server, sync):
        requeue(root, 25, 35)
        assert sync()[0].status == "complete"
    check_noticed(sync, server, [(10, 10.0), (20, 20.0), (25, -25.0), (35, -35.0)])


@pytest.mark.parametrize("late", [[], [15]])
def test_late_rows_that_arrive_over_those_of_another_sync_are_noticed(
    late: list[int], root: Path, sync: Sync, server: WandbServer
) -> None:
    log_and_die(root, 10, 20, 5, 30, between=lambda: sync(running=True))
    with held(server, sync):
        requeue(root, 25, 35, *late)
        assert sync()[0].status == "complete"
    expected = [(5, 5.0), (10, 10.0), *((step, -float(step)) for step in late), (20, 20.0), (25, -25.0), (35, -35.0)]
    check_noticed(sync, server, expected)


@pytest.mark.parametrize("late", [[], [5]])
def test_a_rewind_between_two_batches_is_noticed_at_once(
    late: list[int], root: Path, sync: Sync, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of the resumed run do not follow those that it superseded."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 1)
    log_and_die(root, *late, 10, 20, 30)
    with held(server, sync, after=2) as outcomes:
        requeue(root, 15, 25, 35, 45)
    assert "--replace" in (outcomes[0].reason or "")
    received = server.only_run.received
    expected = [*((step, float(step)) for step in late), (10, 10.0), (15, -15.0), (25, -25.0), (35, -35.0), (45, -45.0)]
    check_noticed(sync, server, expected)
    assert received == 3


def test_what_the_rewind_leaves_is_sent_on(
    root: Path, sync: Sync, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no row that was sent is superseded, the sync goes on with the rows that there are now."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 1)
    log_and_die(root, 10, 20, 30)
    with held(server, sync) as outcomes:
        requeue(root, 25, 35)
    assert (outcomes[0].status, outcomes[0].rows) == ("complete", 4), outcomes[0].reason
    assert server.only_run.is_exact
    assert server.only_run.received == 4
    assert not list(root.glob("run/wandb-sending*"))
    assert sync(verify=True)[0].status == "complete"


def test_two_that_give_rows_their_places_have_read_the_same_run(root: Path, sync: Sync, server: WandbServer) -> None:
    """One of them had read it before it was resumed, and the other one after it."""
    log_and_die(root, 10, 20, 5, 30, 15, between=lambda: sync(running=True))
    with held(server, sync, "UpsertBucket") as first:
        requeue(root, 25, 35, 22)
        with held(server, sync, "UpsertBucket") as second:
            pass
    assert [each.status for each in first + second] == ["complete", "complete"], first + second
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_rows_that_arrive_while_the_run_goes_on_are_noticed_when_it_has_ended(
    root: Path, sync: Sync, server: WandbServer
) -> None:
    """The sync that sent them leaves running jobs alone."""
    log_and_die(root, 10, 20, 30, between=lambda: sync(running=True))
    with held(server, sync) as outcomes:
        process = Process(LOG, root, 25, 35, 45)
        process.acknowledged()
        assert sync(running=True)[0].rows == 4
    assert outcomes[0].status == "pending", outcomes[0]
    process.end()
    check_noticed(sync, server, [(10, 10.0), (20, 20.0), (25, 25.0), (35, 35.0), (45, 45.0)])


@pytest.mark.parametrize("late", [[], [5]])
def test_rows_of_a_sync_that_was_killed_may_arrive_later(
    late: list[int], root: Path, sync: Sync, server: WandbServer
) -> None:
    """Also after another one has compared all rows, and has sent the rest."""
    log_and_die(root, 10, 20, *late, 30, between=lambda: sync(running=True))
    with killed(server, root):
        requeue(root, 25, 35)
        (outcome,) = sync()
        assert outcome.status == "complete", outcome.reason
    check_noticed(sync, server, [*((step, 5.0) for step in late), (10, 10.0), (20, 20.0), (25, -25.0), (35, -35.0)])
