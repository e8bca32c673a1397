"""The names in W&B of metrics that several tables have: a name that was sent stays, whatever is recorded later."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from wandb_server import StoredRun, WandbServer

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.sync.rows import START, RunRows

from .conftest import MakeWandbRecorder, Sync

pytestmark = pytest.mark.slow

Log = tuple[int, bool, Mapping[str, float]]
"""A step, whether it is of the training, and the values."""

FIRST_EPOCHS: list[Log] = [(0, False, {"loss": 9.0}), (0, True, {"lr": 0.1}), (1, True, {"lr": 0.2})]
THEN_STEPS: list[Log] = [(2, True, {"loss": 1.0}), (3, True, {"loss": 2.0}), (3, False, {"loss": 8.0})]
FIRST_STEPS: list[Log] = [(0, True, {"loss": 1.0}), (1, True, {"lr": 0.1}), (2, True, {"lr": 0.2})]
THEN_EPOCHS: list[Log] = [(2, False, {"loss": 9.0}), (3, True, {"loss": 2.0}), (3, False, {"loss": 8.0})]


def log(recorders: Sequence[Recorder], rows: Sequence[Log]) -> None:
    for step, train, values in rows:
        for recorder in recorders:
            recorder.log(values, step=step, train=train)


def sent(stored: StoredRun, name: str) -> list[Any]:
    return [row[name] for row in stored.rows if name in row]


def check(server: WandbServer, sync: Sync, train: str, valid: str) -> None:
    """Each row is there once, and rows, summary and charts have the same names."""
    (stored,) = server.runs.values()
    assert stored.is_exact
    assert (sent(stored, train), sent(stored, valid)) == ([1.0, 2.0], [9.0, 8.0])
    assert (stored.summary[train], stored.summary[valid]) == (2.0, 8.0)
    metrics = stored.config["_wandb"]["value"]["m"]
    axes = {metric["1"]: metrics[metric["5"] - 1]["1"] for metric in metrics if "5" in metric}
    assert axes == {train: "step", valid: "epoch", "lr": "step"}
    (outcome,) = sync(verify=True)
    assert outcome.status == "complete", outcome.reason


ORDERS = pytest.mark.parametrize(
    ("first", "then", "train", "valid"),
    [
        pytest.param(FIRST_EPOCHS, THEN_STEPS, "loss (steps)", "loss", id="epochs first"),
        pytest.param(FIRST_STEPS, THEN_EPOCHS, "loss", "loss (epochs)", id="steps first"),
    ],
)


@ORDERS
@pytest.mark.parametrize("lost", ["nothing", "wandb*"])
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_table_that_has_a_metric_first_keeps_its_name(
    first: list[Log],
    then: list[Log],
    train: str,
    valid: str,
    lost: str,
    ranks: int,
    root: Path,
    sync: Sync,
    server: WandbServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other's is followed by its table, also where the notes of the sync are lost."""
    recorders = []
    for rank in range(ranks):
        if ranks > 1:
            monkeypatch.setenv("RANK", str(rank))
            monkeypatch.setenv("WORLD_SIZE", str(ranks))
        recorders.append(Recorder(root, run_id="run", ranks="all" if ranks > 1 else "first", quiet=True))
        log(recorders[-1:], first)
    for rows in ([], then):
        log(recorders, rows)
        (outcome,) = sync(running=True)
        assert (outcome.status, outcome.reason) == ("running", None)
        assert outcome.sent
        for path in list((root / "run").glob(lost)):
            path.unlink()
    for recorder in recorders:
        recorder.finish()
    (outcome,) = sync()
    assert outcome.status == "complete", outcome.reason
    check(server, sync, train, valid)
    assert sync()[0].sent == 0


@ORDERS
def test_so_it_does_live(
    first: list[Log],
    then: list[Log],
    train: str,
    valid: str,
    make_recorder: MakeWandbRecorder,
    sync: Sync,
    server: WandbServer,
) -> None:
    """And a run that was not uploaded before it ended has the same rows."""
    recorder = make_recorder(id="live")
    log([recorder], first)
    sync(running=True)
    log([recorder], then)
    recorder.finish()
    check(server, sync, train, valid)
    history = server.only_run.history
    server.runs.clear()
    for path in recorder.run_dir.glob("wandb*"):
        path.unlink()
    sync()
    assert server.only_run.history == history


def test_one_that_has_the_name_of_another_with_its_table(root: Path, sync: Sync, server: WandbServer) -> None:
    """Whichever is first keeps it."""
    recorder = Recorder(root, quiet=True)
    log([recorder], FIRST_EPOCHS)
    sync(running=True)
    log([recorder], THEN_STEPS)
    sync(running=True)
    log([recorder], [(4, True, {"loss (steps)": 5.0}), (4, False, {"loss (steps)": 6.0})])
    recorder.finish()
    assert sync()[0].status == "complete"
    stored = server.only_run
    names = ("loss (steps)", "loss", "loss (steps) (steps)", "loss (steps) (epochs)")
    assert [sent(stored, name) for name in names] == [[1.0, 2.0], [9.0, 8.0], [5.0], [6.0]]
    assert stored.is_exact
    assert sync(verify=True)[0].status == "complete"


@pytest.mark.parametrize("lost", ["nothing", "wandb*"])
def test_a_late_metric_has_the_name_that_it_has_in_steps(
    lost: str, root: Path, sync: Sync, server: WandbServer
) -> None:
    """Also where `steps` gets it only later."""
    recorder = Recorder(root, quiet=True)
    log([recorder], [*FIRST_EPOCHS, (2, True, {"lr": 0.3}), (0, True, {"loss": 1.0})])
    sync(running=True)
    for path in list(recorder.run_dir.glob(lost)):
        path.unlink()
    log([recorder], [(3, True, {"loss": 2.0})])
    recorder.finish()
    (outcome,) = sync()
    assert outcome.status == "complete", outcome.reason
    assert (sent(server.only_run, "loss (steps)"), sent(server.only_run, "loss")) == ([1.0, 2.0], [9.0])
    assert server.only_run.is_exact
    assert sync(verify=True)[0].status == "complete"


def test_a_late_metric_has_one_name_for_all_ranks(
    root: Path, sync: Sync, server: WandbServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        recorder = Recorder(root, run_id="run", ranks="all", quiet=True)
        log([recorder], [*FIRST_EPOCHS, (0, True, {"loss": 1.0 + rank})])
        recorder.finish()
    assert sync()[0].status == "complete"
    assert sorted(sent(server.only_run, "loss (steps)")) == [1.0, 2.0]


@pytest.mark.parametrize("seed", range(5))
def test_no_line_changes_whatever_comes(seed: int, root: Path) -> None:
    """Of metrics of both tables, also such as have the names that others get."""
    numbers = random.Random(seed)
    names = ["loss", "loss (steps)", "loss (epochs)", "_step", "_step (epochs)", "loss (steps)'"]
    recorder = Recorder(root, quiet=True)
    before: list[str] = []
    step = 0
    for _ in range(30):
        step += numbers.random() < 0.5
        values = {name: numbers.random() for name in numbers.sample(names, numbers.randrange(1, 3))}
        log([recorder], [(step, numbers.random() < 0.5, values)])
        run = open_run(recorder.run_dir)
        lines = [line for lines in RunRows(run, run.info).after(START) for line in lines.lines]
        assert lines[: len(before)] == before
        assert all(len(pairs) == len(dict(pairs)) for pairs in (json.loads(x, object_pairs_hook=list) for x in lines))
        before = lines
    recorder.finish()
    assert len(before) > 10


def test_lines_are_json_whatever_the_names_and_values(tmp_path: Path) -> None:
    """Rows in which each metric has a finite value, and others."""
    names = ["50%", 'a "quoted" %r', "损失", "back\\slash"]
    numbers = [1e-300, -0.0, 1e16, 1 / 3]
    odd = [float("inf"), float("-inf"), 0.1, 5.0]
    for values in ([numbers], [numbers, odd], [numbers, numbers[:3]]):
        with Recorder(tmp_path, quiet=True, system_seconds=None) as recorder:
            for step, each in enumerate(values):
                recorder.log(dict(zip(names, each, strict=False)), step=step)
        run = open_run(recorder.run_dir)
        lines = [line for batch in RunRows(run, run.info).after(START) for line in batch.lines]
        rows = [{name: value for name, value in json.loads(line).items() if name in names} for line in lines]
        assert rows == [dict(zip(names, each, strict=False)) for each in values]
        assert all(line == json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")) for line in lines)


@pytest.mark.parametrize("train", [True, False])
def test_a_metric_that_is_called_rank_is_sent(server: WandbServer, root: Path, sync: Sync, train: bool) -> None:
    """It is not the column of the ranks."""
    with Recorder(root, run_id="a", quiet=True, system_seconds=None) as recorder:
        log([recorder], [(step, train, {"rank": step + 0.5, "..": step}) for step in range(3)])
    (outcome,) = sync()
    assert outcome.status == "complete", outcome.reason
    (stored,) = server.runs.values()
    assert (sent(stored, "rank"), sent(stored, "..")) == ([0.5, 1.5, 2.5], [0, 1, 2])
