"""CSV, JSON lines, the HF Trainer's state and DVCLive: exact numbers, at the steps that the file has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from importing.conftest import Import

from neurockt import list_runs, open_run
from neurockt.errors import UsageError

AXES = ("step", "epoch", "time")


def only(root: Path) -> Any:
    (info,) = list_runs(root)
    return open_run(info.path)


def rows(table: Any) -> list[dict[str, Any]]:
    """Without the epoch and the time, and without nulls."""
    return [
        {name: value for name, value in row.items() if name not in ("epoch", "time") and value is not None}
        for row in table.to_pylist()
    ]


def test_metrics_of_lightning(tmp_path: Path, root: Path, importing: Import) -> None:
    """Several rows a step are one; a header comes again when there are new columns."""
    home = tmp_path / "lightning_logs" / "version_0"
    home.mkdir(parents=True)
    (home / "metrics.csv").write_text(
        "epoch,loss,step,val_loss\n0,0.1,9,\n0,,9,0.30000000000000004\n1,0.05,19,\nepoch,loss,lr,step,val_loss\n1,0.01,1e-3,29,\n"
    )
    importing(tmp_path / "lightning_logs")
    run = only(root)
    assert run.info.id == "lightning_logs-version_0"
    assert rows(run.steps()) == [
        {"step": 9, "loss": 0.1},
        {"step": 19, "loss": 0.05},
        {"step": 29, "loss": 0.01, "lr": 0.001},
    ]
    assert rows(run.epochs()) == [{"step": 9, "val_loss": 0.30000000000000004}]


def test_results_of_ultralytics(tmp_path: Path, root: Path, importing: Import) -> None:
    """Epochs number the rows, names have blanks around them, and the time is since the beginning."""
    (tmp_path / "results.csv").write_text(
        "  epoch,  time, train/box_loss, metrics/mAP50(B)\n1, 10.5, 0.5, 0.1\n2, 20.5, 0.4, nan\n"
    )
    (tmp_path / "args.yaml").write_text("lr0: 0.01\n")
    importing(tmp_path)
    run = only(root)
    found = run.epochs().to_pylist()
    assert [row["epoch"] for row in found] == [1, 2]
    assert [row["train/box_loss"] for row in found] == [0.5, 0.4]
    assert found[1]["metrics/mAP50(B)"] != found[1]["metrics/mAP50(B)"]
    assert (found[1]["time"] - found[0]["time"]).total_seconds() == pytest.approx(10)
    assert run.steps().num_rows == 0


def test_progress_of_stable_baselines(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "progress.csv").write_text(
        "time/time_elapsed,time/total_timesteps,rollout/rew\n1,2048,5.5\n2,4096,\n3,6144,7.5,8\n"
    )
    (outcome,) = importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 2048, "rollout/rew": 5.5}, {"step": 6144, "rollout/rew": 7.5}]
    assert outcome.left_out == {"cells without a column": 1}


def test_json_lines(tmp_path: Path, root: Path, importing: Import) -> None:
    lines = [{"iteration": 0, "loss": 2.5, "ok": True, "name": "x"}, {"iteration": 20, "lr": {"a": 1e-5}}]
    (tmp_path / "metrics.json").write_text("\n".join(map(json.dumps, lines)) + '\n{"iteration": 40, "lo')
    (outcome,) = importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 0, "loss": 2.5, "ok": 1.0}, {"step": 20, "lr/a": 1e-5}]
    assert outcome.left_out == {"texts": 1}


def test_the_state_of_the_hf_trainer(tmp_path: Path, root: Path, importing: Import) -> None:
    """Of its checkpoints the highest counts; each repeats those before it."""
    history = [
        {"epoch": 0.5, "loss": 1.5, "step": 10},
        {"epoch": 0.5, "eval_loss": 1.25, "step": 10},
        {"epoch": 1.0, "loss": 1.0, "step": 20},
    ]
    for step, until in ((10, 2), (20, 3)):
        home = tmp_path / "out" / f"checkpoint-{step}"
        home.mkdir(parents=True)
        (home / "trainer_state.json").write_text(json.dumps({"log_history": history[:until], "max_steps": 20}))
    importing(tmp_path / "out")
    run = only(root)
    assert rows(run.steps()) == [{"step": 10, "epoch_": 0.5, "loss": 1.5}, {"step": 20, "epoch_": 1.0, "loss": 1.0}]
    assert rows(run.epochs()) == [{"step": 10, "eval_loss": 1.25}]
    assert run.config == {"max_steps": 20}


def test_dvclive_is_one_run(tmp_path: Path, root: Path, importing: Import) -> None:
    for name, values in {"train/loss": "0\t1.5\n1\t1.0\n", "acc": "1\t0.5\n"}.items():
        path = tmp_path / "dvclive" / "plots" / "metrics" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"step\t{path.stem}\n{values}")
    importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 0, "train/loss": 1.5}, {"step": 1, "acc": 0.5, "train/loss": 1.0}]


def test_a_file_that_is_named_is_taken_as_what_the_user_says(tmp_path: Path, root: Path, importing: Import) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("iter;dev_acc\n1;0.5\n2;0.75\n")
    importing(path, format="csv", step="iter", validations=("dev*",))
    run = only(root)
    assert run.info.id == "mine.txt"
    assert [row["dev_acc"] for row in run.epochs().to_pylist()] == [0.5, 0.75]
    with pytest.raises(UsageError, match="no column 'nope'; it has iter, dev_acc"):
        importing(path, format="csv", step="nope", again=True)


def test_tables_that_are_no_runs_are_left_alone(tmp_path: Path, importing: Import) -> None:
    (tmp_path / "benchmark.csv").write_text("model,step\na,1\n")
    (tmp_path / "metrics.csv").write_text("name,size\na,1\n")
    (tmp_path / "metrics.json").write_text('{\n "acc": 0.5\n}\n')
    with pytest.raises(UsageError, match="nothing to import"):
        importing(tmp_path)


@pytest.mark.parametrize(
    "data", [b"step,loss\n\xff\xfe,\x00\n1,2\n", b'step,loss\n1,"unclosed\n', b"step," + b"x" * 10_000 + b"\n1,2\n"]
)
def test_damaged_tables_end_in_a_sentence(tmp_path: Path, importing: Import, data: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(data)
    outcomes = importing(tmp_path)
    assert [outcome.done for outcome in outcomes] in (["imported"], ["left out"])
