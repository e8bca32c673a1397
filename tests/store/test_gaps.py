"""Rows that are lost before they can be stored keep their numbers: every reader copes with the gap."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from faulty_disk import WRITE, FaultyDisk, recording
from live_run import same

from neurockt import Run
from neurockt.store.tables import parts
from neurockt.store.writing.table_writer import TableWriter


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TableWriter:
    """The table `steps`, in row groups of three rows."""
    monkeypatch.setattr(parts, "row_group_rows", lambda columns: 3)
    return TableWriter(tmp_path, "steps", ["loss"])


def append(table: TableWriter, rows: int) -> None:
    """Rows whose loss is their number."""
    for _ in range(rows):
        table.append(1, 0, [float(table.last + 1)])


NUMBERS = [1, 2, 3, 4, 15, 16, 17, 18, 19, 30, 31]


def record_with_gaps(table: TableWriter) -> None:
    """A gap in the journal that is sealed, and one in the journal that is not."""
    append(table, 4)
    table.skip(10)
    append(table, 3)
    table.seal()
    append(table, 2)
    table.skip(10)
    append(table, 2)


def test_rows_after_skipped_ones_keep_their_own_numbers(tmp_path: Path, table: TableWriter) -> None:
    """In the journal and in the parts, and the skipped rows are counted as dropped."""
    record_with_gaps(table)
    assert (table.last, table.dropped) == (31, 20)
    rows = Run(tmp_path).steps()
    assert rows["step"].to_pylist() == rows["loss"].to_pylist() == NUMBERS
    table.close()
    assert table.dropped == 20
    assert pq.read_table(tmp_path / "steps")["step"].to_pylist() == NUMBERS
    assert table.summary().rows == len(NUMBERS)


def test_a_skip_before_the_first_row_and_after_the_last_one_is_counted(tmp_path: Path, table: TableWriter) -> None:
    """Nothing but the gap remains of it."""
    table.skip(2)
    append(table, 1)
    table.skip(5)
    assert table.last == 8
    table.close()
    assert table.dropped == 7
    assert pq.read_table(tmp_path / "steps")["step"].to_pylist() == [3]


def test_every_way_of_reading_copes_with_a_gap(tmp_path: Path, table: TableWriter) -> None:
    """Windows, last rows, followers, outlines and rows by their index agree with the whole table."""
    run = Run(tmp_path)
    follower = run.follower("steps")
    record_with_gaps(table)
    rows = run.steps()
    assert same(follower.new_rows(), rows)
    assert same(run.window("steps", after=4, until=18), rows.slice(4, 4))
    assert same(run.window("steps", after=7, until=12), rows.slice(0, 0))
    assert same(run.last_rows("steps", 3), rows.slice(8))
    _, pieces = run.batches("steps")
    assert same(pa.concat_tables(pieces), rows)
    assert run.outline("steps").total == len(NUMBERS)
    by_index = run.rows("steps")
    by_index.refresh()
    found = [by_index.read(group, ["loss"])["loss"] for group in range(len(by_index.groups))]
    assert [block.at(index) for block in found for index in range(len(block.values))] == NUMBERS
    assert all(by_index.position_of(number) in (index, None) for index, number in enumerate(NUMBERS))
    table.skip(1)
    append(table, 1)
    assert follower.new_rows()["step"].to_pylist() == [33]


@pytest.mark.slow
def test_skipping_while_rows_wait_for_the_disk_keeps_the_numbers(tmp_path: Path) -> None:
    """The rows before and after the gap are written once the disk works again."""
    disk = FaultyDisk(tmp_path / "runs", tmp_path / "plan")
    with recording(tmp_path / "runs", disk.environment) as child:
        child.do("steps 10")
        disk.fail(28, WRITE)
        child.do("steps 10")
        child.do("skip 5")
        child.do("steps 10")
        disk.heal()
        child.do("settle")
        answer = child.do("finish")
    assert (answer["dropped"], answer["step"]) == (5, 35)
    run = Run(child.path)
    assert run.info.dropped == 5
    assert run.steps()["step"].to_pylist() == [*range(1, 21), *range(26, 36)]
