"""`RecorderHelper`: what is declared again, and modules that do not run as Python."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
from monitor.conftest import MakeRecorder

torch = pytest.importorskip("torch")
pytest.importorskip("torchmetrics")

# ruff: noqa: E402
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy

from neurockt import open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder, RecorderHelper, torch_mean

pytestmark = pytest.mark.slow

PREDS = torch.tensor([0.9, 0.2, 0.8, 0.1])
TARGET = torch.tensor([1, 0, 0, 0])  # accuracy 0.75


def recorded(recorder: Recorder, *, train: bool = False) -> list[dict[str, float | None]]:
    """The metrics' values in each row of `epochs`, or of `steps`."""
    run = open_run(recorder.run_dir)
    rows: list[dict[str, float | None]] = (run.steps() if train else run.epochs()).to_pylist()
    return [{key: value for key, value in row.items() if key not in ("step", "epoch", "time")} for row in rows]


# Declared again


@pytest.mark.filterwarnings("ignore:'mse'")  # which is never called
@pytest.mark.parametrize("aggregator", [None, torch_mean])
@pytest.mark.parametrize("opened", [False, True])
def test_a_cell_that_is_run_again_replaces_what_it_declared(recorder: Recorder, aggregator: Any, opened: bool) -> None:
    """The earlier objects no longer record, and an object that is declared twice records once."""
    seen: list[list[Any]] = []

    def count(values: list[Any]) -> float:
        seen.append(values)
        return float(len(values))

    helper = RecorderHelper(recorder)
    same = torch.nn.L1Loss()
    made = []
    for _ in range(3):
        made.append(RecorderHelper(recorder).metric(aggregator, acc=BinaryAccuracy()))
        made[-1] |= RecorderHelper(recorder).metric(m=MetricCollection([BinaryAccuracy()]))
        helper.metric(count, mse=torch.nn.MSELoss(), same=same, size=lambda: 1.0)
        if opened:
            with recorder(train=False):
                made[-1]["acc"](PREDS, TARGET)
    with recorder(train=False):
        made[0]["acc"](PREDS, 1 - TARGET)
        made[2]["acc"](PREDS, TARGET)
        made[2]["m"](PREDS, TARGET)
        same(PREDS, PREDS)
    assert recorded(recorder)[-1] == {"acc": 0.75, "m/BinaryAccuracy": 0.75, "mse": None, "same": 1.0, "size": None}
    assert len(same._forward_hooks) == 1
    assert not made[0]["acc"]._forward_hooks


def test_a_collection_that_is_declared_again_may_have_other_members(recorder: Recorder) -> None:
    """Their columns take the place of the earlier ones, before the first row and after it."""
    for names in (["a", "b"], ["b", "c"], ["d"]):
        metric = RecorderHelper(recorder).metric(m=MetricCollection({name: BinaryAccuracy() for name in names}))["m"]
        with recorder(train=False):
            metric(PREDS, TARGET)
    assert recorded(recorder) == [
        {"m/a": 0.75, "m/b": 0.75, "m/c": None, "m/d": None},
        {"m/a": None, "m/b": 0.75, "m/c": 0.75, "m/d": None},
        {"m/a": None, "m/b": None, "m/c": None, "m/d": 0.75},
    ]


def test_a_name_of_another_kind_is_refused(recorder: Recorder) -> None:
    """Neither a decorated function nor a metric is replaced by the other without a word."""
    recorder.metric("loss")(lambda: 1.0)
    RecorderHelper(recorder).metric(acc=BinaryAccuracy())
    with pytest.raises(UsageError, match="'loss' is recorded already"):
        RecorderHelper(recorder).metric(loss=BinaryAccuracy())
    with pytest.raises(UsageError, match="'acc' is recorded already"):
        recorder.metric("acc")(float)
    with pytest.raises(UsageError, match="'m/b' is recorded already, as part of 'm'"):
        RecorderHelper(recorder).metric(m=MetricCollection({"b": BinaryAccuracy()}), **{"m/b": BinaryAccuracy()})


@pytest.mark.parametrize("train", [True, False])
def test_a_decorated_module_stays_the_instance(recorder: Recorder, train: bool) -> None:
    """So a loss can be moved and saved, a torchmetric updated; declared again, it replaces the earlier one."""
    decorator = recorder.track_scalar if train else recorder.metric
    for _ in range(2):
        loss, acc = torch.nn.BCELoss(weight=torch.ones(4)), BinaryAccuracy()
        assert decorator("loss")(loss) is loss
        assert decorator("acc")(acc) is acc
    model = torch.nn.ModuleDict({"loss": loss, "acc": acc})
    assert model.double().loss.weight.dtype is torch.float64
    torch.save(model, io.BytesIO())
    with recorder(train=train):
        model["loss"](TARGET.double(), TARGET.double())
        model["acc"].update(PREDS, TARGET)
    (row,) = recorded(recorder, train=train)
    assert row == {"loss": 0.0, "acc": 0.75}


def test_what_a_class_does_with_its_methods_is_kept(recorder: Recorder) -> None:
    """Also where the decorator stands above ``staticmethod`` or ``classmethod``; a property or a class is refused."""

    class Score:
        @recorder.metric("static")
        @staticmethod
        def static(value: float) -> float:
            return value

        @recorder.metric("of_class")
        @classmethod
        def of_class(cls, value: float) -> float:
            return value

    with recorder(train=False):
        assert [Score.static(1.0), Score().static(3.0), Score().of_class(5.0)] == [1.0, 3.0, 5.0]
    assert recorded(recorder) == [{"static": 2.0, "of_class": 5.0}]
    for wrong in (property(float), torch.nn.MSELoss, 3):
        with pytest.raises(UsageError, match=r"^'loss' cannot record .*; decorate a function"):
            recorder.metric("loss")(wrong)
        with pytest.raises(UsageError, match=r"^'loss' cannot record .*; decorate a function"):
            RecorderHelper(recorder).metric(loss=wrong)


# Called past their hook


@pytest.mark.parametrize("train", [True, False])
def test_a_module_whose_forward_is_called_directly_is_named_at_the_end(recorder: Recorder, train: bool) -> None:
    """Its hook sees nothing: one warning, and none of what had a value once, or is declared in the other table."""
    helper = RecorderHelper(recorder)
    declare, other = (helper.track_scalar, helper.metric)[:: 1 if train else -1]
    loss = declare(loss=torch.nn.MSELoss(), seen=torch.nn.MSELoss(), size=lambda: 1.0)
    other(unused=torch.nn.MSELoss())
    loss["seen"](PREDS, PREDS)
    for _ in range(3):
        with recorder(train=train):
            loss["loss"].forward(PREDS, PREDS)
            loss["seen"](PREDS, PREDS)
    table = "steps" if train else "epochs"
    with pytest.warns(
        NeurocktWarning, match=f"^'loss': no value in any row of {table}; call the module itself"
    ) as seen:
        recorder.finish()
    assert len(seen) == 1


def test_a_module_that_an_earlier_attempt_called_is_not_named(make_recorder: MakeRecorder) -> None:
    """A resumed run that stops before its metric is due has lost nothing."""
    for called in (True, False):
        recorder = make_recorder(run_id="run", quiet=True, resume=True)
        loss = RecorderHelper(recorder).track_scalar(loss=torch.nn.MSELoss())["loss"]
        with recorder(train=True):
            if called:
                loss(PREDS, PREDS)
        recorder.finish()


# Modules that do not run as Python


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore:Guards may run slower"
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda module: torch.jit.script(module),
        lambda module: torch.jit.trace(module, (PREDS, PREDS)),
        lambda module: torch.nn.DataParallel(module),
        lambda module: torch.compile(module, backend="eager"),
    ],
)
def test_scripted_traced_parallel_and_compiled_modules_record(recorder: Recorder, wrap: Callable[[Any], Any]) -> None:
    """Their value is that of the module."""
    loss = RecorderHelper(recorder).metric(loss=wrap(torch.nn.MSELoss()))["loss"]
    with recorder(train=False):
        loss(PREDS, PREDS + 1)
    (row,) = recorded(recorder)
    assert row["loss"] is not None
    assert math.isclose(row["loss"], 1.0, rel_tol=1e-6)
