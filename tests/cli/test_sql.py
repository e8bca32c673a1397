"""SQL over the runs of a directory: all their rows, also those that are in no Parquet file, and what describes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_terminal import NEUROCKT, RealTerminal
from written import Written

import neurockt
from neurockt.cli import main
from neurockt.errors import RunNotFound
from neurockt.monitor import Recorder
from neurockt.monitor.attached import attach

from .conftest import HOSTILE, Done

Command = Callable[..., Done]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory whose name means something to SQL and to globs."""
    return tmp_path / "it's [all] *?"


@pytest.fixture
def live(root: Path) -> Iterator[Written]:
    """A run that goes on: sealed rows, rows in its journal, and an open row."""
    made = Written(root / "live", config={"lr": 0.5})
    for step in range(1, 6):
        made.add("steps", step, {"loss": float(step)})
    made.writer.tables["steps"].seal()
    for step in range(6, 9):
        made.add("steps", step, {"loss": float(step), "acc": 0.5})
    made.publish()
    yield made
    made.finish()


def ask(root: Path, query: str) -> list[tuple[Any, ...]]:
    return neurockt.connect(root).execute(query).fetchall()


def finished(root: Path, run_id: str, values: dict[int, float], **about: Any) -> None:
    with Recorder(root, run_id=run_id, quiet=True, system_seconds=None, **about) as recorder:
        for step, value in values.items():
            recorder.log({"loss": value}, step=step)
            recorder.log({"acc": value / 2}, step=step, train=False)


def test_the_rows_of_all_runs(root: Path, live: Written) -> None:
    """Those of a live run once each: of Parquet, and of what is not there yet."""
    finished(root, "a", {0: 1.0, 10: 2.0}, config={"lr": 0.25})
    assert ask(root, "SELECT run, step, loss FROM steps ORDER BY ALL") == [
        ("a", 0, 1.0),
        ("a", 10, 2.0),
        *(("live", step, float(step)) for step in range(1, 9)),
    ]
    assert ask(root, "SELECT step, acc FROM epochs WHERE run = 'a' ORDER BY 1") == [(0, 0.5), (10, 1.0)]
    assert ask(root, "SELECT count(*) FROM late") == [(0,)]
    assert ask(root, "SELECT count(*) FROM system") == [(0,)]


def test_a_metric_by_a_config_key(root: Path) -> None:
    for index, rate in enumerate((0.1, 0.1, 0.5)):
        finished(root, str(index), {1: float(index)}, config={"lr": rate, "net": {"width": 2}, "none": None})
    query = "SELECT config.lr, avg(loss), max(metrics.acc.max) FROM steps JOIN runs ON run = id GROUP BY ALL ORDER BY 1"
    assert ask(root, query) == [(0.1, 0.5, 0.5), (0.5, 2.0, 1.0)]
    assert ask(root, "SELECT DISTINCT config.net.width FROM runs") == [(2,)]


def test_configs_and_metrics_that_fit_no_structure_are_json(root: Path) -> None:
    finished(root, "a", {1: 1.0}, config={"lr": 1, "LR": 2})
    with Recorder(root, run_id="b", quiet=True, system_seconds=None) as recorder:
        recorder.log({"x": 1.0, "X": float("nan")})
    assert ask(root, "SELECT config->>'LR' FROM runs WHERE id = 'a'") == [("2",)]
    assert ask(root, "SELECT metrics->'x'->>'last' FROM runs WHERE id = 'b'") == [("1.0",)]


def test_kinds_of_a_config_key_may_differ(root: Path) -> None:
    for run_id, value in (("a", 1), ("b", "auto"), ("c", [1, 2])):
        finished(root, run_id, {1: 1.0}, config={"size": value})
    assert len(ask(root, "SELECT config.size FROM runs")) == 3


def test_ranks_have_a_column(root: Path) -> None:
    for rank in range(2):
        made = Written(root / "job" / f"rank-{rank:03d}", rank=rank, ranks=2)
        made.add("steps", 1, {"loss": float(rank)})
        made.finish()
    (run_file,) = (root / "job" / "rank-000").glob("run.json")
    document = json.loads(run_file.read_text())
    (root / "job" / "run.json").write_text(json.dumps({**document, "id": "job", "rank": None}))
    finished(root, "plain", {1: 5.0})
    assert ask(root, "SELECT run, rank, loss FROM steps ORDER BY ALL") == [
        ("job", 0, 0.0),
        ("job", 1, 1.0),
        ("plain", None, 5.0),
    ]


def test_late_and_attached_rows_are_there_too(root: Path, neurockt: Command) -> None:
    """With the metrics of the run; a column has the name under which rows are attached, sealed or not."""
    finished(root, "a", {5: 1.0})
    with Recorder(root, run_id="b", quiet=True, system_seconds=None) as recorder:
        recorder.log({"loss": 4.0}, step=9)
        recorder.log({"loss": 6.0, "reward": 2.0}, step=7)
    ended, running = attach(root / "b", "mmlu"), attach(root / "b", "gsm")
    for each, accuracy in (ended, 0.5), (running, 0.75):
        each.log({"acc": accuracy}, step=9)
    ended.finish()
    rows = ask(root, "SELECT run, attached, step, acc FROM epochs ORDER BY ALL")
    assert rows == [("a", None, 5, 0.5), ("b", "gsm", 9, 0.75), ("b", "mmlu", 9, 0.5)]
    assert ask(root, "SELECT run, step, reward FROM late") == [("b", 7, 2.0)]
    metrics = "metrics.loss.max, metrics.reward.last, metrics['mmlu/acc'].last, metrics['gsm/acc'].last"
    assert ask(root, f"SELECT {metrics} FROM runs WHERE id = 'b'") == [(6.0, 2.0, 0.5, 0.75)]
    running.finish()


@pytest.mark.parametrize(("form", "shown"), [((), "run  step\n"), (("--csv",), "run,step\n"), (("--json",), "[]\n")])
def test_an_answer_without_rows(root: Path, neurockt: Command, form: tuple[str, ...], shown: str) -> None:
    finished(root, "a", {1: 1.0})
    assert neurockt("sql", "SELECT run, step FROM late", "--root", root, *form).out == shown


def test_archived_runs_are_left_out(root: Path) -> None:
    finished(root, "a", {1: 1.0})
    finished(root, "b", {1: 2.0})
    assert main(["edit", "a", "--root", str(root), "--archive"]) == 0
    assert ask(root, "SELECT id FROM runs") == [("b",)]
    assert ask(root, "SELECT run, loss FROM steps") == [("b", 2.0)]


def test_a_run_whose_directory_has_another_name(root: Path) -> None:
    finished(root, "a", {1: 1.0})
    (root / "a").rename(root / "moved")
    assert ask(root, "SELECT run, loss FROM steps") == [("a", 1.0)]


def test_an_empty_directory(root: Path) -> None:
    root.mkdir()
    assert ask(root, "SELECT * FROM runs JOIN steps ON run = id") == []
    with pytest.raises(RunNotFound):
        neurockt.connect(root / "nowhere")


def test_the_command(root: Path, neurockt: Command) -> None:
    finished(root, "a", {1: 1.5}, name=HOSTILE)
    query = "SELECT run, step, loss FROM steps"
    assert neurockt("sql", query, "--root", root).out.split() == ["run", "step", "loss", "a", "1", "1.5"]
    assert neurockt("sql", query, "--root", root, "--csv").out == "run,step,loss\na,1,1.5\n"
    assert neurockt("sql", query, "--root", root, "--json").json == [{"run": "a", "step": 1, "loss": 1.5}]
    shown = neurockt("sql", "SELECT name FROM runs", "--root", root)
    assert (shown.status, [line.isprintable() for line in shown.out.splitlines()]) == (0, [True, True])
    twice = neurockt("sql", "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a", "--root", root, "--json").json
    assert twice == [{"a": 1, "a_1": 2, "a_1_1": 3, "a_2": 4}]
    for nothing in ("", ";", " -- nothing", ";;"):
        assert neurockt("sql", nothing, "--root", root) == Done(0, "", "")
    done = neurockt("sql", "SELEC 1", "--root", root)
    assert (done.status, done.out) == (2, "")
    assert "syntax error" in done.err
    assert "Traceback" not in done.err


def test_moments_need_no_package_that_is_not_required(root: Path, neurockt: Command) -> None:
    finished(root, "a", {1: 1.5})
    (row,) = neurockt("sql", "SELECT time, started FROM steps, runs", "--root", root, "--json").json
    assert row["time"] >= row["started"]


def test_queries_from_a_pipe(root: Path, neurockt: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each up to its semicolon; one that is wrong hides no other."""
    finished(root, "a", {1: 1.5})
    lines = iter(["SELECT 1 AS one", ";", "SELECT nope;", "SELECT 2 AS two"])

    def typed(prompt: str) -> str:
        assert prompt == ""
        try:
            return next(lines)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", typed)
    done = neurockt("sql", "--root", root)
    assert (done.status, done.out.split()) == (1, ["one", "1", "two", "2"])
    assert re.search('column "nope".* not found', done.err)


def test_columns_that_run_json_does_not_have_yet(root: Path, live: Written) -> None:
    """It is replaced every few seconds; the Parquet files may be newer."""
    for step in range(9, 12):
        live.add("steps", step, {"new": float(step)})
    live.writer.tables["steps"].seal()
    assert "new" not in (root / "live" / "run.json").read_text()
    finished(root, "a", {1: 1.0})
    assert ask(root, "SELECT sum(new), count(*) FROM steps") == [(30.0, 12)]


def test_metrics_that_differ_in_case_only(root: Path) -> None:
    with Recorder(root, run_id="a", quiet=True, system_seconds=None) as recorder:
        recorder.log({"x": 1.0, "X": 2.0, "filename": 3.0, "it's": float("nan")})
    assert ask(root, """SELECT run, step, x, "X_1", "it's" > 9 FROM steps""") == [("a", 1, 1.0, 2.0, True)]


@pytest.mark.parametrize("other", ["loss", "RUN", "x", "of_run", "until"])
def test_metrics_that_are_named_as_columns_of_a_view(root: Path, live: Written, other: str) -> None:
    """Of sealed and of other rows, of one run or several, with and without names that differ in case."""
    with Recorder(root, run_id="a", quiet=True, system_seconds=None) as recorder:
        recorder.log({"run": 1.0, "rank": 2.0, "filename": 3.0, "X": 1.0, other: 4.0}, step=9)
    assert ask(root, "SELECT run, step, metric_run, rank, filename FROM steps WHERE step >= 8 ORDER BY run") == [
        ("a", 9, 1.0, 2.0, 3.0),
        ("live", 8, None, None, None),
    ]
    live.add("steps", 9, {"run": 7.0})
    assert ask(root, "SELECT run, metric_run FROM steps WHERE step = 9 ORDER BY run") == [("a", 1.0), ("live", 7.0)]


def test_texts_that_are_not_utf_8(root: Path) -> None:
    finished(root, "a", {1: 1.0}, name="half \ud83d", notes="nul \0", config={"\udc80": "\udc80", "tab\t": 1})
    assert ask(root, "SELECT name, notes, config->>'?' FROM runs") == [("half ?", "nul \0", "?")]


def test_a_part_that_cannot_be_read(root: Path, neurockt: Command) -> None:
    """It spoils the queries that read it alone, in a sentence."""
    finished(root, "a", {1: 1.0})
    finished(root, "b", {1: 1.0})
    (part,) = root.glob("a/steps/*")
    part.write_bytes(b"PAR1")
    assert neurockt("sql", "SELECT id FROM runs", "--root", root, "--csv").out == "id\na\nb\n"
    assert neurockt("sql", "SELECT count(acc) FROM epochs", "--root", root, "--csv").status == 0
    done = neurockt("sql", "SELECT loss FROM steps", "--root", root)
    assert (done.status, str(part) in done.err) == (2, True)


def test_a_part_that_is_gone_once_it_was_listed(tmp_path: Path, neurockt: Command) -> None:
    """A directory of its name stands in for it: DuckDB finds no file there."""
    finished(tmp_path / "runs", "a", {1: 1.0})
    (part,) = tmp_path.glob("runs/a/steps/*")
    part.unlink()
    part.mkdir()
    done = neurockt("sql", "SELECT id FROM runs", "--root", tmp_path / "runs")
    assert (done.status, str(part) in done.err, done.err.count("\n")) == (1, True, 1)


@pytest.mark.slow
def test_the_prompt(root: Path) -> None:
    """It answers each query, lives on after a wrong one and an interrupted one, and ends with Ctrl-D."""
    finished(root, "a", {1: 1.5})
    with RealTerminal(*NEUROCKT, "sql", "--root", root, width=120, height=40) as terminal:
        terminal.wait_for("the views are runs")
        terminal.press("SELECT loss", "enter", "FROM steps;", "enter")
        terminal.wait_for("1.5")
        terminal.press("SELECT nope;", "enter")
        terminal.wait_for("Binder Error")
        shown = ""
        while "interrupted" not in shown:  # again where Ctrl-C came before the line was read
            terminal.press("SELECT max(a.range * b.range) FROM range(9999999) a, range(999999) b;", "enter")
            terminal.wait_for(lambda text: text.rstrip().endswith("b;"))
            terminal.press("ctrl+c")
            shown = terminal.wait_for(lambda text: text.rstrip().endswith("neurockt>"))
        terminal.press(";", "enter", "SELECT 41 + 1;", "enter")
        terminal.wait_for(lambda text: "42" in text.split())
        terminal.press("\x04")
        assert terminal.wait() == 0
