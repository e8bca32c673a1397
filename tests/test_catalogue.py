"""Finding runs: by directory, id, name, or a part of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from neurockt import open_run
from neurockt.catalogue import RunWatcher, find_run, list_runs
from neurockt.errors import CorruptRun, FormatTooNew, NeurocktError, NeurocktWarning, RunNotFound
from neurockt.monitor import Recorder
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store import Edit, edit_run
from neurockt.store.base.json_values import text_of, texts_of
from neurockt.store.base.layout import default_root
from neurockt.store.base.run_file import write_info

CREATED = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four runs, whose names sort in the reverse order of their age, and things that are not runs."""
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
    ("steps", {"rows": 1, "columns": {}, "last_time": "2026-11-23T10:15:00"}, TableSummary(1)),
    ("total_steps", "many", None),
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


def test_finds_a_run_by_its_path_or_by_any_part_that_no_other_has(root: Path) -> None:
    """Of its id or name, in any case of letters; what a run is called exactly comes before parts of others."""
    write_info(replace(find_run("a", root).info, path=root / "empty", id="20261123-proud-crow", name="Runs/ABC d"))
    assert find_run(str(root / "d")).path == root / "d"
    for part in ("2026", "proud-crow", "ud-cr", "Runs/A", "abc"):
        assert find_run(part, root).path == root / "empty"
    assert find_run("d", root).path == root / "d"


def test_without_a_name_the_run_that_began_last_is_found(root: Path) -> None:
    """Where there are none, that is an error."""
    assert find_run(None, root).info.id == "a"
    with pytest.raises(RunNotFound, match=r"no runs in .*empty"):
        find_run(None, root / "empty")


def test_an_archived_run_is_named_where_no_other_is_meant(root: Path) -> None:
    """The latest is one that is listed."""
    for id in ("a", "c1"):
        edit_run(root / id, Edit(archived=True))
    assert find_run(None, root).info.id == "c2"
    assert find_run("twin", root).info.id == "c2"
    assert find_run("c1", root).info.id == "c1"
    edit_run(root / "c2", Edit(archived=True))
    with pytest.raises(RunNotFound, match="2 runs"):
        find_run("twin", root)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("twin", r"2 runs in .* match 'twin': twin \(c1\), twin \(c2\); use more of the name, or the id"),
        ("c", "2 runs"),
        ("frist", "did you mean 'first'"),
        ("zzz", r"no run 'zzz' in .* \('neurockt ls"),
        ("./nowhere", "does not exist"),
        (__file__, "is not a run: it has no run.json"),
        ("\x1b[2J", r"no run '\\x1b"),
    ],
)
def test_what_is_not_found_or_not_one_is_explained(root: Path, reference: str, message: str) -> None:
    """With what is near."""
    with pytest.raises(RunNotFound, match=message):
        find_run(reference, root)


@pytest.mark.parametrize("reference", ["", " ", "."])
def test_a_name_that_says_nothing_names_no_run(root: Path, tmp_path: Path, reference: str) -> None:
    """Not even the only one: ``rm "$RUN"`` must not move it where the variable is empty."""
    (tmp_path / "one" / "v1. a").mkdir(parents=True)
    write_info(replace(find_run("a", root).info, path=tmp_path / "one" / "v1. a", id="v1. a"))
    with pytest.raises(RunNotFound, match="no run is named"):
        find_run(reference, tmp_path / "one")


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


def bad_entries(root: Path) -> None:
    """Everything that a directory of runs may hold beside runs."""
    (root / "loop").symlink_to("loop")
    (root / "looping").mkdir()
    (root / "looping" / "run.json").symlink_to("run.json")
    for name in ("directory", "pipe", "huge"):
        (root / name).mkdir()
    (root / "directory" / "run.json").mkdir()
    os.mkfifo(root / "pipe" / "run.json")
    with (root / "huge" / "run.json").open("wb") as file:
        file.truncate(2**40)
    (root / "device").mkdir()
    (root / "device" / "run.json").symlink_to("/dev/zero")


def test_one_bad_entry_does_not_hide_the_others(root: Path) -> None:
    """Links that lead nowhere are passed over; what may be a run is named, and nothing is waited for or left open."""
    bad_entries(root)
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.warns(NeurocktWarning) as warned:
        found = list_runs(root)
    assert [info.id for info in found] == ["d", "c1", "c2", "a"]
    named = sorted(str(warning.message).split(str(root) + "/")[1].partition("/")[0] for warning in warned)
    assert named == ["device", "directory", "huge", "pipe"]
    watcher = RunWatcher(root)
    list(watcher.look())
    assert len(watcher.runs) == 4
    assert {path.name for path in watcher.problems} == set(named)
    assert len(os.listdir("/proc/self/fd")) <= opened
    with pytest.warns(NeurocktWarning):
        assert find_run("first", root).info.id == "d"


PRIVATE = """
import os, sys, warnings
from neurockt.catalogue import RunWatcher, find_run, list_runs
find_run("two", sys.argv[1])  # loads what it needs
os.setgroups([]); os.setgid(3333); os.setuid(3333)
warnings.simplefilter("always")
print(*[info.id for info in list_runs(sys.argv[1])])
watcher = RunWatcher(sys.argv[1])
list(watcher.look())
print(len(watcher.runs), *sorted(path.name for path in watcher.problems))
print(find_run("first", watcher.root).info.id)
print(list_runs(sys.argv[1] + "/private"))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not read a directory")
def test_a_private_directory_hides_nothing_but_itself() -> None:
    """Neither as such nor behind a link; it is named, since it may be a run."""
    with tempfile.TemporaryDirectory() as directory:
        world = Path(directory)
        world.chmod(0o755)
        root = world / "runs"
        for id in ("one", "two"):
            (root / id).mkdir(parents=True)
            write_info(RunInfo(path=root / id, id=id, created=CREATED, name="first" if id == "one" else None))
        (root / "private").mkdir(mode=0o700)
        (world / "other").mkdir(mode=0o700)
        (world / "other" / "run").mkdir()
        (root / "link").symlink_to(world / "other" / "run")
        done = subprocess.run([sys.executable, "-c", PRIVATE, str(root)], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[:3] == ["one two", "2 link private", "one"], done.stderr
    assert done.stdout.splitlines()[3] == "[]"
    assert done.stderr.count("Permission denied") == 2 + 2 + 1


def test_runs_one_level_down_are_listed(root: Path) -> None:
    """As runs/PROJECT/RUN is; not deeper, not in hidden directories, and not the ranks of a run."""
    for path in ("project/e", "project/f", "deep/er/g", ".hidden/h", "a/rank-000"):
        (root / path).mkdir(parents=True)
        write_info(RunInfo(path=root / path, id=Path(path).name, created=CREATED))
    assert {info.id for info in list_runs(root)} == {"a", "c1", "c2", "d", "e", "f"}
    assert find_run("f", root).path == root / "project" / "f"
    watcher = RunWatcher(root)
    list(watcher.look())
    assert len(watcher.runs) == 6


def test_the_latest_runs_are_read_before_the_others_are_looked_at(root: Path) -> None:
    """On a slow file system a long list is there long before all of it is; what goes meanwhile was not there."""
    (root / "empty").rmdir()
    watcher = RunWatcher(root)
    look = watcher.look(pause=0)
    assert next(look)
    assert ([info.id for info in watcher.runs], watcher.total, watcher.is_reading) == (["d"], 4, True)
    shutil.rmtree(root / "c1")
    list(look)
    assert ([info.id for info in watcher.runs], watcher.total, watcher.is_reading) == (["d", "c2", "a"], 3, False)
    assert not watcher.problems


@pytest.mark.parametrize("name", ["~", "~/", "~/x"])
def test_a_tilde_is_the_home_directory(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In each function that takes a path, and in the variable."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    (home / "x").symlink_to(root)
    monkeypatch.setenv("NEUROCKT_DIR", name)
    assert len(list_runs(name)) == len(list_runs()) == 4
    assert find_run("first").info.id == find_run("first", Path(name)).info.id == "d"
    assert open_run("~/x/a").info.id == find_run("~/x/a").info.id == "a"
    watcher = RunWatcher(name)
    list(watcher.look())
    assert len(watcher.runs) == 4


BAD_PATHS = ["~nobody-of-that-name/x", "x" * 5000, "a\0b", "\ud800", "/proc/self/mem/x", "", "." * 300 + "/x"]


@pytest.mark.parametrize("path", BAD_PATHS, ids=[f"{path!r:.20}" for path in BAD_PATHS])
def test_a_path_that_cannot_be_is_a_sentence(root: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a traceback."""
    for call in (
        list_runs,
        open_run,
        find_run,
        lambda path: find_run(path, root),
        lambda path: list(RunWatcher(path).look()),
    ):
        if path:
            with pytest.raises(NeurocktError):
                call(path)
    monkeypatch.setattr("os.environ", {**os.environ, "NEUROCKT_DIR": path})
    monkeypatch.chdir(root / "empty")
    with pytest.raises(NeurocktError):
        list_runs()


def test_a_directory_of_any_bytes_is_read(root: Path) -> None:
    """Names need not be UTF-8."""
    (root / "a").rename(root / "caf\udce9")
    assert {info.id for info in list_runs(root)} == {"a", "c1", "c2", "d"}


@pytest.mark.parametrize("value", [3, 0, 0.1, True, Path("a/b"), b"x", "\ud800", ["a"], {"a": 1}])
def test_what_the_recorder_takes_every_reader_reads(tmp_path: Path, value: object) -> None:
    """A seed as a name, a fold as a group: the run is listed and continued, and keeps them as text."""
    fields: dict[str, Any] = dict.fromkeys(("name", "project", "group", "notes"), value)
    for _ in range(2):
        recorder = Recorder(tmp_path, run_id="run", resume=True, quiet=True, **fields, tags=[value, 42])
        with recorder(train=True):
            pass
        recorder.finish()
    (info,) = list_runs(tmp_path)
    assert {field: getattr(info, field) for field in fields} == dict.fromkeys(fields, text_of(value))
    assert info.tags == texts_of([value, 42])
    assert len(info.attempts) == 2


@pytest.mark.parametrize(("tags", "kept"), [(None, ()), (7, ("7",)), ("one", ("one",)), (iter("ab"), ("a", "b"))])
def test_tags_may_be_one_or_several(tmp_path: Path, tags: Any, kept: tuple[str, ...]) -> None:
    """Or none; of any kind."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True, tags=tags)
    with recorder(train=True):
        pass
    recorder.finish()
    assert list_runs(tmp_path)[0].tags == kept
