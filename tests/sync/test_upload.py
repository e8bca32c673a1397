"""What of a run arrives in W&B, and how."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path

import pytest
from wandb_server import WandbServer

import neurockt
from neurockt.monitor import Recorder

from .conftest import MakeRun, Sync

pytestmark = pytest.mark.slow


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def test_every_row_arrives_once_in_order(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """The steps of an epoch, its validation, the next epoch; each with its true step, epoch, time and value."""
    path = make_run(steps=25, every=10)
    (outcome,) = sync()
    run = server.only_run
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 27, 27)
    assert run.is_exact
    assert run.received == 27
    opened = neurockt.open_run(path)
    by_table = {"acc": opened.epochs().to_pylist(), "train_loss": opened.steps().to_pylist()}
    began = opened.info.created.timestamp()
    for name, expected in by_table.items():
        rows = [row for row in run.rows if name in row]
        assert len(rows) == len(expected)
        for row, original in zip(rows, expected, strict=True):
            assert (row["step"], row["epoch"]) == (original["step"], original["epoch"])
            assert bits(row[name]) == bits(original[name])
            assert row["_timestamp"] == original["time"].timestamp()
            assert row["_runtime"] == pytest.approx(original["time"].timestamp() - began, abs=1e-5)
    kinds = ["acc" if "acc" in row else "loss" for row in run.rows]
    assert kinds == (["loss"] * 10 + ["acc"]) * 2 + ["loss"] * 5


def test_odd_numbers_arrive_bit_for_bit(server: WandbServer, root: Path, sync: Sync) -> None:
    """The smallest, the largest, minus zero, NaN and the infinities; what was not computed is not there."""
    odd = [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.pi, math.nan, math.inf, -math.inf, 2.0**53 + 2]
    recorder = Recorder(root, quiet=True)
    value = recorder.track_scalar("value")(lambda number: number)
    for number in [*odd, None]:
        with recorder(train=True):
            if number is not None:
                value(number)
    recorder.finish()
    sync()
    rows = server.only_run.rows
    assert [bits(float(row["value"])) for row in rows[:-1]] == [bits(number) for number in odd]
    assert "value" not in rows[-1]
    assert '"value":NaN' in server.only_run.history[5]


def test_a_run_is_described(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Name, config, tags, notes, group, host, begin and end of the original run, and its axes."""
    path = make_run(
        project="digits", name="första", config={"lr": 1e-3, "net": {"w": 2}}, tags=("a", "b"), notes="n", group="g"
    )
    sync()
    run, info = server.only_run, neurockt.open_run(path).info
    assert (run.project, run.display_name, run.tags, run.notes, run.group) == ("digits", "första", ["a", "b"], "n", "g")
    assert (run.state, run.exit_code, run.host) == ("finished", 0, info.attempt.host)
    assert run.config["lr"] == {"value": 1e-3}
    assert run.config["net"] == {"value": {"w": 2}}
    told = run.config["neurockt"]["value"]
    assert (told["state"], told["started"], told["ended"]) == (
        "finished",
        info.created.isoformat(),
        info.ended.isoformat(),
    )
    assert run.summary["train_loss"] == info.steps.columns["train_loss"].last


@pytest.mark.parametrize("state", ["failed", "killed", "preempted"])
def test_states_are_told_apart(state: str, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """W&B knows failed alone; the tag and the config tell how."""
    path = make_run(tags=("mine",)) / "run.json"
    document = json.loads(path.read_bytes())
    document["attempts"][-1]["cause"] = "time limit"
    path.write_text(json.dumps({**document, "state": state}))
    sync()
    run = server.only_run
    assert run.state == "failed"
    assert run.tags == ["mine", state]
    assert run.config["neurockt"]["value"]["cause"] == "time limit"
    assert run.config["neurockt"]["value"]["state"] == state


def test_a_complete_run_costs_no_upload(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """The second sync asks who we are and nothing else."""
    make_run()
    sync()
    before = len(server.requests)
    (outcome,) = sync()
    assert (outcome.status, outcome.rows, outcome.sent) == ("complete", 110, 0)
    assert len(server.requests) == before + 1


def test_without_the_ledger_the_server_is_asked_and_nothing_sent(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    """The ledger is no evidence; losing it costs two questions."""
    path = make_run()
    sync()
    (path / "wandb.json").unlink()
    before = server.requested("file_stream")
    (outcome,) = sync()
    assert (outcome.status, outcome.sent) == ("complete", 0)
    assert server.requested("file_stream") == before


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 70_000])
def test_runs_of_one_row_and_of_many(steps: int, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """More rows than are read at a time, and fewer than there are validations."""
    make_run(steps=steps, every=10_000)
    (outcome,) = sync()
    assert outcome.status == "complete"
    assert len(server.only_run.rows) == steps + steps // 10_000
    assert server.only_run.is_exact


def test_a_run_without_rows_is_a_run(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """It began and ended; that is told."""
    path = make_run(steps=1)
    for part in path.glob("*/*.parquet"):
        part.unlink()
    (outcome,) = sync()
    assert (outcome.status, outcome.rows) == ("complete", 0)
    assert server.only_run.state == "finished"


def test_a_live_run_is_left_alone_unless_asked_for(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """--running takes it as far as it is, later what is new, and at its end all of it."""
    recorder = Recorder(make_run(steps=1).parent, quiet=True, run_id="live")
    loss = recorder.track_scalar("train_loss")(float)

    def train(steps: int) -> None:
        for step in range(steps):
            with recorder(train=True):
                loss(step)

    train(100)
    assert [outcome.status for outcome in sync()] == ["complete", "pending"]
    assert len(server.runs) == 1
    assert sync(running=True)[-1].status == "running"
    assert (len(server.run("live").rows), server.run("live").state) == (100, "running")
    train(50)
    assert sync(running=True)[1].sent == 50
    recorder.finish()
    assert sync()[1].status == "complete"
    live = server.run("live")
    assert (len(live.rows), live.received, live.state, live.is_exact) == (150, 150, "finished", True)


def test_a_live_step_never_overtakes_the_validation_before_it(
    server: WandbServer, make_run: MakeRun, sync: Sync, root: Path
) -> None:
    """Rows of the next epoch wait until the validation is there, since their places depend on it."""
    path = make_run(steps=25, every=10, run_id="whole")
    live = root / "live"
    shutil.copytree(path, live)
    sync(path)
    document = json.loads((live / "run.json").read_bytes())
    (live / "run.json").write_text(json.dumps({**document, "id": "live", "state": "running", "ended": None}))
    validations = live / "epochs" / "part-00000.parquet"
    validations.rename(root / "kept")
    assert sync(live, running=True)[0].rows == 10
    (root / "kept").rename(validations)
    assert sync(live, running=True)[0].rows == 27
    assert server.run("live").history == server.run("whole").history
    assert server.run("live").is_exact


def test_names_that_would_meet_in_one_column_are_kept_apart(server: WandbServer, root: Path, sync: Sync) -> None:
    """A metric of both tables, and one called as W&B's own."""
    recorder = Recorder(root, quiet=True)
    train, own = recorder.track_scalar("loss")(float), recorder.track_scalar("_step")(float)
    valid = recorder.metric("loss")(float)
    with recorder(train=True):
        train(1.0)
        own(7.0)
    with recorder(train=False):
        valid(2.0)
    recorder.finish()
    sync()
    first, second = server.only_run.rows
    assert (first["loss"], first["_step (steps)"], second["loss (epochs)"]) == (1.0, 7.0, 2.0)
    assert server.only_run.is_exact


@pytest.mark.parametrize("name", ["a/b?c#d%20", "损失 run", "..", "x" * 120, "a\x1b[2Jb"])
def test_any_run_gets_a_safe_id(name: str, server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """A run.json may say what it likes."""
    path = make_run(name=name, project=name, tags=(name, "", " "), group=name) / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "id": name}))
    (outcome,) = sync()
    assert outcome.status == "complete"
    run = server.only_run
    assert run.is_exact
    assert set(run.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(run.name) <= 64
    assert not set(run.project) & set("/\\#?%:")
    assert all(1 <= len(tag) <= 64 for tag in run.tags)


def test_two_runs_of_one_id_do_not_meet(server: WandbServer, make_run: MakeRun, sync: Sync, tmp_path: Path) -> None:
    """The second finds its id taken by another run and takes one of its own; a copy of a directory is the same run."""
    first = make_run(steps=20, run_id="baseline")
    second = make_run(steps=30, run_id="baseline", where=tmp_path / "elsewhere")
    assert [outcome.status for outcome in sync(first, second)] == ["complete", "complete"]
    assert sorted(len(run.rows) for run in server.runs.values()) == [22, 33]
    assert all(run.is_exact for run in server.runs.values())
    copy = tmp_path / "copy" / "baseline"
    copy.parent.mkdir()
    first.rename(copy)
    (copy / "wandb.json").unlink()
    assert sync(copy)[0].sent == 0
    assert len(server.runs) == 2


def test_one_bad_run_does_not_stop_the_others(server: WandbServer, make_run: MakeRun, sync: Sync, root: Path) -> None:
    """It is named with its reason."""
    make_run(steps=5, run_id="a")
    (make_run(steps=5, run_id="b") / "run.json").write_text("{")
    (make_run(steps=5, run_id="c") / "steps" / "part-00000.parquet").write_bytes(b"PAR1 nonsense")
    make_run(steps=5, run_id="d")
    with pytest.warns(match="not a readable Parquet"):
        outcomes = {outcome.id: outcome for outcome in sync()}
    assert [outcomes[name].status for name in "abcd"] == ["complete", "failed", "failed", "complete"]
    assert "damaged" in (outcomes["b"].reason or "")
    assert "part-00000" in (outcomes["c"].reason or "")
    assert len(server.runs) == 2


def test_a_read_only_run_keeps_its_ledger_elsewhere(
    server: WandbServer, make_run: MakeRun, sync: Sync, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the user's state directory; a complete run costs nothing there either."""
    path = make_run()
    (path / "wandb.json").mkdir()  # even root cannot put a file in its place
    sync()
    assert list((tmp_path / "home" / "state" / "neurockt" / "wandb").iterdir())
    before = len(server.requests)
    assert sync()[0].status == "complete"
    assert len(server.requests) == before + 1


def test_nothing_is_left_behind_and_no_secret_is_written(
    server: WandbServer, make_run: MakeRun, sync: Sync, tmp_path: Path
) -> None:
    """One file in the run directory; the key is nowhere; nothing of this machine but the run's own host is told."""
    run_dir = make_run()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    sync()
    found = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert found - before == {run_dir / "wandb.json"}
    assert all(b"0123456789abcdef0123456789abcdef01234567" not in path.read_bytes() for path in found)
    assert server.requested("otel") == 0
    assert set(server.only_run.lines) == {"wandb-history.jsonl", "wandb-summary.json"}
    assert server.only_run.files == {}
