"""CSV, JSON lines, the HF Trainer's state and DVCLive: exact numbers, at the steps that the file has."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from importing.conftest import Import

from neurockt import list_runs, open_run
from neurockt.errors import UsageError
from neurockt.importing.tables import LINE_LIMIT

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


@pytest.mark.parametrize(
    "written",
    [
        "step,loss\n1,0.5\n2,0.25\n".encode("utf-16"),
        b"# my run\n# lr=0.1, seed=1\nstep,loss\n1,0.5\n2,0.25\n",
        b"# my run\n# step,loss\n1,0.5\n2,2.5e-01\n",
        b"step;loss\n1;0,5\n2;2,5e-1\n",
        b"step,loss\n2,0.25\n1,0.5\n",
    ],
    ids=["utf-16", "comments", "numpy", "decimal comma", "newest first"],
)
def test_how_a_table_may_be_written(tmp_path: Path, root: Path, importing: Import, written: bytes) -> None:
    """By PowerShell, with comments, by ``numpy.savetxt``, by a spreadsheet, and sorted by falling steps."""
    (tmp_path / "metrics.csv").write_bytes(written)
    importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


@pytest.mark.parametrize("written", ["1,0.5\n2,0.25\n", "# my run\n1,0.5\n"])
def test_a_table_without_a_header_is_refused(tmp_path: Path, importing: Import, written: str) -> None:
    """Its first row would be taken for names."""
    path = tmp_path / "log.csv"
    path.write_text(written)
    with pytest.raises(UsageError, match=r"log\.csv has no header: '1,0\.5' are numbers"):
        importing(path, format="csv")


def test_json_lines_in_utf_16(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "metrics.jsonl").write_bytes('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}'.encode("utf-16"))
    importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}]


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
        (outcome,) = importing(tmp_path / "out")
    assert (outcome.id, outcome.done) == ("out", "grown")
    run = only(root)
    assert rows(run.steps()) == [{"step": 10, "epoch_": 0.5, "loss": 1.5}, {"step": 20, "epoch_": 1.0, "loss": 1.0}]
    assert rows(run.epochs()) == [{"step": 10, "eval_loss": 1.25}]
    assert run.config == {"max_steps": 20}


def test_dvclive_is_one_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """A metric may have the name of the column that numbers the rows."""
    for name, values in {"train/loss": "0\t1.5\n1\t1.0\n", "acc": "1\t0.5\n", "train/step": "0\t7\n"}.items():
        path = tmp_path / "dvclive" / "plots" / "metrics" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"step\t{path.stem}\n{values}")
    importing(tmp_path)
    assert rows(only(root).steps()) == [
        {"step": 0, "train/loss": 1.5, "train/step": 7.0},
        {"step": 1, "acc": 0.5, "train/loss": 1.0},
    ]


def test_columns_of_one_name_are_two_metrics(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,loss\n0,1.5,2.5\n")
    importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 0, "loss": 1.5, "loss'": 2.5}]


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


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.jsonl"])
def test_a_line_that_does_not_end_takes_no_more_memory(tmp_path: Path, importing: Import, name: str) -> None:
    """The rows before it are imported."""
    path = tmp_path / name
    path.write_text('{"step": 1, "loss": 0.5}\n' if name.endswith("jsonl") else "step,loss\n1,0.5\n")
    os.truncate(path, LINE_LIMIT + 2**20)
    (outcome,) = importing(tmp_path)
    assert (outcome.done, outcome.values, outcome.damaged) == ("imported", 1, True)
    assert "a line has more than 67 million characters" in outcome.remarks[0]


def test_a_number_that_is_too_large_for_any_column(tmp_path: Path, importing: Import) -> None:
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, "loss": 1{"0" * 400}, "acc": 0.5}}\n')
    (outcome,) = importing(tmp_path)
    assert (outcome.done, outcome.values) == ("imported", 1)


def test_rows_without_a_step_are_at_the_step_before_them(tmp_path: Path, root: Path, importing: Import) -> None:
    """A logger that evaluates writes such rows; before the first step there is none to give them."""
    (tmp_path / "progress.csv").write_text("loss,step,eval_loss\n,,9.0\n2.5,0,\n,,0.75\n1.5,20,\n,,0.5\n")
    (outcome,) = importing(tmp_path)
    run = only(root)
    assert rows(run.steps()) == [{"step": 0, "loss": 2.5}, {"step": 20, "loss": 1.5}]
    assert rows(run.epochs()) == [{"step": 0, "eval_loss": 0.75}, {"step": 20, "eval_loss": 0.5}]
    assert outcome.left_out == {"rows without a step": 1}
    assert "2 rows without a step: each is at that of the row before it" in outcome.remarks


@pytest.mark.parametrize(
    ("header", "step"),
    [
        ("Step,Loss", "Step"),
        ("loss,TotalEnvInteracts", "TotalEnvInteracts"),
        ("% time spent exploring,episodes,steps", "steps"),
        ("episode_reward,frame", "frame"),
        ("Episode,steps,reward", "Episode"),
    ],
)
def test_columns_that_number_rows(tmp_path: Path, root: Path, importing: Import, header: str, step: str) -> None:
    """Whatever their case, and only where they rise: steps of each episode do not."""
    names = header.split(",")
    lines = [",".join(str(number * 100 if name == step else 0.5) for name in names) for number in (1, 2)]
    (tmp_path / "progress.csv").write_text("\n".join([header, *lines]) + "\n")
    importing(tmp_path)
    metrics = {name: 0.5 for name in names if name != step}
    assert rows(only(root).steps()) == [{"step": 100, **metrics}, {"step": 200, **metrics}]


def test_progress_that_nothing_numbers(tmp_path: Path, root: Path, importing: Import) -> None:
    """Baselines writes it: its rows are numbered in their order. It is a run by its name alone."""
    for name in ("progress.csv", "results.csv"):
        (tmp_path / name).write_text("kl,num episodes\n0.25,4\n0.125,4\n")
    (outcome,) = importing(tmp_path)
    assert rows(only(root).steps()) == [
        {"step": 1, "kl": 0.25, "num episodes": 4.0},
        {"step": 2, "kl": 0.125, "num episodes": 4.0},
    ]
    assert "no column numbers its rows: the rows are numbered from 1" in outcome.remarks


def test_epochs_whatever_their_case(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "training_log.csv").write_text("Epoch,Train Loss\n1,0.5\n2,0.25\n")
    importing(tmp_path)
    assert [(row["epoch"], row["Train Loss"]) for row in only(root).epochs().to_pylist()] == [(1, 0.5), (2, 0.25)]


@pytest.mark.parametrize("tail", ["3,0.", "3,0.5"])
def test_a_row_that_is_cut_off(tmp_path: Path, root: Path, importing: Import, tail: str) -> None:
    """Its last number may have lost digits."""
    (tmp_path / "metrics.csv").write_text(f"step,loss,acc\n1,0.5,0.25\n2,0.5,0.5\n{tail}")
    importing(tmp_path)
    assert [row["step"] for row in rows(only(root).steps())] == [1, 2]


def test_json_lines_that_begin_with_other_events(tmp_path: Path, root: Path, importing: Import) -> None:
    lines = [
        {"timestamp": 1.7e9, "event": "start", "device": "cuda", "git": "ab"},
        {"timestamp": 1.7e9 + 1, "event": "config", "config": {"lr": 0.1}},
        {"timestamp": 1.7e9 + 2, "event": "train", "iter": 0, "loss": 2.5},
        {"timestamp": 1.7e9 + 3, "event": "train", "iter": 1, "loss": 1.5},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    importing(tmp_path)
    run = only(root)
    assert rows(run.steps()) == [{"step": 0, "loss": 2.5}, {"step": 1, "loss": 1.5}]
    assert run.steps()["time"].to_pylist()[1].timestamp() == 1.7e9 + 3
    assert run.config == {"lr": 0.1}


@pytest.mark.parametrize("name", ["timestamp", "Timestamp", "Wall time"])
def test_dates_are_the_times_of_rows(tmp_path: Path, root: Path, importing: Import, name: str) -> None:
    """As ISO 8601 has them."""
    (tmp_path / "metrics.csv").write_text(
        f"{name},step,loss\n2026-02-20T14:04:46.307432+00:00,0,0.5\n2026-02-20 14:04:52Z,1,0.25\n"
        "2026-02-20T14:04:53.5Z,2,0.2\n2026-02-20 14:04:54.123456789+00:00,3,0.1\n"
    )
    (outcome,) = importing(tmp_path)
    moments = [moment.isoformat() for moment in only(root).steps()["time"].to_pylist()]
    assert moments == [
        "2026-02-20T14:04:46.307432+00:00",
        "2026-02-20T14:04:52+00:00",
        "2026-02-20T14:04:53.500000+00:00",
        "2026-02-20T14:04:54.123456+00:00",
    ]
    assert outcome.left_out == {}


def test_epochs_that_are_not_whole_number_no_rows(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "training_log.csv").write_text("epoch,loss\n0.5,2.0\n1.0,1.5\n1.5,1.0\n")
    importing(tmp_path)
    assert [(row["step"], row["epoch_"], row["loss"]) for row in rows(only(root).steps())] == [
        (1, 0.5, 2.0),
        (2, 1.0, 1.5),
        (3, 1.5, 1.0),
    ]


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.jsonl"])
def test_a_file_that_a_restart_goes_on_with(tmp_path: Path, root: Path, importing: Import, name: str) -> None:
    """Rows that are done again are superseded, not lost."""
    steps = [0, 1, 2, 3, 2, 3, 4]
    if name.endswith("csv"):
        text = "step,loss\n" + "".join(f"{step},{index}\n" for index, step in enumerate(steps))
    else:
        text = "".join(json.dumps({"step": step, "loss": index}) + "\n" for index, step in enumerate(steps))
    (tmp_path / name).write_text(text)
    importing(tmp_path)
    run = only(root)
    assert run.steps()["loss"].to_pylist() == [0, 1, 4, 5, 6]
    assert [attempt.first_step for attempt in run.info.attempts] == [0, 2]
    assert len(list(run.info.path.glob("superseded/*/steps/*.parquet"))) == 1


def test_runs_that_were_appended_to_one_file(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n0,1\n1,2\nstep,loss\n0,3\n1,4\n")
    importing(tmp_path)
    assert [open_run(info.path).steps()["loss"].to_pylist() for info in list_runs(root)] in (
        [[1, 2], [3, 4]],
        [[3, 4], [1, 2]],
    )


def test_a_validation_that_is_late_is_no_restart(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,val\n0,1,\n1,2,\n2,3,\n1,,9\n3,4,\n2,,8\n")
    importing(tmp_path)
    run = only(root)
    assert run.steps()["loss"].to_pylist() == [1, 2, 3, 4]
    assert run.epochs()["val"].to_pylist() == [9, 8]
    assert len(run.info.attempts) == 1


def test_a_step_that_begins_again_with_each_epoch(tmp_path: Path, root: Path, importing: Import) -> None:
    """It numbers no rows: all but the last epoch would be lost."""
    text = "".join(f"{epoch},{step},{epoch * 1000 + step}\n" for epoch in (1, 2, 3) for step in range(epoch))
    (tmp_path / "metrics.csv").write_text("epoch,iter,loss\n" + text)
    (outcome,) = importing(tmp_path)
    found = rows(only(root).steps())
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert [row["loss"] for row in found] == [float(line.rsplit(",", 1)[1]) for line in text.split()]
    assert "iter begins again with each epoch: the rows are numbered from 1" in outcome.remarks


def test_a_step_that_stays_beside_epochs(tmp_path: Path, root: Path, importing: Import) -> None:
    (tmp_path / "training_log.csv").write_text("epoch,step,loss\n1,299,3\n2,299,2\n3,299,1\n")
    importing(tmp_path)
    assert [(row["epoch"], row["loss"]) for row in only(root).epochs().to_pylist()] == [(1, 3), (2, 2), (3, 1)]


def test_the_log_of_openmmlab(tmp_path: Path, root: Path, importing: Import) -> None:
    lines = [{"env_info": "x", "seed": None}]
    lines += [{"mode": "train", "epoch": epoch, "iter": at, "loss": at / epoch} for epoch in (1, 2) for at in (50, 100)]
    (tmp_path / "20230101_000000.log.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    importing(tmp_path)
    assert [row["loss"] for row in rows(only(root).steps())] == [50, 100, 25, 50]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.csv", "step,loss\n7,0.5\n"),
        ("metrics.jsonl", '{"step": 7, "loss": 0.5}\n'),
        ("trainer_state.json", '{"log_history": [{"step": 7, "loss": 0.5}]}'),
    ],
)
def test_a_byte_order_mark_belongs_to_no_name(
    tmp_path: Path, root: Path, importing: Import, name: str, text: str
) -> None:
    """Spreadsheets write one."""
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    importing(tmp_path)
    assert rows(only(root).steps()) == [{"step": 7, "loss": 0.5}]


def test_a_value_that_is_written_twice_is_not_left_out(tmp_path: Path, root: Path, importing: Import) -> None:
    for again, left_out in (("2", {}), ("3", {"values that a later one of the same step replaces": 1})):
        (tmp_path / "metrics.csv").write_text(f"step,lr,loss,acc\n1,0.1,2,nan\n1,0.1,{again},nan\n")
        (outcome,) = importing(tmp_path)
        assert outcome.left_out == left_out
