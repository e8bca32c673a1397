"""``Recorder.log``: what is logged is recorded, under its name, in the row of its step."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monitor.conftest import MakeRecorder

from neurockt import open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder


def logged(recorder: Recorder, values: Any, **arguments: Any) -> dict[str, Any]:
    """The only row of a run in which this is logged, without its axes."""
    recorder.log(values, **arguments)
    recorder.finish()
    run = open_run(recorder.run_dir)
    (row,) = [*run.steps().to_pylist(), *run.epochs().to_pylist()]
    return {name: value for name, value in row.items() if name not in ("step", "epoch", "time")}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2, 2.0),
        (True, 1.0),
        (0.5, 0.5),
        (float("inf"), float("inf")),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3.0),
        (np.array(4), 4.0),
        (np.array([[5.0]]), 5.0),
        (Decimal("0.25"), 0.25),
        (torch.tensor(1.5, requires_grad=True), 1.5),
        (torch.tensor([2.5]), 2.5),
        (torch.tensor(3, dtype=torch.int32), 3.0),
        (torch.tensor(True), 1.0),
        (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    ],
)
def test_a_number_of_any_type(recorder: Recorder, value: Any, number: float) -> None:
    assert logged(recorder, {"value": value}) == {"value": number}


@pytest.mark.parametrize(
    "vector",
    [[1, 2.0], (1, 2), np.array([1.0, 2.0]), torch.tensor([1.0, 2.0], requires_grad=True), [torch.tensor(1), True + 1]],
)
def test_a_vector_is_a_column_for_each_element(recorder: Recorder, vector: Any) -> None:
    assert logged(recorder, {"norm": vector}) == {"norm/0": 1.0, "norm/1": 2.0}


def test_masked_elements_of_a_vector_are_no_values(recorder: Recorder) -> None:
    assert logged(recorder, {"norm": np.ma.array([1.0, 2.0, 3.0], mask=[0, 1, 0])}) == {"norm/0": 1.0, "norm/2": 3.0}


def test_nested_mappings_are_joined(recorder: Recorder) -> None:
    """Keys that are not text too."""
    values = {"val": {"acc": 0.5, "by": {"class": [1, 2]}}, "rank": {0: 7}}
    assert logged(recorder, values) == {"val/acc": 0.5, "val/by/class/0": 1, "val/by/class/1": 2, "rank/0": 7}


@pytest.mark.slow
def test_a_collection_of_torchmetrics(recorder: Recorder) -> None:
    """What its ``compute`` gives is a mapping."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    metrics = MetricCollection({"acc": MulticlassAccuracy(3, average="micro"), "f1": MulticlassF1Score(3)})
    metrics.update(torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2]))
    assert logged(recorder, {"val": metrics.compute()}, train=False) == {"val/acc": 1.0, "val/f1": 1.0}


def test_names_of_the_tables_own_columns(recorder: Recorder) -> None:
    """Trainers log step and epoch as metrics."""
    values = {"loss": 1.0, "step": 7, "epoch": 0.5, "time": 3.0}
    assert logged(recorder, values) == {"loss": 1, "trainer/step": 7, "trainer/epoch": 0.5, "trainer/time": 3}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("text", "got str 'text'"),
        (object, "got type"),
        (torch.zeros(2, 2), r"got a Tensor of shape \(2, 2\)"),
        (np.zeros(101), "a vector of up to 100 of them, got a ndarray"),
        (torch.tensor(1 + 1j), "got a Tensor"),
        (10**400, "got an int of 1329 bits"),
        (np.ma.masked, "got MaskedConstant masked"),
        (torch.empty((), device="meta"), "got a Tensor of type .*cannot be called on meta tensors"),
    ],
)
def test_what_is_not_a_number_is_left_out_with_one_warning(recorder: Recorder, value: Any, problem: str) -> None:
    with pytest.warns(NeurocktWarning, match=f"'odd' is left out: .*{problem}"):
        recorder.log({"odd": value, "loss": 1.0}, step=0)
    for step in 1, 2:
        recorder.log({"odd": value, "loss": 1.0}, step=step)
    recorder.finish()
    assert open_run(recorder.run_dir).steps().to_pydict()["loss"] == [1.0] * 3


@pytest.mark.parametrize("name", ["", "x" * 201, "tab\t", "\x1b[31m", "\ud800"])
def test_a_name_that_no_column_can_have_is_left_out(recorder: Recorder, name: str) -> None:
    with pytest.warns(NeurocktWarning, match="is left out") as caught:
        assert logged(recorder, {name: 1.0, "loss": 2.0}) == {"loss": 2.0}
    assert "\x1b" not in str(caught[0].message)


def test_a_mapping_of_any_type_is_left_as_it_is(recorder: Recorder) -> None:
    """Also one that makes values for names that it lacks, in rows of as many values as those before."""
    counted = defaultdict(float, {"b": 2.0})
    for values in ({"a": 1.0}, {"a": 1.5}, counted, OrderedDict(b=3.0)):
        recorder.log(values)
    assert counted == {"b": 2.0}
    recorder.finish()
    columns = open_run(recorder.run_dir).steps(["a", "b"]).to_pydict()
    assert columns == {"a": [1.0, 1.5, None, None], "b": [None, None, 2.0, 3.0]}


def test_none_is_no_value(recorder: Recorder) -> None:
    """It replaces nothing; a call with nothing else makes no row."""
    recorder.log({"reward": None}, step=1)
    recorder.log({"loss": 1.0, "reward": 2.0}, step=2)
    recorder.log({"loss": None, "reward": None}, step=2)
    recorder.finish()
    assert open_run(recorder.run_dir).steps(["step", "loss", "reward"]).to_pylist() == [
        {"step": 2, "loss": 1.0, "reward": 2.0}
    ]


def test_mappings_that_contain_themselves_end(recorder: Recorder) -> None:
    values: dict[str, Any] = {"loss": 1.0}
    values["self"] = values
    with pytest.warns(NeurocktWarning, match="mappings more than 16 deep"):
        row = logged(recorder, values)
    assert row["loss"] == 1.0


@pytest.mark.parametrize("step", [0, np.int64(7), torch.tensor(7), 7.0, 10**12, 2**62])
def test_a_step_of_any_type(recorder: Recorder, step: Any) -> None:
    recorder.log({"loss": 1.0}, step)
    assert recorder.step == int(step)
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["step"].to_pylist() == [int(step)]


@pytest.mark.parametrize("step", [-1, 0.5, "7", float("nan"), 2**62 + 1, True])
def test_what_is_not_a_step(recorder: Recorder, step: Any) -> None:
    """It raises in the first row; later its values are recorded without it."""
    with pytest.raises(UsageError, match="a step is an integer from 0"):
        recorder.log({"loss": 1.0}, step)
    recorder.log({"loss": 1.0}, 5)
    with pytest.warns(NeurocktWarning, match="a step is an integer from 0"):
        recorder.log({"loss": 2.0}, step)
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["step"].to_pylist() == [5, 6]


def test_what_is_not_a_mapping(recorder: Recorder) -> None:
    """It raises in the first row; later it is left out."""
    with pytest.raises(UsageError, match=r"log takes a mapping of names to numbers, not float 0\.5"):
        recorder.log(0.5)  # type: ignore[arg-type]
    recorder.log({"loss": 1.0})
    with pytest.warns(NeurocktWarning, match="log takes a mapping"), recorder(train=True):
        recorder.log(0.5)  # type: ignore[arg-type]
    recorder.log(0.5)  # type: ignore[arg-type]
    assert recorder.step == 2


def test_a_row_is_open_until_a_later_step(recorder: Recorder) -> None:
    """It can be read at once, and follow() waits until it is final."""
    recorder.log({"loss": 1.0}, step=3)
    run = open_run(recorder.run_dir)
    assert run.steps(["step", "loss"]).to_pylist() == [{"step": 3, "loss": 1.0}]
    assert len(run.follow().steps) == 0
    recorder.log({"loss": 2.0, "lr": 0.1}, step=3)
    assert run.steps(["loss", "lr"]).to_pylist() == [{"loss": 2.0, "lr": 0.1}]
    recorder.log({"loss": 3.0}, step=4)
    assert run.follow().steps["loss"].to_pylist() == [2.0]
    recorder.finish()
    assert run.follow().steps["loss"].to_pylist() == [3.0]
    assert not list(recorder.run_dir.glob("*.open"))


def test_a_validation_of_a_later_step_closes_the_row_of_training(recorder: Recorder) -> None:
    recorder.log({"loss": 1.0}, step=3)
    recorder.log({"acc": 0.5}, step=4, train=False)
    assert open_run(recorder.run_dir).follow().steps["step"].to_pylist() == [3]
    recorder.log({"loss": 2.0}, step=3)
    recorder.finish()
    assert open_run(recorder.run_dir).late().to_pydict()["loss"] == [2.0]


def test_a_block_closes_open_rows_and_counts_on(recorder: Recorder) -> None:
    """The block's row is the next one."""
    recorder.log({"loss": 1.0}, step=10)
    with recorder(train=True):
        recorder.log({"loss": 2.0})
        recorder.log({"loss": 4.0}, step=11)
    with recorder(train=False):
        recorder.log({"acc": 0.25})
    recorder.finish()
    run = open_run(recorder.run_dir)
    assert run.steps(["step", "epoch", "loss"]).to_pylist() == [
        {"step": 10, "epoch": 1, "loss": 1.0},
        {"step": 11, "epoch": 1, "loss": 3.0},
    ]
    assert run.epochs(["step", "acc"]).to_pylist() == [{"step": 11, "acc": 0.25}]


def test_inside_a_block_it_joins_decorated_values(recorder: Recorder) -> None:
    """Averaged like all in the row; a step of its own is a row of its own."""
    loss = recorder.track_scalar("loss")(float)
    with recorder(train=True):
        loss(1.0)
        recorder.log({"loss": 3.0, "tokens": torch.tensor([1.0, 2.0])})
        recorder.log({"acc": 0.5}, step=0, train=False)
    recorder.finish()
    run = open_run(recorder.run_dir)
    assert run.steps(["loss", "tokens/0", "tokens/1"]).to_pylist() == [{"loss": 2.0, "tokens/0": 1.0, "tokens/1": 2.0}]
    assert run.epochs(["step", "acc"]).to_pylist() == [{"step": 0, "acc": 0.5}]


def test_a_finished_run_takes_no_more(recorder: Recorder) -> None:
    recorder.log({"loss": 1.0})
    recorder.finish()
    with pytest.raises(UsageError, match="has finished; make a new Recorder"):
        recorder.log({"loss": 1.0})


def test_a_rank_that_does_not_record_counts(make_recorder: MakeRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps and epochs are the same on every rank, and nothing is on disk."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    recorder = make_recorder()
    for step in (0, 5, 5, 10, 3):
        recorder.log({"loss": 1.0}, step=step)
        recorder.log({"acc": 1.0}, step=step, train=False)
    recorder.log({"loss": 1.0})
    assert (recorder.is_writer, recorder.step, recorder.epoch) == (False, 11, 4)
    recorder.finish()
    assert not recorder.run_dir.exists()


def test_resume_keeps_the_row_of_its_step(make_recorder: MakeRecorder) -> None:
    """The first call after ``resume(3)`` supersedes nothing more: at step 3 it is late."""
    first = make_recorder(run_id="run", quiet=True)
    for step in range(6):
        first.log({"loss": float(step)}, step=step)
    first.finish()
    second = make_recorder(run_id="run", quiet=True, resume=True)
    second.resume(3)
    second.log({"loss": 30.0}, step=3)
    second.log({"loss": 40.0}, step=4)
    second.finish()
    run = open_run(second.run_dir)
    assert run.steps(["step", "loss"]).to_pydict() == {"step": [0, 1, 2, 3, 4], "loss": [0.0, 1.0, 2.0, 3.0, 40.0]}
    assert run.late().to_pydict()["loss"] == [30.0]


def test_the_directory_may_have_been_made_by_a_framework(tmp_path: Path) -> None:
    """For its checkpoints, before the first row."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "checkpoints" / "last.ckpt").write_bytes(b"model")
    with Recorder(tmp_path, run_id="run", quiet=True) as recorder:
        recorder.log({"loss": 1.0})
    assert len(open_run(tmp_path / "run").steps()) == 1
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == b"model"


class Broken:
    """Whatever is read of it raises, as of a proxy whose object is gone."""

    def __getattribute__(self, name: str) -> Any:
        raise ReferenceError("it is gone")

    __repr__ = __str__ = __float__ = __len__ = __iter__ = lambda self: self.gone


class BrokenMapping(dict[str, Any]):
    """The values of a mapping that cannot be read."""

    def items(self) -> Any:
        raise ReferenceError("it is gone")


class BrokenArray(np.ndarray):  # type: ignore[type-arg]
    """An array whose memory is gone: it has a shape and a type, but no elements."""

    def __iter__(self) -> Any:
        raise ReferenceError("it is gone")

    item = sum = tolist = __iter__


@pytest.mark.parametrize("is_in_block", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        Broken,
        lambda: [1.0, Broken()],
        lambda: BrokenMapping(a=1.0),
        lambda: {Broken(): 1.0},
        lambda: np.zeros(3).view(BrokenArray),
        lambda: np.zeros(()).view(BrokenArray),
        lambda: torch.empty(3, device="meta"),
    ],
)
def test_what_raises_when_it_is_read_is_left_out(recorder: Recorder, make: Any, is_in_block: bool) -> None:
    """The values beside it are recorded."""
    values = {"before": 1.0, "odd": make(), "after": 2.0}
    with (
        pytest.warns(NeurocktWarning, match="'odd.* is left out: expected one number, got"),
        recorder(train=True) if is_in_block else nullcontext(),
    ):
        recorder.log(values)
    recorder.finish()
    assert open_run(recorder.run_dir).steps(["before", "after"]).to_pylist() == [{"before": 1.0, "after": 2.0}]


def test_a_mapping_that_cannot_be_read(recorder: Recorder) -> None:
    with pytest.warns(NeurocktWarning, match="log: 'values' is left out: .*ReferenceError: it is gone"):
        recorder.log(BrokenMapping(a=1.0))
