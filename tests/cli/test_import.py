"""``neurockt import``: a line for each run on stdout, all else on stderr, and an exit status that scripts can use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from importing import event_files as made

from .conftest import Done

Command = Callable[..., Done]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two runs of TensorBoard."""
    made.write(tmp_path / "logs" / "a", made.scalars("loss", {1: 1.0, 2: 0.5}))
    made.write(tmp_path / "logs" / "b", [*made.scalars("loss", {1: 2.0}), made.event(1.0, 1, made.image("i", 9))])
    return tmp_path / "logs"


def test_a_line_for_each_run(neurockt: Command, logs: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    done = neurockt("import", logs, "--into", root)
    assert done.status == 0
    assert [line.split() for line in done.out.splitlines()] == [
        "logs-a tensorboard 2 values 2 steps, 0 epochs imported".split(),
        "logs-b tensorboard 1 values 1 step, 0 epochs imported".split(),
    ]
    assert done.err == "neurockt: logs-b: left out images (1)\n"
    done = neurockt("import", logs, "--into", root)
    assert [line.split()[-1] for line in done.out.splitlines()] == ["unchanged", "unchanged"]
    assert "imported  tensorboard, from " in neurockt("show", "logs-a", "--root", root).out


def test_json(neurockt: Command, logs: Path, tmp_path: Path) -> None:
    done = neurockt("import", logs, "--into", tmp_path / "runs", "--dry-run", "--json")
    assert done.status == 0
    assert [(run["id"], run["done"], run["values"]) for run in json.loads(done.out)] == [
        ("logs-a", "new", 2),
        ("logs-b", "new", 1),
    ]
    assert not (tmp_path / "runs").exists()


def test_what_is_damaged_is_named_and_hides_no_other(neurockt: Command, logs: Path, tmp_path: Path) -> None:
    (logs / "a" / "events.out.tfevents.1700000009.h.9.0").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    done = neurockt("import", logs, "--into", tmp_path / "runs")
    assert done.status == 1
    assert done.out.count("imported") == 2
    assert "is a Git LFS pointer: git lfs pull" in done.err


@pytest.mark.parametrize("words", [["nowhere"], ["."], ["empty.txt"], ["--from", "csv"]])
def test_wrong_usage(neurockt: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    done = neurockt("import", *words)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_ls_and_view_say_how_to_import(neurockt: Command, logs: Path) -> None:
    done = neurockt("ls", logs)
    assert (done.status, done.out) == (0, "")
    assert (
        f"no runs in {logs}, but there are runs of other trackers (2 of TensorBoard): neurockt import {logs}"
        in done.err
    )
    done = neurockt("view", logs)
    assert done.status == 1
    assert f"neurockt import {logs}" in done.err


def test_text_of_a_source_cannot_reach_the_terminal(neurockt: Command, tmp_path: Path) -> None:
    evil = "\x1b]0;owned\x07‮[bold]"
    made.write(tmp_path / f"logs{evil}", made.scalars(f"loss{evil}", {1: 1.0}))
    (tmp_path / f"logs{evil}" / "hparams.yaml").write_bytes(b"\x1b]0;owned\x07: [")
    done = neurockt("import", tmp_path / f"logs{evil}", "--into", tmp_path / "runs")
    assert done.status == 0
    assert all(part.isprintable() for part in (done.out + done.err).splitlines())
    (entry,) = (tmp_path / "runs").iterdir()
    assert entry.name.isprintable()


def test_runs_with_long_paths_can_be_told_apart(neurockt: Command, tmp_path: Path) -> None:
    """On the terminal, and by their ids."""
    deep = (
        tmp_path / "a-rather-long-name-of-a-project" / "with-experiments-of-many-kinds" / "and-results-in-directories"
    )
    for number in (1, 2):
        made.write(deep / "of-an-algorithm" / f"PPO_{number}", made.scalars("loss", {1: 1.0}))
    done = neurockt("import", tmp_path, "--into", tmp_path / "runs")
    shown = [line.split()[0] for line in done.out.splitlines()]
    assert [name.rpartition("-")[2] for name in shown] == ["PPO_1", "PPO_2"]
    assert sorted(path.name[-5:] for path in (tmp_path / "runs").iterdir()) == ["PPO_1", "PPO_2"]


def test_a_directory_that_cannot_be_written_is_named(neurockt: Command, tmp_path: Path) -> None:
    """Not the source, which can be read."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.csv").write_text("step,loss\n1,2\n")
    (tmp_path / "taken").touch()
    done = neurockt("import", "run", "--into", "taken")
    assert (done.status, done.err) == (1, "neurockt: cannot write taken/run: File exists\n")


def test_show_names_no_process_where_none_is_known(neurockt: Command, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss\n1,2\n")
    neurockt("import", "metrics.csv", "--into", "runs")
    out = neurockt("show").out
    assert ("\n  imported" in out, "process 0" in out, "\n  host" in out) == (True, False, False)
