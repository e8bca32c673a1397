"""NeurocktLogger for Ignite, with real engines."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ignite", reason="pytorch-ignite is not installed: tests/requirements-frameworks.txt has it")

import torch
from ignite.engine import Engine, Events
from ignite.handlers import global_step_from_engine
from ignite.metrics import Average
from monitor.launching import forked_ranks

from neurockt import list_runs, open_run
from neurockt.integrations.ignite import NeurocktLogger
from neurockt.integrations.runs import LEFT
from neurockt.monitor import Recorder

pytestmark = pytest.mark.slow

BATCHES = 4


def rows(run_dir: Path, table: str, *columns: str) -> list[tuple[Any, ...]]:
    found = getattr(open_run(run_dir), table)(["step", *columns])
    return list(zip(*(found[name].to_pylist() for name in ("step", *columns)), strict=True))


def make_engines(logger: NeurocktLogger, every: int = 2, stop_at: int | None = None) -> tuple[Engine, Engine]:
    """A trainer whose output is logged each ``every`` iterations, and an evaluator that runs after each epoch."""

    def step(engine: Engine, batch: Any) -> float:
        if engine.state.iteration == stop_at:
            raise RuntimeError("diverged")
        return 1 / engine.state.iteration

    trainer, evaluator = Engine(step), Engine(lambda engine, batch: float(batch))
    Average().attach(evaluator, "mean")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    loss = {"tag": "training", "output_transform": lambda output: {"loss": output}}
    logger.attach_output_handler(trainer, Events.ITERATION_COMPLETED(every=every), **loss)
    logger.attach_opt_params_handler(trainer, Events.ITERATION_STARTED(every=every), optimizer=optimizer)
    logger.attach_output_handler(
        evaluator,
        Events.EPOCH_COMPLETED,
        tag="validation",
        metric_names="all",
        global_step_transform=global_step_from_engine(trainer),
    )
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1.0, 2.0]))
    return trainer, evaluator


def test_training_is_rows_of_steps_and_evaluations_rows_of_epochs_by_iteration(tmp_path: Path) -> None:
    """Ignite gives the epoch as the step of an evaluation; it is at the trainer's iteration."""
    logger = NeurocktLogger(root=tmp_path, project="toy")
    trainer, _ = make_engines(logger)
    trainer.run(range(BATCHES), max_epochs=2)
    run_dir = logger.recorder.run_dir
    loss, lr = "training/loss", "lr/group_0"
    assert rows(run_dir, "steps", loss, lr) == [(2, 1 / 2, 0.1), (4, 1 / 4, 0.1), (6, 1 / 6, 0.1), (8, 1 / 8, 0.1)]
    assert rows(run_dir, "epochs", "validation/mean", "trainer/epoch") == [(4, 1.5, 1), (8, 1.5, 2)]
    assert open_run(run_dir).info.project == "toy"
    assert open_run(run_dir).info.total_steps == 2 * BATCHES


def test_the_trainers_own_metrics_of_an_epoch_are_on_the_row_of_its_last_iteration(tmp_path: Path) -> None:
    logger = NeurocktLogger(root=tmp_path)
    trainer, _ = make_engines(logger)
    Average().attach(trainer, "mean")
    logger.attach_output_handler(trainer, Events.EPOCH_COMPLETED, tag="training", metric_names=["mean"])
    trainer.run(range(BATCHES), max_epochs=2)
    means = rows(logger.recorder.run_dir, "steps", "training/mean")
    assert [step for step, mean in means if mean is not None] == [4, 8]


def test_an_own_step_is_kept(tmp_path: Path) -> None:
    logger = NeurocktLogger(root=tmp_path)
    engine = Engine(lambda engine, batch: batch)
    output = {"output_transform": float, "global_step_transform": lambda engine, event: engine.state.iteration * 100}
    logger.attach_output_handler(engine, Events.ITERATION_COMPLETED, train=True, **output)
    engine.run([1.0, 2.0])
    assert rows(logger.recorder.run_dir, "steps", "output") == [(100, 1.0), (200, 2.0)]


def test_the_word_train_settles_the_table(tmp_path: Path) -> None:
    logger = NeurocktLogger(root=tmp_path)
    engine = Engine(lambda engine, batch: batch)
    logger.attach_output_handler(engine, Events.ITERATION_COMPLETED, output_transform=float, train=False)
    engine.run([1.0, 2.0], max_epochs=1)
    assert open_run(logger.recorder.run_dir).epochs()["output"].to_pylist()[-1] == 2.0


def test_a_trainer_that_runs_again_from_the_start_is_a_new_run(tmp_path: Path) -> None:
    logger = NeurocktLogger(root=tmp_path)
    trainer, _ = make_engines(logger)
    trainer.run(range(BATCHES), max_epochs=1)
    trainer.run(range(BATCHES), max_epochs=1)
    logger.close()
    assert [rows(info.path, "epochs", "validation/mean") for info in list_runs(tmp_path)] == [[(4, 1.5)], [(4, 1.5)]]
    assert {info.state for info in list_runs(tmp_path)} == {"finished"}


def test_a_trainer_that_an_error_left_has_failed_where_another_begins(tmp_path: Path) -> None:
    """As in a search; one that was terminated has finished."""
    logger = NeurocktLogger(root=tmp_path)
    with pytest.raises(RuntimeError, match="diverged"):
        make_engines(logger, stop_at=3)[0].run(range(BATCHES), max_epochs=1)
    trainer, _ = make_engines(logger)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=2), trainer.terminate, skip_completed=True)
    trainer.run(range(BATCHES), max_epochs=1)
    make_engines(logger)[0].run(range(BATCHES), max_epochs=1)
    logger.close()
    runs = sorted(list_runs(tmp_path), key=lambda info: info.created)
    assert [info.state for info in runs] == ["failed", "finished", "finished"]
    assert [open_run(info.path).steps()["step"].to_pylist() for info in runs] == [[2], [2], [2, 4]]


def test_a_trainer_that_runs_on_goes_on_in_its_run(tmp_path: Path) -> None:
    logger = NeurocktLogger(root=tmp_path)
    trainer, _ = make_engines(logger)
    trainer.run(range(BATCHES), max_epochs=1)
    trainer.run(range(BATCHES), max_epochs=2)
    (info,) = list_runs(tmp_path)
    assert [step for step, _ in rows(info.path, "steps", "training/loss")] == [2, 4, 6, 8]


def test_a_loaded_checkpoint_continues_the_run_after_its_iteration(tmp_path: Path) -> None:
    """In a new trainer and logger, as another process has them."""
    logger = NeurocktLogger(root=tmp_path, run_id="a")
    trainer, _ = make_engines(logger, every=1, stop_at=7)
    with pytest.raises(RuntimeError, match="diverged"):
        trainer.run(range(BATCHES), max_epochs=2)
    logger.recorder.finish()
    later = NeurocktLogger(root=tmp_path, run_id="a", resume=True)
    resumed, _ = make_engines(later, every=2)
    resumed.load_state_dict({"epoch_length": BATCHES, "max_epochs": 2, "iteration": 4, "rng_states": None})
    resumed.run(range(BATCHES))
    assert [step for step, _ in rows(tmp_path / "a", "steps", "training/loss")] == [1, 2, 3, 4, 6, 8]


def test_closing_finishes_the_run_but_leaves_a_given_recorder_to_its_owner(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, quiet=True)
    with NeurocktLogger(recorder) as logger:
        make_engines(logger)[0].run(range(BATCHES), max_epochs=1)
    assert open_run(recorder.run_dir).state == "running"
    recorder.finish()
    assert open_run(recorder.run_dir).state == "finished"


@pytest.mark.parametrize(
    ("stop_at", "after", "message"),
    [(3, None, "diverged"), (None, ValueError("later"), "later"), (None, None, None)],
)
def test_an_exception_in_the_block_of_the_logger_makes_the_run_failed(
    tmp_path: Path, stop_at: int | None, after: Exception | None, message: str | None
) -> None:
    """In the training, or after it."""
    with suppress(RuntimeError, ValueError), NeurocktLogger(root=tmp_path) as logger:
        make_engines(logger, stop_at=stop_at)[0].run(range(BATCHES), max_epochs=1)
        if after is not None:
            raise after
    (info,) = list_runs(tmp_path)
    assert info.state == ("failed" if message else "finished")
    assert (info.failure.message if info.failure else None) == message


@pytest.mark.parametrize("is_handled", [True, False])
def test_closing_after_a_training_that_an_error_left(tmp_path: Path, is_handled: bool) -> None:
    logger = NeurocktLogger(root=tmp_path)
    trainer, _ = make_engines(logger, stop_at=3)
    with suppress(RuntimeError):
        try:
            trainer.run(range(BATCHES), max_epochs=1)
        finally:
            if not is_handled:
                logger.close()
    logger.close()
    (info,) = list_runs(tmp_path)
    assert info.failure is not None
    assert (info.state, info.failure.message) == ("failed", LEFT if is_handled else "diverged")


def test_attaching_records_nothing(tmp_path: Path) -> None:
    with NeurocktLogger(root=tmp_path / "runs") as logger:
        make_engines(logger)
    assert not (tmp_path / "runs").exists()


def test_of_two_ranks_the_first_records(tmp_path: Path) -> None:
    """One run, with the rows of rank 0; a metric of Ignite is computed over the ranks, as Ignite does."""
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from torch import distributed\n"
        "from ignite.engine import Engine, Events\n"
        "from ignite.metrics import Average\n"
        "from neurockt.integrations.ignite import NeurocktLogger\n"
        "distributed.init_process_group('gloo')\n"
        "rank = distributed.get_rank()\n"
        "trainer = Engine(lambda engine, batch: {'loss': batch + 100.0 * rank})\n"
        "evaluator = Engine(lambda engine, batch: batch)\n"
        "Average().attach(evaluator, 'acc')\n"
        "with NeurocktLogger(root=sys.argv[1], run_id='toy') as logger:\n"
        "    logger.attach_output_handler(\n"
        "        trainer, Events.ITERATION_COMPLETED, 'train', output_transform=lambda output: output)\n"
        "    logger.attach_output_handler(evaluator, Events.EPOCH_COMPLETED, 'valid', 'all')\n"
        "    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run([1.0 + rank, 2.0 + rank]))\n"
        "    trainer.run([1.0, 2.0, 3.0], max_epochs=2)\n"
        "distributed.destroy_process_group()\n"
    )
    done = forked_ranks(2, tmp_path / "script.py", tmp_path / "runs", preload="ignite")
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(tmp_path / "runs")
    opened = open_run(run.path)
    assert opened.steps()["train/loss"].to_pylist() == [1.0, 2.0, 3.0] * 2
    assert opened.epochs()["valid/acc"].to_pylist() == [2.0, 2.0]
