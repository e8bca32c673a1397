"""The rows, names and settings of a run that Lightning or Fabric logs; its life is in test_lightning_runs.py."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="needs lightning: pip install -r tests/requirements-frameworks.txt")

from integrations.lightning_net import Net, fit, make_trainer
from lightning.fabric import Fabric
from lightning.pytorch.callbacks import Callback, LearningRateMonitor, ThroughputMonitor
from lightning.pytorch.loggers.logger import DummyExperiment

from neurockt import open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.integrations.lightning import NeurocktLogger
from neurockt.monitor import Recorder

pytestmark = pytest.mark.slow


def rows(logger: NeurocktLogger, table: str, *columns: str) -> list[tuple[Any, ...]]:
    """The given columns of a table, a tuple for each row."""
    found = getattr(open_run(logger.recorder.run_dir), table)(["step", *columns])
    return list(zip(*(found[name].to_pylist() for name in ("step", *columns)), strict=True))


def steps_of(logger: NeurocktLogger, table: str, column: str) -> list[int]:
    """The steps of the rows in which a column has a value."""
    return [step for step, value in rows(logger, table, column) if value is not None]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> NeurocktLogger:
    """Twelve batches, two to a step, a validation after six, learning rate each step; then validate and test."""
    root = tmp_path_factory.mktemp("trained")
    logger = NeurocktLogger(save_dir=root, project="toy")
    options = {"accumulate_grad_batches": 2, "val_check_interval": 0.5, "log_every_n_steps": 2}
    model = Net(lr=0.1, nested={"depth": 3})
    trainer = fit(logger, root, model, callbacks=[LearningRateMonitor("step")], **options)
    trainer.validate(model, verbose=False)
    trainer.test(model, verbose=False)
    return logger


def test_training_is_rows_of_steps_with_the_number_of_the_optimizer_step(trained: NeurocktLogger) -> None:
    assert steps_of(trained, "steps", "loss") == [2, 4, 6]
    assert steps_of(trained, "steps", "lr-SGD") == [2, 4, 6]


def test_the_epochs_metrics_are_on_the_row_of_its_last_step(trained: NeurocktLogger) -> None:
    both = rows(trained, "steps", "both_step", "both_epoch")
    assert [step for step, _, mean in both if mean is not None] == [6]
    assert both[-1][1] is not None


def test_validation_and_test_are_rows_of_epochs_at_the_steps_done(trained: NeurocktLogger) -> None:
    """Two validations during training, one after it, and the test: a row each."""
    assert [step for step, *_ in rows(trained, "epochs", "val_loss")] == [3, 6, 6, 6]
    assert steps_of(trained, "epochs", "val_loss") == [3, 6, 6]
    assert steps_of(trained, "epochs", "test_loss") == [6]


def test_lightnings_epoch_is_a_column_of_its_own(trained: NeurocktLogger) -> None:
    assert [epoch for _, epoch in rows(trained, "epochs", "trainer/epoch")] == [0, 0, 1, 1]


def test_hyperparameters_are_the_config(trained: NeurocktLogger) -> None:
    assert open_run(trained.recorder.run_dir).config == {"lr": 0.1, "nested": {"depth": 3}}


def test_the_run_knows_how_many_steps_the_fit_makes(trained: NeurocktLogger, tmp_path: Path) -> None:
    """As many as two epochs have, or ``max_steps``; what the user gave stays; a fit without an end has none."""
    assert open_run(trained.recorder.run_dir).info.total_steps == 6
    for options, given, total in (
        ({"max_steps": 2, "max_epochs": None}, None, 2),
        ({"max_epochs": -1, "max_time": {"seconds": 0}}, None, None),
        ({}, 500, 500),
    ):
        logger = NeurocktLogger(save_dir=tmp_path, total_steps=given)
        fit(logger, tmp_path, **{"limit_train_batches": 3, **options})
        assert logger.recorder.total_steps == total


def test_the_run_goes_on_after_the_fit(trained: NeurocktLogger) -> None:
    assert open_run(trained.recorder.run_dir).state == "running"


def test_lightnings_words_for_the_run(trained: NeurocktLogger) -> None:
    run_dir = trained.recorder.run_dir
    assert (trained.save_dir, trained.version) == (str(run_dir.parent), run_dir.name)
    assert trained.name == "toy"
    assert open_run(run_dir).info.project == "toy"
    assert trained.experiment is trained.recorder


def test_save_dir_and_version_are_root_and_run_id(tmp_path: Path) -> None:
    assert NeurocktLogger(save_dir=tmp_path, version="a").recorder.run_dir == tmp_path / "a"
    assert NeurocktLogger(tmp_path, version="a").recorder.run_dir == tmp_path / "a"
    assert NeurocktLogger(root=tmp_path, version=3).recorder.run_dir == tmp_path / "version_3"
    assert NeurocktLogger(save_dir=tmp_path).name == "neurockt"


def test_two_words_for_one_thing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give run_id= or version=, not both"):
        NeurocktLogger(version="a", run_id="b")


class Calls(Callback):
    """Calls the logger as users do, with the trainer's ``global_step``, and without a step."""

    def on_train_start(self, trainer: Any, module: Any) -> None:
        trainer.logger.log_metrics({"start": 1.0}, step=trainer.global_step)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        trainer.logger.log_metrics({"batch_start": float(index + 1)}, step=trainer.global_step)

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        trainer.logger.log_metrics({"batch_end": float(index + 1)}, step=trainer.global_step)
        trainer.logger.log_metrics({"no_step": float(index + 1)})

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        trainer.logger.log_metrics({"epoch_end": 1.0}, step=trainer.global_step)

    def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
        trainer.logger.log_metrics({"sanity" if trainer.sanity_checking else "fid": 1.0}, step=trainer.global_step)


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> NeurocktLogger:
    """Two epochs of three batches, a sanity check, and calls of the user's own in each hook; a call after the fit."""
    root = tmp_path_factory.mktemp("called")
    logger = NeurocktLogger(save_dir=root)
    fit(logger, root, max_epochs=2, limit_train_batches=3, num_sanity_val_steps=1, callbacks=[Calls()])
    logger.log_metrics({"after": 1.0})
    return logger


def test_the_users_own_calls_join_the_row_of_the_step_they_are_made_in(called: NeurocktLogger) -> None:
    in_batches = rows(called, "steps", "batch_start", "batch_end", "no_step")
    assert [row for row in in_batches if row[0] > 0] == [(n, b, b, b) for n, b in enumerate((1, 2, 3) * 2, 1)]
    assert steps_of(called, "steps", "loss") == [1, 2, 3, 4, 5, 6]
    assert steps_of(called, "steps", "epoch_end") == [3, 6]
    assert steps_of(called, "steps", "start") == [0]


def test_what_is_logged_while_validating_is_in_the_row_of_the_validation(called: NeurocktLogger) -> None:
    validations = rows(called, "epochs", "sanity", "fid", "val_loss")
    assert [(step, sanity, fid, loss is not None) for step, sanity, fid, loss in validations] == [
        (0, 1.0, None, False),
        (3, None, 1.0, True),
        (6, None, 1.0, True),
    ]


def test_what_is_logged_after_the_fit_is_kept(called: NeurocktLogger) -> None:
    late = open_run(called.recorder.run_dir).late().to_pylist()
    assert [(row["step"], row["after"]) for row in late] == [(6, 1.0)]


class Mistakes(Callback):
    """Logs what is not a number, or not at a step, from the second step on."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if index:
            for values in (None, {"text": "a"}, {}):
                trainer.logger.log_metrics(values)
            trainer.logger.log_metrics({"own": 1.0}, step="a")


def test_a_users_mistake_costs_a_warning_and_never_the_job(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path)
    trainer = make_trainer(logger, tmp_path, limit_train_batches=3, callbacks=[Mistakes()])
    with pytest.warns(NeurocktWarning) as warned:
        trainer.fit(Net())
    assert len([each for each in warned if each.category is NeurocktWarning]) == 3
    assert steps_of(logger, "steps", "loss") == [1, 2, 3]


class StepsOfBatches(Net):
    """Logs a value of each validation batch."""

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val", float(index), on_step=True, on_epoch=True)


def test_values_of_single_evaluation_batches_join_the_row_of_the_evaluation(tmp_path: Path) -> None:
    """Lightning counts evaluation batches there, from 0 or 1, which says nothing about the step of the training."""
    logger = NeurocktLogger(save_dir=tmp_path)
    options = {"limit_train_batches": 6, "val_check_interval": 2, "limit_val_batches": 4}
    trainer = make_trainer(logger, tmp_path, callbacks=[ThroughputMonitor(len)], **options)
    with pytest.warns(NeurocktWarning, match="values of single evaluation batches.*the row .* keeps those of its last"):
        trainer.fit(StepsOfBatches())
    assert rows(logger, "epochs", "val_step", "val_epoch") == [(2, 3.0, 1.5), (4, 3.0, 1.5), (6, 3.0, 1.5)]
    assert steps_of(logger, "epochs", "validate/samples") == [2, 4, 6]


def test_a_step_that_counts_batches_is_the_one_they_belong_to(tmp_path: Path) -> None:
    """As Lightning's ThroughputMonitor counts, where several batches are accumulated to a step."""
    logger = NeurocktLogger(save_dir=tmp_path)
    fit(logger, tmp_path, accumulate_grad_batches=3, limit_val_batches=0, callbacks=[ThroughputMonitor(len)])
    assert steps_of(logger, "steps", "train/samples") == steps_of(logger, "steps", "loss") == [1, 2, 3, 4]


class TwoOptimizers(Net):
    """Steps two optimizers in each batch: ``global_step`` rises by two."""

    automatic_optimization = False

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        import torch

        return [torch.optim.SGD(self.parameters(), lr=0.1), torch.optim.SGD(self.parameters(), lr=0.1)]

    def training_step(self, batch: Any, index: int) -> None:
        for optimizer in self.optimizers():
            loss = self._loss(batch)
            self.manual_backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        self.log("loss", loss, on_step=True, on_epoch=True)
        self.logger.log_metrics({"own": 1.0}, step=self.global_step)


def test_two_optimizers_make_one_step_a_batch(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path)
    fit(logger, tmp_path, TwoOptimizers(), limit_train_batches=3)
    assert steps_of(logger, "steps", "own") == [1, 2, 3]
    assert steps_of(logger, "steps", "loss_step") == [1, 2, 3]
    assert steps_of(logger, "steps", "loss_epoch") == [3]
    assert steps_of(logger, "epochs", "val_loss") == [3]


def test_fast_dev_run_records_nothing(tmp_path: Path) -> None:
    fit(NeurocktLogger(save_dir=tmp_path / "runs"), tmp_path, fast_dev_run=True)
    assert not (tmp_path / "runs").exists()


def test_setting_up_and_predicting_records_nothing(tmp_path: Path) -> None:
    """The run begins with its first row, not where Lightning asks for ``experiment``."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    trainer = make_trainer(logger, tmp_path, limit_predict_batches=1)
    model = Net()
    model.predict_step = lambda batch: None  # type: ignore[method-assign]
    trainer.predict(model)
    assert not (tmp_path / "runs").exists()


def test_fabric_rows_have_their_own_step(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path)
    fabric = Fabric(accelerator="cpu", devices=1, loggers=logger)
    for step in (0, 5, 10):
        fabric.log("loss", 1.0 / (step + 1), step=step)
        fabric.log_dict({"iter": step, "epoch": 2, "val": {"acc": 0.5}}, step=step)
    assert rows(logger, "steps", "loss", "iter", "trainer/epoch", "val/acc") == [
        (0, 1.0, 0, 2, 0.5),
        (5, 1 / 6, 5, 2, 0.5),
        (10, 1 / 11, 10, 2, 0.5),
    ]


def test_a_given_recorder_records(tmp_path: Path) -> None:
    """With a WandbRecorder the run is live in W&B."""
    recorder = Recorder(tmp_path, project="mine", quiet=True)
    logger = NeurocktLogger(recorder)
    fit(logger, tmp_path, limit_train_batches=2)
    assert logger.recorder is recorder
    assert logger.name == "mine"
    assert open_run(recorder.run_dir).steps()["step"].to_pylist() == [1, 2]


def test_a_pickled_logger_keeps_recording(tmp_path: Path) -> None:
    """In this process to the same run, before its first row and after it."""
    logger = NeurocktLogger(save_dir=tmp_path)
    for step in (1, 2):
        pickle.loads(pickle.dumps(logger)).log_metrics({"loss": 1.0}, step)
    logger.log_metrics({"loss": 1.0}, 3)
    assert steps_of(logger, "steps", "loss") == [1, 2, 3]


def test_other_ranks_get_a_dummy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    assert isinstance(logger.experiment, DummyExperiment)
    logger.log_metrics({"loss": 1.0}, 1)
    assert not (tmp_path / "runs").exists()
