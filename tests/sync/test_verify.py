"""``--verify``: everything is compared with the server, and nothing is sent."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from wandb_server import StoredRun, WandbServer

from .conftest import MakeRun, Sync


@pytest.mark.slow
def test_what_is_there_is_verified(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Many pages of rows, in two tables; nothing is sent or written."""
    path = make_run(steps=12_000)
    sync()
    ledger = (path / "wandb.json").read_bytes()
    before = server.requested("file_stream"), server.requested("UpsertBucket")
    (outcome,) = sync(verify=True)
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 13_200, 0)
    assert (server.requested("file_stream"), server.requested("UpsertBucket")) == before
    assert (path / "wandb.json").read_bytes() == ledger


def change_a_value(run: StoredRun) -> None:
    lines = run.lines["wandb-history.jsonl"]
    lines[6_000] = lines[6_000].replace('"train_loss":0.', '"train_loss":1.')


def lose_the_last_row(run: StoredRun) -> None:
    del run.lines["wandb-history.jsonl"][13_199]
    run.counts.append((0.0, 13_199))


def add_a_row(run: StoredRun) -> None:
    lines = run.lines["wandb-history.jsonl"]
    lines[13_200] = lines[13_199].replace('"_step":13199', '"_step":13200')
    run.counts.append((0.0, 13_201))


def change_the_state(run: StoredRun) -> None:
    run.state = "crashed"


def change_the_config(run: StoredRun) -> None:
    run.config["lr"] = {"value": 0.2}


def lose_the_tags(run: StoredRun) -> None:
    run.tags = []


def rename(run: StoredRun) -> None:
    run.display_name = "another"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_a_value, "row 6,001 differs: train_loss is 1."),
        (lose_the_last_row, "W&B has 13,199 rows, the run 13,200"),
        (add_a_row, "W&B has 13,201 rows, the run 13,200"),
        (change_the_state, "its state in W&B is crashed, not finished"),
        (change_the_config, "its config in W&B is"),
        (lose_the_tags, "its tags in W&B is"),
        (rename, "its name in W&B is another, not n"),
    ],
)
def test_a_difference_is_told(
    change: Callable[[StoredRun], None], told: str, server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """The first one, with where it is and both values; the ledger is not believed."""
    make_run(steps=12_000, name="n", config={"lr": 0.1}, tags=("t",))
    sync()
    change(server.only_run)
    (outcome,) = sync(verify=True, settle=0.2)
    assert outcome.status == "failed"
    assert told in (outcome.reason or "")


def test_a_run_that_is_not_there_is_told(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """And not uploaded."""
    make_run()
    (outcome,) = sync(verify=True)
    assert "not in W&B" in (outcome.reason or "")
    assert server.runs == {}


def test_a_live_run_may_have_more(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """What W&B has of it must agree."""
    make_run(steps=50, finish=False)
    sync(running=True)
    (outcome,) = sync(verify=True, running=True)
    assert (outcome.status, outcome.rows) == ("running", 55)
