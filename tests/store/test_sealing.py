"""`seal_run`: what a dead process left becomes Parquet, once, and nothing is lost or invented."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from live_run import wait_until
from msgspec.structs import replace

from neurockt import open_run, testing
from neurockt.errors import RunInUse, RunNotFound
from neurockt.monitor import Recorder
from neurockt.store.base import files, layout
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.owner.attempts import begin_attempt
from neurockt.store.recovery.sealing import SealedRun, seal_run, seal_tables


def record(root: Path, steps: int, *, ending: Callable[[Recorder], None]) -> Path:
    """A child process records some steps and a validation each hundred, and then does ``ending``."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            with testing.writer_timing(tick=3600.0):  # nothing is sealed in the background
                recorder = Recorder(root, run_id="run", quiet=True, config={"lr": 0.1})
                losses = [1.0 / step for step in range(1, steps + 1)]
                accuracies = [step / steps for step in range(100, steps + 1, 100)]
                testing.record(recorder, {"loss": losses}, {"acc": accuracies}, every=100)
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


def test_the_temporary_of_a_heartbeat_is_left_to_it(killed_run: Path) -> None:
    """A job that takes the run over seals it while its heartbeats write ``run.json``."""
    heartbeat = files.temporary_path(killed_run / layout.RUN_FILE)
    heartbeat.touch()
    seal_tables(killed_run)
    assert heartbeat.exists()


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


def test_a_run_that_another_process_seals_meanwhile_is_sealed_already(killed_run: Path, tmp_path: Path) -> None:
    """Who waited for the other's claim finds nothing to do, and says so."""
    sealed = shutil.copytree(killed_run, tmp_path / "sealed")
    seal_run(sealed)
    claim = layout.claim_path(killed_run, 2)
    attempt = begin_attempt(2)
    claim.write_text(json.dumps({"host": attempt.host, "pid": attempt.pid, "process": attempt.process}))
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(seal_run, killed_run)
        wait_until(lambda: is_called("_wait_for_claims"), "the second to wait")
        for journal in killed_run.glob("*.journal"):
            journal.unlink()
        for table in ("steps", "epochs"):
            shutil.copytree(sealed / table, killed_run / table, dirs_exist_ok=True)
        write_info(replace(read_info(sealed), path=killed_run))
        claim.unlink()
        assert waiting.result() == SealedRun(killed_run, 0, 0, 0, 0, already=True)


def is_called(function: str) -> bool:
    """Whether a thread is in a function of that name."""
    stacks = (traceback.walk_stack(frame) for frame in sys._current_frames().values())
    return any(frame.f_code.co_name == function for stack in stacks for frame, _ in stack)


def test_a_run_of_several_ranks_is_sealed_when_all_of_them_are(killed_run: Path, tmp_path: Path) -> None:
    """One rank that was sealed before the others does not make it so."""
    run = tmp_path / "ranks"
    for rank in range(2):
        shutil.copytree(killed_run, layout.rank_path(run, rank))
    write_info(replace(read_info(killed_run), path=run, ranks=2, rank=None))
    seal_run(layout.rank_path(run, 0))
    assert seal_run(run) == SealedRun(run, 1000, 10, 0, 0, already=False)
    assert seal_run(run) == SealedRun(run, 0, 0, 0, 0, already=True)
