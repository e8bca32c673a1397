"""Which values are numbers, and what happens to those that are not."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest

from neurockt import open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder, RecorderHelper, torch_mean

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")


class Unprintable:
    """Whatever is asked of it raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __float__(self) -> float:
        raise RuntimeError("no number")


def nested() -> Any:
    return torch.nested.nested_tensor([torch.rand(2), torch.rand(3)])


NOT_NUMERIC: list[Callable[[], Any]] = [
    lambda: 10**400,
    lambda: -(10**5000),
    lambda: None,
    lambda: "0.5",
    lambda: b"0.5",
    lambda: (1.0, 2.0),
    lambda: [1.0],
    lambda: {"loss": 1.0},
    lambda: 1 + 2j,
    lambda: torch.tensor(1 + 2j),
    lambda: torch.tensor([1 + 2j, 1j]),
    lambda: numpy.array([1 + 2j, 1j]),
    lambda: numpy.complex64(1j),
    lambda: numpy.array(["a", "b"]),
    lambda: numpy.array("0.5"),
    lambda: numpy.array([None, 1.0], dtype=object),
    lambda: numpy.datetime64("2026-01-01"),
    lambda: torch.empty(3, device="meta"),
    lambda: torch.empty((), device="meta"),
    nested,
    Unprintable,
    object,
    lambda: print,
]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("make", NOT_NUMERIC)
@pytest.mark.parametrize("aggregator", [None, torch_mean, lambda values: values[0]])
def test_a_value_that_is_not_numeric_is_an_error_that_names_the_metric(
    recorder: Recorder, make: Callable[[], Any], aggregator: Any
) -> None:
    """When the block ends, never inside the recorded call; the row's other columns are stored."""
    value = make()
    good = recorder.track_scalar("good")(lambda: 1.0)
    bad = recorder.track_scalar("perplexity", aggregator)(lambda: value)
    with pytest.raises(UsageError, match="'perplexity'") as caught, recorder(train=True):
        good()
        assert bad() is value
        bad()
    assert "\n" not in str(caught.value)
    table = open_run(recorder.run_dir).steps(columns=["good", "perplexity"])
    assert table.select(["good", "perplexity"]).to_pylist() == [{"good": 1.0, "perplexity": None}]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "mean"),
    [
        (lambda: Decimal("0.25"), 0.25),
        (lambda: Fraction(1, 4), 0.25),
        (lambda: numpy.float16(0.25), 0.25),
        (lambda: numpy.array([True, False]), 0.5),
        (lambda: numpy.array([[2]], dtype="uint8"), 2.0),
        (lambda: torch.tensor([True, False]), 0.5),
        (lambda: torch.tensor([0.0, 1.0]).to_sparse(), 0.5),
        (lambda: torch.quantize_per_tensor(torch.tensor([0.0, 1.0]), 0.5, 0, torch.quint8), 0.5),
        (lambda: torch.tensor([], requires_grad=True), None),
        (lambda: numpy.array([]), None),
        (lambda: numpy.ma.array([1.0, 5.0, 3.0], mask=[False, True, False]), 2.0),
        (lambda: numpy.ma.array([5.0], mask=[True]), None),
        (lambda: numpy.ma.masked, None),
        (lambda: 10**300, 1e300),
    ],
)
def test_every_real_number_is_recorded(recorder: Recorder, make: Callable[[], Any], mean: float | None) -> None:
    """Of any library and layout; an empty tensor has no elements, so it adds nothing to the mean."""
    one = recorder.track_scalar("one")(make)
    values = iter([make(), 7.0])
    two = recorder.track_scalar("two")(lambda: next(values))
    with recorder(train=True):
        one()
        two()
        two()
    (row,) = open_run(recorder.run_dir).steps(columns=["one", "two"]).to_pylist()
    if mean is None:
        assert numpy.isnan(row["one"])
        assert row["two"] == 7.0
    else:
        assert row["one"] == mean


@pytest.mark.parametrize(
    "aggregator",
    ["mean", 0.5, [torch_mean], torch.mean, torch.sum, torch.Tensor.mean, torch.stack, torch.nn.functional.softmax],
)
@pytest.mark.parametrize("train", [True, False])
def test_what_cannot_aggregate_is_refused_when_it_is_declared(recorder: Recorder, aggregator: Any, train: bool) -> None:
    """By the decorators and by the helper; the message names the metric and ``torch_mean``."""
    helper = RecorderHelper(recorder)
    decorator, method = (recorder.track_scalar, helper.track_scalar) if train else (recorder.metric, helper.metric)
    for declare in (
        lambda: decorator("perplexity", aggregator),
        lambda: method(aggregator, perplexity=lambda: 1.0),
        lambda: method(aggregator, perplexity=torch.nn.Identity()),
    ):
        with pytest.raises(UsageError, match=r"'perplexity'.*torch_mean"):
            declare()
    assert not list(recorder(train=train).collectors)


@pytest.mark.parametrize(
    "aggregator", [max, min, sum, statistics.median, numpy.mean, numpy.median, lambda values: values[-1]]
)
def test_every_function_of_a_list_aggregates(recorder: Recorder, aggregator: Any) -> None:
    """Builtins and numpy's."""
    values = iter([1.0, 4.0])
    loss = recorder.track_scalar("loss", aggregator)(lambda: next(values))
    with recorder(train=True):
        loss()
        loss()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [aggregator([1.0, 4.0])]


def test_an_aggregator_that_cannot_read_the_values_is_an_error_that_names_the_metric(recorder: Recorder) -> None:
    """``len`` takes no number, ``float`` no list."""
    loss = recorder.track_scalar("perplexity", float)(lambda: 1.0)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"'perplexity'.*float"), recorder(train=True):
        loss()
