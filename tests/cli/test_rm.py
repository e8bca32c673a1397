"""``neurockt rm``: to the trash after a question, by name, filter, state, age and what W&B has; and out of it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from live_run.dying import die

import neurockt as package
from neurockt.sync.describe import identity
from neurockt.sync.ledger import Entry, Ledger, documents_of, stamp_of

from .conftest import Done, Terminal, record

Command = Callable[..., Done]


def ids(root: Path) -> list[str]:
    return [info.id for info in package.list_runs(root)]


def change(run_dir: Path, **fields: object) -> None:
    path = run_dir / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


@pytest.mark.parametrize(("answer", "status", "left"), [("y\n", 0, ["r2"]), ("\n", 1, ["r0", "r1", "r2"])])
def test_lists_what_goes_and_asks(
    neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, left: list[str]
) -> None:
    """The answer is no unless it is yes; the list and the question are beside stdout."""
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    done = neurockt("rm", "--filter", "cfg.lr<0.1")
    lines = done.err.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["slow", "fast"]
    assert all("kB  finished, just now, 3 steps, 2 epochs" in line for line in lines[:2])
    assert lines[2].startswith("Move 2 runs, ")
    assert "to the trash? [y/N]" in lines[2]
    assert (done.status, ids(runs)) == (status, left)
    if status:
        assert "nothing is removed" in done.err
        assert done.out == ""


def test_lists_all_rows_of_a_killed_run(neurockt: Command, tmp_path: Path) -> None:
    """Those too that its ``run.json`` does not count yet."""
    die(lambda: record(tmp_path / "runs", {"loss": [3.0, 2.0, 1.0]}, {"acc": [0.5]}, finish=False, run_id="a"))
    assert "killed, just now, 3 steps, 1 epoch\n" in neurockt("rm", "a").err


def test_prints_a_way_back_that_works(neurockt: Command, runs: Path) -> None:
    """For one run and for several."""
    for words, count in ((("slow",), 1), (("slow", "fast"), 2)):
        done = neurockt("rm", *words, "--yes")
        assert done.status == 0
        assert done.out.startswith(f"moved {count} run{'s' * (count > 1)}, ")
        (undo,) = [line.partition(": ")[2] for line in done.out.splitlines() if "to undo: " in line]
        assert len(ids(runs)) == 3 - count
        subprocess.run(undo, shell=True, check=True)
        assert ids(runs) == ["r0", "r1", "r2"]


def test_nothing_goes_without_a_terminal_unless_it_is_told_to(neurockt: Command, runs: Path) -> None:
    done = neurockt("rm", "slow")
    assert (done.status, done.out) == (2, "")
    assert "--yes" in done.err
    assert ids(runs) == ["r0", "r1", "r2"]
    done = neurockt("rm", "slow", "--yes", "--json")
    (moved,) = done.json["moved"]
    assert (Path(moved["trash"]) / "run.json").exists()
    assert moved["bytes"] > 1000
    assert ids(runs) == ["r1", "r2"]


def test_the_trash_is_emptied_after_a_question(neurockt: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how much there is, and only what is in the trash."""
    assert "nothing is in the trash of runs" in neurockt("rm", "--empty-trash", "--yes").err
    neurockt("rm", "slow", "fast", "--yes")
    assert neurockt("rm", "--empty-trash").status == 2
    assert neurockt("rm", "--empty-trash", "diverged", "--yes").status == 2
    assert (runs / ".trash").exists()
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    done = neurockt("rm", "--empty-trash")
    assert "Delete 2 runs, " in done.err
    assert done.out.startswith("deleted 2 runs, ")
    assert sorted(path.name for path in runs.iterdir()) == ["r2"]


def test_by_state_and_by_age(neurockt: Command, runs: Path) -> None:
    """Both together mean both; neither needs a filter."""
    now = datetime.now(timezone.utc)
    for name, days, state in (("r0", 40, "failed"), ("r1", 40, "finished"), ("r2", 10, "failed")):
        moment = (now - timedelta(days=days)).isoformat()
        change(runs / name, ended=moment, state=state)
    assert "no run matches (3 in runs)" in neurockt("rm", "--state", "killed", "--yes").err
    neurockt("rm", "--state", "failed", "--older", "30d", "--yes")
    assert ids(runs) == ["r1", "r2"]
    neurockt("rm", "r1", "--older", "41d", "--yes")
    assert ids(runs) == ["r1", "r2"]
    neurockt("rm", "--state", "failed", "--state", "finished", "--yes")
    assert ids(runs) == []


def test_synced_are_those_that_were_seen_to_be_in_wandb_as_they_are_now(neurockt: Command, runs: Path) -> None:
    """By the ledger of `neurockt sync`: no server is asked. A run that was edited since is not."""
    for name in ("r0", "r1"):
        info = package.open_run(runs / name).info
        stamp = stamp_of(documents_of(info.path), info)
        Ledger(info.path, identity(info)).write("https://api.wandb.ai/me/p", Entry("r", state="finished", stamp=stamp))
    neurockt("edit", "r1", "--tag", "later")
    neurockt("rm", "--synced", "--yes")
    assert ids(runs) == ["r1", "r2"]


def test_a_live_run_stays(neurockt: Command, runs: Path, live_run: Path) -> None:
    """It fails where the run was named; a filter takes the others."""
    done = neurockt("rm", "live", "--yes")
    assert (done.status, done.out) == (1, "")
    assert "still being written by process" in done.err
    done = neurockt("rm", "--filter", "", "--yes")
    assert done.status == 0
    assert "still being written by process" in done.err
    assert ids(runs) == ["live"]


def test_a_run_elsewhere_has_its_trash_there(neurockt: Command, runs: Path, tmp_path: Path) -> None:
    """By its path, also from within it; a part of a run, or what a link leads to, stays."""
    project = tmp_path / "elsewhere" / "project"
    project.mkdir(parents=True)
    (runs / "r0").rename(project / "r0")
    (runs / "r1").rename(project / "r1")
    done = neurockt("rm", project / "r0" / ".." / "r0", "--yes")
    assert "--root elsewhere/project" in done.out
    assert neurockt("rm", "--root", project.parent, "--filter", "name:fast", "--yes").status == 0
    assert len(list(project.parent.glob(".trash/*/project/r1/run.json"))) == 1
    (runs / "linked").symlink_to(project)
    assert neurockt("rm", "--filter", "", "--yes").status == 0
    assert ids(runs) == []


def test_a_link_to_a_run_goes_with_it(neurockt: Command, runs: Path) -> None:
    """Whatever their names, none is left that leads nowhere."""
    for name in ("a", "z"):
        (runs / name).symlink_to("r0")
    done = neurockt("rm", "--filter", "name:slow", "--yes")
    assert done.status == 0
    assert "stays" not in done.err
    assert "does not exist" not in done.err
    assert sorted(path.name for path in runs.iterdir()) == [".trash", "r1", "r2"]


def test_a_damaged_run_is_removed_by_its_path(neurockt: Command, runs: Path) -> None:
    """Once it is older than a live writer would leave it; a filter knows nothing of it."""
    path = runs / "r0" / "run.json"
    path.write_text("{")
    assert "two minutes" in neurockt("rm", "r0", "--yes").err
    subprocess.run(["touch", "-d", "1 hour ago", path], check=True)
    assert neurockt("rm", "r0", "--state", "killed", "--yes").status == 1
    done = neurockt("rm", "r0", "--yes")
    assert "its run.json is damaged" in done.err
    assert done.status == 0
    assert sorted(path.name for path in runs.iterdir()) == [".trash", "r1", "r2"]


@pytest.mark.parametrize(
    "words",
    [
        ("rm",),
        ("rm", "--older", "soon"),
        ("rm", "--state", "dead"),
        ("rm", "-f", "a<"),
        ("rm", "--filter=-valid_los>1"),
    ],
)
def test_wrong_usage_removes_nothing(neurockt: Command, runs: Path, words: tuple[str, ...]) -> None:
    assert neurockt(*words, "--yes").status == 2
    assert ids(runs) == ["r0", "r1", "r2"]


def test_hostile_names_are_harmless_and_are_taken_back(neurockt: Command, hostile: Path) -> None:
    (hostile / "bad").rename(hostile / "it's \x1b[2J $(touch x)")
    done = neurockt("rm", "--root", hostile, "--filter", "", "--yes")
    assert done.status == 0
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out + done.err)
    assert done.err.count("\n") == 1
    undo = next(line for line in done.out.splitlines() if "to undo" in line).partition(": ")[2]
    assert len(shlex.split(undo)) == 3
