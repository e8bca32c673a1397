"""Torchmetrics of every kind: wrapped, combined, collected, fed by a call or by ``update()``, under several names."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
torchmetrics = pytest.importorskip("torchmetrics")

# ruff: noqa: E402
from torchmetrics import MetricCollection
from torchmetrics.aggregation import CatMetric, MeanMetric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryConfusionMatrix,
    BinaryF1Score,
    MulticlassAccuracy,
)
from torchmetrics.wrappers import (
    BinaryTargetTransformer,
    BootStrapper,
    ClasswiseWrapper,
    FeatureShare,
    LambdaInputTransformer,
    MetricInputTransformer,
    MetricTracker,
    MinMaxMetric,
    MultioutputWrapper,
    MultitaskWrapper,
    Running,
)

from neurockt import open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder, RecorderHelper, torch_mean

PREDS = torch.tensor([0.9, 0.2, 0.8, 0.1])
TARGET = torch.tensor([1, 0, 0, 0])  # accuracy 0.75


class WithNetwork(BinaryAccuracy):
    """Its predictions go through a network, which FeatureShare shares."""

    feature_network = "network"

    def __init__(self) -> None:
        super().__init__()
        self.network = torch.nn.Identity()

    def update(self, preds: Any, target: Any) -> None:
        super().update(self.network(preds), target)


class OtherWithNetwork(WithNetwork):
    """Another class of it."""


class CallsOnly(torchmetrics.Metric):
    """Counts nothing: its ``forward`` goes past ``update``."""

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), "sum")

    def update(self, preds: Any, target: Any) -> None:
        self.total = self.total + ((preds > 0.5) == target).float().mean()

    def forward(self, preds: Any, target: Any) -> Any:
        type(self).update(self, preds, target)
        return self.total

    def compute(self) -> Any:
        return self.total


def make_tracker(base: Any) -> Any:
    tracker = MetricTracker(base)
    tracker.increment()
    return tracker


ONE: dict[str, Callable[[], Any]] = {
    "plain": BinaryAccuracy,
    "one minus": lambda: 1 - BinaryAccuracy(),
    "sum": lambda: BinaryAccuracy() + BinaryF1Score(),
    "nested composition": lambda: abs(2 * (BinaryAccuracy() - 0.5) / BinaryF1Score()),
    "list states": BinaryAUROC,
    "calls only": CallsOnly,
    "Running": lambda: Running(BinaryAccuracy(), window=3),
    "composition of Running": lambda: 1 - Running(BinaryAccuracy(), window=3),
    "MinMaxMetric": lambda: MinMaxMetric(BinaryAccuracy()),
    "MinMaxMetric of Running": lambda: MinMaxMetric(Running(BinaryAccuracy(), window=3)),
    "BootStrapper": lambda: BootStrapper(BinaryAccuracy(), num_bootstraps=4),
    "BootStrapper raw": lambda: BootStrapper(BinaryAccuracy(), num_bootstraps=4, raw=True),
    "MultioutputWrapper": lambda: MultioutputWrapper(BinaryAccuracy(), 2),
    "ClasswiseWrapper": lambda: ClasswiseWrapper(MulticlassAccuracy(2, average=None)),
    "MetricTracker": lambda: make_tracker(BinaryAccuracy()),
    "MetricTracker of a collection": lambda: make_tracker(MetricCollection([BinaryAccuracy(), BinaryF1Score()])),
    "MultitaskWrapper": lambda: MultitaskWrapper({"a": BinaryAccuracy(), "b": MetricCollection([BinaryF1Score()])}),
    "MetricInputTransformer": lambda: MetricInputTransformer(BinaryAccuracy()),
    "LambdaInputTransformer": lambda: LambdaInputTransformer(BinaryAccuracy(), lambda preds: preds),
    "BinaryTargetTransformer": lambda: BinaryTargetTransformer(BinaryAccuracy(), threshold=0.5),
    "collection": lambda: MetricCollection([BinaryAccuracy(), BinaryF1Score()]),
    "collection in groups": lambda: MetricCollection({"a": BinaryAccuracy(), "b": BinaryAccuracy()}),
    "collection with prefix": lambda: MetricCollection([BinaryAccuracy()], prefix="x/", postfix="/y"),
    "nested collection": lambda: MetricCollection({"a": MetricCollection([BinaryAccuracy()], prefix="p_")}),
    "collection of wrappers": lambda: MetricCollection({"a": Running(BinaryAccuracy()), "b": BinaryAccuracy() * 2}),
    "FeatureShare": lambda: FeatureShare([WithNetwork(), OtherWithNetwork()]),
}


def arguments(metric: Any) -> tuple[Any, ...]:
    """A batch as this metric takes it."""
    if isinstance(metric, MultitaskWrapper):
        return {"a": PREDS, "b": PREDS}, {"a": TARGET, "b": TARGET}
    if isinstance(metric, MultioutputWrapper):
        return torch.stack([PREDS, PREDS], 1), torch.stack([TARGET, TARGET], 1)
    if isinstance(metric, ClasswiseWrapper):
        return (PREDS > 0.5).long(), TARGET
    return PREDS, TARGET


def flat(value: Any) -> list[float]:
    """The numbers of a result, sorted."""
    if isinstance(value, dict):
        return sorted(number for part in value.values() for number in flat(part))
    return sorted(value.reshape(-1).tolist())


def recorded(recorder: Recorder, table: str = "epochs") -> list[dict[str, float | None]]:
    """The metrics' values in each row."""
    rows: list[dict[str, float | None]] = getattr(open_run(recorder.run_dir), table)().to_pylist()
    return [{key: value for key, value in row.items() if key not in ("step", "epoch", "time")} for row in rows]


def test_every_wrapper_of_torchmetrics_is_tried() -> None:
    """A new version may bring new ones."""
    assert {name for name in torchmetrics.wrappers.__all__ if not any(name in label for label in ONE)} == set()


@pytest.mark.filterwarnings("ignore::UserWarning:torchmetrics")
@pytest.mark.parametrize("fed_by", ["call", "update"])
@pytest.mark.parametrize("aggregator", [None, torch_mean])
@pytest.mark.parametrize("kind", ONE)
def test_every_kind_gives_its_value_in_each_block(recorder: Recorder, kind: str, aggregator: Any, fed_by: str) -> None:
    """The block's own, whatever was fed before or outside; a block in which it was not fed gives null."""
    if (kind, fed_by) == ("calls only", "update"):
        pytest.skip("has no update")
    metric = ONE[kind]()
    torch.manual_seed(0)
    twin = copy.deepcopy(metric)
    result = getattr(twin, "update" if fed_by == "update" else "forward")(*arguments(twin))
    expected = flat(twin.compute() if aggregator is None or fed_by == "update" else result)
    RecorderHelper(recorder).metric(aggregator, m=metric)
    feed = metric.update if fed_by == "update" else metric
    for index in range(4):
        with recorder(train=False):
            if index != 1:
                torch.manual_seed(0)
                feed(*arguments(metric))
        if isinstance(metric, MetricTracker):
            metric.increment()
        elif index == 2 and kind != "calls only":
            feed(*arguments(metric))
    rows = recorded(recorder)
    assert all(key.startswith("m") for key in rows[0])
    values = [sorted(value for value in row.values() if value is not None) for row in rows]
    if aggregator is not None and fed_by == "update" and len(expected) != len(values[0]):
        expected = [sum(expected) / len(expected)]  # a vector is one value to an aggregator
    if aggregator is not None and kind.startswith(("MultioutputWrapper", "BootStrapper raw")):
        assert values[1] == []
        assert all(values[index] for index in (0, 2, 3))
        return
    assert values[1] == []
    if "MinMaxMetric" in kind:  # keeps its extremes over a reset
        assert all(0.75 in values[index] for index in (0, 2, 3))
    else:
        assert [values[index] for index in (0, 2, 3)] == [pytest.approx(expected)] * 3


def test_a_metric_under_several_names_is_reset_after_all_have_read_it(recorder: Recorder) -> None:
    """Also where one of them is a collection, and in both kinds of block."""
    metric = BinaryAccuracy()
    helper = RecorderHelper(recorder)
    helper.metric(first=metric, second=metric, all=MetricCollection({"acc": metric, "f1": BinaryF1Score()}))
    helper.metric(torch_mean, batch=metric)
    helper.track_scalar(train=metric)
    for _ in range(2):
        with recorder(train=True):
            metric(PREDS, 1 - TARGET)
        with recorder(train=False):
            metric(PREDS, TARGET)
    expected = {"first": 0.75, "second": 0.75, "all/acc": 0.75, "all/f1": None, "batch": 0.75}
    assert recorded(recorder) == [expected, expected]
    assert recorded(recorder, "steps") == [{"train": 0.25}] * 2


def test_one_member_of_a_collection_may_be_fed_alone(recorder: Recorder) -> None:
    """The others are null, and no warning of torchmetrics appears."""
    collection = MetricCollection({"acc": BinaryAccuracy(), "f1": BinaryF1Score()}, compute_groups=False)
    RecorderHelper(recorder).metric(m=collection)
    with warnings.catch_warnings(), recorder(train=False):
        warnings.simplefilter("error")
        collection["acc"].update(PREDS, TARGET)
    assert recorded(recorder) == [{"m/acc": 0.75, "m/f1": None}]


class Broken(BinaryAccuracy):
    """Cannot be computed."""

    def compute(self) -> Any:
        raise ValueError("no positive samples")


@pytest.mark.parametrize("aggregator", [None, torch_mean])
def test_one_broken_member_does_not_spoil_the_others(recorder: Recorder, aggregator: Any) -> None:
    """It is null; the mistake that names it raises in the first block and is one warning afterwards."""
    collection = MetricCollection(
        {
            "acc": BinaryAccuracy(),
            "bad": Broken(),
            "each": ClasswiseWrapper(MulticlassAccuracy(2, average=None), labels=["no", "yes"]),
            "matrix": BinaryConfusionMatrix(),
        },
        compute_groups=False,
    )
    RecorderHelper(recorder).metric(aggregator, m=collection)
    expected: dict[str, float | None] = {
        "m/acc": 0.75,
        "m/bad": None,
        "m/each/multiclassaccuracy_no": 2 / 3,
        "m/each/multiclassaccuracy_yes": 1.0,
    }
    expected["m/matrix"] = None if aggregator is None else 1.0
    message = "'m/bad' failed: ValueError: no positive samples" + (".*'m/matrix'" if aggregator is None else "$")
    for index in range(3):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raising: Any = pytest.raises(UsageError, match=message) if index == 0 else contextlib.nullcontext()
            with raising, recorder(train=False):
                collection.update((PREDS > 0.5).long(), TARGET)
        told = [str(warning.message) for warning in caught if warning.category is NeurocktWarning]
        assert len(told) == (index == 1)
        assert all("m/bad" in message for message in told)
    assert [row == pytest.approx(expected) for row in recorded(recorder)] == [True] * 3


@pytest.mark.parametrize(
    "metric",
    [
        lambda: BinaryAUROC(),
        lambda: MetricCollection([BinaryAUROC(), CatMetric()], compute_groups=False),
        lambda: 1 - BinaryAUROC(),
        lambda: MinMaxMetric(BinaryAUROC()),
        lambda: BootStrapper(BinaryAUROC(), num_bootstraps=2, sampling_strategy="multinomial"),
        lambda: MultitaskWrapper({"a": BinaryAUROC(), "b": BinaryAUROC()}),
        lambda: MetricInputTransformer(BinaryAUROC()),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:torchmetrics")
@pytest.mark.parametrize("fed_by", ["call", "update"])
def test_memory_stays_flat_where_batch_values_are_averaged(
    recorder: Recorder, metric: Callable[[], Any], fed_by: str
) -> None:
    """In the README's form nobody else resets it: neither predictions nor graphs of an earlier step are held."""
    metric = metric()
    RecorderHelper(recorder).track_scalar(torch_mean, m=metric)
    weight = torch.ones(4, requires_grad=True)
    held, graphs = [], []
    for _ in range(6):
        preds = (PREDS * weight).sigmoid()
        inputs = (
            ({"a": preds, "b": preds}, {"a": TARGET, "b": TARGET})
            if isinstance(metric, MultitaskWrapper)
            else (
                preds,
                TARGET,
            )
        )
        with recorder(train=True):
            if isinstance(metric, MetricCollection):
                metric["BinaryAUROC"](*inputs) if fed_by == "call" else metric["BinaryAUROC"].update(*inputs)
                metric["CatMetric"].update(preds)
            else:
                (metric.update if fed_by == "update" else metric)(*inputs)
        del preds, inputs
        gc.collect()
        held.append(sum(type(item) is torch.Tensor for item in gc.get_objects()))
        graphs.append(sum(type(item) is torch.Tensor and item.grad_fn is not None for item in gc.get_objects()))
    assert held[5] <= held[2]
    assert graphs[5] == graphs[0] == 0


def test_the_last_block_can_be_asked_for_until_the_next_begins(recorder: Recorder) -> None:
    """With an aggregator the metric is not reset when its block ends."""
    acc = RecorderHelper(recorder).metric(torch_mean, acc=BinaryAccuracy())["acc"]
    for target in (TARGET, 1 - TARGET):
        with recorder(train=False):
            acc(PREDS, target)
        assert acc.compute() == (0.75 if target is TARGET else 0.25)


def test_a_metric_that_was_fed_in_inference_mode_can_be_fed_in_training(recorder: Recorder) -> None:
    """Its states are not left as tensors that only inference may change."""
    helper, acc, mean = RecorderHelper(recorder), BinaryAccuracy(), MeanMetric()
    helper.metric(acc=acc, mean=mean)
    helper.track_scalar(torch_mean, acc=acc, mean=mean)
    for _ in range(2):
        with torch.inference_mode(), recorder(train=False):
            acc(PREDS, TARGET)
            mean(PREDS)
        with recorder(train=True):
            acc(PREDS, TARGET)
            mean(PREDS)
    assert recorded(recorder) == recorded(recorder, "steps") == [{"acc": 0.75, "mean": 0.5}] * 2


@pytest.mark.parametrize("aggregator", [None, torch_mean])
def test_a_copy_records_to_the_same_column(recorder: Recorder, aggregator: Any) -> None:
    """As copies of other modules do: deep copies, pickles, and ``clone()``."""
    metric = BinaryAccuracy()
    RecorderHelper(recorder).metric(aggregator, acc=metric)
    file = io.BytesIO()
    torch.save(metric, file)
    file.seek(0)
    copies = [
        copy.deepcopy(metric),
        metric.clone(),
        pickle.loads(pickle.dumps(metric)),
        torch.load(file, weights_only=False),
    ]
    for each in copies:
        with recorder(train=False):
            each(PREDS, TARGET)
    assert recorded(recorder) == [{"acc": 0.75}] * 4


def test_copies_that_are_fed_at_once_are_an_error_that_names_the_metric(recorder: Recorder) -> None:
    """Without an aggregator their states cannot be one value."""
    metric = BinaryAccuracy()
    RecorderHelper(recorder).metric(acc=metric)
    twin = metric.clone()
    with pytest.raises(UsageError, match="'acc' was fed through 2 copies"), recorder(train=False):
        metric(PREDS, TARGET)
        twin(PREDS, TARGET)
    assert recorded(recorder) == [{"acc": None}]
