"""Which run a training belongs to: a first, a second, a resumed one, each trial of a search, those of several ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monitor.launching import forked_ranks

from neurockt import list_runs, open_run
from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder

pytest.importorskip("transformers", reason="transformers is not installed: tests/requirements-frameworks.txt has it")

from integrations.toy_trainer import Net, rows, trainer
from transformers import TrainerCallback
from wandb_server import KEY, WandbServer

from neurockt.integrations.transformers import NeurocktCallback

pytestmark = pytest.mark.slow


class Failing(TrainerCallback):
    """Raises an exception after some steps, once."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.step:
            self.step = 0
            raise RuntimeError("no memory")


def steps(run_dir: Path) -> list[int]:
    return [row["step"] for row in rows(run_dir, "steps")]


def begins(run_dir: Path) -> list[int]:
    """The first step that each attempt after the first may record."""
    return [attempt.first_step for attempt in open_run(run_dir).info.attempts[1:]]


def test_nothing_is_on_disk_before_the_first_log(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs")
    trainer(tmp_path, callback, Failing(2))
    assert not (tmp_path / "runs").exists()
    with pytest.raises(RuntimeError, match="no memory"):
        trainer(tmp_path, callback, Failing(2)).train()
    assert not (tmp_path / "runs").exists()


def test_the_run_may_lie_in_the_directory_of_the_checkpoints(tmp_path: Path) -> None:
    """The Trainer makes it, and writes the first checkpoint, before there is a row."""
    callback = NeurocktCallback(root=tmp_path, run_id="out")
    made = trainer(tmp_path, callback, save_strategy="steps", save_steps=2)
    made.train()
    callback.recorder.finish()
    assert steps(tmp_path / "out") == [3, 6, 8]
    resumed = NeurocktCallback(root=tmp_path, run_id="out", resume=True)
    trainer(tmp_path, resumed).train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    resumed.recorder.finish()
    assert begins(tmp_path / "out") == [5]
    assert steps(tmp_path / "out") == [3, 6, 8]


def test_a_second_training_is_a_new_run(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    made = trainer(tmp_path, callback)
    made.evaluate()
    made.train()
    made.evaluate()
    made.train()
    callback.recorder.finish()
    first, second = tmp_path / "runs" / "toy", tmp_path / "runs" / "toy-2"
    assert steps(first) == steps(second) == [3, 6, 8]
    assert [row["step"] for row in rows(first, "epochs")] == [0, 8]
    assert rows(second, "epochs") == []
    assert open_run(first).state == open_run(second).state == "finished"


def test_a_second_training_after_the_recorder_of_the_user_is_a_new_run_like_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "runs", run_id="toy", project="mine", quiet=True)
    callback = NeurocktCallback(recorder)
    made = trainer(tmp_path, callback, run_name="named")
    made.train()
    assert callback.recorder is recorder
    made.train()
    callback.recorder.finish()
    assert {(run.id, run.project, run.name) for run in list_runs(tmp_path / "runs")} == {
        ("toy", "mine", "named"),
        ("toy-2", "mine", "named"),
    }


def test_with_a_wandb_recorder_each_training_is_a_run_in_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = WandbServer()
    for name, value in {"BASE_URL": server.url, "API_KEY": KEY}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    try:
        callback = NeurocktCallback(WandbRecorder(tmp_path / "runs", entity="tester", quiet=True))
        made = trainer(tmp_path, callback, run_name="named")
        made.train()
        made.train()
        callback.recorder.finish()
        found = [(run.project, run.display_name, run.state, len(run.rows)) for run in server.runs.values()]
        assert found == [("huggingface", "named", "finished", 3)] * 2
    finally:
        server.stop()


def test_a_training_that_is_resumed_continues_the_run_of_its_run_id(tmp_path: Path) -> None:
    """The steps that are trained again replace those that were recorded after the checkpoint."""
    saving = {"logging_steps": 1, "save_strategy": "steps", "save_steps": 5}
    first = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    trainer(tmp_path, first, **saving).train()
    first.recorder.finish()
    callback = NeurocktCallback(root=tmp_path / "runs", run_id="toy", resume=True)
    made = trainer(tmp_path, callback, **saving)
    made.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-5"))
    callback.recorder.finish()
    assert steps(tmp_path / "runs" / "toy") == list(range(1, 9))
    assert begins(tmp_path / "runs" / "toy") == [6]


def test_a_training_that_is_tried_again_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """In the same process, with another callback of the same run_id."""
    saving = {"logging_steps": 1, "save_strategy": "steps", "save_steps": 2}
    first = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    with pytest.raises(RuntimeError, match="no memory"):
        trainer(tmp_path, first, Failing(5), **saving).train()
    second = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    trainer(tmp_path, second, **saving).train(resume_from_checkpoint=True)
    assert steps(tmp_path / "runs" / "toy") == list(range(1, 9))
    assert [info.id for info in list_runs(tmp_path / "runs")] == ["toy"]


def test_an_evaluation_before_a_resumed_training_supersedes_nothing(tmp_path: Path) -> None:
    saving = {"logging_steps": 2, "save_strategy": "steps", "save_steps": 4}
    first = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    trainer(tmp_path, first, **saving).train()
    first.recorder.finish()
    callback = NeurocktCallback(root=tmp_path / "runs", run_id="toy", resume=True)
    made = trainer(tmp_path, callback, **saving)
    made.evaluate()
    assert steps(tmp_path / "runs" / "toy") == [2, 4, 6, 8]
    made.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-4"))
    callback.recorder.finish()
    assert steps(tmp_path / "runs" / "toy") == [2, 4, 6, 8]
    assert begins(tmp_path / "runs" / "toy") == [9, 5]
    assert [row["step"] for row in rows(tmp_path / "runs" / "toy", "epochs")] == [0]


def test_a_training_that_goes_on_from_a_checkpoint_continues_the_run_of_its_callback(tmp_path: Path) -> None:
    """One that failed after the checkpoint, or that ended with it and goes on for longer."""
    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(tmp_path, callback, Failing(7), logging_steps=2, save_strategy="steps", save_steps=3)
    with pytest.raises(RuntimeError, match="no memory"):
        made.train()
    assert steps(callback.recorder.run_dir) == [2, 4, 6]
    made.train(resume_from_checkpoint=str(tmp_path / "out" / "checkpoint-3"))
    made.args.num_train_epochs = 2
    made.train(resume_from_checkpoint=True)
    callback.recorder.finish()
    (run,) = list_runs(tmp_path / "runs")
    assert steps(run.path) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert begins(run.path) == [4]


def test_an_evaluation_after_the_run_was_finished_is_added_to_it(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(tmp_path, callback)
    made.train()
    callback.recorder.finish()
    made.evaluate()
    callback.recorder.finish()
    (run,) = list_runs(tmp_path / "runs")
    assert steps(run.path) == [3, 6, 8]
    assert [row["step"] for row in rows(run.path, "epochs")] == [8]


def test_rows_that_the_user_recorded_before_the_training_stay(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "runs", quiet=True)
    recorder.log({"warmup": 1.0}, step=6)
    trainer(tmp_path, NeurocktCallback(recorder)).train()
    recorder.finish()
    found = rows(recorder.run_dir, "steps")
    assert [row["step"] for row in found] == [6, 8]
    assert found[0].keys() >= {"warmup", "train/loss"}
    assert [row["step"] for row in rows(recorder.run_dir, "late")] == [3]


def test_a_training_that_an_exception_ended_has_failed_when_the_next_one_begins(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs", run_id="toy")
    made = trainer(tmp_path, callback, Failing(7))
    with pytest.raises(RuntimeError, match="no memory"):
        made.train()
    made.train()
    callback.recorder.finish()
    assert [open_run(tmp_path / "runs" / name).state for name in ("toy", "toy-2")] == ["failed", "finished"]


def test_each_trial_of_a_search_is_a_run(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: tests/requirements-frameworks.txt has it")
    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(
        tmp_path, callback, trainer_options={"model": None, "model_init": lambda trial: Net()}, run_name="search"
    )
    made.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1)},
        hp_name=lambda trial: f"trial {trial.number}",
        n_trials=2,
        backend="optuna",
    )
    callback.recorder.finish()
    runs = sorted(list_runs(tmp_path / "runs"), key=lambda run: run.name or "")
    assert [(run.name, run.group, run.state) for run in runs] == [
        (f"trial {number}", "search", "finished") for number in range(2)
    ]
    assert len({run.config["learning_rate"] for run in runs}) == 2
    assert all(run.config["trial"] == {"learning_rate": run.config["learning_rate"]} for run in runs)
    assert all(steps(run.path) == [3, 6, 8] and len(rows(run.path, "epochs")) == 1 for run in runs)


def test_of_two_ranks_the_first_records_or_those_that_ranks_names(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from pathlib import Path\n"
        "from integrations.toy_trainer import trainer\n"
        "from neurockt.integrations.transformers import NeurocktCallback\n"
        "for ranks in 'first', 'all', 1:\n"
        "    callback = NeurocktCallback(root=Path(sys.argv[1]) / str(ranks), ranks=ranks)\n"
        "    made = trainer(Path(sys.argv[1]), callback, eval_strategy='epoch', ddp_backend='gloo')\n"
        "    made.train()\n"
        "    assert made.state.global_step == 4\n"
        "    assert callback.recorder.is_writer == (ranks in ('all', 1 if made.args.process_index else 'first'))\n"
        "    callback.recorder.finish()\n"
    )
    tests = str(Path(__file__).parents[1])
    done = forked_ranks(2, tmp_path / "script.py", tmp_path, preload="integrations.toy_trainer", PYTHONPATH=tests)
    assert done.returncode == 0, done.stderr
    (first,), (each,), (second,) = (list_runs(tmp_path / ranks) for ranks in ("first", "all", "1"))
    assert steps(first.path) == steps(second.path) == [3, 4]
    assert len(rows(first.path, "epochs")) == len(rows(second.path, "epochs")) == 1
    assert sorted(steps(each.path)) == [3, 3, 4, 4]
