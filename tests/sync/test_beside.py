"""Rows that arrive late, and those that other processes record beside a run: to the same run in W&B, each once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evaluators import EVALUATE, Process
from wandb_server import StoredRun, WandbServer
from written import Written, attached, train

import neurockt
from neurockt.monitor import Recorder

from .conftest import MakeWandbRecorder, Sync

pytestmark = pytest.mark.slow

Values = dict[str, Any]


def values(stored: StoredRun, *names: str) -> list[Values]:
    """What the rows that have one of the names hold of them, and of their step."""
    return [
        {name: row[name] for name in ("step", *names) if name in row}
        for row in stored.rows
        if any(name in row for name in names)
    ]


def test_late_rows_are_values_of_the_same_metrics_with_their_step(
    run: Written, sync: Sync, server: WandbServer
) -> None:
    """They follow what is there already: W&B numbers its rows as they come, and draws them over ``step``."""
    run.add("late", 3, {"loss": 5.0, "extra": 1.0})
    run.finish()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 11)
    assert server.only_run.is_exact
    assert values(server.only_run, "loss")[-1] == {"step": 3, "loss": 5.0}
    assert server.only_run.rows[-1]["epoch"] == 1
    assert values(server.only_run, "extra") == [{"step": 3, "extra": 1.0}]
    assert server.only_run.summary["loss"] == 1 / 10
    assert server.only_run.summary["extra"] == 1.0
    assert drawn_over_step(server.only_run) >= {"loss", "extra"}


def drawn_over_step(stored: StoredRun) -> set[str]:
    metrics = stored.config["_wandb"]["value"]["m"]
    return {metric["1"].replace("\\.", ".") for metric in metrics if metric.get("5") == 1}


def test_what_is_attached_goes_to_the_same_run(run: Written, sync: Sync, server: WandbServer) -> None:
    """By step, under its own names, or with the evaluator's where several have one."""
    attached(run.path, "mmlu", {4: {"acc": 0.25, "bpb": 2.0}, 8: {"acc": 0.5}}).finish()
    attached(run.path, "arc", {8: {"acc": 0.75, "loss": 9.0}}).finish()
    run.finish()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 13)
    stored = server.only_run
    assert stored.is_exact
    assert values(stored, "mmlu/acc", "bpb") == [
        {"step": 4, "mmlu/acc": 0.25, "bpb": 2.0},
        {"step": 8, "mmlu/acc": 0.5},
    ]
    assert values(stored, "arc/acc", "arc/loss") == [{"step": 8, "arc/acc": 0.75, "arc/loss": 9.0}]
    assert (stored.summary["mmlu/acc"], stored.summary["bpb"], stored.summary["loss"]) == (0.5, 2.0, 1 / 10)
    assert drawn_over_step(stored) >= {"mmlu/acc", "bpb", "arc/acc", "arc/loss"}
    assert [outcome.status for outcome in sync(verify=True)] == ["complete"]


def test_rows_that_come_after_the_run_was_complete_are_sent_alone(
    run: Written, sync: Sync, server: WandbServer
) -> None:
    """However often; and when nothing has come, nothing is sent."""
    run.finish()
    sync()
    evaluator = attached(run.path, "mmlu", {4: {"acc": 0.25}})
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 11, 1)
    for step in (8, 6):
        evaluator.add("epochs", step, {"acc": step / 10})
        assert sync()[0].sent == 1
        assert sync()[0].sent == 0
    evaluator.finish()
    assert sync()[0].sent == 0
    asked = server.requested("query Run(")
    assert sync()[0].status == "complete"
    assert server.requested("query Run(") == asked, "the ledger has it"
    found = values(server.only_run, "acc")
    assert found == [{"step": 4, "acc": 0.25}, {"step": 8, "acc": 0.8}, {"step": 6, "acc": 0.6}]
    assert (server.only_run.is_exact, server.only_run.state) == (True, "finished")
    assert sync(verify=True)[0].status == "complete"


def test_a_live_run_sends_all_as_it_comes(run: Written, sync: Sync, server: WandbServer) -> None:
    """The rows of the run, late ones and those of two evaluators in turn: each once, whatever came when."""
    first, second = attached(run.path, "a", {1: {"x": 1.0}}), attached(run.path, "b", {1: {"y": 1.0}})
    expected = 12
    for turn in range(2, 8):
        if turn % 2:
            train(run, range(10 * turn, 10 * turn + 3))
            expected += 3
        if turn % 3:
            run.add("late", turn, {"loss": float(turn)})
            expected += 1
        first.add("epochs", turn, {"x": float(turn)})
        second.add("steps", turn, {"y": float(turn)})
        expected += 2
        (outcome,) = sync(running=True)
        assert (outcome.status, outcome.rows) == ("running", expected)
    run.finish()
    assert sync()[0].status == "complete"
    assert server.only_run.is_exact
    assert [row["x"] for row in server.only_run.rows if "x" in row] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert sync(verify=True)[0].status == "complete"


def test_a_name_that_was_used_stays(run: Written, sync: Sync, server: WandbServer) -> None:
    """Also when the run itself, or another evaluator, has a metric of that name later."""
    evaluator = attached(run.path, "a", {1: {"acc": 0.1}})
    sync(running=True)
    attached(run.path, "b", {1: {"acc": 0.2}})
    run.add("epochs", 10, {"acc": 0.3})
    run.publish()
    evaluator.add("epochs", 2, {"acc": 0.4})
    assert sync(running=True)[0].sent == 3
    assert server.only_run.is_exact
    assert [row["acc"] for row in server.only_run.rows if "acc" in row] == [0.1, 0.3, 0.4]
    assert [row["b/acc"] for row in server.only_run.rows if "b/acc" in row] == [0.2]
    assert sync(running=True)[0].sent == 0


def test_verify_finds_a_row_that_differs(run: Written, sync: Sync, server: WandbServer) -> None:
    attached(run.path, "a", {1: {"x": 1.0}, 2: {"x": 2.0}}).finish()
    run.finish()
    sync()
    lines = server.only_run.lines["wandb-history.jsonl"]
    lines[10] = json.dumps({**json.loads(lines[10]), "x": 7.0})
    (outcome,) = sync(verify=True)
    assert outcome.reason == "row 11 differs: x is 7.0 in W&B, 1.0 here"


def test_a_copy_elsewhere_is_uploaded_once_more_and_the_first_goes_on(
    run: Written, sync: Sync, server: WandbServer
) -> None:
    """Each upload has its own order."""
    evaluator = attached(run.path, "a", {1: {"x": 1.0}})
    sync(running=True)
    train(run, range(11, 14))
    sync(running=True)
    sync(running=True, project="other")
    evaluator.add("epochs", 2, {"x": 2.0})
    run.finish()
    assert [sync(project=project)[0].status for project in ("p", "other")] == ["complete", "complete"]
    runs = {stored.project: stored for stored in server.runs.values()}
    first, other = runs["p"], runs["other"]
    assert [("x" in row) for row in first.rows] == [False] * 10 + [True] + [False] * 3 + [True]
    assert [("x" in row) for row in other.rows] == [False] * 13 + [True, True]
    assert first.is_exact
    assert other.is_exact


def test_an_open_row_is_sent_once_it_is_final(run: Written, sync: Sync, server: WandbServer) -> None:
    """Later calls may still add to it; the death of its process makes it final, too."""
    run.finish()
    holder = Process(EVALUATE, run.path, "a", 1)
    assert holder.acknowledged() == 1
    assert (sync()[0].rows, sync()[0].status) == (10, "complete")
    holder.ask()
    assert holder.acknowledged() == 2
    assert sync()[0].sent == 1
    holder.kill()
    assert sync()[0].sent == 1
    assert [row["acc"] for row in server.only_run.rows if "acc" in row] == [1.0, 2.0]
    evaluation = neurockt.attach(run.path, "a")
    evaluation.log({"acc": 3.0}, step=3)
    assert sync()[0].sent == 0
    evaluation.finish()
    assert sync()[0].sent == 1
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_of_several_ranks_each_has_its_late_rows(
    root: Path, sync: Sync, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their own rows are averaged; these are sent as they are, and so are those of what is attached."""
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        recorder = Recorder(root, run_id="ranked", ranks="all", quiet=True)
        for step in (10, 20, 15):
            recorder.log({"loss": float(step + rank)}, step=step)
        recorder.finish()
    monkeypatch.delenv("RANK")
    evaluator = attached(root / "ranked", "a", {10: {"acc": 0.5}})
    assert neurockt.open_run(root / "ranked").late()["rank"].to_pylist() == [0, 1]
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 5), outcome.reason
    evaluator.add("epochs", 20, {"acc": 0.75})
    assert sync()[0].sent == 1
    found = [(row["step"], row.get("loss"), row.get("acc")) for row in server.only_run.rows]
    assert found[:2] == [(10, 10.5, None), (20, 20.5, None)]
    assert sorted(found[2:4]) == [(15, 15.0, None), (15, 16.0, None)]
    assert found[4:] == [(10, None, 0.5), (20, None, 0.75)]
    assert server.only_run.is_exact


def test_a_recorder_that_shows_its_run_live_sends_them_too(
    make_recorder: MakeWandbRecorder, sync: Sync, server: WandbServer
) -> None:
    """Late rows and those of what is attached, until the end of the run; what comes after that, `sync` sends."""
    recorder = make_recorder(id="live")
    recorder.log({"loss": 1.0}, step=10)
    recorder.log({"loss": 2.0}, step=20)
    recorder.log({"loss": 1.5}, step=15)
    evaluator = attached(recorder.run_dir, "a", {10: {"acc": 0.5}})
    recorder.finish()
    assert server.only_run.state == "finished"
    assert sorted(row["step"] for row in server.only_run.rows) == [10, 10, 15, 20]
    evaluator.add("epochs", 20, {"acc": 0.75})
    evaluator.finish()
    assert [(outcome.status, outcome.sent) for outcome in sync()] == [("complete", 1)]
    assert server.only_run.is_exact
