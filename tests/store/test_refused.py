"""A file system that refuses to read for a while, as during a file server's fail-over: readers wait and go on."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import preloaded
import pyarrow.parquet as pq
import pytest
from live_run import numbers
from live_run.by_hand import Recording

from neurockt import open_run
from neurockt.catalogue import RunWatcher
from neurockt.errors import CorruptRun, NeurocktWarning
from neurockt.store.base import layout
from neurockt.store.reading import follow, random_access

FAULTS = [errno.ESTALE, errno.EIO, errno.EACCES, errno.ETIMEDOUT]

Refuse = Callable[[str, int], None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Have the system refuse what concerns names that contain a text, with an error; the text ``""`` ends it."""
    refused: list[tuple[str, int]] = []

    def refusing(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **options: Any) -> Any:
            for text, error in refused:
                if text in str(words[0]):
                    raise OSError(error, os.strerror(error), words[0])
            return call(*words, **options)

        return called

    for name in ("open", "stat", "listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr("io.open", refusing(open))
    monkeypatch.setattr("pyarrow.OSFile", refusing(pq.core.pa.OSFile))
    return lambda text, error: refused.append((text, error)) if text else refused.clear()


@pytest.mark.parametrize("error", FAULTS, ids=[errno.errorcode[error] for error in FAULTS])
@pytest.mark.parametrize("what", ["steps.journal", "steps/part", "part-00001", "/run/"])
def test_a_follower_waits_for_what_is_refused(recording: Recording, refuse: Refuse, what: str, error: int) -> None:
    """Nothing is left out and nothing given twice; the reason is reported meanwhile."""
    recording.write(4)
    run = open_run(recording.path)
    assert numbers(run.follow().steps) == [1, 2, 3, 4]
    recording.write(10)
    recording.seal()
    recording.write(2)
    refuse(what, error)
    with pytest.warns(NeurocktWarning, match=os.strerror(error)):
        assert len(run.follow().steps) == 0
    assert len(run.follow().steps) == 0
    assert len(run.damaged) > 0
    refuse("", 0)
    recording.write(1)
    assert numbers(run.follow().steps) == list(range(5, 18))
    assert (run.follow().steps.num_rows, run.damaged) == (0, ())


def test_what_stays_refused_does_not_hold_up_the_rest(
    recording: Recording, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two minutes the rows behind it are given."""
    recording.write(12)
    recording.seal()
    recording.write(2)
    refuse("part-00000", errno.EACCES)
    run = open_run(recording.path)
    with pytest.warns(NeurocktWarning, match="cannot be read now"):
        assert len(run.follow().steps) == 0
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", 0.0)
    assert numbers(run.follow().steps) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("error", FAULTS, ids=[errno.errorcode[error] for error in FAULTS])
def test_an_open_part_is_opened_again_by_its_name(
    recording: Recording, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor from before the fail-over stays useless; the file is there."""
    recording.write(12)
    recording.seal()
    rows = open_run(recording.path).rows("steps")
    rows.refresh()
    stale = {id(part) for _, part, _ in rows._opened}
    plain = pq.ParquetFile.read_row_group

    def read_row_group(part: pq.ParquetFile, *words: Any, **options: Any) -> Any:
        if id(part) in stale:
            raise OSError(error, os.strerror(error))
        return plain(part, *words, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", read_row_group)
    assert rows.read(0, ["step"])["step"].values.tolist() == [1, 2, 3]
    assert rows.damaged == {}


def test_rows_that_were_refused_are_read_again(
    recording: Recording, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table first lacks them and names the file; a later look voids what was read, and has them."""
    monkeypatch.setattr(random_access, "RETRY_SECONDS", 0.0)
    recording.write(12)
    recording.seal()
    refuse("part-00001", errno.ESTALE)
    rows = open_run(recording.path).rows("steps")
    rows.refresh()
    assert (rows.groups.total, [path.name for path in rows.damaged]) == (9, ["part-00001.parquet"])
    refuse("", 0)
    assert rows.refresh()
    assert (rows.groups.total, rows.damaged, rows.rewinds) == (12, {}, 1)
    assert not rows.refresh()


@pytest.mark.parametrize("what", ["run.json", "/runs"])
def test_a_list_keeps_the_runs_it_knows(tiny_run: Path, refuse: Refuse, what: str) -> None:
    """They stay as they were, and the fault is named; when it has passed, they are read again."""
    watcher = RunWatcher(tiny_run.parent)
    list(watcher.look())
    refuse(what, errno.ESTALE)
    list(watcher.look())
    assert [info.id for info in watcher.runs] == ["tiny"]
    assert "Stale file handle" in "".join(watcher.problems.values())
    with pytest.raises(CorruptRun, match="Stale file handle"):
        open_run(tiny_run)
    refuse("", 0)
    list(watcher.look())
    assert (len(watcher.runs), watcher.problems) == (1, {})


@pytest.mark.slow
def test_a_directory_of_any_bytes_is_recorded_and_read(tmp_path: Path) -> None:
    """Also where its name is not UTF-8, for which Arrow has no path."""
    script = """
import os, signal, sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
for step in range(1, 21):
    with recorder(train=True): loss(step)
if len(sys.argv) > 2: os.kill(os.getpid(), signal.SIGKILL)
recorder.finish()
"""
    for name, words in (("caf\udce9", []), ("dead\udce9", ["kill"])):
        root = tmp_path / name
        done = preloaded.run([sys.executable, "-c", script, root, *words])
        assert bool(done.returncode) == bool(words)
        run = open_run(root / "run")
        assert numbers(run.steps()) == list(range(1, 21))
        if words:
            from neurockt.store.recovery.sealing import seal_run

            assert seal_run(root / "run").steps == 20
        assert layout.part_paths(root / "run", "steps")
        assert run.steps()["loss"].to_pylist() == list(range(1, 21))
        assert open_run(root / "run").rows("steps").refresh()
