"""The documented use, word for word: DESIGN's loop on real modules, torchmetrics and tensors."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from neurockt import open_run
from neurockt.monitor import Recorder, RecorderHelper, torch_mean
from neurockt.torch import forward


def batches(count: int = 6, size: int = 8) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count * size, 4, generator=generator)
    labels = torch.randint(0, 3, (count * size,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size=size)


@pytest.mark.slow
def test_the_loop_of_the_documentation(make_recorder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Decorators stacked on forward, both blocks, a torchmetrics metric: two tables and the printed table."""
    from torchmetrics.classification import MulticlassAccuracy

    recorder = make_recorder()

    class TotalLoss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loss = nn.CrossEntropyLoss()

        @recorder.track_scalar("train_loss", torch_mean)
        @recorder.metric("valid_loss", torch_mean)
        def forward(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
            return self.loss(inp, targ)  # type: ignore[no-any-return]

    helper = RecorderHelper(recorder)
    accuracy = MulticlassAccuracy(3, average="micro")
    metric = helper.metric(torch_mean, acc=accuracy)
    model, loss = nn.Linear(4, 3), TotalLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    train_losses, valid_losses, accuracies = [], [], []
    for _ in range(2):
        for preds, (labels,) in forward(batches(), model):
            with recorder(train=True):
                value = loss(preds, labels)
                value.backward()
            train_losses.append(value.item())
            optimizer.step()
            optimizer.zero_grad()
        seen, hits = [], []
        with recorder(train=False), torch.inference_mode():
            for preds, (labels,) in forward(batches(), model):
                seen.append(loss(preds, labels).item())
                hits.append(metric["acc"](preds, labels).item())
        valid_losses.append(sum(seen) / len(seen))
        accuracies.append(sum(hits) / len(hits))
    recorder.finish()

    run = open_run(recorder.run_dir)
    steps, epochs = run.steps(), run.epochs()
    assert metric["acc"] is accuracy
    assert steps.column_names == ["step", "epoch", "time", "train_loss"]
    assert steps["step"].to_pylist() == list(range(1, 13))
    assert steps["epoch"].to_pylist() == [1] * 6 + [2] * 6
    assert steps["train_loss"].to_pylist() == train_losses
    assert epochs.column_names == ["step", "epoch", "time", "valid_loss", "acc"]
    assert epochs["step"].to_pylist() == [6, 12]
    assert epochs["epoch"].to_pylist() == [1, 2]
    assert epochs["valid_loss"].to_pylist() == pytest.approx(valid_losses, abs=0)
    assert epochs["acc"].to_pylist() == pytest.approx(accuracies, abs=0)
    assert run.state == "finished"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "\t valid_loss    acc"
    assert lines[1:] == [f"\t {v:<14.4f}{a:.4f}" for v, a in zip(valid_losses, accuracies, strict=True)]


def test_training_is_another_word_for_train(recorder: Recorder) -> None:
    """``recorder(training=True)`` is the same block as ``recorder(train=True)``."""
    assert recorder(training=True) is recorder(train=True)
    assert recorder(training=False) is recorder(train=False)
    assert recorder(train=True) is not recorder(train=False)


def test_the_users_own_aggregator_gets_detached_tensors(recorder: Recorder) -> None:
    """A user's aggregator gets the list of the block's tensors, without their graphs, as they were when returned."""
    received: list[list[torch.Tensor]] = []

    def own_mean(values: list[torch.Tensor]) -> torch.Tensor:
        received.append(values)
        return torch.stack(values).mean()

    @recorder.track_scalar("loss", own_mean)
    def loss(weight: torch.Tensor) -> torch.Tensor:
        return weight * 2

    with recorder(train=True):
        for start in (1.0, 2.0):
            value = loss(torch.tensor(start, requires_grad=True))
            with torch.no_grad():
                value.zero_()
    assert [value.item() for value in received[0]] == [2.0, 4.0]
    assert not any(value.requires_grad for value in received[0])
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [3.0]


def test_the_decorated_call_returns_what_the_function_returned(recorder: Recorder) -> None:
    """The very object comes back, inside a block and outside, and its gradient flows."""
    weight = torch.tensor(3.0, requires_grad=True)
    result = weight**2

    @recorder.track_scalar("loss")
    def loss() -> torch.Tensor:
        return result

    assert loss() is result
    with recorder(train=True):
        assert loss() is result
    loss().backward()
    assert weight.grad is not None
    assert weight.grad.item() == 6.0


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1, 2, 6], 3.0),
        ([True, False], 0.5),
        ([0.5], 0.5),
        ([torch.tensor(1.0), torch.tensor(2.0)], 1.5),
        ([torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])], 3.0),
        ([torch.tensor(3)], 3.0),
        ([torch.tensor(1.5, dtype=torch.bfloat16), 0.5], 1.0),
    ],
)
def test_without_an_aggregator_the_mean_is_recorded(recorder: Recorder, values: list[Any], mean: float) -> None:
    """Primitives and tensors of any shape: every element counts alike."""

    @recorder.metric("value")
    def value(index: int) -> Any:
        return values[index]

    with recorder(train=False):
        for index in range(len(values)):
            value(index)
    assert open_run(recorder.run_dir).epochs()["value"].to_pylist() == [mean]
    assert torch_mean(values) == mean


@pytest.mark.slow
def test_a_metric_without_aggregator_computes_over_the_block(recorder: Recorder) -> None:
    """``compute()`` over unequal batches, not the mean of batches; then ``reset()``; ``update()`` alone counts."""
    from torchmetrics.classification import MulticlassAccuracy

    helper = RecorderHelper(recorder)
    accuracy = helper.metric(acc=MulticlassAccuracy(3, average="micro"))["acc"]
    target = torch.tensor([0, 1, 2])
    with recorder(train=False), torch.inference_mode():
        accuracy(target, target)  # 3 of 3
        accuracy.update(torch.tensor([1]), torch.tensor([0]))  # 0 of 1
    assert not accuracy.update_called
    with recorder(train=False):
        pass
    accuracy.update(torch.tensor([1]), torch.tensor([0]))  # outside of a block: none of its business
    with recorder(train=False):
        accuracy.update(target, target)
    with pytest.raises(RuntimeError, match="the loop broke"), recorder(train=False):
        accuracy.update(torch.tensor([1]), torch.tensor([0]))
        raise RuntimeError("the loop broke")
    with recorder(train=False):
        accuracy.update(target, target)
    assert open_run(recorder.run_dir).epochs()["acc"].to_pylist() == [0.75, None, 1.0, 1.0]


@pytest.mark.slow
def test_a_metric_collection_gives_a_column_for_each_of_its_metrics(recorder: Recorder) -> None:
    """Without an aggregator ``compute()`` of each; with one, the aggregated batch values."""
    from torchmetrics import MetricCollection
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

    helper = RecorderHelper(recorder)

    def collection() -> MetricCollection:
        return MetricCollection({"acc": MulticlassAccuracy(3, average="micro"), "f1": MulticlassF1Score(3)})

    whole = helper.metric(whole=collection())["whole"]
    batch = helper.metric(torch_mean, batch=collection())["batch"]
    target = torch.tensor([0, 1, 2])
    with recorder(train=False):
        for metrics in (whole, batch):
            metrics(target, target)
            metrics(torch.tensor([1]), torch.tensor([0]))
    with recorder(train=False):
        whole(target, target)
    epochs = open_run(recorder.run_dir).epochs()
    assert epochs.column_names[3:] == ["whole/acc", "whole/f1", "batch/acc", "batch/f1"]
    assert epochs["whole/acc"].to_pylist() == [0.75, 1.0]
    assert epochs["batch/acc"].to_pylist() == [0.5, None]


def test_a_plain_function_comes_back_wrapped(recorder: Recorder) -> None:
    """``helper.track_scalar`` wraps functions and hooks modules; both record in training blocks only."""
    helper = RecorderHelper(recorder)
    norms = itertools.count(1)
    loss = nn.MSELoss()
    scalar = helper.track_scalar(grad_norm=lambda: float(next(norms)), mse=loss)
    assert scalar["mse"] is loss
    scalar["grad_norm"]()
    with recorder(train=True):
        assert scalar["grad_norm"]() == 2.0
        loss(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 1.0]))
    with recorder(train=False):
        scalar["grad_norm"]()
    row = open_run(recorder.run_dir).steps().to_pylist()[0]
    assert (row["grad_norm"], row["mse"]) == (2.0, 2.0)


def test_an_accumulating_loop_records_the_mean_of_its_micro_batches(recorder: Recorder) -> None:
    """Several calls in one training block are one row."""

    @recorder.track_scalar("loss", torch_mean)
    def loss(value: float) -> torch.Tensor:
        return torch.tensor(value)

    with recorder(train=True):
        for value in (1.0, 2.0, 6.0):
            loss(value)
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [3.0]
