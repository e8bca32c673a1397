"""What a table's writer reports of a disk that refuses rows: each fault once, when it begins."""

from __future__ import annotations

import errno
import resource
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from faulty_disk import break_journal

from neurockt import Run
from neurockt.store.base import layout
from neurockt.store.writing.table_writer import TableWriter

pytestmark = pytest.mark.slow

faults: list[Exception] = []


@pytest.fixture
def table(tmp_path: Path) -> TableWriter:
    faults.clear()
    table = TableWriter(tmp_path, "steps", ["loss"], on_fault=lambda what, error: faults.append(error))
    table.append(1, 0, [1.0])
    return table


def recover(tmp_path: Path, table: TableWriter, rows: int) -> None:
    """The disk takes rows again, and none is lost."""
    table.retry()
    table.append(1, 0, [1.0] * len(table.columns))
    assert Run(tmp_path).steps()["step"].to_pylist() == list(range(1, rows + 2))
    table.close()
    assert table.dropped == 0


def test_a_disk_that_refuses_rows_is_reported_with_the_first(tmp_path: Path, table: TableWriter) -> None:
    """And again when it has recovered and refuses once more."""
    for number in (1, 2):
        break_journal(tmp_path)
        for _ in range(3):
            table.append(1, 0, [1.0])
        assert [fault.errno for fault in faults] == [errno.ENOSPC] * number
        if number == 1:
            table.retry()
    recover(tmp_path, table, 7)


def test_a_disk_that_refuses_new_columns_is_reported_once(tmp_path: Path, table: TableWriter) -> None:
    """With the first row that has them."""
    break_journal(tmp_path)
    table.set_columns(["loss", "acc"])
    table.append(1, 0, [1.0, 2.0])
    table.set_columns(["acc"])
    table.append(1, 0, [2.0])
    assert len(faults) == 1
    recover(tmp_path, table, 3)


def test_rows_after_a_failed_fsync_are_not_reported_once_more(tmp_path: Path, table: TableWriter) -> None:
    """Whoever syncs has reported it, and the rows wait."""
    layout.journal_path(tmp_path, "steps").unlink()
    with pytest.raises(FileNotFoundError, match="it was removed"):
        table.sync()
    table.append(1, 0, [1.0])
    table.set_columns(["loss", "acc"])
    table.append(1, 0, [1.0, 2.0])
    assert faults == []
    recover(tmp_path, table, 3)


def test_columns_that_are_declared_one_by_one_are_written_once(tmp_path: Path, table: TableWriter) -> None:
    """With the next row, however many came before it."""
    names = [f"metric{number}" for number in range(2_000)]
    for count in range(1, len(names) + 1):
        table.set_columns(names[:count])
    table.append(1, 0, [1.0] * len(names))
    size = layout.journal_path(tmp_path, "steps").stat().st_size
    assert size < 2 * (8 * len(names) + len(str(names)))
    assert Run(tmp_path).steps().column_names == ["step", "epoch", "time", "loss", *names]
    table.close()


def test_a_long_journal_is_repaired_in_pieces(tmp_path: Path) -> None:
    """After any fault, and with every row, whatever it has grown to; memory stays that of a piece."""
    names = [f"loss{number}" for number in range(200)]
    table = TableWriter(tmp_path, "steps", names)
    for _ in range(30_000):  # 48 MB
        table.append(1, 0, [1.0] * len(names))
    break_journal(tmp_path)
    table.append(1, 0, [1.0] * len(names))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table.retry()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB
    table.close()
    assert table.dropped == 0
    assert pq.read_table(tmp_path / "steps", columns=["step"])["step"].to_pylist() == list(range(1, 30_002))
