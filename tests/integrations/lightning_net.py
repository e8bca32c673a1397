"""A tiny model for Lightning, and a trainer without a progress bar; scripts and spawned processes import it, too."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

BATCHES = 12

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Net(LightningModule):
    """Logs ``loss`` each step, ``both`` for the step and the epoch, and ``val_loss`` and ``test_loss``."""

    def __init__(self, lr: float = 0.1, **others: Any) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        return self.layer(batch).pow(2).mean()

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss = self._loss(batch)
        self.log("loss", loss)
        self.log("both", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch: torch.Tensor, index: int) -> None:
        self.log("val_loss", self._loss(batch))

    def test_step(self, batch: torch.Tensor, index: int) -> None:
        self.log("test_loss", self._loss(batch))

    def train_dataloader(self) -> DataLoader[torch.Tensor]:
        return DataLoader(torch.ones(BATCHES, 4))  # type: ignore[arg-type]

    val_dataloader = test_dataloader = predict_dataloader = train_dataloader


def make_trainer(logger: Any, root: Path, **options: Any) -> Trainer:
    """A trainer on the CPU for one epoch of twelve batches, two validation batches, that logs each step."""
    defaults = {
        "max_epochs": 1,
        "limit_val_batches": 2,
        "limit_test_batches": 2,
        "log_every_n_steps": 1,
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": root,
    }
    return Trainer(logger=logger, **{**defaults, **options})


def fit(
    logger: Any, root: Path, model: LightningModule | None = None, ckpt_path: str | None = None, **options: Any
) -> Trainer:
    """Train for an epoch with a new trainer."""
    trainer = make_trainer(logger, root, **options)
    trainer.fit(model or Net(), ckpt_path=ckpt_path)
    return trainer
