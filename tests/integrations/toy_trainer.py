"""A Trainer of a model with three parameters: 8 optimizer steps an epoch, no progress bar, no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from neurockt import open_run

DATA = [{"x": torch.tensor([float(n), 1.0]), "labels": torch.tensor([n / 2])} for n in range(16)]


class Net(nn.Module):
    def __init__(self, config: Any = None) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.config = config

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.linear(x)
        return {"loss": ((outputs - labels) ** 2).mean(), "logits": outputs}


def arguments(directory: Path, **options: Any) -> TrainingArguments:
    toy = {
        "per_device_train_batch_size": 1,
        "gradient_accumulation_steps": 2,
        "num_train_epochs": 1,
        "logging_steps": 3,
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "report_to": "none",
    }
    return TrainingArguments(str(directory / "out"), **{**toy, **options})


def trainer(
    directory: Path,
    *callbacks: TrainerCallback,
    kind: type[Trainer] = Trainer,
    trainer_options: dict[str, Any] | None = None,
    **options: Any,
) -> Trainer:
    """A Trainer with these ``TrainingArguments`` of Hugging Face, which does not print what it logs."""
    toy = {"model": Net(), "train_dataset": DATA, "eval_dataset": DATA[:4]}
    made = kind(args=arguments(directory, **options), callbacks=list(callbacks), **{**toy, **(trainer_options or {})})
    made.remove_callback(PrinterCallback)
    return made


def rows(run_dir: Path, table: str) -> list[dict[str, Any]]:
    """The rows of a table of a run, without what they do not have."""
    run = open_run(run_dir)
    return [
        {name: value for name, value in row.items() if value is not None} for row in getattr(run, table)().to_pylist()
    ]
