"""NeurocktCallback in a real Trainer: what becomes which row of which table, and the run's settings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurockt import list_runs, open_run
from neurockt.errors import NeurocktWarning

pytest.importorskip("transformers", reason="transformers is not installed: tests/requirements-frameworks.txt has it")

from integrations.toy_trainer import DATA, Net, rows, trainer
from transformers import Trainer
from transformers.integrations.integration_utils import rewrite_logs

from neurockt.integrations.transformers import NeurocktCallback

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A training that evaluates two data sets at its start, every 5 steps and at its end; then more evaluations."""
    directory = tmp_path_factory.mktemp("training")
    callback = NeurocktCallback(root=directory / "runs", config={"seed": "mine"}, tags=["toy"])
    two = {
        "model": Net(SimpleNamespace(to_dict=lambda: {"hidden_size": 2})),
        "eval_dataset": {"a": DATA, "b": DATA[:4]},
    }
    made = trainer(
        directory,
        callback,
        trainer_options=two,
        run_name="first",
        eval_strategy="steps",
        eval_steps=5,
        eval_on_start=True,
        hub_token="hf_secret",
    )
    made.train()
    trained = made.state.log_history.copy()
    made.evaluate(DATA[:2], metric_key_prefix="held_out")
    made.predict(DATA[:2])
    callback.recorder.finish()
    run_dir = callback.recorder.run_dir
    return SimpleNamespace(run_dir=run_dir, log=trained, steps=rows(run_dir, "steps"), epochs=rows(run_dir, "epochs"))


def test_every_number_that_is_logged_is_in_the_row_of_its_step(training: Any) -> None:
    for logged in training.log:
        step = logged.pop("step")
        table = training.epochs if any(name.startswith("eval_") for name in logged) else training.steps
        named = rewrite_logs(logged).items()
        assert any(row["step"] == step and row.items() >= named for row in table)


def test_training_steps_are_numbered_as_the_trainer_counts_them(training: Any) -> None:
    assert [row["step"] for row in training.steps] == [3, 6, 8]
    assert "train/grad_norm" in training.steps[0]
    assert "train/train_runtime" in training.steps[-1]


def test_the_run_knows_how_many_steps_the_training_makes(training: Any) -> None:
    assert open_run(training.run_dir).info.total_steps == max(row["step"] for row in training.steps)


def test_all_data_sets_of_one_evaluation_are_one_row(training: Any) -> None:
    evaluations = [row for row in training.epochs if "eval/a_loss" in row]
    assert [row["step"] for row in evaluations] == [0, 5, 8]
    assert all("eval/b_loss" in row for row in evaluations)


def test_what_is_evaluated_and_predicted_after_the_training_belongs_to_its_run(training: Any) -> None:
    after = [row for row in training.epochs if "eval/a_loss" not in row]
    assert {row["step"] for row in after} == {8}
    found = {name for row in after for name in row}
    assert {"train/held_out_loss", "test/loss"} <= found


def test_the_settings_are_those_of_the_trainer_and_of_the_model(training: Any) -> None:
    info = open_run(training.run_dir).info
    assert (info.name, info.project, info.tags, info.state) == ("first", "huggingface", ("toy",), "finished")
    assert info.config["gradient_accumulation_steps"] == 2
    assert info.config["hub_token"] == "<HUB_TOKEN>"
    assert info.config["model"] == {"hidden_size": 2, "num_parameters": 3}
    assert info.config["seed"] == "mine"


class Talkative(Trainer):
    """Logs in each micro-batch, as users do."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **others: Any) -> Any:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **others)
        if model.training:
            self.log({"mine": loss, "pair": [1, 2], "reward": None, 7: 8})
        return (loss, outputs) if return_outputs else loss


def test_what_users_log_in_each_micro_batch_is_at_the_last_step_that_ended(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs")
    trainer(tmp_path, callback, kind=Talkative, logging_strategy="no").train()
    callback.recorder.finish()
    found = rows(callback.recorder.run_dir, "steps")
    assert [row["step"] for row in found] == list(range(9))
    assert found[0].items() >= {"train/pair/0": 1, "train/pair/1": 2, "train/7": 8}.items()
    assert all("train/mine" in row for row in found[:8])
    assert "train/reward" not in {name for row in found for name in row}


def test_metrics_that_are_text_are_left_out_and_nested_ones_are_joined(tmp_path: Path) -> None:
    def compute_metrics(prediction: Any) -> dict[str, Any]:
        return {"report": {"f1": 0.5, "text": "good"}, "confusion": "2 0\n0 2"}

    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(tmp_path, callback, trainer_options={"compute_metrics": compute_metrics})
    with pytest.warns(NeurocktWarning) as warned:
        made.evaluate()
    assert [str(each.message).split("'")[1] for each in warned] == ["eval/report/text", "eval/confusion"]
    callback.recorder.finish()
    (row,) = rows(callback.recorder.run_dir, "epochs")
    assert row["eval/report/f1"] == 0.5
    assert "eval/loss" in row


def test_evaluations_of_one_name_at_one_step_are_rows_of_their_own(tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(tmp_path, callback)
    losses = [made.evaluate(DATA[:count])["eval_loss"] for count in (1, 2, 3)]
    callback.recorder.finish()
    assert [row["eval/loss"] for row in rows(callback.recorder.run_dir, "epochs")] == losses


@pytest.mark.parametrize("given", ["by name", "by name and as an object", "by name and later", "twice"])
def test_one_training_is_one_run_however_the_callback_is_given(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEUROCKT_DIR", str(tmp_path / "runs"))
    callback = NeurocktCallback(name="mine")
    callbacks = {"by name and as an object": [callback], "twice": [callback, callback]}.get(given, [])
    made = trainer(tmp_path, *callbacks, report_to="none" if given == "twice" else "neurockt", run_name="theirs")
    if given == "by name and later":
        made.add_callback(callback)
    made.train()
    for each in made.callback_handler.callbacks:
        if isinstance(each, NeurocktCallback):
            each.recorder.finish()
    (run,) = list_runs(tmp_path / "runs")
    assert run.name == ("theirs" if given == "by name" else "mine")
    assert [row["step"] for row in rows(run.path, "steps")] == [3, 6, 8]


@pytest.mark.parametrize("config", [None, {"hidden_size": 2}], ids=["none", "dict"])
def test_a_model_may_have_no_config_or_a_dict(config: Any, tmp_path: Path) -> None:
    callback = NeurocktCallback(root=tmp_path / "runs")
    made = trainer(tmp_path, callback)
    made.model.config = config
    made.evaluate()
    assert callback.recorder.config["model"] == {**(config or {}), "num_parameters": 3}
    callback.recorder.finish()


def test_the_settings_of_an_adapter_of_peft_are_nested(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed: tests/requirements-frameworks.txt has it")
    adapted = peft.get_peft_model(Net(), peft.LoraConfig(target_modules=["linear"], r=1))
    callback = NeurocktCallback(root=tmp_path / "runs")
    trainer(tmp_path, callback, trainer_options={"model": adapted}).evaluate()
    callback.recorder.finish()
    assert open_run(callback.recorder.run_dir).info.config["peft"]["default"]["r"] == 1
