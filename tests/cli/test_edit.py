"""``neurockt edit``: name, project, group, tags, notes and archive, of runs that are named or filtered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from written import attached

import neurockt as package

from .conftest import HOSTILE, Done

Command = Callable[..., Done]


def test_edits_a_run_and_prints_what_changed(neurockt: Command, runs: Path) -> None:
    """The change is in `ls`, `show`, filters and what Python reads; the same again changes nothing."""
    words = ("edit", "fast", "--name", "best", "--project", "p", "--group", "g", "--note", "", "--tag", "x")
    done = neurockt(*words, "--tag", "y", "--untag", "paper")
    assert (done.status, done.err) == (0, "")
    assert done.out == (
        "fast: name fast → best, project digits → p, group - → g, notes first line�second line → -, tags +x +y -paper\n"
    )
    info = package.open_run(runs / "r1").info
    assert (info.name, info.project, info.group, info.tags, info.notes) == ("best", "p", "g", ("x", "y"), None)
    assert [run["id"] for run in neurockt("ls", "--filter", "tag:x name:best group:g", "--json").json] == ["r1"]
    shown = neurockt("show", "best", "--json").json
    assert (shown["project"], shown["tags"], shown["archived"]) == ("p", ["x", "y"], False)
    again = neurockt("edit", "best", "--tag", "x", "--name", "best")
    assert (again.status, again.out) == (0, "best: already so\n")


def test_edits_all_runs_that_match_a_filter(neurockt: Command, runs: Path) -> None:
    """Archived ones only where the filter or --unarchive asks for them; those that are named in any case."""
    done = neurockt("edit", "--filter", "cfg.lr<0.1", "--tag", "low", "--archive")
    assert done.out == "slow: tags +low, archived\nfast: tags +low, archived\n"
    assert "ls --archived" in done.err
    assert [info.id for info in package.list_runs(runs)] == ["r2"]
    none = neurockt("edit", "--filter", "tag:low", "--note", "x")
    assert (none.status, none.out, none.err) == (0, "", f"neurockt: no run matches (1 in {runs.name})\n")
    assert neurockt("edit", "--filter", "archived=true name:slow", "--note", "x").out.startswith("slow: notes")
    assert neurockt("edit", "--filter", "tag:low", "--unarchive").out.count("no longer archived") == 2
    assert len(package.list_runs(runs)) == 3
    neurockt("edit", "slow", "--archive")
    assert [run["archived"] for run in neurockt("edit", "slow", "--tag", "z", "--json").json] == [True]


def test_a_live_run_is_edited(neurockt: Command, live_run: Path) -> None:
    assert neurockt("edit", live_run, "--tag", "watch").out == "live: tags +watch\n"
    assert package.open_run(live_run).info.tags == ("watch",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--tag", "x"), "which runs? neurockt edit RUN, or --filter QUERY"),
        (("slow",), "nothing to change; add --name"),
        (("slow", "--tag", " "), "a tag needs at least one character"),
        (("slow", "--tag", "x", "--untag", "x"), "--tag and --untag both name 'x'"),
        (("slow", "--archive", "--unarchive"), "not allowed with"),
        (("slow", "fast", "--name", "x"), "--name names one run, and there are 2"),
        (("--filter", "cfg.lr>=", "--tag", "x"), "value is missing"),
    ],
)
def test_wrong_usage_changes_nothing(neurockt: Command, runs: Path, words: tuple[str, ...], says: str) -> None:
    done = neurockt("edit", *words)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert not list(runs.glob("*/edits.json"))


def test_a_name_that_is_not_there_changes_nothing(neurockt: Command, runs: Path) -> None:
    done = neurockt("edit", "slow", "nothing-like-it", "--tag", "x")
    assert (done.status, done.out) == (1, "")
    assert "no run 'nothing-like-it'" in done.err
    assert not list(runs.glob("*/edits.json"))


def test_a_run_that_cannot_be_edited_is_named_and_the_others_are_edited(neurockt: Command, runs: Path) -> None:
    (runs / "r0" / "edits.json").write_text("{")
    done = neurockt("edit", "--filter", "project:digits", "--tag", "x")
    assert done.status == 1
    assert "cannot edit runs/r0: runs/r0/edits.json is damaged" in done.err
    assert done.out == "fast: tags +x\ndiverged: tags +x\n"


def test_what_is_attached_is_edited_by_its_path_but_not_archived(neurockt: Command, runs: Path) -> None:
    attached(runs / "r0", "mmlu", {1: {"acc": 0.5}}).finish()
    path = runs / "r0" / "attached" / "mmlu"
    assert neurockt("edit", path, "--note", "5-shot").status == 0
    assert package.open_run(runs / "r0").info.attached["mmlu"].notes == "5-shot"
    done = neurockt("edit", path, "--archive")
    assert done.status == 1
    assert "only whole runs are archived" in done.err


def test_hostile_text_is_harmless(neurockt: Command, hostile: Path) -> None:
    """Given as well as there before."""
    done = neurockt("edit", hostile / "bad", "--name", HOSTILE * 2, "--tag", HOSTILE * 2, "--note", "\udcff\n\x1b[2J")
    for text in (done.out, done.err, neurockt("ls", hostile).out, neurockt("show", hostile / "bad").out):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert done.out.count("\n") == 1
    assert package.open_run(hostile / "bad").info.name == HOSTILE * 2
