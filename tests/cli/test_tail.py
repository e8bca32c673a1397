"""``neurockt tail``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from real_terminal import RealTerminal

from neurockt import testing
from neurockt.cli import main
from neurockt.monitor import Recorder

from .conftest import Done, Terminal, record

Command = Callable[..., Done]
NEUROCKT = (sys.executable, "-m", "neurockt")


def words(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_a_run_that_has_ended(neurockt: Command, runs: Path) -> None:
    """Its last validations, its newest step and its state; then it is done."""
    done = neurockt("tail", "fast", "-n", 1)
    assert (done.status, done.err) == (0, "")
    header, row, newest, state = words(done.out)
    assert header == ["epoch", "step", "valid_loss", "acc"]
    assert row == ["2", "3", "0.1", "0.97"]
    assert newest == ["step", "3", "epoch", "1", "train_loss", "0.1"]
    assert state[:2] == ["fast", "finished"]


def test_a_run_without_validations_shows_its_steps(neurockt: Command, tmp_path: Path) -> None:
    """The last ones; those of another column when they come."""
    recorder = record(tmp_path / "runs", {"loss": [float(step) for step in range(20)]}, finish=False, run_id="a")
    recorder.log({"lr": 6e-5})
    recorder.finish()
    lines = words(neurockt("tail", "a", "-n", 2).out)
    assert lines[0] == ["step", "epoch", "loss", "lr"]
    assert lines[1:3] == [["20", "1", "19", "-"], ["21", "1", "-", "6e-05"]]
    assert words(neurockt("tail", "a", "-n", 1, "--columns", "lr").out)[:2] == [
        ["step", "epoch", "lr"],
        ["21", "1", "6e-05"],
    ]


@pytest.mark.parametrize("terminal", [None, 80])
def test_a_metric_that_is_called_rank(neurockt: Command, tmp_path: Path, terminal: int | None) -> None:
    """It is not the column of the ranks, and need not be in each row."""
    recorder = record(tmp_path / "runs", {"rank": [2.5, 3.5]}, finish=False, run_id="a")
    done = neurockt("tail", "a", "--once", terminal=terminal)
    assert (done.status, done.out.count("rank 3.5"), done.err) == (0, 1 if terminal else 0, "")
    recorder.log({"loss": 1.0})
    recorder.finish()
    done = neurockt("tail", "a", terminal=terminal)
    assert (done.status, done.err) == (0, "")
    assert words(done.out)[2:4] == [["2", "1", "3.5", "-"], ["3", "1", "-", "1"]]


def test_thousands_of_metrics_are_columns(neurockt: Command, tmp_path: Path) -> None:
    with Recorder(tmp_path / "runs", run_id="a", quiet=True, system_seconds=None) as recorder:
        recorder.log({f"m{index}": 1.0 for index in range(4_000)})
    assert len(words(neurockt("tail", "a").out)[0]) == 4_002


def test_a_misspelt_column_is_an_error(neurockt: Command, runs: Path) -> None:
    """Those of both tables are known."""
    assert "did you mean 'train_loss'?" in neurockt("tail", "fast", "--columns", "acc,train_los").err
    assert "did you mean 'valid_loss'?" in neurockt("tail", "fast", "--columns", "valid_los").err
    assert words(neurockt("tail", "fast", "--columns", "acc,train_loss", "-n", 1).out)[:3] == [
        ["epoch", "step", "acc"],
        ["2", "3", "0.97"],
        ["step", "3", "epoch", "1", "train_loss", "0.1"],
    ]


def test_a_pattern_stands_for_all_columns_that_match(neurockt: Command, runs: Path) -> None:
    """Of either table; one that matches none is an error."""
    assert words(neurockt("tail", "fast", "--columns", "*_loss", "-n", 1).out)[:3] == [
        ["epoch", "step", "valid_loss"],
        ["2", "3", "0.1"],
        ["step", "3", "epoch", "1", "train_loss", "0.1"],
    ]
    assert "no column 'x*' in epochs" in neurockt("tail", "fast", "--table", "epochs", "--columns", "x*").err


def test_a_misspelt_column_of_a_run_without_validations(neurockt: Command, tmp_path: Path) -> None:
    """A table without rows has no columns; before the first row of all, any may come."""
    record(tmp_path / "runs", {"loss": [1.0]}, run_id="a")
    done = neurockt("tail", "a", "--columns", "los")
    assert (done.status, done.out) == (1, "")
    assert "did you mean 'loss'?" in done.err
    assert neurockt("tail", "a", "--table", "late", "--columns", "los").status == 0


def test_a_column_of_validations_to_come(neurockt: Command, tmp_path: Path) -> None:
    """A run that trains may have it later; it is noted that it has none so far."""
    recorder = record(tmp_path / "runs", {"loss": [1.0, 0.5]}, finish=False, run_id="a")
    done = neurockt("tail", "a", "--columns", "loss,valid_los", "--once", "-n", 1)
    assert (done.status, words(done.out)[1]) == (0, ["2", "1", "0.5"])
    assert "no column 'valid_los' in epochs or steps" in done.err
    recorder.finish()


def test_a_column_is_whole_or_left_out(neurockt: Command, tmp_path: Path) -> None:
    """A number that is cut would be another one."""
    record(tmp_path / "runs", {f"metric_{index}": [1 / 3] for index in range(9)}, run_id="a")
    lines = neurockt("tail", "a", terminal=50).out.splitlines()
    assert lines[0].split() == ["step", "epoch", "metric_0", "metric_1", "metric_2", "…"]
    assert lines[1].split() == ["1", "1", "0.33333", "0.33333", "0.33333", "…"]
    assert all(len(line) < 50 for line in lines)


def test_a_dumb_terminal_gets_lines(neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a pipe does: it cannot draw a pane again."""
    in_a_pipe = neurockt("tail", "fast").out
    assert in_a_pipe != neurockt("tail", "fast", terminal=80).out
    monkeypatch.setenv("TERM", "dumb")
    with redirect_stdout(Terminal()) as out:
        assert main(["tail", "fast"]) == 0
    assert out.getvalue() == in_a_pipe


def test_json_has_every_row_of_both_tables(neurockt: Command, runs: Path) -> None:
    """As strict JSON, a line each; the exact values and times."""
    rows = [json.loads(line) for line in neurockt("tail", "diverged", "--json").out.splitlines()]
    assert [(row["table"], row["step"]) for row in rows] == [
        *(("epochs", 3),) * 2,
        *(("steps", step) for step in (1, 2, 3)),
    ]
    assert rows[1]["valid_loss"] == "NaN"
    assert rows[0]["time"].endswith("+00:00")
    assert {
        json.loads(line)["table"] for line in neurockt("tail", "fast", "--json", "--table", "steps").out.splitlines()
    } == {"steps"}


def test_hostile_text_is_made_harmless(neurockt: Command, hostile: Path) -> None:
    for more in ([], ["--json"]):
        done = neurockt("tail", hostile / "bad", *more)
        assert done.status == 0
        assert not set(done.out + done.err) & set("\x1b\x07\r\u202e")
    assert not set(neurockt("tail", hostile / "bad", terminal=80).out) & set("\x07\u202e")


@pytest.mark.parametrize("width", [80, 46])  # of a duration of any length
def test_a_long_name_leaves_room_for_the_state_and_the_step(neurockt: Command, tmp_path: Path, width: int) -> None:
    """Its middle is elided in the heading of the pane; of the facts below, those that fit are whole."""
    name = "a-sweep-with-a-rather-long-name-of-which-nobody-reads-the-middle-lr0.003"
    recorder = record(tmp_path / "runs", {"loss": [4.0] * 1400}, finish=False, run_id="a", name=name, total_steps=2000)
    screen = neurockt("tail", "a", "--once", terminal=width).out
    recorder.finish()
    heading, facts = re.sub(r"\x1b\[\d*m", "", screen).splitlines()[-3:-1]
    assert "…" in heading
    assert re.search(r"── a-s\S+3  running  \S+  step 1,400", heading)
    assert facts.startswith("70.0% of 2,000 steps")
    assert "…" not in facts


@pytest.mark.slow
def test_follows_a_run_to_its_end(tmp_path: Path) -> None:
    """Rows that are recorded later, and the state in the end."""
    recorder = record(tmp_path / "runs", {"loss": [4.0, 3.0]}, {"acc": [0.5]}, finish=False, run_id="live")
    with subprocess.Popen([*NEUROCKT, "tail", recorder.run_dir], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(3)]
        assert lines == [["epoch", "step", "acc"], ["1", "2", "0.5"], ["step", "2", "epoch", "1", "loss", "3"]]
        testing.record(recorder, {"loss": [2.0]}, {"acc": [0.75]})
        recorder.finish()
        rest = process.stdout.read()
        assert process.wait(120) == 0
    assert ["2", "3", "0.75"] in words(rest)
    assert "finished" in words(rest)[-1]
    assert len([line for line in words(rest) if line[:1] == ["step"]]) == 1


@pytest.mark.slow
def test_the_newest_step_is_a_pane_on_a_terminal(tmp_path: Path) -> None:
    """One that is drawn again in its place, below the rows, also after the window was made narrower."""
    recorder = Recorder(tmp_path, quiet=True, run_id="live", name="a\x1b]0;owned\x07b")
    recorder.log({"train/loss": 0.25, "lr": 6e-5}, 1)
    with RealTerminal(*NEUROCKT, "tail", recorder.run_dir, width=80, height=24) as terminal:
        terminal.wait_for("lr 6e-05")
        recorder.log({"acc": 0.5}, 1, train=False)
        recorder.log({"train/loss": 0.125, "lr": 6e-5}, 2)
        screen = terminal.wait_for(lambda text: "0.125" in text and "acc" in text)
        assert screen.count("── a") == 1
        assert screen.index("acc") < screen.index("── a") < screen.index("train/loss 0.125")
        assert "0.25" not in screen
        terminal.resize(40, 12)
        recorder.log({"train/loss": 0.0625, "lr": 6e-5}, 3)
        screen = terminal.wait_for("0.0625")
        assert screen.count("lr 6e-05") == 1
        terminal.signal(signal.SIGINT)
        assert terminal.wait() == 130
        assert terminal.is_restored
        assert terminal.commands == [], "its name has not named the window"
    recorder.finish()
