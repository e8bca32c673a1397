"""``edits.json``: what people change of a run after the fact, by several at once, also while it trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import preloaded
import pytest
from live_run import wait_until
from live_run.dying import die_before
from written import Written, attached

import neurockt
from neurockt.catalogue import RunWatcher, list_runs
from neurockt.errors import CorruptRun, NeurocktWarning
from neurockt.monitor import Recorder
from neurockt.run_info import RunInfo
from neurockt.store import Edit, edit_run, seal_run
from neurockt.store.base import edits
from neurockt.store.base.run_file import write_info


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with texts and tags."""
    with Recorder(tmp_path / "runs", run_id="run", quiet=True, name="old", tags=("a", "b"), notes="first") as recorder:
        recorder.log({"loss": 1.0})
    return recorder.run_dir


def about(info: RunInfo) -> dict[str, Any]:
    names = ("name", "project", "group", "tags", "notes", "archived")
    return {name: getattr(info, name) for name in names}


EDIT = Edit({"name": "new", "project": "p", "group": "g", "notes": ""}, {"a": False, "c": True, "b": True}, True)
EDITED = {"name": "new", "project": "p", "group": "g", "tags": ("b", "c"), "notes": None, "archived": True}


def test_all_readers_show_a_run_as_it_was_edited(run: Path) -> None:
    """Run.json stays as its writer left it; what is changed again is added to the earlier edits."""
    written = (run / "run.json").read_bytes()
    watcher = RunWatcher(run.parent)
    assert list(watcher.look()) == [True]
    before, after = edit_run(run, EDIT)
    assert (before.name, about(after)) == ("old", EDITED)
    opened = neurockt.open_run(run)
    assert about(opened.info) == about(opened.current_info()) == EDITED
    assert list(watcher.look()) == [True]
    (listed,) = list_runs(run.parent, archived=True)
    assert about(listed) == about(watcher.runs[0]) == EDITED
    assert (run / "run.json").read_bytes() == written
    edit_run(run, Edit(tags={"a": True, "c": False}))
    assert about(opened.info) == {**EDITED, "tags": ("a", "b")}
    stamp = (run / "edits.json").stat().st_ino
    edit_run(run, Edit({"name": "new"}, {"a": True, "never": False}))
    assert (run / "edits.json").stat().st_ino == stamp, "what changes nothing is not written"


def test_who_may_read_a_run_may_read_its_edits(run: Path) -> None:
    """Also where the editor keeps its files to itself."""
    (run / "run.json").chmod(0o664)
    before = os.umask(0o077)
    try:
        edit_run(run, EDIT)
    finally:
        os.umask(before)
    assert (run / "edits.json").stat().st_mode & 0o777 == 0o664


def test_archived_runs_are_left_out_of_a_list_unless_it_is_asked_for_them(run: Path) -> None:
    """One that is named is listed, and found by its name."""
    edit_run(run, Edit(archived=True))
    assert list_runs(run.parent) == []
    assert [info.archived for info in list_runs(run.parent, archived=True)] == [True]
    assert [info.id for info in list_runs(run)] == ["run"]
    edit_run(run, Edit(archived=False))
    assert [info.archived for info in list_runs(run.parent)] == [False]


def test_a_live_run_is_edited_and_its_writer_goes_on(tmp_path: Path) -> None:
    """Its last run.json has none of the edits, and a resumption does not write them down either."""
    recorder = Recorder(tmp_path / "runs", run_id="run", quiet=True, tags=("a",))
    recorder.log({"loss": 1.0})
    edit_run(recorder.run_dir, EDIT)
    recorder.log({"loss": 0.5})
    recorder.finish()
    with Recorder(tmp_path / "runs", run_id="run", resume=True, quiet=True) as again:
        again.log({"loss": 0.25})
    assert about(neurockt.open_run(again.run_dir).info) == {**EDITED, "tags": ("c", "b")}
    document = json.loads((again.run_dir / "run.json").read_bytes())
    assert (document["name"], document["tags"], document.get("archived")) == (None, ["a"], None)
    assert neurockt.open_run(again.run_dir).steps(["loss"])["loss"].to_pylist() == [1.0, 0.5, 0.25]


def test_the_ranks_of_a_run_have_its_edits(tmp_path: Path) -> None:
    """They lie beside the run.json of the whole, also where a rank is named."""
    whole = Written(tmp_path / "runs" / "run").finish()
    info = neurockt.open_run(whole).info
    rank = RunInfo(path=whole / "rank-000", id="run", created=info.created, rank=0, ranks=1, state="finished")
    rank.path.mkdir()
    write_info(rank)
    edit_run(rank.path, Edit({"name": "new"}))
    assert (whole / "edits.json").exists()
    assert not (rank.path / "edits.json").exists()
    opened = neurockt.open_run(whole)
    assert (opened.info.name, opened.rank(0).info.name) == ("new", "new")


def test_what_is_attached_has_edits_of_its_own(tmp_path: Path) -> None:
    run = Written(tmp_path / "runs" / "run")
    attached(run.path, "mmlu", {1: {"acc": 0.5}}).finish()
    watcher = RunWatcher(tmp_path / "runs")
    list(watcher.look())
    edit_run(run.path / "attached" / "mmlu", Edit(tags={"final": True}, texts={"notes": "5-shot"}))
    assert list(watcher.look()) == [True]
    info = neurockt.open_run(run.finish()).info
    assert (info.tags, info.attached["mmlu"].tags, info.attached["mmlu"].notes) == ((), ("final",), "5-shot")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"a": "\xff"}'])
def test_damaged_edits_are_named_and_not_overwritten(run: Path, text: str) -> None:
    """The run is shown as it was recorded."""
    (run / "edits.json").write_text(text, encoding="latin-1")
    with pytest.warns(NeurocktWarning, match=r"edits\.json"):
        assert [info.name for info in list_runs(run.parent)] == ["old"]
    with pytest.raises(CorruptRun, match=r"edits\.json is damaged"):
        edit_run(run, Edit({"name": "new"}))
    assert (run / "edits.json").read_text(encoding="latin-1") == text
    assert not (run / ".edits.json.tmp").exists()


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_edits_that_are_not_a_file_are_named(run: Path, kind: str) -> None:
    path = run / "edits.json"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.warns(NeurocktWarning, match=r"edits\.json"):
        assert [info.name for info in list_runs(run.parent)] == ["old"]


@pytest.mark.parametrize(
    "field",
    ['"name": 5', '"tags": ["x"]', '"tags": {"a": 1, "": "no"}', '"notes": {}', '"archived": "yes"', '"later": [1]'],
)
def test_a_field_of_another_type_counts_as_not_there(run: Path, field: str) -> None:
    """And stays in the file, as what a later version may have put there."""
    (run / "edits.json").write_text(f"{{{field}}}")
    info = neurockt.open_run(run).info
    assert about(info) == {
        "name": "old",
        "project": None,
        "group": None,
        "tags": ("a", "b"),
        "notes": "first",
        "archived": False,
    }
    edit_run(run, Edit({"group": "g"}))
    assert neurockt.open_run(run).info.group == "g"
    if "later" in field:
        assert json.loads((run / "edits.json").read_bytes())["later"] == [1]


EDITOR = """
import sys
from pathlib import Path
from neurockt.store import Edit, edit_run

run, who, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    edit_run(run, Edit({"group": who}, {f"{who}{number}": True}))
    print(number, flush=True)
"""


def editor(run: Path, who: str, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", EDITOR, str(run), who, str(count)]
    return preloaded.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_no_edit_is_lost_where_several_edit_at_once(run: Path) -> None:
    editors = [editor(run, who, 100) for who in "xyz"]
    for process in editors:
        process.communicate()
    assert [process.returncode for process in editors] == [0, 0, 0]
    expected = {"a", "b", *(f"{who}{number}" for who in "xyz" for number in range(100))}
    assert set(neurockt.open_run(run).info.tags) == expected


def test_killed_before_any_operation_an_editor_has_changed_all_or_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next editor waits for it no longer than it takes to see that it is dead."""
    monkeypatch.setattr("neurockt.store.base.edits.STALE_SECONDS", 0.1)
    recorded = about(neurockt.open_run(run).info)
    operation = 0
    while die_before(operation := operation + 1, lambda: edit_run(run, EDIT)):
        assert about(neurockt.open_run(run).info) in (recorded, EDITED)
        edit_run(run, Edit(tags={"after": True}))
        assert not list(run.glob(".*.tmp"))
        (run / "edits.json").unlink()
    assert about(neurockt.open_run(run).info) == EDITED
    assert operation > 2


class Clock:
    """Stands in for the module ``time``: stands still until it is moved, and counts who sleeps after a look."""

    def __init__(self) -> None:
        self.now = 0.0
        self._looks = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self._looks += 1
        time.sleep(seconds)

    def wait_for_a_look(self) -> None:
        """One that has begun after now."""
        before = self._looks
        wait_until(lambda: self._looks > before + 1, "a look")


def test_the_file_of_an_editor_that_died_is_removed_and_one_at_work_is_waited_for(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = run / ".edits.json.tmp"
    left.write_text("{")
    clock = Clock()
    monkeypatch.setattr(edits, "time", clock)
    editing = threading.Thread(target=edit_run, args=(run, Edit({"name": "new"})))
    editing.start()
    for number in range(3):
        clock.wait_for_a_look()
        os.utime(left, (number, number))  # it is at work
        clock.now += 0.8 * edits.STALE_SECONDS
    clock.wait_for_a_look()
    assert editing.is_alive()
    clock.now += 1.1 * edits.STALE_SECONDS
    editing.join(60)
    assert neurockt.open_run(run).info.name == "new"


def test_sealing_leaves_an_edit_alone_that_is_being_made(tmp_path: Path) -> None:
    run = Written(tmp_path / "runs" / "run")
    run.add("steps", 1, {"loss": 1.0})
    path = run.path
    (path / ".edits.json.tmp").touch()
    document = json.loads((path / "run.json").read_bytes())
    document["state"] = "finished"
    (path / "run.json").write_text(json.dumps(document))
    assert seal_run(path).steps == 1
    assert (path / ".edits.json.tmp").exists()
