"""Which run Lightning's fits and evaluations are recorded in, and how it ends: real trainers, processes and signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("lightning", reason="lightning is not installed: tests/requirements-frameworks.txt has it")

from integrations.lightning_net import Net, fit, make_trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from neurockt import list_runs, open_run
from neurockt.integrations.lightning import NeurocktLogger
from neurockt.run_info import RunInfo

pytestmark = pytest.mark.slow

SCRIPT = """
import os, signal, sys
from integrations.lightning_net import Net, fit, make_trainer
from lightning.pytorch.callbacks import Callback
from neurockt.integrations.lightning import NeurocktLogger

root = sys.argv[1]
logger = NeurocktLogger(save_dir=root + "/runs", project="toy")

class Stop(Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.global_step == 3:
            stop()

"""


def run_script(root: Path, code: str) -> int:
    """The exit status of a script that begins with ``SCRIPT``."""
    script = root / "train.py"
    script.write_text(SCRIPT + code)
    path = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-W", "ignore", script, root]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=300).returncode


def only_run(root: Path) -> RunInfo:
    (info,) = list_runs(root)
    return info


def steps(info: RunInfo) -> list[int]:
    found: list[int] = open_run(info.path).steps()["step"].to_pylist()
    return found


class StopAt(Callback):
    """Raises an error after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("diverged")


def checkpoints(root: Path, every: int) -> ModelCheckpoint:
    return ModelCheckpoint(root / "checkpoints", filename="{step}", every_n_train_steps=every, save_top_k=-1)


def test_a_fit_from_a_checkpoint_in_another_process_goes_on_after_its_step(tmp_path: Path) -> None:
    """What the killed process recorded past the checkpoint is superseded."""
    first = """
def stop(): os.kill(os.getpid(), signal.SIGKILL)
from integrations.test_lightning_runs import checkpoints
from pathlib import Path
fit(NeurocktLogger(save_dir=root + "/runs", version="a"), root, enable_checkpointing=True,
    callbacks=[checkpoints(Path(root), 2), Stop()])
"""
    assert run_script(tmp_path, first) == -signal.SIGKILL
    assert steps(only_run(tmp_path / "runs"))[-1] >= 2
    logger = NeurocktLogger(save_dir=tmp_path / "runs", version="a")
    fit(logger, tmp_path, ckpt_path=str(tmp_path / "checkpoints" / "step=2.ckpt"))
    run = open_run(logger.recorder.run_dir)
    assert run.steps()["step"].to_pylist() == list(range(1, 13))
    assert [event.step for event in run.rewinds()] == [2] if hasattr(run, "rewinds") else True
    assert run.late().num_rows == 0


def test_a_fit_from_a_checkpoint_continues_the_run_in_the_same_process(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    with pytest.raises(RuntimeError, match="diverged"):
        fit(logger, tmp_path, enable_checkpointing=True, callbacks=[checkpoints(tmp_path, 4), StopAt(6)])
    fit(logger, tmp_path, ckpt_path=str(tmp_path / "checkpoints" / "step=4.ckpt"))
    assert steps(only_run(tmp_path / "runs")) == list(range(1, 13))
    assert open_run(logger.recorder.run_dir).late().num_rows == 0


def test_validations_past_a_checkpoint_are_superseded_where_no_step_was_logged(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    rare = {"log_every_n_steps": 50, "val_check_interval": 6}
    with pytest.raises(RuntimeError, match="diverged"):
        fit(logger, tmp_path, enable_checkpointing=True, callbacks=[checkpoints(tmp_path, 4), StopAt(8)], **rare)
    fit(logger, tmp_path, ckpt_path=str(tmp_path / "checkpoints" / "step=4.ckpt"), **rare)
    epochs = open_run(only_run(tmp_path / "runs").path).epochs(["step", "val_loss"])
    assert epochs["step"].to_pylist() == [6, 12]


def test_a_trainer_that_trains_on_goes_on_in_its_run(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    model = Net()
    trainer = fit(logger, tmp_path, model)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(model)
    assert steps(only_run(tmp_path / "runs")) == list(range(1, 25))


def test_each_fit_from_the_start_is_a_run_of_its_own(tmp_path: Path) -> None:
    """As in a search: with its own hyperparameters, and its own end."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs", project="search")
    for lr in (0.1, 0.2, 0.3):
        failing = [StopAt(2)] if lr == 0.2 else []
        try:
            fit(logger, tmp_path, Net(lr=lr), limit_train_batches=3, callbacks=failing)
        except RuntimeError:
            continue
    logger.recorder.finish()
    runs = sorted(list_runs(tmp_path / "runs"), key=lambda info: str(info.config["lr"]))
    assert [info.config for info in runs] == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]
    assert [info.state for info in runs] == ["finished", "failed", "finished"]
    assert [info.failure.message if info.failure else None for info in runs] == [None, "diverged", None]
    assert [steps(info) for info in runs] == [[1, 2, 3], [1], [1, 2, 3]]
    assert {info.project for info in runs} == {"search"}


def test_a_logger_of_the_same_version_is_as_the_one_before_it(tmp_path: Path) -> None:
    """In a notebook whose cell is run again: a fit from the start is a new run, with its own options."""
    kept = []
    for lr in (0.1, 0.2):
        logger = NeurocktLogger(save_dir=tmp_path / "runs", version="v", project=f"p{lr}", config={"cell": lr})
        fit(logger, tmp_path, Net(lr=lr), limit_train_batches=3)
        kept.append(logger)
    found = {info.id: (info.config, info.project, info.steps.last) for info in list_runs(tmp_path / "runs")}
    assert found == {
        "v": ({"cell": 0.1, "lr": 0.1}, "p0.1", 3),
        "v-2": ({"cell": 0.2, "lr": 0.2}, "p0.2", 3),
    }


def test_a_fit_from_the_start_is_a_run_of_its_own_whenever_it_logs_first(tmp_path: Path) -> None:
    """By default Lightning logs each fiftieth step."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    for lr in (0.1, 0.2):
        fit(logger, tmp_path, Net(lr=lr), log_every_n_steps=5)
    logger.recorder.finish()
    runs = sorted(list_runs(tmp_path / "runs"), key=lambda info: str(info.config["lr"]))
    assert [(info.config, steps(info)) for info in runs] == [({"lr": lr}, [5, 10, 12]) for lr in (0.1, 0.2)]


@pytest.mark.parametrize("is_other", [False, True])
def test_all_past_a_checkpoint_is_superseded_whenever_the_fit_logs_first(tmp_path: Path, is_other: bool) -> None:
    """Also what was recorded before the step that it logs first."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs", version="a")
    rare = {"log_every_n_steps": 5, "val_check_interval": 7}
    with pytest.raises(RuntimeError, match="diverged"):
        fit(logger, tmp_path, enable_checkpointing=True, callbacks=[checkpoints(tmp_path, 6), StopAt(8)], **rare)
    logger.log_metrics({"mine": 1.0}, 8)
    if is_other:
        logger.recorder.finish()
        logger = NeurocktLogger(save_dir=tmp_path / "runs", version="a", resume=True)
    fit(logger, tmp_path, ckpt_path=str(tmp_path / "checkpoints" / "step=6.ckpt"), log_every_n_steps=5)
    run = open_run(only_run(tmp_path / "runs").path)
    assert (run.steps()["step"].to_pylist(), run.epochs()["step"].to_pylist()) == ([5, 10, 12], [12])


class Direct(Net):
    """Records with the recorder itself, before anything else does, and where an epoch ends."""

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        self.logger.experiment.log({"direct": float(self.global_step)})

    def on_train_epoch_end(self) -> None:
        self.logger.log_metrics({"ended": float(self.global_step)})


@pytest.mark.parametrize("from_start", [True, False])
def test_what_is_recorded_directly_belongs_to_the_fit_that_has_begun(tmp_path: Path, from_start: bool) -> None:
    """Also where it is first, and where a checkpoint is of the end of an epoch."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs", version="a")
    rare = {"log_every_n_steps": 50, "enable_checkpointing": True, "limit_val_batches": 0}
    fit(logger, tmp_path, Direct(), callbacks=[checkpoints(tmp_path, 12)], **rare)
    ckpt_path = None if from_start else str(tmp_path / "checkpoints" / "step=12.ckpt")
    fit(logger, tmp_path, Direct(), ckpt_path=ckpt_path, max_epochs=1 if from_start else 2, **rare)
    logger.recorder.finish()
    rows = [row for info in list_runs(tmp_path / "runs") for row in open_run(info.path).steps().to_pylist()]
    assert [row["step"] for row in rows] == [*range(1, 13), *range(1, 13)] if from_start else [*range(1, 25)]
    assert [row["direct"] for row in rows] == [row["step"] - 1 for row in rows]
    assert [row["ended"] for row in rows if row["ended"] is not None] == ([12.0, 12.0] if from_start else [12.0, 24.0])


def test_an_evaluation_with_a_new_trainer_belongs_to_the_run(tmp_path: Path) -> None:
    """It is at the step that the training reached, though its trainer has not trained."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    model = Net()
    fit(logger, tmp_path, model)
    make_trainer(logger, tmp_path).test(model, verbose=False)
    epochs = open_run(only_run(tmp_path / "runs").path).epochs()
    assert epochs["step"].to_pylist() == [12, 12]
    assert epochs["test_loss"].null_count == 1


def test_an_evaluation_before_the_fit_belongs_to_its_run(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    model = Net()
    make_trainer(logger, tmp_path).validate(model, verbose=False)
    fit(logger, tmp_path, model, limit_train_batches=3)
    run = open_run(only_run(tmp_path / "runs").path)
    assert (run.steps()["step"].to_pylist(), run.epochs()["step"].to_pylist()) == ([1, 2, 3], [0, 3])


def test_an_evaluation_by_another_process_is_added_to_the_finished_run(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs", version="a")
    fit(logger, tmp_path, limit_train_batches=3)
    logger.recorder.finish()
    later = NeurocktLogger(save_dir=tmp_path / "runs", version="a", resume=True)
    make_trainer(later, tmp_path).test(Net(), verbose=False)
    run = open_run(only_run(tmp_path / "runs").path)
    assert (run.steps()["step"].to_pylist(), run.epochs()["step"].to_pylist()) == ([1, 2, 3], [3, 3])


def test_checkpoints_lie_where_lightning_puts_them(tmp_path: Path) -> None:
    """Under save_dir/name/version, and a run whose directory they have made is recorded."""
    logger = NeurocktLogger(save_dir=tmp_path, version="a", project="a")
    fit(logger, tmp_path, enable_checkpointing=True, limit_train_batches=2)
    assert list((tmp_path / "a" / "a" / "checkpoints").glob("*.ckpt"))
    assert only_run(tmp_path).path == tmp_path / "a"


def test_a_run_whose_checkpoints_are_in_its_directory(tmp_path: Path) -> None:
    """They are there before the first row."""
    logger = NeurocktLogger(save_dir=tmp_path)
    run_dir = logger.recorder.run_dir
    keep = ModelCheckpoint(run_dir / "checkpoints", every_n_train_steps=1)
    fit(logger, tmp_path, enable_checkpointing=True, limit_train_batches=2, log_every_n_steps=2, callbacks=[keep])
    assert (only_run(tmp_path).path, steps(only_run(tmp_path))) == (run_dir, [2])


def test_an_exception_makes_the_run_failed(tmp_path: Path) -> None:
    assert run_script(tmp_path, "def stop(): raise ValueError('diverged')\nfit(logger, root, callbacks=[Stop()])") == 1
    info = only_run(tmp_path / "runs")
    assert (info.state, info.failure and info.failure.type) == ("failed", "ValueError")
    assert steps(info) == [1, 2]


def test_ctrl_c_makes_the_run_failed(tmp_path: Path) -> None:
    """Lightning catches it, and exits with status 1."""
    code = "def stop(): os.kill(os.getpid(), signal.SIGINT)\nfit(logger, root, callbacks=[Stop()])"
    assert run_script(tmp_path, code) == 1
    info = only_run(tmp_path / "runs")
    assert info.state == "failed"
    assert steps(info) == [1, 2]


def test_two_ranks_are_one_run(tmp_path: Path) -> None:
    """Lightning starts the script again for the second rank, which logs too; with ``ranks="all"`` its rows are kept."""
    code = """
fit(logger, root, devices=2, strategy="ddp")
fit(NeurocktLogger(save_dir=root + "/all", ranks="all"), root, devices=2, strategy="ddp", limit_train_batches=2)
"""
    assert run_script(tmp_path, code) == 0
    info = only_run(tmp_path / "runs")
    assert info.state == "finished"
    assert steps(info) == [1, 2, 3, 4, 5, 6]
    table = open_run(only_run(tmp_path / "all").path).steps()
    assert sorted(zip(table["rank"].to_pylist(), table["step"].to_pylist(), strict=True)) == [
        (0, 1),
        (0, 2),
        (1, 1),
        (1, 2),
    ]


def test_spawned_processes_record_a_fit_and_its_test_in_one_run(tmp_path: Path) -> None:
    """Each has processes of its own, to which the logger goes as a pickle; the next fit is a run of its own."""
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    for evaluates in (True, False):
        trainer = make_trainer(logger, tmp_path, strategy="ddp_spawn", limit_train_batches=2)
        trainer.fit(Net())
        if evaluates:
            trainer.test(Net(), verbose=False)
    first, second = sorted(list_runs(tmp_path / "runs"), key=lambda info: info.created)
    assert (steps(first), steps(second)) == ([1, 2], [1, 2])
    assert open_run(first.path).epochs(["test_loss"])["test_loss"].null_count == 1
    assert first.path == logger.recorder.run_dir


def test_an_evaluation_after_the_run_was_finished_is_added_to_it(tmp_path: Path) -> None:
    logger = NeurocktLogger(save_dir=tmp_path / "runs")
    trainer = fit(logger, tmp_path, limit_train_batches=3)
    logger.recorder.finish()
    trainer.validate(Net(), verbose=False)
    run = open_run(only_run(tmp_path / "runs").path)
    assert (run.steps()["step"].to_pylist(), run.epochs()["step"].to_pylist()) == ([1, 2, 3], [3, 3])
