"""``neurockt ls``."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import msgspec
import pytest

from neurockt.formatting import display_width

from .conftest import Done, record

Command = Callable[..., Done]


def ids(done: Done) -> list[str]:
    """The ids of the runs listed."""
    return [row["id"] for row in done.json]


def test_lists_the_runs_the_newest_last(neurockt: Command, runs: Path) -> None:
    """One line a run below the header, with its state and last values."""
    done = neurockt("ls", runs)
    header, *rows = done.out.splitlines()
    assert done.status == 0
    assert done.err == ""
    columns = "name valid_loss acc cfg.lr cfg.model.width started duration steps epochs state tags id"
    assert header.split() == columns.split(), "what differs comes first"
    assert [row.split()[0] for row in rows] == ["slow", "fast", "diverged"]
    assert rows[1].split()[1:5] == ["0.1", "0.97", "0.01", "64"]
    assert rows[2].split()[1] == "nan"
    assert rows[1].split()[-5:] == ["3", "2", "finished", "paper", "r1"]
    assert "just now, " in rows[1]


def test_fits_80_columns_with_what_tells_the_runs_apart(neurockt: Command, tmp_path: Path) -> None:
    """Names, states, metrics and the config keys that differ; ids only where they are not the names, or these alike."""
    for index in range(3):
        config = {"optimizer": "adam", "lr": 10.0**-index, "seed": index}
        record(
            tmp_path / "runs",
            {"train_loss": [2.0]},
            {"valid_loss": [1.0], "acc": [0.5]},
            run_id=f"run-{index}",
            config=config,
        )
    live = record(tmp_path / "runs", {"train_loss": [2.0]}, {"acc": [0.5]}, run_id="run-9", finish=False, config=config)
    done = neurockt("ls", terminal=80)
    header = done.out.splitlines()[0].split()
    assert header[:6] == ["name", "state", "valid_loss", "acc", "cfg.lr", "cfg.seed"]
    assert "id" not in header
    assert "cfg.optimizer" not in header
    record(
        tmp_path / "long",
        {"loss": [1.0]},
        run_id="20261126-101500-brave-otter",
        config={"model": {"hidden": {"width": 1}}},
    )
    record(
        tmp_path / "long",
        {"loss": [2.0]},
        run_id="20261126-101501-deft-yak",
        config={"model": {"hidden": {"width": 2}}},
    )
    lines = [line.split() for line in neurockt("ls", "long", terminal=40).out.splitlines()]
    assert [line[0] for line in lines] == ["name", "…brave-otter", "…deft-yak"]
    assert lines[0][2] == "…width"
    assert max(map(display_width, done.out.splitlines())) <= 80
    live.finish()
    for index in range(2):
        record(tmp_path / "same", {"loss": [1.0]}, run_id=f"run-{index}", name="same")
    assert neurockt("ls", "same").out.split()[:2] == ["name", "id"]


def test_colours_on_a_terminal_alone(neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header is bold, the state has a colour; nothing in a pipe, with NO_COLOR, or where TERM is dumb."""
    plain = neurockt("ls", terminal=200).out
    painted = neurockt("ls", terminal=200, colour=True).out
    assert painted.startswith("\x1b[1mname\x1b[0m ")
    assert painted.count("\x1b[32mfinished\x1b[0m") == 3
    assert re.sub(r"\x1b\[\d*m", "", painted) == plain
    assert "\x1b" not in plain + neurockt("ls", colour=True).out + neurockt("ls", "--csv", terminal=80, colour=True).out


def test_groups_have_the_mean_and_deviation_of_each_metric(neurockt: Command, runs: Path) -> None:
    """And the number of their runs; sorted, limited, and with the columns asked for."""
    record(runs, {"train_loss": [1.0]}, {"valid_loss": [0.3], "acc": [0.99]}, run_id="r3", config={"lr": 1e-2})
    lines = [line.split() for line in neurockt("ls", "--group", "cfg.lr").out.splitlines()]
    assert lines[0] == ["cfg.lr", "runs", "valid_loss", "acc"]
    assert lines[2] == ["0.01", "2", "0.2", "±", "0.14", "0.98", "±", "0.014"]
    assert [line[0] for line in lines[1:]] == ["0.0001", "0.01", "1"]
    by_acc = neurockt("ls", "-g", "cfg.lr,project", "-s", "acc", "-r", "-n", "1", "--columns", "best(acc),state").out
    assert [line.split() for line in by_acc.splitlines()] == [
        ["cfg.lr", "project", "runs", "best(acc)", "state"],
        ["0.01", "-", "1", "0.99", "finished"],
    ]
    groups = neurockt("ls", "--group", "cfg.lr", "--json").json
    assert groups[1]["cfg.lr"] == 0.01
    assert (groups[1]["runs"], groups[1]["ids"]) == (2, ["r1", "r3"])
    assert groups[1]["acc"] == {"mean": pytest.approx(0.98), "std": pytest.approx(0.0141421, rel=1e-4), "count": 2}
    assert groups[2]["valid_loss"] == {"mean": "NaN", "std": None, "count": 0}, "it diverged"
    header, *rows = csv.reader(StringIO(neurockt("ls", "--group", "cfg.lr", "--csv", "-c", "acc,name").out))
    assert header == ["cfg.lr", "runs", "mean(acc)", "std(acc)", "count(acc)", "name"]
    assert rows[0] == ["0.0001", "1", "0.5", "", "1", "slow"]
    assert "did you mean 'cfg.lr'?" in neurockt("ls", "--group", "lr").err


def test_csv_has_exact_values(neurockt: Command, runs: Path) -> None:
    """All that is known, or the columns asked for; empty where there is no value."""
    record(
        runs, {"train_loss": [1.0]}, run_id="r3", name='a "b",\n', config={"lr": 1 / 3, "layers": [1, 2], "bias": True}
    )
    rows = list(csv.DictReader(StringIO(neurockt("ls", "--csv").out)))
    assert len(rows) == 4
    assert (rows[3]["cfg.lr"], rows[3]["cfg.layers"], rows[3]["cfg.bias"], rows[3]["acc"]) == (
        repr(1 / 3),
        "[1, 2]",
        "true",
        "",
    )
    assert rows[3]["name"] == 'a "b",\n'
    assert (rows[2]["valid_loss"], rows[2]["tags"]) == ("nan", "paper")
    assert rows[0]["started"].endswith("+00:00")
    assert neurockt("ls", "--csv", "-c", "id,best(acc)", "-n", "2").out == "id,best(acc)\nr2,0.1\nr3,\n"
    assert neurockt("ls", "--csv", "--json").status == 2


def test_archived_runs_are_shown_when_asked_for(neurockt: Command, runs: Path) -> None:
    """By --archived, or by a filter; a list that is empty for that reason says so."""
    assert neurockt("edit", "fast", "--archive").status == 0
    assert ids(neurockt("ls", "--json")) == ["r0", "r2"]
    assert ids(neurockt("ls", "--json", "--archived")) == ["r0", "r1", "r2"]
    assert ids(neurockt("ls", "--json", "-f", "archived=true")) == ["r1"]
    assert neurockt("edit", "slow", "diverged", "--archive").status == 0
    assert neurockt("ls") == Done(0, "", "neurockt: 3 runs in runs, archived; --archived shows them\n")


def test_looks_in_runs_or_where_the_variable_says(
    neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a ROOT, ``./runs``, or ``$NEUROCKT_DIR``."""
    assert len(neurockt("ls", "--json").json) == 3
    assert len(neurockt("ls", "--json", "--root", runs).json) == 3
    monkeypatch.setenv("NEUROCKT_DIR", str(tmp_path / "elsewhere"))
    done = neurockt("ls")
    assert done.status == 1
    assert "elsewhere" in done.err


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("valid_loss<0.5", ["r1"]),
        ("cfg.lr>=1e-2 -diverged", ["r1"]),
        ("cfg.model.width=32 OR train_loss=nan", ["r0", "r2"]),
        ("tag:paper", ["r1", "r2"]),
        ("best(acc)>0.4", ["r0", "r1"]),
        ("nothing", []),
    ],
)
def test_filters(neurockt: Command, runs: Path, query: str, found: list[str]) -> None:
    """Only the runs that fit."""
    done = neurockt("ls", runs, "--filter", query, "--json")
    assert done.status == 0
    assert ids(done) == found


def test_says_how_many_runs_did_not_fit(neurockt: Command, runs: Path) -> None:
    """An empty list explains itself, on stderr."""
    done = neurockt("ls", runs, "-f", "nothing")
    assert done == Done(0, "", f"neurockt: no run in {runs} matches (3 runs)\n")


def test_sorts_with_what_has_no_value_last(neurockt: Command, runs: Path) -> None:
    """NaN is no place in an order."""
    assert ids(neurockt("ls", runs, "--json", "-s", "valid_loss")) == ["r1", "r0", "r2"]
    assert ids(neurockt("ls", runs, "--json", "-s", "valid_loss", "-r")) == ["r0", "r1", "r2"]
    assert ids(neurockt("ls", runs, "--json", "-s", "cfg.lr", "-r", "-n", 1)) == ["r2"]


def test_a_limit_keeps_the_newest(neurockt: Command, runs: Path) -> None:
    """Without an order, the last runs are the ones of interest."""
    assert ids(neurockt("ls", runs, "--json", "-n", "2")) == ["r1", "r2"]


def test_columns_are_the_ones_asked_for(neurockt: Command, runs: Path) -> None:
    """In their order, with config values and what metrics came to."""
    done = neurockt("ls", runs, "--columns", 'name,cfg.lr,best(valid_loss),max("acc"),"acc"')
    assert [line.split() for line in done.out.splitlines()] == [
        ["name", "cfg.lr", "best(valid_loss)", 'max("acc")', "acc"],
        ["slow", "0.0001", "0.9", "0.5", "0.5"],
        ["fast", "0.01", "0.1", "0.97", "0.97"],
        ["diverged", "1", "1.5", "0.1", "0.1"],
    ]


def test_json_holds_everything_or_the_columns(neurockt: Command, runs: Path) -> None:
    """Strict JSON: moments in ISO form, NaN as a string."""
    whole = neurockt("ls", runs, "--json").json[2]
    assert whole["path"] == str(runs / "r2")
    assert whole["config"] == {"lr": 1.0, "model": {"width": 96}}
    assert whole["epochs"]["columns"]["valid_loss"]["last"] == "NaN"
    assert whole["created"].endswith("+00:00")
    columns = neurockt("ls", runs, "--json", "--columns", "name,valid_loss,started,tags", "-n", "1").json
    assert columns == [{"name": "diverged", "valid_loss": "NaN", "started": whole["created"], "tags": ["paper"]}]


def test_json_is_whole_however_much_it_is(neurockt: Command, runs: Path) -> None:
    """All values, where there are hundreds of thousands; and strict UTF-8 JSON in ASCII, also of odd names."""
    document = json.loads((runs / "r0" / "run.json").read_bytes())
    document["steps"]["columns"] = {f"metric/{number}": {"count": 1, "last": 0.5} for number in range(20_000)}
    (runs / "r0" / "run.json").write_text(json.dumps({**document, "name": "é😀\x7f"}))
    (runs / "r1").rename(runs / os.fsdecode(b"r1\xff"))
    done = neurockt("ls", runs, "--json")
    found = msgspec.json.decode(done.out)
    assert done.out.isascii()
    assert [len(run["steps"]["columns"]) for run in found] == [20_000, 1, 1]
    assert all(
        run["steps"]["columns"][f"metric/{number}"]["last"] == 0.5 for number in (0, 19_999) for run in found[:1]
    )
    assert (found[0]["name"], Path(found[1]["path"]).name) == ("é😀\x7f", "r1?")


def test_a_misspelt_metric_is_told(neurockt: Command, runs: Path) -> None:
    """In a filter the list would only be empty; as a column or as what is sorted by, it is an error."""
    done = neurockt("ls", runs, "--filter", "valid_los<1")
    assert (done.status, done.out) == (0, "")
    assert "no run has 'valid_los'; did you mean 'valid_loss'?" in done.err
    for words in (["--sort", "lr"], ["--columns", "name,cfg.lrr"], ["--columns", "Lr"]):
        done = neurockt("ls", runs, *words)
        assert (done.status, done.out) == (2, "")
        assert "did you mean 'cfg.lr'?" in done.err
    assert "no field of a run matches val/*" in neurockt("ls", runs, "--columns", "val/*").err


def test_a_pattern_stands_for_all_fields_that_match(neurockt: Command, runs: Path) -> None:
    """In columns, within best() too."""
    (first, *_) = neurockt("ls", runs, "--json", "--columns", "id,cfg.*,*loss,best(*acc)").json
    assert list(first) == ["id", "cfg.lr", "cfg.model.width", "valid_loss", "train_loss", "best(acc)"]


def test_a_filter_that_cannot_be_read_is_wrong_usage(neurockt: Command, runs: Path) -> None:
    """Exit status 2, and a mark under the place."""
    done = neurockt("ls", runs, "--filter", "lr > ")
    assert done.status == 2
    assert done.out == ""
    assert done.err.splitlines() == ["neurockt: a value is missing here", "  lr > ", "       ^"]


def test_runs_that_cannot_be_read_are_named_and_left_out(neurockt: Command, runs: Path) -> None:
    """One line each on stderr, without a source line; the others are listed."""
    (runs / "r0" / "run.json").write_text("{")
    (runs / "r1" / "run.json").write_text("[]")
    done = neurockt("ls", runs)
    assert done.status == 1
    assert len(done.out.splitlines()) == 2
    assert [line.partition(" ")[0] for line in done.err.splitlines()] == ["neurockt:", "neurockt:"]
    assert "r0/run.json is damaged" in done.err
    assert "r1/run.json" in done.err


def test_hostile_text_is_made_harmless(neurockt: Command, hostile: Path) -> None:
    """No control character and no second line gets out, in whichever form."""
    for words in ([], ["--json"], ["--columns", "name,notes,tags,host,group"], ["--group", "name,tags,group,host"]):
        done = neurockt("ls", hostile, *words)
        assert done.status == 0
        assert not any(c in done.out + done.err for c in "\x1b\x07\r\u202e")
    assert len(neurockt("ls", hostile).out.splitlines()) == 2
    assert not set(neurockt("ls", hostile, "--csv", terminal=80).out) & set("\x1b\x07\r\u202e")


def test_values_are_whole_in_a_pipe_and_fit_a_terminal(neurockt: Command, runs: Path) -> None:
    """A pipe gets long names uncut; a terminal gets lines no longer than itself."""
    document = json.loads((runs / "r0" / "run.json").read_bytes())
    (runs / "r0" / "run.json").write_text(json.dumps({**document, "name": "損" * 500}))
    assert "損" * 500 in neurockt("ls", runs).out
    done = neurockt("ls", runs, terminal=60)
    assert max(display_width(line) for line in done.out.splitlines()) <= 60
    assert "…" in done.out
    assert "too narrow for" in done.err


def test_on_a_terminal_wide_enough_nothing_is_cut(neurockt: Command, runs: Path) -> None:
    """The same lines as in a pipe."""
    assert neurockt("ls", runs, terminal=300) == neurockt("ls", runs)
