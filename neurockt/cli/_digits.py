"""A small but real training: a network learns handwritten digits, recorded with the documented loop.

`neurockt demo` and the committed sample runs use it. The data ships inside scikit-learn; nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from neurockt.monitor import Recorder, RecorderHelper, torch_mean
from neurockt.torch import forward

VALIDATION_SHARE = 5
OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def train(recorder: Recorder, epochs: int, *, grad_norm_from: int = 1) -> Iterator[int]:
    """Train with the settings in ``recorder.config``; yields the number of each epoch when it has ended.

    The config has ``optimizer`` (sgd, adam or adamw), ``lr``, ``weight_decay``, ``batch_size``, ``width`` (units of
    the hidden layer) and ``seed``.

    Args:
        grad_norm_from: the first epoch in which the gradient's norm is recorded.
    """
    config = recorder.config
    torch.manual_seed(config["seed"])
    train_dl, valid_dl = _loaders(config["batch_size"])
    model = nn.Sequential(nn.Linear(64, config["width"]), nn.ReLU(), nn.Linear(config["width"], 10))
    optimizer = OPTIMIZERS[config["optimizer"]](
        model.parameters(), lr=config["lr"], weight_decay=config["weight_decay"]
    )

    class Loss(nn.Module):
        @recorder.track_scalar("train_loss", torch_mean)
        @recorder.metric("valid_loss", torch_mean)
        def forward(self, preds: Tensor, labels: Tensor) -> Tensor:
            return nn.functional.cross_entropy(preds, labels)

    def grad_norm() -> Tensor:
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        norm: Tensor = torch.linalg.vector_norm(torch.cat(gradients))
        return norm

    loss, helper = Loss(), RecorderHelper(recorder)
    metric = helper.metric(acc=MulticlassAccuracy(10, average="micro"), f1=MulticlassF1Score(10))
    scalar = {}

    for epoch in range(1, epochs + 1):
        if epoch == grad_norm_from:
            scalar = helper.track_scalar(grad_norm=grad_norm)
        for preds, (labels,) in forward(train_dl, model):
            with recorder(train=True):
                loss(preds, labels).backward()
                if scalar:
                    scalar["grad_norm"]()
            optimizer.step()
            optimizer.zero_grad()
        with recorder(train=False), torch.inference_mode():
            for preds, (labels,) in forward(valid_dl, model):
                loss(preds, labels)
                metric["acc"].update(preds, labels)
                metric["f1"].update(preds, labels)
        yield epoch


def _loaders(batch_size: int) -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    labels = torch.tensor(digits.target)
    held_out = torch.arange(len(labels)) % VALIDATION_SHARE == 0
    training = TensorDataset(images[~held_out], labels[~held_out])
    validation = TensorDataset(images[held_out], labels[held_out])
    return DataLoader(training, batch_size, shuffle=True), DataLoader(validation, 120)
