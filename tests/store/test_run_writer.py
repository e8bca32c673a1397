"""The writer of a run: its background thread, its end, and what it takes over."""

from __future__ import annotations

import itertools
import os
import resource
import threading
import warnings
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from leftovers import nothing_left
from live_run import wait_until

from neurockt import open_run
from neurockt.errors import NeurocktWarning
from neurockt.run_info import RunInfo
from neurockt.store.base.run_file import read_info
from neurockt.store.recovery.takeover import Takeover
from neurockt.store.writing.run_writer import RunWriter
from neurockt.store.writing.table_writer import TableWriter
from neurockt.store.writing.timing import Timing

QUICK = Timing(tick=0.002, heartbeat=0.004, first_heartbeat=0.004, sync=0.004, seal=0.0, seal_retry=0.004)
COLUMNS = {"steps": ("loss",), "epochs": ()}


def begin(
    path: Path, *, timing: Timing = QUICK, takeover: Takeover | None = None, on_fault: Callable = lambda *_: None
) -> RunWriter:
    info = takeover.info if takeover else RunInfo(path, path.name, datetime.now(timezone.utc))
    return RunWriter(info, COLUMNS, timing=timing, takeover=takeover, on_fault=on_fault)


def record(writer: RunWriter, rows: int) -> None:
    table = writer.tables["steps"]
    for _ in range(rows):
        table.append(1, 0, [float(table.last + 1)])


# Whatever it meets, it goes on


def test_warnings_that_are_errors_do_not_end_the_background_thread(tmp_path: Path) -> None:
    """It goes on to fsync, to seal once that is possible again, and to write run.json."""
    reported = threading.Event()

    def warn(what: str, error: BaseException) -> None:
        reported.set()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.warn(f"{what} ({error})", NeurocktWarning, stacklevel=1)

    writer = begin(tmp_path / "run", on_fault=warn)
    parts = tmp_path / "run" / "steps"
    parts.rmdir()
    parts.touch()  # where a part cannot be made
    record(writer, 10)
    assert reported.wait(30)
    beat = read_info(writer.path).heartbeat
    wait_until(lambda: read_info(writer.path).heartbeat > beat + 3, "its heart to beat")
    parts.unlink()
    wait_until(lambda: [*parts.glob("*.parquet")], "the rows to be sealed")
    writer.close()
    assert pq.read_table(parts)["step"].to_pylist() == list(range(1, 11))


@pytest.mark.parametrize("failing", ["retry", "sync", "seal_if_due", "summary"])
def test_whatever_fails_in_the_background_the_heart_beats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """An error that nobody thought of too."""
    faults: list[str] = []

    def fail(table: TableWriter) -> None:
        raise ZeroDivisionError

    writer = begin(tmp_path / "run", on_fault=lambda what, error: faults.append(what))
    with monkeypatch.context() as patch:
        patch.setattr(TableWriter, failing, fail)
        wait_until(lambda: faults, "a fault to be reported")
        count = len(faults)
        wait_until(lambda: len(faults) > count + 3, "the thread to go on")
    record(writer, 3)
    writer.close()
    assert len(open_run(tmp_path / "run").steps()) == 3


# Its end


@pytest.mark.parametrize("rows", [0, 10])
def test_no_thread_and_no_descriptor_is_left(tmp_path: Path, rows: int) -> None:
    """With a table that was sampled, too."""
    with nothing_left():
        writer = begin(tmp_path / "run", timing=Timing(tick=0.002, first_sample=0.002))
        writer.sample(lambda: {"cpu_percent": 1.0}, 0.002)
        record(writer, rows)
        wait_until(lambda: "system" in writer.tables, "a sample")
        writer.close()


def test_nothing_is_left_of_a_run_that_another_process_took_over(tmp_path: Path) -> None:
    """Its own files are closed, and those of the other are left alone."""
    with nothing_left():
        writer = begin(tmp_path / "run", timing=Timing(tick=3600))
        record(writer, 10)
        text = (writer.path / "run.json").read_text()
        pid = f'"pid": {os.getpid()}'
        assert pid in text
        (writer.path / "run.json").write_text(text.replace(pid, '"pid": 1'))
        writer.close()
    assert (writer.path / "steps.journal").exists()


def test_a_writer_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    """Neither a second run that somebody finds later, nor a thread."""
    (tmp_path / "run" / "steps").mkdir(parents=True)
    with nothing_left(), pytest.raises(FileExistsError):
        begin(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["steps"]


def test_of_two_processes_that_begin_a_run_in_an_empty_directory_one_does(tmp_path: Path) -> None:
    """The other sees the claim, or that the run has begun since it looked."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "claim-001").touch()
    with pytest.raises(FileExistsError):
        begin(tmp_path / "run")
    (tmp_path / "run" / "claim-001").unlink()
    writer = begin(tmp_path / "run")
    with pytest.raises(FileExistsError):
        begin(tmp_path / "run")
    writer.close()
    assert not list((tmp_path / "run").glob("claim-*"))


def test_a_system_without_threads_makes_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it says is an OSError, as for a disk: it is tried again later, and then succeeds."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OSError, match="can't start new thread"):
            begin(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    begin(tmp_path / "run").close()


# Another attempt


def continued(path: Path, step: int | None = None) -> RunWriter:
    takeover = Takeover(path)
    if step is not None:
        takeover.resume(step)
    return begin(path, takeover=takeover)


def test_losses_are_counted_by_attempt_and_for_the_run(tmp_path: Path) -> None:
    """An attempt reports its own; ``run.json`` has the sum."""
    path = tmp_path / "run"
    writer = begin(path)
    writer.tables["steps"].skip(3)
    record(writer, 2)
    writer.close("failed")
    assert (writer.dropped, read_info(path).dropped) == (3, 3)
    writer = continued(path)
    record(writer, 1)
    assert writer.dropped == 0
    writer.tables["steps"].skip(1)
    writer.close()
    assert (writer.dropped, read_info(path).dropped) == (1, 4)


def test_samples_past_the_checkpoint_are_superseded(tmp_path: Path) -> None:
    """By their step; those of the next attempt go on after those that stay, and so does the summary."""
    path = tmp_path / "run"
    writer = begin(path)
    record(writer, 10)
    samples = TableWriter(path, "system", ["epoch", "cpu_percent"])
    for step in (2, 4, 6, 8, 10):
        samples.append(step, 0, [1.0, float(step)])
    samples.close()
    writer.close("failed")
    writer = continued(path, 7)
    writer.sample(lambda: {"cpu_percent": 70.0}, 0.001)
    wait_until(lambda: "system" in writer.tables and writer.tables["system"].last > 3, "a sample")
    writer.close()
    rows = open_run(path).system()
    assert rows["sample"].to_pylist() == list(range(1, len(rows) + 1))
    assert rows["step"].to_pylist()[:4] == [2, 4, 6, 7]
    assert rows["cpu_percent"].to_pylist()[:4] == [2.0, 4.0, 6.0, 70.0]
    assert read_info(path).system.rows == len(rows)
    assert read_info(path).system.columns["cpu_percent"].min == 2.0
    assert pq.read_table(path / "superseded" / "attempt-001" / "system")["step"].to_pylist() == [8, 10]


# Where sealing fails


@pytest.mark.slow
def test_a_journal_that_cannot_be_sealed_is_not_read_again_and_again(tmp_path: Path) -> None:
    """A summary reads what is new alone, and the memory does not grow with the journal."""
    path = tmp_path / "run"
    path.mkdir()
    table = TableWriter(path, "steps", [f"loss{number}" for number in range(100)])
    (path / "steps").rmdir()
    (path / "steps").touch()

    def bytes_read(action: Callable[[], object]) -> int:
        def count() -> int:
            return int(Path("/proc/self/io").read_text().split()[1])

        before = count()
        action()
        return count() - before

    row, rounds = [1.0] * 100, 6
    for done in range(rounds):
        if done:
            with pytest.raises(OSError, match="steps"):
                table.seal()
        for _ in range(8_000):
            table.append(1, 0, row)
        assert bytes_read(table.summary) < 8 * 2**20
        assert bytes_read(table.summary) < 10_000
        if done == 2:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB, of 20 MiB more in the journal
    summary = table.summary()
    assert (summary.rows, summary.columns["loss0"].count) == (rounds * 8_000, rounds * 8_000)
    (path / "steps").unlink()
    table.close()
    assert table.summary() == summary
    assert len(open_rows(path)) == rounds * 8_000


def open_rows(path: Path) -> list[int]:
    numbers: list[int] = pq.read_table(path / "steps", columns=["step"])["step"].to_pylist()
    assert numbers == list(range(1, len(numbers) + 1))
    return numbers


def test_sealings_that_fail_are_tried_at_ever_longer_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a limit; one that succeeds starts over."""
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    path = tmp_path / "run"
    path.mkdir()
    table = TableWriter(path, "steps", ["loss"], timing=Timing(seal=0.0, seal_retry=10.0))
    (path / "steps").rmdir()
    (path / "steps").touch()
    table.append(1, 0, [1.0])
    tries = []
    for _ in range(2000):
        clock[0] += 1.0
        try:
            table.seal_if_due()
        except OSError:
            tries.append(clock[0])
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits[:8] == [10, 20, 40, 80, 160, 320, 320, 320]
    (path / "steps").unlink()
    clock[0] += 320.0
    table.seal_if_due()
    assert open_rows(path) == [1]
    table.close()
