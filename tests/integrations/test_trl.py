"""NeurocktCallback in the trainers of TRL, with a model of one layer that is made here."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="trl is not installed: tests/requirements-frameworks.txt has it")

from datasets import Dataset
from integrations.toy_trainer import rows
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from neurockt import open_run
from neurockt.integrations.transformers import NeurocktCallback

pytestmark = pytest.mark.slow

WORDS = ["[PAD]", "[EOS]", "[UNK]", "a", "b", "c", "d"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]")
    made.padding_side = "left"
    return made


@pytest.fixture
def model() -> Any:
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), n_positions=64, n_embd=8, n_layer=1, n_head=1))


def options(directory: Path, **more: Any) -> dict[str, Any]:
    return {
        "output_dir": str(directory / "out"),
        "max_steps": 2,
        "logging_steps": 1,
        "per_device_train_batch_size": 2,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "disable_tqdm": True,
        **more,
    }


def test_fine_tuning_gives_its_own_metrics_for_training_and_evaluation(
    tokenizer: Any, model: Any, tmp_path: Path
) -> None:
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([{"text": "a b c d"}] * 4)
    callback = NeurocktCallback(root=tmp_path / "runs")
    SFTTrainer(
        model,
        args=SFTConfig(**options(tmp_path, eval_strategy="steps", eval_steps=1, max_length=16)),
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
    ).train()
    callback.recorder.finish()
    run_dir = callback.recorder.run_dir
    assert [row["step"] for row in rows(run_dir, "steps")] == [1, 2]
    assert rows(run_dir, "steps")[0].keys() >= {"train/loss", "train/entropy", "train/num_tokens"}
    assert [row["step"] for row in rows(run_dir, "epochs")] == [1, 2]
    assert rows(run_dir, "epochs")[0].keys() >= {"eval/loss", "eval/mean_token_accuracy"}
    assert open_run(run_dir).info.config["model"]["n_embd"] == 8


def test_preferences_give_rewards(tokenizer: Any, model: Any, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    data = Dataset.from_list([{"prompt": "a", "chosen": "b c", "rejected": "d d"}] * 4)
    callback = NeurocktCallback(root=tmp_path / "runs")
    DPOTrainer(
        model,
        deepcopy(model),
        args=DPOConfig(**options(tmp_path)),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
    ).train()
    callback.recorder.finish()
    assert rows(callback.recorder.run_dir, "steps")[0].keys() >= {"train/rewards/chosen", "train/logps/chosen"}


def test_a_reward_that_is_none_is_no_value(tokenizer: Any, model: Any, tmp_path: Path) -> None:
    from trl import GRPOConfig, GRPOTrainer

    def length(completions: list[str], **others: Any) -> list[float]:
        return [float(len(completion)) for completion in completions]

    def nothing(completions: list[str], **others: Any) -> list[None]:
        return [None] * len(completions)

    data = Dataset.from_list([{"prompt": "a b"}] * 4)
    callback = NeurocktCallback(root=tmp_path / "runs")
    GRPOTrainer(
        model,
        reward_funcs=[length, nothing],
        args=GRPOConfig(**options(tmp_path, num_generations=2, max_completion_length=4)),
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[callback],
    ).train()
    callback.recorder.finish()
    first = rows(callback.recorder.run_dir, "steps")[0]
    assert first.keys() >= {"train/rewards/length/mean", "train/completions/mean_length"}
    assert "train/rewards/nothing/mean" not in first
