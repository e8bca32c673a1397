"""Runs go to the trash by one rename, and the trash is freed at once: an interruption leaves nothing half."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_run.dying import die, die_before
from written import attached

import neurockt
from neurockt.errors import CorruptRun, RunInUse, UsageError
from neurockt.monitor import Recorder
from neurockt.store import Trash, empty_trash, size_of, trash_of
from neurockt.store.owner import liveness


def record(root: Path, run_id: str) -> Path:
    """A finished run, whose bytes ``whole`` gives."""
    with Recorder(root, run_id=run_id, quiet=True) as recorder:
        for step in range(3):
            recorder.log({"loss": 1 / (step + 1)}, step=step)
    return recorder.run_dir


def whole(run_dir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abc":
        record(tmp_path / "runs", name)
    return tmp_path / "runs"


def test_a_run_in_the_trash_is_whole_hidden_and_can_be_taken_back(root: Path) -> None:
    """Runs moved by one command are together."""
    before = whole(root / "a")
    trash = Trash(root)
    moved = [trash.move(root / name) for name in "ab"]
    assert [path.parent for path in moved] == [trash.path, trash.path]
    assert whole(moved[0]) == before
    assert [info.id for info in neurockt.list_runs(root)] == ["c"]
    moved[0].rename(root / "a")
    assert neurockt.open_run(root / "a").steps()["loss"].to_pylist() == [1.0, 0.5, 1 / 3]
    with Recorder(root, run_id="a", resume=True, quiet=True) as again:
        again.log({"loss": 0.0})
    assert again.run_dir == root / "a"


@pytest.mark.slow
def test_killed_before_any_operation_a_run_is_here_or_in_the_trash_and_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is left over stops nobody: the run can be moved, or continued, afterwards."""
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.2)
    before = whole(root / "a")
    operation, places = 0, set()
    while True:
        operation += 1
        was_killed = die_before(operation, lambda: Trash(root).move(root / "a"))
        found = [root / "a", *(path for path in root.glob(".trash/*/a"))]
        (there,) = [path for path in found if path.exists()]
        places.add(there == root / "a")
        assert {name: data for name, data in whole(there).items() if not name.startswith("claim-")} == before
        if there != root / "a":
            there.rename(root / "a")
        if not was_killed:
            break
    assert places == {True, False}
    assert operation > 4
    assert whole(Trash(root).move(root / "a")) == before


@pytest.mark.slow
def test_killed_before_any_operation_of_an_emptying_no_half_of_a_run_is_shown(root: Path) -> None:
    """The trash is whole or gone; the next emptying frees the rest."""
    for _ in range(2):
        operation = 0
        while True:
            operation += 1
            if not (root / ".trash").exists():
                trash = Trash(root)
                shutil.copytree(root / "a", root / "b", dirs_exist_ok=True)
                there = whole(trash.move(root / "b"))
            was_killed = die_before(operation, lambda: empty_trash(root))
            for path in root.glob(".trash/*/b"):
                assert whole(path) == there
            assert [info.id for info in neurockt.list_runs(root)] == ["a", "c"]
            if not was_killed:
                break
    empty_trash(root)
    assert sorted(os.listdir(root)) == ["a", "c"]
    assert operation > 3


def test_a_run_that_is_written_stays(root: Path) -> None:
    """Also one that only what is attached is written of, and one that is being taken over."""
    live = Recorder(root, run_id="live", quiet=True)
    live.log({"loss": 1.0})
    with pytest.raises(RunInUse, match=f"still being written by process {os.getpid()}"):
        Trash(root).move(root / "live")
    evaluator = attached(root / "a", "mmlu", {1: {"acc": 0.5}})
    with pytest.raises(RunInUse, match="attached/mmlu is still being written"):
        Trash(root).move(root / "a")
    live.finish()
    evaluator.finish()
    moved = Trash(root).move(root / "a")
    assert neurockt.open_run(moved).info.attached["mmlu"].state == "finished"
    assert not (root / "a").exists()
    Trash(root).move(root / "live")


def test_a_run_whose_process_was_killed_can_be_removed(root: Path) -> None:
    def trained() -> Recorder:
        recorder = Recorder(root, run_id="dead", quiet=True)
        recorder.log({"loss": 1.0})
        return recorder

    die(trained)
    assert neurockt.open_run(root / "dead").state == "killed"
    assert neurockt.open_run(Trash(root).move(root / "dead")).steps()["loss"].to_pylist() == [1.0]


@pytest.mark.parametrize("age", [0, 1000])
def test_a_run_whose_description_is_damaged_is_removed_once_nobody_can_be_writing_it(root: Path, age: int) -> None:
    path = root / "a" / "run.json"
    path.write_text("{")
    os.utime(path, (time.time() - age, time.time() - age))
    if age:
        assert (Trash(root).move(root / "a") / "run.json").read_text() == "{"
    else:
        with pytest.raises(RunInUse, match=r"damaged.*in two minutes"):
            Trash(root).move(root / "a")


@pytest.mark.parametrize("age", [0, 1000])
def test_a_run_that_names_no_process_is_removed_once_it_is_old(root: Path, age: int) -> None:
    """Such as one that another program made: nobody can tell whether it is written."""
    path = root / "a" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "attempts": [], "state": "running"}))
    os.utime(path, (time.time() - age, time.time() - age))
    if age:
        assert (Trash(root).move(root / "a") / "run.json").exists()
    else:
        with pytest.raises(RunInUse, match="is still being written; "):
            Trash(root).move(root / "a")


def test_a_part_of_a_run_is_not_removed(root: Path) -> None:
    evaluator = attached(root / "a", "mmlu", {1: {"acc": 0.5}})
    evaluator.finish()
    shutil.copytree(root / "b", root / "c" / "rank-000")
    for part in (root / "a" / "attached" / "mmlu", root / "c" / "rank-000"):
        with pytest.raises(UsageError, match="part of a run"):
            Trash(root).move(part)


# Links


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A run elsewhere, of which nothing may change."""
    path = record(tmp_path / "outside", "kept")
    before = whole(path.parent)
    yield path
    assert whole(path.parent) == before


def test_of_a_run_that_is_a_link_only_the_link_goes(root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside)
    moved = Trash(root).move(root / "link")
    assert moved.is_symlink()
    assert size_of(moved) < 1000
    empty_trash(root)
    assert not os.path.lexists(moved)


def test_what_is_behind_a_linked_directory_is_refused(root: Path, outside: Path) -> None:
    (root / "project").symlink_to(outside.parent)
    with pytest.raises(UsageError, match=r"behind a link that leads out of .*--root"):
        Trash(root).move(root / "project" / "kept")


@pytest.mark.parametrize("name", [".trash", "project"])
def test_a_trash_that_is_a_link_is_not_used(root: Path, outside: Path, name: str) -> None:
    """Neither to move a run nor to be emptied."""
    record(root / "project", "d")
    if name == ".trash":
        (root / name).symlink_to(outside.parent)
        with pytest.raises(UsageError, match=r"\.trash is a link"):
            Trash(root).move(root / "a")
        assert trash_of(root) == []
        empty_trash(root)
    else:
        trash = Trash(root)
        moved = trash.move(root / "a")
        (moved.parent / name).symlink_to(outside.parent)
        with pytest.raises(UsageError, match="project is a link or"):
            trash.move(root / "project" / "d")
        assert (root / "project" / "d").exists()


def test_links_in_a_run_are_freed_and_what_they_lead_to_stays(root: Path, outside: Path) -> None:
    for name in ("checkpoints", "rank-000", "attached"):
        (root / "a" / name).symlink_to(outside.parent if name == "attached" else outside)
    (root / "a" / "file").symlink_to(outside / "run.json")
    Trash(root).move(root / "a")
    empty_trash(root)
    assert not list(root.glob(".trash*"))


def test_the_root_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(root)
    moved = Trash(tmp_path / "linked").move(tmp_path / "linked" / "a")
    assert (root / moved.relative_to(tmp_path / "linked")).exists()


# Others at work


def test_a_run_in_a_project_keeps_its_place_and_two_of_one_name_are_kept(root: Path) -> None:
    for _ in range(2):
        record(root / "project", "a")
        Trash(root).move(root / "project" / "a")
    assert len(list(root.glob(".trash/*/project/a/run.json"))) == 2


def test_the_trash_may_be_emptied_while_runs_are_moved_there(root: Path) -> None:
    stop = threading.Event()

    def keep_emptying() -> None:
        while not stop.wait(0.001):
            empty_trash(root)

    emptying = [threading.Thread(target=keep_emptying) for _ in range(2)]
    for thread in emptying:
        thread.start()
    try:
        for number in range(20):
            shutil.copytree(root / "a", root / f"copy{number}")
            Trash(root).move(root / f"copy{number}")
    finally:
        stop.set()
        for thread in emptying:
            thread.join()
    empty_trash(root)
    assert sorted(os.listdir(root)) == ["a", "b", "c"]


def test_the_run_that_the_disk_refuses_to_move_stays_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = whole(root / "a")
    (root / ".trash").write_text("in the way")
    with pytest.raises(UsageError, match="a link or a file"):
        Trash(root).move(root / "a")
    assert whole(root / "a") == before


def test_who_may_write_to_the_root_may_write_to_its_trash(root: Path) -> None:
    """People share directories of runs."""
    root.chmod(0o2775)
    record(root / "project", "d")
    before = os.umask(0o077)
    try:
        moved = Trash(root).move(root / "project" / "d")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in moved.parents[:3]} == {0o775}


def test_a_later_format_is_left_alone(root: Path) -> None:
    path = root / "a" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "format": 99}))
    with pytest.raises(Exception, match="pip install -U") as caught:
        Trash(root).move(root / "a")
    assert not isinstance(caught.value, CorruptRun)
