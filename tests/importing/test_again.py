"""Importing again: nothing twice, nothing lost, whole runs alone at any moment, and the rest of a run stays."""

from __future__ import annotations

import fcntl
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from importing import event_files as made
from importing import wandb_files
from importing.conftest import Import
from live_run.dying import die_before

from neurockt import list_runs, open_run
from neurockt.importing.importer import Importer, Options

OLD = 1_600_000_000


def losses(root: Path) -> dict[str, dict[int, float]]:
    found = {}
    for info in list_runs(root):
        steps = open_run(info.path).steps()
        found[info.id] = dict(zip(steps["step"].to_pylist(), steps["loss"].to_pylist(), strict=True))
    return found


def imported(source: Path, root: Path) -> None:
    importer = Importer([source], root, Options())
    importer.find()
    list(importer.run())


def test_what_has_not_changed_is_left_alone(tmp_path: Path, root: Path, importing: Import) -> None:
    for index in range(3):
        made.write(tmp_path / "logs" / str(index), made.scalars("loss", {1: float(index)}))
    assert [outcome.done for outcome in importing(tmp_path / "logs")] == ["imported"] * 3
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert [outcome.done for outcome in importing(tmp_path / "logs")] == ["unchanged"] * 3
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert [outcome.done for outcome in importing(tmp_path / "logs", again=True)] == ["grown"] * 3


def test_a_source_that_grows_adds_rows(tmp_path: Path, root: Path, importing: Import) -> None:
    """Also with a metric that is new; the files that have been read stay as they are."""
    path = made.write(tmp_path / "a", made.scalars("loss", {1: 1.0, 2: 2.0}))
    importing(tmp_path / "a")
    with path.open("ab") as file:
        file.write(b"".join([*made.scalars("loss", {3: 3.0}), *made.scalars("acc", {3: 0.5})]))
    (outcome,) = importing(tmp_path / "a")
    assert (outcome.done, outcome.steps) == ("grown", 3)
    (info,) = list_runs(root)
    steps = open_run(info.path).steps()
    assert steps["loss"].to_pylist() == [1.0, 2.0, 3.0]
    assert steps["acc"].to_pylist() == [None, None, 0.5]
    assert (info.steps.rows, info.revision) == (3, 1)


@pytest.mark.parametrize("header", ["step,loss", "time,loss"])
def test_a_table_without_dates_grows(tmp_path: Path, root: Path, importing: Import, header: str) -> None:
    """Its rows keep the times that they were given when they were imported."""
    path = tmp_path / "progress.csv"
    path.write_text(f"{header}\n1,0.5\n2,0.25\n")
    os.utime(path, (1.7e9, 1.7e9))
    importing(path)
    (info,) = list_runs(root)
    times = open_run(info.path).steps()["time"].to_pylist()
    with path.open("a") as file:
        file.write("3,0.125\n")
    assert [outcome.done for outcome in importing(path)] == ["grown"]
    steps = open_run(info.path).steps()
    assert steps["loss"].to_pylist() == [0.5, 0.25, 0.125]
    assert steps["time"].to_pylist()[:2] == times
    assert steps["time"].to_pylist()[2] > times[1]


def test_a_source_whose_rows_change_replaces_the_run(tmp_path: Path, root: Path, importing: Import) -> None:
    """What people and sync keep beside it stays."""
    path = made.write(tmp_path / "a", made.scalars("loss", {1: 1.0, 2: 2.0}))
    importing(tmp_path / "a")
    (root / "a" / "wandb.json").write_text("{}")
    (root / "a" / "notes").mkdir()
    (root / "a" / "notes" / "mine.txt").write_text("mine")
    with path.open("ab") as file:
        file.write(b"".join(made.scalars("loss", {1: 9.0})))
    (outcome,) = importing(tmp_path / "a")
    assert outcome.done == "replaced"
    assert losses(root) == {"a": {1: 9.0, 2: 2.0}}
    assert (root / "a" / "notes" / "mine.txt").read_text() == "mine"
    assert (root / "a" / "wandb.json").read_text() == "{}"
    (info,) = list_runs(root)
    assert info.revision == 2


def test_a_run_that_is_renamed_and_moved_is_found_again(tmp_path: Path, root: Path, importing: Import) -> None:
    path = made.write(tmp_path / "a", made.scalars("loss", {1: 1.0}))
    importing(tmp_path / "a")
    with path.open("ab") as file:
        file.write(b"".join(made.scalars("loss", {2: 2.0})))
    importing(tmp_path / "a", project="other")
    assert losses(root) == {"a": {1: 1.0, 2: 2.0}}


def test_a_run_that_was_recorded_is_never_touched(tmp_path: Path, root: Path, importing: Import) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a" / "mine.txt").write_text("mine")
    made.write(tmp_path / "a", made.scalars("loss", {1: 1.0}))
    (outcome,) = importing(tmp_path / "a")
    assert outcome.id.startswith("a-")
    assert [entry.name for entry in (root / "a").iterdir()] == ["mine.txt"]
    assert [outcome.done for outcome in importing(tmp_path / "a")] == ["unchanged"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["new", "grown", "replaced"])
def test_killed_before_any_operation_there_is_a_whole_run_or_none(tmp_path: Path, change: str) -> None:
    """The run before or the new one, and the next import completes it."""
    first = made.scalars("loss", dict.fromkeys(range(1, 9), 1.0))
    more = {"new": [], "grown": made.scalars("loss", {9: 1.0}), "replaced": made.scalars("loss", {1: 5.0, 9: 1.0})}[
        change
    ]
    before = dict.fromkeys(range(1, 9), 1.0)
    after = before if change == "new" else {**before, **({1: 5.0} if change == "replaced" else {}), 9: 1.0}
    at = 0
    while True:
        at += 1
        home, root = tmp_path / f"{at}" / "a", tmp_path / f"{at}" / "runs"
        path = made.write(home, first)
        if change != "new":
            imported(home, root)
        path.write_bytes(path.read_bytes() + b"".join(more))
        died = die_before(at, lambda home=home, root=root: imported(home, root))
        if root.exists() and (change != "new" or (root / "a").exists()):
            assert losses(root) in (
                [{"a": before}, {"a": after}] if change != "replaced" else [{}, {"a": before}, {"a": after}]
            )
        imported(home, root)
        assert losses(root) == {"a": after}
        assert not list(root.glob(".import-*"))
        if not died:
            break
    assert at > 5


def test_a_dry_run_writes_nothing(tmp_path: Path, root: Path, importing: Import) -> None:
    made.write(tmp_path / "a", made.scalars("loss", {1: 1.0}))
    (outcome,) = importing(tmp_path / "a", dry=True)
    assert (outcome.id, outcome.done, outcome.values) == ("a", "new", 1)
    assert not root.exists()


def test_a_live_source_lacks_its_last_step_until_it_is_still(tmp_path: Path, root: Path, importing: Import) -> None:
    path = made.write(tmp_path / "a", [*made.scalars("loss", {1: 1.0, 2: 2.0}), *made.scalars("acc", {1: 0.5})])
    importing(tmp_path / "a", live=True)
    assert losses(root) == {"a": {1: 1.0}}
    (info,) = list_runs(root)
    assert info.state == "running"
    os.utime(path, (OLD, OLD))
    importing(tmp_path / "a", live=True)
    assert losses(root) == {"a": {1: 1.0, 2: 2.0}}
    (info,) = list_runs(root)
    assert info.state == "finished"


def test_a_link_is_not_followed_and_a_file_counts_once(tmp_path: Path, root: Path, importing: Import) -> None:
    wandb_files.write(
        tmp_path / "wandb", "a", [wandb_files.run("a"), wandb_files.row({"loss": 1.0}, 0), wandb_files.end(0)]
    )
    (tmp_path / "wandb" / "latest-run").symlink_to("offline-run-20231114_000001-a")
    made.write(tmp_path / "outside", made.scalars("loss", {1: 1.0}))
    (tmp_path / "wandb" / "more").symlink_to(tmp_path / "outside")
    assert [outcome.id for outcome in importing(tmp_path / "wandb", tmp_path / "wandb" / "latest-run")] == ["a"]


@pytest.mark.parametrize("run_id", ["../../evil", "/etc/evil", "..", "a/b", "\x1b[31mred", ""])
def test_an_id_cannot_leave_the_directory(tmp_path: Path, root: Path, importing: Import, run_id: str) -> None:
    path = wandb_files.write(tmp_path / "wandb", "safe", [wandb_files.run(run_id), wandb_files.row({"loss": 1.0}, 0)])
    (outcome,) = importing(path.parent)
    assert outcome.done == "imported"
    assert [entry.name for entry in root.iterdir()] == [outcome.id]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["runs", "wandb"]
    json.dumps(outcome.id)
    assert outcome.id.isprintable()


def test_imports_to_one_directory_take_turns(tmp_path: Path, root: Path) -> None:
    """The second one finds what the first has imported; this process plays the first."""
    made.write(tmp_path / "a", made.scalars("loss", {1: 0.5}))
    root.mkdir()
    first = os.open(root, os.O_RDONLY)
    fcntl.flock(first, fcntl.LOCK_EX)
    importer, is_waiting = Importer([tmp_path / "a"], root, Options()), Event()
    importer.find()
    with ThreadPoolExecutor() as pool:
        second = pool.submit(lambda: list(importer.run(waits=is_waiting.set)))
        assert is_waiting.wait(60)
        assert list(root.iterdir()) == []
        os.close(first)
        assert [outcome.done for outcome in second.result(60)] == ["imported"]
