"""``neurockt export``: what was recorded comes back, bit for bit."""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import neurockt as package
from neurockt.monitor import Recorder

from .conftest import Done, record

pytestmark = pytest.mark.slow

Command = Callable[..., Done]
ODD = 'val,"odd" λ'


def bits(value: float | None) -> bytes | None:
    """A float so that -0.0 is not 0.0, and NaN is NaN."""
    return None if value is None else struct.pack("<d", float(value))


def recorded(run: Path, column: str) -> list[bytes | None]:
    """A column of the run's steps."""
    return [bits(value) for value in package.open_run(run).steps()[column].to_pylist()]


def test_csv_round_trips(neurockt: Command, odd_values: Path) -> None:
    """Nothing for null; nan, inf; every other float exactly."""
    header, *rows = csv.reader(StringIO(neurockt("export", "odd").out))
    assert header == ["step", "epoch", "time", ODD, "sparse"]
    for name in (ODD, "sparse"):
        cells = [row[header.index(name)] for row in rows]
        assert [bits(float(cell) if cell else None) for cell in cells] == recorded(odd_values, name)
    assert [int(row[0]) for row in rows] == list(range(1, len(rows) + 1))
    assert {"", "nan", "inf", "-inf", "-0.0"} <= {row[3] for row in rows}


def test_json_lines_round_trip(neurockt: Command, odd_values: Path) -> None:
    """Strict JSON, a row a line; NaN and the infinities as strings."""

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    lines = neurockt("export", "odd", "--format", "jsonl").out.splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    for name in (ODD, "sparse"):
        assert [bits(row[name]) for row in rows] == recorded(odd_values, name)
    assert {"NaN", "Infinity", "-Infinity", None} <= {row[ODD] for row in rows if not isinstance(row[ODD], float)}
    assert rows[0]["time"].endswith("+00:00")


def test_parquet_round_trips(neurockt: Command, odd_values: Path, tmp_path: Path) -> None:
    """One file that equals what the library reads."""
    assert neurockt("export", "odd", "-o", "one.parquet") == Done(0, "", "")
    whole = pq.read_table(tmp_path / "one.parquet")
    assert whole.schema == package.open_run(odd_values).steps().schema
    for name in (ODD, "sparse"):
        assert [bits(value) for value in whole[name].to_pylist()] == recorded(odd_values, name)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_the_ending_of_the_file_tells_the_format(
    neurockt: Command, odd_values: Path, tmp_path: Path, name: str
) -> None:
    """And text files hold what stdout would have."""
    assert neurockt("export", "odd", "-o", name).status == 0
    path = tmp_path / name
    if path.suffix == ".parquet":
        assert pq.read_metadata(path).num_rows == 209
    else:
        assert path.read_text(encoding="utf-8") == neurockt("export", "odd", "--format", path.suffix[1:]).out


@pytest.mark.parametrize("name", ["x.csv.parquet", "X.PARQUET", ".csv.parquet"])
def test_the_last_ending_counts(neurockt: Command, odd_values: Path, tmp_path: Path, name: str) -> None:
    """Upper case too."""
    assert neurockt("export", "odd", "-o", name).status == 0
    assert pq.read_metadata(tmp_path / name).num_rows == 209


@pytest.mark.parametrize("name", ["x.json", "x.xlsx", "x.csv.gz", "x.parquet.zip", "run.3"])
def test_an_unknown_ending_is_refused(neurockt: Command, odd_values: Path, tmp_path: Path, name: str) -> None:
    """Nothing is written under a name that belongs to another format, unless --format says which it is."""
    done = neurockt("export", "odd", "-o", name)
    assert done.status == 2
    assert "--format" in done.err
    assert ".jsonl" in done.err
    assert not (tmp_path / name).exists()
    assert neurockt("export", "odd", "-o", name, "--format", "csv").status == 0
    assert (tmp_path / name).read_text(encoding="utf-8").startswith("step,")


@pytest.mark.parametrize("name", ["a" * 300 + ".csv", "~nobody-here/x.csv", "x\0.csv", "run.json/x.csv"])
def test_a_file_that_cannot_be_is_a_sentence(neurockt: Command, odd_values: Path, name: str) -> None:
    """Too long, of a home that is not there, with a NUL, or below a file."""
    (Path.cwd() / "run.json").touch()
    done = neurockt("export", "odd", "-o", name)
    assert done.status == 1
    assert done.err.startswith("neurockt: ")
    assert done.err.count("\n") == 1


def test_a_file_in_the_home_directory(
    neurockt: Command, odd_values: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~`` in quotes, which the shell leaves alone."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert neurockt("export", "odd", "-o", "~/x.csv").status == 0
    assert (tmp_path / "home" / "x.csv").is_file()


def test_columns_in_the_order_asked_for(neurockt: Command, odd_values: Path) -> None:
    """Names with commas or quotes are quoted."""
    out = neurockt("export", "odd", "--columns", r'sparse,"val,\"odd\" λ",step').out
    assert next(csv.reader(StringIO(out))) == ["sparse", ODD, "step"]


def test_epochs(neurockt: Command, runs: Path) -> None:
    """The other table."""
    out = neurockt("export", "fast", "--table", "epochs", "--columns", "epoch,acc").out
    assert out == "epoch,acc\n1,0.1\n2,0.97\n"


def test_several_runs_have_their_ids_in_front(neurockt: Command, runs: Path) -> None:
    """Also the one run that a filter finds; a run that is named twice is there once."""
    out = neurockt("export", "fast", "slow", runs / "r1", "--table", "epochs", "--columns", "epoch,acc").out
    assert out == "run,epoch,acc\nr1,1,0.1\nr1,2,0.97\nr0,1,0.1\nr0,2,0.5\n"
    only = neurockt("export", "-f", "cfg.lr=1e-2", "--table", "epochs", "--columns", "epoch,acc").out
    assert only == "run,epoch,acc\nr1,1,0.1\nr1,2,0.97\n"


def test_fields_of_the_runs_are_joined_to_their_rows(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """With their types; null where a run has none. A column that a run lacks is null in its rows."""
    record(runs, {"train_loss": [4.0], "name": [0.5]}, run_id="r3", config={"lr": 1, "extra": [1]})
    fields = "name,cfg.lr,cfg.extra,cfg.model.width,tags,started,state,best(acc)"
    done = neurockt("export", "--filter", "id:r1 OR id:r3", "--join", fields, "-o", "all.parquet")
    assert done == Done(0, "", "")
    table = pq.read_table(tmp_path / "all.parquet")
    first, last = table.to_pylist()[0], table.to_pylist()[-1]
    assert table.column_names[:9] == ["run", "name'", *fields.split(",")[1:]]
    assert [str(table.schema.field(name).type) for name in ("cfg.lr", "cfg.model.width", "cfg.extra")] == [
        "double",
        "int64",
        "string",
    ]
    assert (first["run"], first["name'"], first["cfg.lr"], first["cfg.extra"]) == ("r1", "fast", 0.01, None)
    assert (first["tags"], first["best(acc)"], first["name"], first["train_loss"]) == ("paper", 0.97, None, 2.0)
    assert (last["run"], last["cfg.lr"], last["cfg.extra"], last["cfg.model.width"]) == ("r3", 1.0, "[1]", None)
    assert (last["name"], last["train_loss"]) == (0.5, 4.0)
    rows = [
        json.loads(line)
        for line in neurockt("export", "r3", "--join", "cfg.extra", "--format", "jsonl").out.splitlines()
    ]
    assert [next(iter(row)) for row in rows] == ["cfg.extra"]


def test_config_keys_may_be_among_the_columns(neurockt: Command, runs: Path) -> None:
    """And patterns among the fields; one that no run has is an error with what is near."""
    table = ["--table", "epochs", "-f", "fast"]
    assert (
        neurockt("export", *table, "--columns", "run,acc,cfg.lr").out == "run,cfg.lr,acc\nr1,0.01,0.1\nr1,0.01,0.97\n"
    )
    joined = neurockt("export", *table, "--columns", "epoch", "--join", "cfg.*").out.splitlines()
    assert joined[:2] == ["run,cfg.lr,cfg.model.width,epoch", "r1,0.01,64,1"]
    done = neurockt("export", *table, "--join", "lr")
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'cfg.lr'?" in done.err


def test_which_runs_is_said_once_and_finds_some(neurockt: Command, runs: Path) -> None:
    """By name, by filter, or the latest; a column that only one of them has is no error."""
    assert neurockt("export", "fast", "slow", "-f", "slow", "--columns", "step").out == "run,step\nr0,1\nr0,2\nr0,3\n"
    assert neurockt("export", "--columns", "step") == Done(
        0, "step\n1\n2\n3\n", "neurockt: this is runs/r2, which began last\n"
    )
    done = neurockt("export", "-f", "nothing")
    assert (done.status, done.err) == (1, "neurockt: no run matches (3 in runs)\n")
    record(runs, {"other": [1.0]}, run_id="r9")
    assert neurockt("export", "slow", "r9", "--columns", "other").out == "run,other\nr0,\nr0,\nr0,\nr9,1.0\n"
    assert "did you mean 'other'?" in neurockt("export", "r9", "slow", "--columns", "othr").err


def test_an_unknown_column_is_an_error_with_a_hint(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """Exit status 1, nothing written."""
    done = neurockt("export", "fast", "--columns", "train_los", "-o", "new.csv")
    assert done.status == 1
    assert "did you mean 'train_loss'?" in done.err
    assert (
        neurockt("export", "fast", "--columns", "acc").err
        == "neurockt: acc is a column of epochs: add --table epochs\n"
    )
    assert list(tmp_path.glob("new*")) == []


def test_a_file_is_not_overwritten_unless_forced(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """``--force`` replaces it whole."""
    (tmp_path / "there.csv").write_text("precious")
    done = neurockt("export", "fast", "-o", "there.csv")
    assert done.status == 1
    assert "there.csv exists; --force replaces it" in done.err
    assert (tmp_path / "there.csv").read_text() == "precious"
    assert neurockt("export", "fast", "-o", "there.csv", "--force").status == 0
    assert (tmp_path / "there.csv").read_text().startswith("step,")


@pytest.mark.parametrize("target", ["/dev/null", "missing/rows.csv", "runs"])
def test_only_a_plain_file_is_written(neurockt: Command, runs: Path, target: str) -> None:
    """A device or a directory is not replaced, even when forced."""
    done = neurockt("export", "fast", "-o", target, "--force")
    assert done.status == 1
    assert done.err.startswith("neurockt: ")


def test_parquet_needs_a_file(neurockt: Command, runs: Path) -> None:
    """Wrong usage."""
    done = neurockt("export", "fast", "--format", "parquet")
    assert done.status == 2
    assert "-o FILE" in done.err


def test_what_cannot_be_read_makes_it_fail_after_the_rest(neurockt: Command, runs: Path) -> None:
    """A script must not take a part of the rows for all of them."""
    (runs / "r1" / "steps" / "part-00000.parquet").write_bytes(b"")
    done = neurockt("export", "fast")
    assert done.status == 1
    assert "part-00000.parquet" in done.err


def test_a_live_run_is_exported_as_of_now(neurockt: Command, live_run: Path) -> None:
    """Journal and parts joined."""
    assert neurockt("export", "live", "--columns", "step,loss").out == "step,loss\n1,1.0\n2,0.5\n"


@pytest.mark.slow
def test_a_wide_table(neurockt: Command, tmp_path: Path) -> None:
    """A thousand columns."""
    record(tmp_path / "runs", {f"m{index}": [float(index)] for index in range(1000)}, run_id="wide")
    header, row = csv.reader(StringIO(neurockt("export", "wide").out))
    assert header[3:] == [f"m{index}" for index in range(1000)]
    assert [float(cell) for cell in row[3:]] == list(range(1000))


def test_names_are_harmless_on_a_terminal_and_exact_in_a_pipe(neurockt: Command, hostile: Path) -> None:
    """A name that turns the text's direction is kept where a program reads it."""
    name = "损失/train, \"a\" 'b'\u202e"
    assert name in next(csv.reader(StringIO(neurockt("export", hostile / "bad").out)))
    assert "\u202e" not in neurockt("export", hostile / "bad", terminal=80).out
    joined = neurockt("export", hostile / "bad", "--join", "name,tags,notes", terminal=80).out
    assert not set(joined) & set("\x1b\x07\u202e")


def test_a_table_without_rows_is_noted(neurockt: Command, tmp_path: Path) -> None:
    """With the tables that have some; stdout has the header alone."""
    with Recorder(tmp_path / "runs", run_id="a", quiet=True, system_seconds=None) as recorder:
        recorder.log({"acc": 0.5}, 3, train=False)
    assert neurockt("export", "a") == Done(
        0, "step,epoch,time\n", "neurockt: no rows in steps; --table epochs has some\n"
    )
    assert neurockt("export", "a", "--table", "epochs", "--columns", "acc") == Done(0, "acc\n0.5\n", "")


def test_a_pattern_stands_for_all_columns_that_match(neurockt: Command, runs: Path) -> None:
    """In its place, each once; in quotes it is a name."""
    table = ("--table", "epochs")
    assert neurockt("export", "fast", *table, "--columns", "a*,ep*,*c*").out.splitlines()[0] == "acc,epoch"
    assert neurockt("export", "fast", "slow", *table, "--columns", "*_loss").out.splitlines()[0] == "run,valid_loss"
    assert (
        "no column of epochs matches 'los*'; did you mean"
        in neurockt("export", "fast", *table, "--columns", "los*").err
    )
    assert "no column '*_loss' in epochs" in neurockt("export", "fast", *table, "--columns", '"*_loss"').err
