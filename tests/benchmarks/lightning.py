"""What loggers cost Lightning's training loop: its time with one, over that of the same loop with ``logger=False``."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios

STEPS, QUICK_STEPS = 2_000, 500


def neurockt(directory: str) -> Any:
    from neurockt.integrations.lightning import NeurocktLogger

    return NeurocktLogger(save_dir=directory)


def csv(directory: str) -> Any:
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(directory)


def tensorboard(directory: str) -> Any:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(directory)


LOGGERS: dict[str, Callable[[str], Any]] = {"neurockt": neurockt, "CSVLogger": csv, "TensorBoardLogger": tensorboard}
NONE = "logger=False"


def loop_seconds(logger: str, steps: int, directory: str) -> float:
    """Seconds of the training loop of a tiny model that logs five values at each step."""
    import torch
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch.utils.data import DataLoader

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Net(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(8, 1)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            loss = self.layer(batch).pow(2).mean()
            self.log_dict({"loss": loss, **{f"metric_{number}": loss.detach() for number in range(4)}})
            return loss

    class Clock(Callback):
        def on_train_start(self, *_: Any) -> None:
            self.began = time.perf_counter()

        def on_train_end(self, *_: Any) -> None:
            self.seconds = time.perf_counter() - self.began

    torch.set_num_threads(1)
    clock = Clock()
    trainer = Trainer(
        max_steps=steps,
        max_epochs=-1,
        log_every_n_steps=1,
        accelerator="cpu",
        logger=LOGGERS[logger](directory) if logger in LOGGERS else False,
        callbacks=[clock],
        default_root_dir=directory,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Net(), DataLoader(torch.ones(steps, 8), batch_size=1))  # type: ignore[arg-type]
    return clock.seconds


def lightning(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    if find_spec("lightning") is None or find_spec("tensorboard") is None:
        yield Figure("Lightning", "left out", beside="lightning and tensorboard are not installed")
        return
    steps = effort.of(STEPS, QUICK_STEPS)
    names = (NONE, *LOGGERS)
    runs = [partial(fresh, loop_seconds, logger=name, steps=steps) for name in names]
    seconds = dict(zip(names, alternate(effort, "Lightning", *runs), strict=True))
    over = {name: ratios(seconds[name], seconds[NONE]) for name in LOGGERS}
    least = min(over["CSVLogger"].median, over["TensorBoardLogger"].median)
    for name, ratio in over.items():
        is_ours = name == "neurockt"
        yield Figure(
            f"Lightning, {steps:,} steps with {name}, of {NONE}",
            ratio.text(),
            "less than both others" if is_ours else "",
            ratio.median < least if is_ours else None,
            f"{min(seconds[name]):.2f} of {min(seconds[NONE]):.2f} s at best",
        )


MEASURES = [Measure("lightning", "what loggers cost Lightning's training loop", lightning)]
