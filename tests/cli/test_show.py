"""``neurockt show``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neurockt.monitor import Recorder

from .conftest import Done, record

Command = Callable[..., Done]


def test_the_epochs_have_significant_digits_aligned_on_the_decimal_point(neurockt: Command, tmp_path: Path) -> None:
    """A learning rate reads as what it is, a count has separators, and all digits of an integer part are there."""
    recorder = Recorder(tmp_path / "runs", run_id="r", quiet=True)
    for step, lr, tokens in ((1, 6e-05, 53_599.3223), (2, 0.00025, 123_456.0), (3, float("nan"), 2.0)):
        recorder.log({"lr": lr, "tokens": tokens}, step, train=False)
    recorder.finish()
    out = neurockt("show", "r").out
    assert out[out.index("epoch  ") :].split("\n\n")[0].splitlines() == [
        "epoch         lr   tokens",
        "    1    6e-05     53,599",
        "    2    0.00025  123,456",
        "    3  nan              2",
    ]


def test_shows_what_the_run_is(neurockt: Command, runs: Path) -> None:
    """Its description, notes, nested config, and what each metric came to and where."""
    done = neurockt("show", "fast")
    assert done.status == 0
    assert done.err == ""
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "fast"
    for line in (
        "id r1",
        "state finished",
        "project digits",
        "tags paper",
        "rows 3 steps, 2 epochs",
        "first line",
        "second line",
        "model.width 64",
        "metric rows last smallest at largest at",
        "valid_loss 2 0.1 0.1 epoch 2 1.5 epoch 1",
        "train_loss 3 0.1 0.1 step 3 2 step 1",
    ):
        assert line in lines


def test_a_run_is_found_by_path_id_name_and_beginning(neurockt: Command, runs: Path) -> None:
    """Whatever one has at hand."""
    for name in (runs / "r1", "runs/r1", "r1", "fast"):
        assert neurockt("show", name).out.startswith("fast\n  id        r1\n")
    assert neurockt("show", "fast", "--root", runs).status == 0
    assert "3 runs in runs match 'r': slow (r0), fast (r1)" in neurockt("show", "r").err


def test_an_unknown_run_is_an_error_with_a_hint(neurockt: Command, runs: Path) -> None:
    """Exit status 1, and one line on stderr."""
    done = neurockt("show", "fats")
    assert (done.status, done.out) == (1, "")
    assert done.err == "neurockt: no run 'fats' in runs; did you mean 'fast'? ('neurockt ls runs' lists them)\n"


def test_the_last_steps(neurockt: Command, runs: Path) -> None:
    """``--steps N`` adds the last N rows."""
    out = neurockt("show", "fast", "--steps", 2).out
    rows = out[out.index("the last 2 steps") :].split("\n\n")[0].splitlines()[1:]
    assert [row.split() for row in rows] == [
        ["step", "epoch", "train_loss"],
        ["2", "1", "1"],
        ["3", "1", "0.1"],
    ]


def test_json_has_the_rows_too(neurockt: Command, runs: Path) -> None:
    """Strict JSON: the run as described, its epochs, and the steps if asked for."""
    shown = neurockt("show", "diverged", "--steps", "1", "--json").json
    assert shown["id"] == "r2"
    assert [row["valid_loss"] for row in shown["rows"]["epochs"]] == [1.5, "NaN"]
    assert [row["step"] for row in shown["rows"]["steps"]] == [3]


def test_a_live_run_is_shown_as_of_now(neurockt: Command, live_run: Path) -> None:
    """Rows that came since ``run.json`` was written are counted."""
    shown = neurockt("show", "live", "--json").json
    assert shown["state"] == "running"
    assert shown["steps"]["rows"] == 2
    assert shown["steps"]["columns"]["loss"]["last"] == 0.5
    assert shown["epochs"]["columns"]["acc"]["min_at"] == 1


def test_a_run_without_rows_or_metrics(neurockt: Command, tmp_path: Path) -> None:
    """Nothing to show is no reason to fail."""
    record(tmp_path / "runs", {}, run_id="none", finish=False)
    recorder = Recorder(tmp_path / "runs", run_id="bare", quiet=True)
    with recorder(train=False):
        pass
    recorder.finish()
    for words in ([], ["--steps"], ["--json"]):
        assert neurockt("show", "bare", *words).status == 0


def test_a_damaged_part_is_named_and_the_rest_is_shown(neurockt: Command, runs: Path) -> None:
    """One line on stderr."""
    part = runs / "r1" / "epochs" / "part-00000.parquet"
    part.write_bytes(b"PAR1 and nothing else PAR1")
    done = neurockt("show", "fast")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1
    assert "epochs/part-00000.parquet: not a readable Parquet file" in done.err


def test_a_metric_of_several_tables_is_named_with_each(neurockt: Command, tmp_path: Path) -> None:
    """As the fields are that show it, so that the two lines can be told apart; one of a single table is not."""
    recorder = record(tmp_path / "runs", {"acc": [0.5], "loss": [2.0]}, {"acc": [0.7]}, finish=False)
    recorder.log({"loss": 3.0}, step=0)
    recorder.finish()
    lines = neurockt("show").out.partition("\nmetric ")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["acc@epochs", "acc@steps", "loss@steps", "loss@late"]
    assert neurockt("ls", "--csv", "--columns", "acc@steps,loss@late").out.splitlines()[1] == "0.5,3.0"


def test_hostile_text_is_made_harmless(neurockt: Command, hostile: Path) -> None:
    """Nothing from the run reaches the terminal as a control character."""
    for words in ([], ["--traceback", "--steps"], ["--json"]):
        done = neurockt("show", hostile / "bad", *words)
        assert done.status == 0
        assert not any(c in done.out + done.err for c in "\x1b\x07\r\u202e")


def test_a_failure_is_told_and_its_traceback_on_demand(neurockt: Command, hostile: Path) -> None:
    """The exception, and where to look."""
    assert "--traceback shows where" in neurockt("show", hostile / "bad").out
    assert "--traceback shows where" not in neurockt("show", hostile / "bad", "--traceback").out


def test_a_run_that_is_running_shows_how_far_it_is(neurockt: Command, tmp_path: Path) -> None:
    """The share done and how long ago the last row was, in `show`; a column in `ls`; the bare numbers in JSON."""
    recorder = Recorder(tmp_path / "runs", run_id="r", quiet=True, total_steps=8)
    for step in range(1, 4):
        recorder.log({"loss": 1 / step}, step)
    lines = [" ".join(line.split()) for line in neurockt("show", "r").out.splitlines()]
    progress = next(line for line in lines if line.startswith("progress "))
    assert progress.startswith("progress 37.5% of 8 steps, ")
    assert "last row " in progress
    assert neurockt("ls").out.splitlines()[0].split()[:2] == ["name", "progress"]
    assert neurockt("ls", "--json", "--columns", "progress,total_steps").json == [{"progress": 0.375, "total_steps": 8}]
    recorder.finish()
    assert "progress 37.5% of 8 steps" in " ".join(neurockt("show", "r").out.split())
    assert "progress" not in neurockt("ls").out


def test_one_of_each_is_singular(neurockt: Command, tmp_path: Path) -> None:
    recorder = record(tmp_path / "runs", {"loss": [1.0]}, finish=False, run_id="a")
    recorder.log({"loss": 2.0})
    recorder.log({"loss": 3.0}, step=1)
    recorder.finish()
    out = neurockt("show", "a", "--steps", 1).out
    assert ("the last 1 step\n" in out, "the last 1 late row\n" in out) == (True, True)
