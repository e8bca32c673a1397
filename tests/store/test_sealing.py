"""`seal_run`: what a dead process left becomes Parquet, once, and nothing is lost or invented."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from neurockt import open_run
from neurockt.errors import RunInUse, RunNotFound
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.recovery.sealing import seal_run


def record(root: Path, steps: int, *, ending: Callable[[Recorder], None]) -> Path:
    """A child process records some steps and a validation each hundred, and then does ``ending``."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            recorder = Recorder(root, run_id="run", quiet=True, config={"lr": 0.1})
            loss = recorder.track_scalar("loss")(lambda value: value)
            accuracy = recorder.metric("acc")(lambda value: value)
            for step in range(1, steps + 1):
                with recorder(train=True):
                    loss(1.0 / step)
                if step % 100 == 0:
                    with recorder(train=False):
                        accuracy(step / steps)
            ending(recorder)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return root / "run"


def die(recorder: Recorder) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def killed_run(tmp_path: Path) -> Path:
    """1,000 steps and 10 epochs, then SIGKILL."""
    return record(tmp_path, 1000, ending=die)


def test_the_rows_of_a_killed_run_become_parquet(killed_run: Path) -> None:
    """Same rows as before, now in parts alone; the state, the end and the summaries are written down."""
    before = open_run(killed_run)
    steps, epochs = before.steps(), before.epochs()
    sealed = seal_run(killed_run)
    info = open_run(killed_run).info
    assert not sealed.already
    assert pq.read_table(killed_run / "steps").equals(steps)
    assert pq.read_table(killed_run / "epochs").equals(epochs)
    assert len(steps) == 1000
    assert {path.name for path in killed_run.iterdir()} - {"origin"} == {"epochs", "run.json", "steps"}
    assert info.state == "killed"
    assert info.ended is not None
    assert info.ended >= steps["time"][-1].as_py()
    assert (info.steps.rows, info.epochs.rows) == (1000, 10)
    assert info.steps.columns["loss"].min_at == 1000
    assert info.config == {"lr": 0.1}


def test_sealing_again_does_nothing(killed_run: Path) -> None:
    """Not a byte changes."""
    seal_run(killed_run)
    before = {path: path.read_bytes() for path in killed_run.rglob("*") if path.is_file()}
    assert seal_run(killed_run).already
    assert {path: path.read_bytes() for path in killed_run.rglob("*") if path.is_file()} == before


def test_a_finished_run_needs_no_sealing(tmp_path: Path) -> None:
    """It stays finished."""
    path = record(tmp_path, 10, ending=Recorder.finish)
    assert seal_run(path).already
    assert open_run(path).state == "finished"


def test_a_live_run_is_refused(tmp_path: Path) -> None:
    """The message names the process."""
    recorder = Recorder(tmp_path, quiet=True)
    with recorder(train=True):
        pass
    with pytest.raises(RunInUse, match=f"by process {os.getpid()} on"):
        seal_run(recorder.run_dir)
    recorder.finish()


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """And nothing in it is touched."""
    (tmp_path / "steps.journal").write_bytes(b"")
    with pytest.raises(RunNotFound, match=r"has no run\.json"):
        seal_run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["steps.journal"]


def test_a_damaged_journal_is_kept_beside_the_parts(killed_run: Path) -> None:
    """The rows before the damage are sealed; the bytes after it are put aside, not thrown away."""
    journal = layout.journal_path(killed_run, "epochs")
    data = bytearray(journal.read_bytes())
    data[-10] ^= 0xFF
    journal.write_bytes(data)
    seal_run(killed_run)
    assert (killed_run / "epochs.journal.damaged").read_bytes() == data
    assert len(open_run(killed_run).epochs()) == 9


def test_left_over_temporaries_are_removed(killed_run: Path) -> None:
    """What a crash amid a write left behind."""
    (killed_run / "origin").mkdir(exist_ok=True)
    for name in (".run.json.tmp", "steps/.part-00000.parquet.tmp", "origin/.attempt-001.json.tmp"):
        (killed_run / name).write_bytes(b"half")
    seal_run(killed_run)
    assert not list(killed_run.rglob("*.tmp"))


def test_a_sealing_that_was_interrupted_is_completed(killed_run: Path) -> None:
    """Rows that are both in the parts and in the journal are not repeated."""
    journals = {path: path.read_bytes() for path in killed_run.glob("*.journal")}
    seal_run(killed_run)
    before = open_run(killed_run).steps()
    for path, data in journals.items():
        path.write_bytes(data)
    sealed = seal_run(killed_run)
    assert (sealed.steps, sealed.epochs) == (0, 0)
    assert open_run(killed_run).steps().equals(before)
