"""An exception that a signal handler raises in the middle of a row: no other row is lost, stored twice or mixed up."""

from __future__ import annotations

import itertools
import threading
from functools import partial
from pathlib import Path

import pytest
from faulty_disk import break_journal
from interrupting import interrupt_at

from neurockt import Run
from neurockt.store.base import layout
from neurockt.store.writing import appending, backlog, table_writer
from neurockt.store.writing.table_writer import TableWriter

pytestmark = pytest.mark.slow

FILES = {appending.__file__, table_writer.__file__, backlog.__file__}


def check(run_dir: Path, interrupted: set[int], recorded: int) -> None:
    """Rows are numbered upwards, and each that was not interrupted is there once, in order."""
    rows = Run(run_dir).steps()
    numbers, values = rows["step"].to_pylist(), [int(value) for value in rows["loss"].to_pylist()]
    assert numbers == sorted(set(numbers))
    assert values == sorted(set(values))
    assert set(range(recorded)) - interrupted <= set(values)
    assert rows["epoch"].to_pylist() == values  # each row is of one piece


@pytest.mark.parametrize("between", ["nothing", "seal", "fail", "columns", "fail and columns"])
def test_a_row_that_is_interrupted_anywhere_harms_no_other(tmp_path: Path, between: str) -> None:
    """Whatever the background thread, the disk or the user does before the next row."""
    interrupted: set[int] = set()
    count = itertools.count()
    table = TableWriter(tmp_path, "steps", ["loss"])

    def append() -> None:
        value = next(count)
        interrupted.add(value)
        table.append(value, 0, [float(value)] * len(table.columns))
        interrupted.discard(value)

    append()
    operation = 0
    while True:
        operation += 1
        if "fail" in between and operation % 3 == 0:
            break_journal(tmp_path)
        if not interrupt_at(operation, FILES, append):
            break
        if between == "seal":
            table.seal()
        if "columns" in between:
            table.set_columns(["loss"] if len(table.columns) == 2 else ["loss", "other"])
        append()
        table.retry()
        append()
    assert operation > 40
    table.retry()
    table.close()
    check(tmp_path, interrupted, next(count))
    assert not list(tmp_path.glob("*.damaged"))
    assert not layout.journal_path(tmp_path, "steps").exists()


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("what", ["columns", "skip"])
def test_a_change_that_is_interrupted_anywhere_harms_no_row(tmp_path: Path, what: str, numbered: bool) -> None:
    """The rows after it have the columns and the numbers that the writer says they have."""
    table = TableWriter(tmp_path, "steps", ["loss"])
    count = itertools.count()
    numbers = []

    def append() -> None:
        value = next(count)
        values = [float(value)] * len(table.columns)
        if numbered:
            table.append_at(table.last + 1, value, 0, values)
        else:
            table.append(value, 0, values)
        numbers.append(table.last)

    def change(operation: int) -> None:
        if what == "skip":
            table.skip(2)
        else:
            table.set_columns(["loss", *(f"other{number}" for number in range(operation % 3))])

    for operation in itertools.count(1):
        append()
        if not interrupt_at(operation, FILES, partial(change, operation)):
            break
        append()
    table.close()
    check(tmp_path, set(), next(count))
    assert Run(tmp_path).steps()["step"].to_pylist() == numbers


@pytest.mark.parametrize("disk", ["sound", "full"])
def test_a_handler_may_wait_for_another_thread_to_seal(
    tmp_path: Path, disk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it interrupts the loop, also while that holds a lock, the rows before are sealed without delay."""
    monkeypatch.setattr(appending, "LOCK_SECONDS", 0.001)
    for operation in itertools.count(1):
        run_dir = tmp_path / str(operation)
        run_dir.mkdir()
        table = TableWriter(run_dir, "steps", ["loss"])
        for value in range(5):
            if disk == "full" and value == 2:
                break_journal(run_dir)
            table.append(value, 0, [float(value)])
        ended = []

        def seal(table: TableWriter = table, ended: list[bool] = ended) -> None:
            closing = threading.Thread(target=table.close)
            closing.start()
            closing.join(60)
            ended.append(not closing.is_alive())

        if not interrupt_at(operation, FILES, partial(table.append, 5, 0, [5.0]), seal):
            break
        assert ended == [True]
        check(run_dir, {5}, 6)
        if disk == "sound":  # a row that comes too late counts as lost
            assert len(Run(run_dir).steps()) + table.dropped == table.last
        assert not layout.journal_path(run_dir, "steps").exists()
    assert operation > 40
