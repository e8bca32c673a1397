"""W&B's files: every row of every version, and all directories of one id as one run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from importing import wandb_files as made
from importing.conftest import Import

from neurockt import list_runs, open_run
from neurockt.store import Run, read_origin

SCRIPT = """
import wandb
config = {"lr": 0.1, "net": {"width": 3}}
run = wandb.init(project="toy", id="real", name="first try", notes="a note", tags=["a", "b"], config=config)
run.define_metric("eval/acc", step_metric="seen")
for step in range(30):
    run.log({"loss": 1 / (step + 1), "deep": {"a": step}, "seen": step * 10}, step=step)
run.log({"eval/acc": 0.5, "seen": 77, "odd": float("nan"), "text": "x", "hist": wandb.Histogram([1, 2])}, step=40)
run.finish()
"""


def only(root: Path) -> Run:
    (info,) = list_runs(root)
    return open_run(info.path)


def column(run: Run, name: str) -> dict[int, float]:
    for table in (run.steps(), run.epochs()):
        if name in table.column_names:
            rows = zip(table["step"].to_pylist(), table[name].to_pylist(), strict=True)
            return {step: value for step, value in rows if value is not None}
    raise KeyError(name)


@pytest.mark.slow
def test_what_the_sdk_writes(tmp_path: Path, root: Path, importing: Import) -> None:
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "WANDB_SILENT": "true"}
    subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, check=True)
    (outcome,) = importing(tmp_path / "wandb")
    run = only(root)
    info = run.info
    assert (info.id, info.name, info.project, info.notes, info.tags) == (
        "real",
        "first try",
        "toy",
        "a note",
        ("a", "b"),
    )
    assert (info.state, run.config) == ("finished", {"lr": 0.1, "net": {"width": 3}})
    assert column(run, "loss") == {step: 1 / (step + 1) for step in range(30)}
    assert column(run, "deep.a") == {step: step for step in range(30)}
    assert column(run, "eval/acc") == {77: 0.5}
    assert math.isnan(column(run, "odd")[40])
    assert outcome.left_out["histograms"] == 1
    origin = read_origin(info.path)
    assert origin is not None
    assert "3." in origin.python


@pytest.mark.parametrize("own", [True, False])
def test_what_only_the_summary_has_is_at_the_last_step(
    tmp_path: Path, root: Path, importing: Import, own: bool
) -> None:
    """Newer versions write what the user sets by itself, older ones all of the summary each time."""
    rows = [made.row({"loss": 1.0, "acc": 0.5}, step) for step in (3, 7)]
    derived = {"loss": 0.0, "acc": {"max": 0.5}, "_runtime": 3, "_wandb": {"runtime": 3}}
    set_by_user = {
        "best": 0.9,
        "deep": {"a": 1, "b": {"c": True}},
        "text": "x",
        "huge": 10**400,
        "plot": {"_type": "image-file"},
    }
    if own:
        records = [made.summary({"best": 0.1, "gone": 1, "deep": {"d": 1}}, own=True), rows[0], made.summary(derived)]
        records += [rows[1], made.summary(set_by_user, ["gone"], own=True), made.summary(derived)]
    else:
        records = [rows[0], made.summary({"best": 0.1, **derived}), rows[1], made.summary({**set_by_user, **derived})]
    made.write(tmp_path, "a", [made.run("a"), *records, made.end(0)])
    importing(tmp_path)
    run = only(root)
    names = [name for name in run.steps().column_names if name not in ("step", "epoch", "time")]
    assert {name: column(run, name) for name in names} == {
        "loss": {3: 1.0, 7: 1.0},
        "acc": {3: 0.5, 7: 0.5},
        "best": {7: 0.9},
        "deep.a": {7: 1.0},
        "deep.b.c": {7: 1.0},
    }


def test_a_run_that_has_only_a_summary_is_imported(tmp_path: Path, root: Path, importing: Import) -> None:
    """Its values are at step 0."""
    made.write(tmp_path, "a", [made.run("a"), made.summary({"bleu": 33}, own=True), made.end(0)])
    importing(tmp_path)
    assert column(only(root), "bleu") == {0: 33.0}


def test_a_summary_goes_with_the_rows_of_its_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """That of a directory without rows goes with those of the one after it, else of the one before it."""
    made.write(tmp_path, "a", [made.run("a"), made.summary({"crashed": 1}, own=True)], at=1)
    rows = [made.row({"loss": float(step)}, step) for step in range(10)]
    made.write(tmp_path, "a", [made.run("a", started=1_700_000_010), *rows, made.summary({"acc": 0.5}, own=True)], at=2)
    rows = [made.row({"loss": float(step)}, step, 1.7e9 + 20) for step in range(10, 13)]
    made.write(tmp_path, "a", [made.run("a", started=1_700_000_020), *rows], at=3)
    evaluated = made.summary({"acc": 0.7, "loss": 9}, own=True)
    made.write(tmp_path, "a", [made.run("a", started=1_700_000_030), evaluated, made.end(0)], at=4)
    importing(tmp_path)
    run = only(root)
    assert column(run, "loss") == {step: float(step) for step in range(13)}
    assert (column(run, "acc"), column(run, "crashed")) == ({9: 0.5, 12: 0.7}, {9: 1.0})


def test_directories_of_one_id_are_one_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """A resumed run goes on from the step of the second directory; W&B itself erases the first."""
    rows = [made.row({"loss": float(step)}, step) for step in range(10)]
    made.write(tmp_path, "a", [made.run("a", config={"lr": 1}), *rows], at=1)
    again = [made.row({"loss": step + 0.5}, step) for step in range(6, 14)]
    made.write(tmp_path, "a", [made.run("a", started=1_700_000_100, config={"lr": 2}), *again, made.end(0)], at=2)
    importing(tmp_path)
    run = only(root)
    assert column(run, "loss") == {
        **{step: float(step) for step in range(6)},
        **{step: step + 0.5 for step in range(6, 14)},
    }
    assert (run.info.state, run.config, [each.first_step for each in run.info.attempts]) == (
        "finished",
        {"lr": 2},
        [0, 6],
    )


def test_a_process_that_begins_again_keeps_its_own_config_and_end(
    tmp_path: Path, root: Path, importing: Import
) -> None:
    """It is a run of its own; what its processes share is theirs."""
    for at, code in enumerate([1, None, 0], 1):
        config = made.run("a", started=1_700_000_000 + at, config={"lr": at, f"only{at}": 1})
        rows = [made.row({"loss": float(at)}, step, 1.7e9 + at) for step in range(5)]
        made.write(tmp_path, "a", [config, *rows, *([] if code is None else [made.end(code)])], at=at)
    config = made.run("a", started=1_700_000_010, config={"more": 2})
    made.write(tmp_path, "a", [config, made.row({"loss": 9.0}, 5, 1.7e9 + 9), made.end(255)], at=9)
    importing(tmp_path)
    assert [(info.id, info.state, info.cause, info.config) for info in list_runs(root)] == [
        ("a", "failed", "exit code 1", {"lr": 1, "only1": 1}),
        ("a-2", "killed", None, {"lr": 2, "only2": 1}),
        ("a-3", "failed", "KeyboardInterrupt", {"lr": 3, "only3": 1, "more": 2}),
    ]


@pytest.mark.parametrize("at", [2, 4])
def test_a_restart_that_crashed_at_once_changes_nothing(tmp_path: Path, root: Path, importing: Import, at: int) -> None:
    """`wandb sync` uploads nothing of several directories where one has an empty file."""
    made.write(tmp_path, "a", [made.run("a"), made.row({"loss": 1.0}, 0)], at=1)
    made.write(tmp_path, "a", [], at=at).write_bytes(b"")
    made.write(tmp_path, "a", [made.run("a", started=1_700_000_100), made.row({"loss": 2.0}, 1), made.end(0)], at=3)
    importing(tmp_path)
    run = only(root)
    assert (run.info.state, column(run, "loss")) == ("finished", {0: 1.0, 1: 2.0})


@pytest.mark.parametrize("rows", [3, 5])
def test_a_copy_of_a_directory_is_no_other_run(tmp_path: Path, root: Path, importing: Import, rows: int) -> None:
    """`latest-run` becomes one where links are followed; it may have been made while the run went on."""
    records = [made.run("a"), *(made.row({"loss": float(step)}, step, 1.7e9 + step) for step in range(5))]
    made.write(tmp_path, "a", [*records, made.end(0)])
    copy = tmp_path / "latest-run" / "run-a.wandb"
    copy.parent.mkdir()
    copy.write_bytes(made.framed(records[: rows + 1]))
    (outcome,) = importing(tmp_path)
    run = only(root)
    assert column(run, "loss") == {step: float(step) for step in range(5)}
    assert (len(run.info.attempts), run.info.state, outcome.left_out) == (1, "finished", {})
    assert importing(tmp_path)[0].done == "unchanged"


@pytest.mark.parametrize(
    ("code", "state", "cause"),
    [(0, "finished", None), (1, "failed", "exit code 1"), (255, "failed", "KeyboardInterrupt"), (None, "killed", None)],
)
def test_how_it_ended(
    tmp_path: Path, root: Path, importing: Import, code: int | None, state: str, cause: str | None
) -> None:
    end = [] if code is None else [made.end(code)]
    made.write(tmp_path, "a", [made.run("a"), made.row({"x": 1}, 0), *end])
    importing(tmp_path)
    info = only(root).info
    assert (info.state, info.cause) == (state, cause)


def test_a_metric_is_at_its_own_step(tmp_path: Path, root: Path, importing: Import) -> None:
    """That of a pattern too; where a row lacks it, or it is not whole, W&B's."""
    rows = [
        made.row({"train/global_step": 500, "eval/loss": 1.0}, 0),
        made.row({"train/global_step": 1000.5, "eval/loss": 2.0}, 7),
        made.row({"eval/loss": 3.0}, 9),
    ]
    made.write(tmp_path, "a", [made.run("a"), made.metric("*", "train/global_step"), *rows, made.end(0)])
    importing(tmp_path)
    assert column(only(root), "eval/loss") == {7: 2.0, 9: 3.0, 500: 1.0}


def test_a_step_metric_that_stays_0_numbers_nothing(tmp_path: Path, root: Path, importing: Import) -> None:
    """Repeated evaluations of one model: each is at W&B's step, and none replaces another."""
    rows = [made.row({"train/global_step": 0, "test/loss": value}, step) for step, value in enumerate((3.0, 2.0, 1.0))]
    made.write(tmp_path, "a", [made.run("a"), made.metric("*", "train/global_step"), *rows, made.end(0)])
    (outcome,) = importing(tmp_path)
    assert column(only(root), "test/loss") == {0: 3.0, 1: 2.0, 2: 1.0}
    assert outcome.left_out == {}


@pytest.mark.parametrize("early", [False, True])
def test_records_across_blocks(tmp_path: Path, root: Path, importing: Import, early: bool) -> None:
    rows = [made.row({"loss": step / 3, "pad" * 20: 1.0}, step, nested=step % 2 == 0) for step in range(600)]
    made.write(tmp_path, "a", [made.run("a", notes="n" * 100_000), *rows, made.end(0)], early=early)
    (outcome,) = importing(tmp_path)
    assert column(only(root), "loss") == {step: step / 3 for step in range(600)}
    assert not outcome.damaged


@pytest.mark.slow
def test_a_file_cut_anywhere_is_read_up_to_there(tmp_path: Path, importing: Import) -> None:
    """Without a complaint: its process was killed."""
    rows = [made.row({"loss": float(step)}, step) for step in range(900)]
    path = made.write(tmp_path / "w", "a", [made.run("a"), *rows])
    whole = path.read_bytes()
    assert len(whole) > made.BLOCK * 2
    known = 0
    for cut in [0, 3, 7, 20, *range(made.BLOCK - 9, made.BLOCK + 9), 2 * made.BLOCK, len(whole) - 1, len(whole)]:
        path.write_bytes(whole[:cut])
        (outcome,) = importing(path, again=True)
        assert not outcome.damaged
        assert outcome.values >= known
        known = outcome.values
    assert known == 900


def test_damage_costs_a_block(tmp_path: Path, root: Path, importing: Import) -> None:
    rows = [made.row({"loss": float(step)}, step) for step in range(2000)]
    path = made.write(tmp_path, "a", [made.run("a"), *rows, made.end(0)])
    data = bytearray(path.read_bytes())
    data[made.BLOCK + 1000] ^= 0xFF
    path.write_bytes(data)
    (outcome,) = importing(tmp_path)
    assert outcome.damaged
    assert "is damaged in 1 place" in outcome.remarks[0]
    found = column(only(root), "loss")
    assert 1000 < len(found) < 2000
    assert all(found[step] == step for step in found)


def test_a_row_that_is_no_message_costs_what_follows_in_it(tmp_path: Path, root: Path, importing: Import) -> None:
    row = made.row({"loss": 2.0}, 5)
    rows = [made.row({"loss": 1.0}, 0), row[:1] + bytes([row[1] + 2]) + row[2:] + b"\x0a\x7f", made.end(0)]
    made.write(tmp_path, "a", [made.run("a"), *rows])
    (outcome,) = importing(tmp_path)
    assert outcome.damaged
    assert column(only(root), "loss") == {0: 1.0, 5: 2.0}


def test_values_that_are_no_numbers(tmp_path: Path, root: Path, importing: Import) -> None:
    image: dict[str, Any] = {"_type": "image-file", "path": "x.png"}
    values = {"ok": True, "none": None, "list": [1], "nested": {"a": {"b": 2}}, "img": image}
    made.write(tmp_path, "a", [made.run("a"), made.row(values, 3), made.end(0)])
    (outcome,) = importing(tmp_path)
    run = only(root)
    assert (column(run, "ok"), column(run, "nested.a.b")) == ({3: 1.0}, {3: 2.0})
    assert outcome.left_out == {"images": 1, "lists": 1}


def test_media_whose_fields_are_items(tmp_path: Path, root: Path, importing: Import) -> None:
    """The width of an image is no metric."""
    values = {"loss": 1.0, ("img", "_type"): "image-file", ("img", "width"): 28, ("net", "norm"): 0.5}
    made.write(tmp_path, "a", [made.run("a"), *(made.row(values, step) for step in (3, 4)), made.end(0)])
    (outcome,) = importing(tmp_path)
    assert only(root).steps().column_names == ["step", "epoch", "time", "loss", "net.norm"]
    assert outcome.left_out == {"images": 2}


def test_where_older_versions_ran(tmp_path: Path, root: Path, importing: Import) -> None:
    """Their metadata lie beside the file; secrets in them are masked, and what is damaged is left out."""
    path = made.write(tmp_path, "a", [made.run("a"), made.row({"x": 1.0}, 0), made.end(0)])
    metadata = path.parent / "files" / "wandb-metadata.json"
    metadata.parent.mkdir()
    git = {"remote": "https://me:secret@host/r.git", "commit": "abc"}
    about = {"program": "train.py", "args": ["--api-key=hunter2", 3], "git": git, "host": "node7", "os": ["odd"]}
    metadata.write_text(json.dumps(about))
    importing(tmp_path)
    origin = read_origin(only(root).path)
    assert origin is not None
    assert (origin.command, origin.host, origin.system) == (("train.py", "--api-key=***"), "node7", "")
    assert origin.git is not None
    assert (origin.git.commit, "secret" in str(origin.git.remote)) == ("abc", False)
    metadata.write_text("[")
    assert importing(tmp_path, again=True)[0].done == "grown"


def test_a_run_that_crashed_at_once_is_left_out(tmp_path: Path, root: Path, importing: Import) -> None:
    made.write(tmp_path, "a", [made.run("a"), made.end(1)])
    (outcome,) = importing(tmp_path)
    assert (outcome.done, outcome.damaged) == ("left out", False)
    assert list_runs(root) == [] if root.exists() else True
