"""What the commands show of late rows and of what other processes record beside a run."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from written import Written, attached

from .conftest import Done

Command = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three steps, one of them late, a validation, and two evaluators with the same metric."""
    made = Written(tmp_path / "runs" / "run")
    for step in (1, 2, 4):
        made.add("steps", step, {"loss": 1 / step})
    made.add("epochs", 4, {"valid_loss": 0.5})
    made.add("late", 3, {"loss": 8.0, "grad": 2.0})
    attached(made.path, "mmlu", {2: {"acc": 0.25}, 4: {"acc": 0.5, "bpb": 1.5}}).finish()
    attached(made.path, "arc", {4: {"acc": 0.75}}).finish()
    return made.finish()


def test_ls_has_their_last_values(neurockt: Command, run: Path) -> None:
    """By the names that they are shown under, in columns, filters, and the columns that are chosen for the user."""
    done = neurockt("ls", "--columns", 'id,bpb,"mmlu/acc",arc/acc,best(arc/acc),grad,loss,max(loss)')
    assert done.err == ""
    assert done.out.splitlines()[1].split() == [
        "run",
        "1.5",
        "0.5",
        "0.75",
        "0.75",
        "2",
        "0.25",
        "8",
    ]
    assert neurockt("ls", "--filter", "bpb<2", "--columns", "id").out.splitlines()[1:] == ["run"]
    assert "bpb" in neurockt("ls").out.splitlines()[0]
    (listed,) = json.loads(neurockt("ls", "--json").out)
    assert listed["attached"]["arc"]["epochs"]["columns"]["acc"]["last"] == 0.75


def test_show_prints_their_rows_and_summaries(neurockt: Command, run: Path) -> None:
    """The table of each evaluator, the last late rows, and a line for each metric."""
    done = neurockt("show", "run")
    assert (done.status, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    for line in (
        "rows 3 steps up to 4, 1 epoch, 1 late",
        "attached arc (finished), mmlu (finished)",
        "the last 1 late row",
        "3 1 8 2",
        "mmlu, finished",
        "step acc bpb",
        "4 0.5 1.5",
        "grad 1 2 2 arrival 1 2 arrival 1",
        "mmlu/acc 2 0.5 0.25 row 1 0.5 row 2",
        "arc/acc 1 0.75 0.75 row 1 0.75 row 1",
        "bpb 1 1.5 1.5 row 2 1.5 row 2",
    ):
        assert line in lines, done.out


def test_show_as_json_has_them(neurockt: Command, run: Path) -> None:
    document = json.loads(neurockt("show", "run", "--json").out)
    assert [row["step"] for row in document["rows"]["late"]] == [3]
    assert document["late"]["columns"]["grad"]["last"] == 2.0
    rows = document["attached"]["mmlu"]["rows"]["epochs"]
    assert [(row["step"], row["acc"], row["bpb"]) for row in rows] == [(2, 0.25, None), (4, 0.5, 1.5)]


def test_export_writes_either(neurockt: Command, run: Path) -> None:
    """``--table late``, and any table of what is attached."""
    late = list(csv.DictReader(neurockt("export", "run", "--table", "late").out.splitlines()))
    assert [(row["arrival"], row["step"], row["loss"]) for row in late] == [("1", "3", "8.0")]
    rows = list(csv.DictReader(neurockt("export", "run", "--attached", "mmlu", "--table", "epochs").out.splitlines()))
    assert [(row["step"], row["acc"]) for row in rows] == [("2", "0.25"), ("4", "0.5")]
    done = neurockt("export", "run", "--attached", "arcc")
    assert done.status == 1
    assert "nothing called 'arcc' is attached to" in done.err
    assert "did you mean 'arc'?" in done.err


def test_a_hostile_name_reaches_no_terminal(neurockt: Command, run: Path) -> None:
    """Escape sequences in the name of a directory and of its metrics are made harmless, and hide nothing."""
    hostile = "\x1b]0;owned\x07[red]"
    attached(run, hostile, {1: {"acc": 0.5, "\x1b[31mx": 1.0}})
    for words in (
        ["ls"],
        ["show", "run"],
        ["show", "run", "--json"],
        ["ls", "--json"],
        ["show", "run", "--attached", "x"],
    ):
        done = neurockt(*words)
        assert "\x1b" not in done.out + done.err
        assert "\x07" not in done.out + done.err
    assert "mmlu, finished" in neurockt("show", "run").out


def test_one_that_cannot_be_read_is_named(neurockt: Command, run: Path) -> None:
    """The rest is shown, and the status says that something is missing."""
    (run / "attached" / "arc" / "run.json").write_text("{")
    for command in ("show", "ls"):
        done = neurockt(command, *(["run"] if command == "show" else []))
        assert done.status == 1
        assert "attached/arc/run.json is damaged" in done.err
        assert "0.5" in done.out


def test_seal_seals_what_is_attached_too(neurockt: Command, run: Path) -> None:
    """A dead evaluator's rows become Parquet; one that lives is left alone, which is no failure."""
    lives = attached(run, "alive", {1: {"acc": 0.5}})
    dead = attached(run, "dead", {1: {"acc": 0.5}}).path
    document = json.loads((dead / "run.json").read_bytes())
    document["attempts"][0]["pid"] = 2**22 + 1
    (dead / "run.json").write_text(json.dumps(document))
    done = neurockt("seal", run)
    assert done.status == 0
    assert f"{dead}: sealed 0 steps, 1 epoch" in done.out
    assert "attached/alive is still being written" in done.err
    assert (dead / "epochs" / "part-00000.parquet").exists()
    assert not list(lives.path.glob("epochs/*.parquet"))
