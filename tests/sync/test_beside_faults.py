"""What goes wrong with rows that arrive late and with those that other processes record beside a run."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import preloaded
import pytest
from wandb_server import Fault, WandbServer, wait_until
from written import Written, attached, train

import neurockt
from neurockt.errors import NeurocktWarning
from neurockt.sync import history, rows, sending
from neurockt.sync.history import History
from neurockt.sync.order import Order

from .conftest import Sync

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("lost", ["wandb.json", "wandb-order-*.json", "wandb*"])
def test_what_is_noted_may_be_lost(lost: str, run: Written, sync: Sync, server: WandbServer) -> None:
    """The server shows in which order the rows were sent."""
    evaluator = attached(run.path, "a", {1: {"x": 1.0}, 2: {"x": 2.0}})
    sync(running=True)
    train(run, range(11, 14))
    run.add("late", 5, {"loss": 5.0})
    sync(running=True)
    evaluator.add("epochs", 3, {"x": 3.0})
    run.finish()
    for path in list(run.path.glob(lost)):
        path.unlink()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 17, 1), outcome.reason
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_verify_needs_no_notes_and_makes_none(run: Written, sync: Sync, server: WandbServer) -> None:
    evaluator = attached(run.path, "a", {1: {"x": 1.0}})
    sync(running=True)
    train(run, range(11, 14))
    run.finish()
    sync()
    for path in list(run.path.glob("wandb*")):
        path.unlink()
    assert sync(verify=True)[0].status == "complete"
    evaluator.add("epochs", 2, {"x": 2.0})
    (outcome,) = sync(verify=True)
    assert (outcome.status, outcome.reason) == ("failed", "W&B has 14 rows, the run 15")
    assert not list(run.path.glob("wandb-order*"))


@pytest.mark.parametrize("what", ["status", "during", "after", "lost", "lost_500", "half", "alternate"])
@pytest.mark.parametrize("after", [0, 2, 5, 7])
def test_what_goes_wrong_on_the_way_is_got_over(
    what: str, after: int, run: Written, sync: Sync, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it happens, each row is there once, in the end."""
    monkeypatch.setattr(rows, "BATCH_ROWS", 3)
    monkeypatch.setattr(history, "STREAM_LINES", 3)
    monkeypatch.setattr(sending, "RESEND_SECONDS", 0.2)
    evaluator = attached(run.path, "a", {step: {"x": float(step)} for step in range(1, 6)})
    server.faults = [Fault(what, after=after)]
    sync(running=True, settle=1.0)
    train(run, range(11, 15))
    evaluator.add("epochs", 2, {"x": 2.0})
    run.add("late", 2, {"loss": 2.0})
    evaluator.finish()
    run.finish()
    sync(settle=2.0)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 21), outcome.reason
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_what_is_attached_and_damaged_does_not_hold_up_the_run(run: Written, sync: Sync, server: WandbServer) -> None:
    """It is named, and left out until it can be read."""
    good, bad = attached(run.path, "good", {1: {"x": 1.0}}), attached(run.path, "bad", {1: {"y": 1.0}})
    good.finish()
    kept = (bad.path / "epochs.journal").read_bytes()
    (bad.path / "epochs.journal").write_bytes(kept[:20] + b"\xff" + kept[21:])
    run.finish()
    with pytest.warns(NeurocktWarning, match="attached/bad"):
        (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 11)
    (bad.path / "epochs.journal").write_bytes(kept)
    assert sync()[0].sent == 1
    assert server.only_run.is_exact


def test_a_directory_may_have_any_name(run: Written, sync: Sync, server: WandbServer) -> None:
    """Bytes that are no text, escape sequences and separators: W&B gets text, each row once."""
    names = [os.fsdecode(b"bad\xff"), "\x1b[31m", 'a "b" %41 é', "x"]
    for name in names:
        attached(run.path, name, {1: {"acc": 0.5}})
    sync(running=True)
    for name in names:
        attached(run.path, f"{name}2", {2: {"acc": 0.75}})
    run.finish()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 18, 4), outcome.reason
    assert server.only_run.is_exact
    assert len({name for row in server.only_run.rows for name in row if name.endswith("/acc")}) == 8
    assert sync(verify=True)[0].status == "complete"


def test_deleted_after_it_was_uploaded_it_stays_in_wandb(run: Written, sync: Sync, server: WandbServer) -> None:
    """What comes after it is sent; where that cannot be, the sentence says what to do."""
    gone = attached(run.path, "gone", {1: {"x": 1.0}})
    sync(running=True)
    train(run, range(11, 14))
    sync(running=True)
    gone.finish()
    shutil.rmtree(gone.path)
    train(run, range(14, 16))
    run.finish()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 16, 2), outcome.reason
    assert server.only_run.is_exact
    server.runs.clear()
    (run.path / "wandb.json").unlink()
    assert "--replace" in (sync()[0].reason or "")
    (outcome,) = sync(replace=True)
    assert (outcome.status, outcome.rows) == ("complete", 15)


def start_sync(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "neurockt", "sync", str(root), "--running", "--watch", "0.05"]
    return preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_and_at_once_syncs_send_each_row_once(run: Written, root: Path, sync: Sync, server: WandbServer) -> None:
    """Three watch the run while it, and two evaluators, are written; each is killed now and then, and begins again."""
    moments = random.Random(3)
    evaluators = [attached(run.path, name, {1: {name: 1.0}}) for name in ("a", "b")]
    syncs = [start_sync(root) for _ in range(3)]
    written = {"loss": 10, "a": 1, "b": 1}
    try:
        for turn in range(1, 41):
            seen = sum(stored.count() for stored in server.runs.values())
            train(run, range(10 * turn + 1, 10 * turn + 1 + turn % 4))
            run.add("late", turn, {"loss": -float(turn)})
            written["loss"] += turn % 4 + 1
            for evaluator in evaluators:
                if moments.random() < 0.5:
                    name = evaluator.path.name
                    written[name] += 1
                    evaluator.add("epochs", turn, {name: float(written[name])})
            wait_until(lambda seen=seen: server.runs and server.only_run.count() > seen)
            if turn % 4 == 0:
                killed = moments.randrange(len(syncs))
                syncs[killed].kill()
                syncs[killed].wait()
                syncs[killed] = start_sync(root)
    finally:
        for process in syncs:
            process.kill()
            process.wait()
    run.finish()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", sum(written.values())), outcome.reason
    assert server.only_run.is_exact, server.only_run.overwritten[:3]
    for name in ("a", "b"):
        found = [row[name] for row in server.only_run.rows if name in row]
        assert found == [float(number) for number in range(1, written[name] + 1)]
    assert sync(verify=True)[0].status == "complete"


def test_the_first_order_has_all_rows_that_others_may_be_sending(run: Written) -> None:
    """An upload at the same time that saw no late row has seen no row of `steps` that this one has not."""

    class Growing(neurockt.Run):
        def settled(self, table: Any) -> int:
            if table == "late" and len(self.steps()) == 10:
                train(run, range(11, 14))
                run.add("late", 5, {"loss": 5.0})
            return super().settled(table)

    growing = Growing(run.path)
    found = History(growing, Order([run.path], "run", "there"), growing.info)
    assert (found.base.total, found.total) == (13, 14)
