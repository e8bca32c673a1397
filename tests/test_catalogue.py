"""Finding runs: by directory, id, name, or the beginning of an id."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from neurockt.catalogue import find_run, list_runs
from neurockt.errors import CorruptRun, FormatTooNew, NeurocktWarning, RunNotFound
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base.layout import default_root
from neurockt.store.base.run_file import write_info

CREATED = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four runs, the later the directory's name the earlier made; and things that are no runs."""
    for index, (id, name) in enumerate([("d", "first"), ("c1", "twin"), ("c2", "twin"), ("a", None)]):
        info = RunInfo(path=tmp_path / id, id=id, created=CREATED + timedelta(hours=index), name=name, state="finished")
        info.path.mkdir()
        write_info(info)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    return tmp_path


def test_lists_runs_by_their_age_and_nothing_else(root: Path) -> None:
    """Oldest first, whatever the directories are called."""
    assert [info.id for info in list_runs(root)] == ["d", "c1", "c2", "a"]


def test_one_run_is_a_list_of_one(root: Path) -> None:
    """A run's own directory is accepted too."""
    assert [info.id for info in list_runs(root / "a")] == ["a"]


def test_a_linked_run_is_listed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs may lie on another file system."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "link").symlink_to(root / "a")
    assert [info.id for info in list_runs(elsewhere)] == ["a"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 99}', '{"format": "x"}', "[" * 100_000, '{"a": "\xff"}'],
)
def test_a_damaged_run_is_named_and_left_out(root: Path, text: str) -> None:
    """One warning; the others are listed."""
    (root / "c1" / "run.json").write_text(text, encoding="latin-1")
    with pytest.warns(NeurocktWarning, match="c1"):
        found = list_runs(root)
    assert [info.id for info in found] == ["d", "c2", "a"]


OPTIONAL = [
    ("name", 5, None),
    ("tags", [1], ()),
    ("config", [], {}),
    ("heartbeat", "many", 0),
    ("updated", "2026-11-23T10:15:00", None),
    ("ended", "0001-01-01T00:00:00+00:00", None),
    ("steps", {"rows": "x", "columns": {}}, TableSummary()),
    ("steps", {"rows": 1, "columns": {"loss": {"last": "x"}}}, TableSummary()),
    ("attempts", [{}], ()),
    ("failure", {"type": 1}, None),
    ("state", "resting", "running"),
    ("path", "/etc", None),
]


@pytest.mark.parametrize(("field", "value", "read"), OPTIONAL, ids=[field for field, _, _ in OPTIONAL])
def test_a_field_of_the_wrong_kind_is_as_if_it_were_not_there(root: Path, field: str, value: object, read: Any) -> None:
    """The run is listed, with all its other fields."""
    path = root / "c1" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": "running", "group": "g", field: value}))
    info = find_run(str(root / "c1")).info
    assert getattr(info, field) == (read if field != "path" else root / "c1")
    assert (info.id, info.group) == ("c1", "g")


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 5), ("created", "2026-11-23T10:15:00"), ("created", "0001-01-01T00:00:00+00:00"), ("created", None)],
)
def test_a_run_without_an_id_or_a_beginning_is_damaged(root: Path, field: str, value: object) -> None:
    """These two every reader relies on."""
    path = root / "c1" / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    with pytest.raises(CorruptRun, match=field):
        find_run(str(root / "c1"))


def test_a_newer_format_says_so(root: Path) -> None:
    """And how to read it."""
    (root / "c1" / "run.json").write_text('{"format": 99}')
    with pytest.raises(FormatTooNew, match="pip install -U neurockt"):
        find_run(str(root / "c1"))


@pytest.mark.parametrize(("reference", "id"), [("d", "d"), ("first", "d"), ("c1", "c1")])
def test_finds_a_run_by_id_or_name(root: Path, reference: str, id: str) -> None:
    """Within the root."""
    assert find_run(reference, root).info.id == id


def test_finds_a_run_by_its_path_or_the_beginning_of_its_id(root: Path) -> None:
    """Wherever it is."""
    write_info(replace(find_run("a", root).info, path=root / "empty", id="20261123-brave-otter"))
    assert find_run(str(root / "d")).path == root / "d"
    assert find_run("2026", root).path == root / "empty"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("twin", "2 runs in .* are called 'twin': c1, c2; use the id"),
        ("c", "2 runs"),
        ("frist", "did you mean 'first'"),
        ("zzz", r"no run 'zzz' in .* \('neurockt ls"),
        ("./nowhere", "does not exist"),
    ],
)
def test_what_is_not_found_or_not_one_is_explained(root: Path, reference: str, said: str) -> None:
    """With what is near."""
    with pytest.raises(RunNotFound, match=said):
        find_run(reference, root)


def test_no_directory_is_an_error_and_an_empty_one_is_not(root: Path) -> None:
    """A misspelt root must not look like one without runs."""
    assert list_runs(root / "empty") == []
    for missing in ("nowhere", "file.txt", "dangling"):
        with pytest.raises(RunNotFound, match="NEUROCKT_DIR"):
            list_runs(root / missing)


def test_the_variable_moves_the_default(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """``$NEUROCKT_DIR``, unless it is empty."""
    monkeypatch.setenv("NEUROCKT_DIR", str(root))
    assert default_root() == root
    assert len(list_runs()) == 4
    monkeypatch.setenv("NEUROCKT_DIR", "")
    assert default_root() == Path("runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_cannot_be_listed_is_an_error(root: Path) -> None:
    """Said as such."""
    (root / "empty").chmod(0)
    with pytest.raises(RunNotFound, match="cannot list"):
        list_runs(root / "empty")
    (root / "empty").chmod(0o755)
