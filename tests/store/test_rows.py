"""Rows by their place: whatever was recorded is found, wherever it lies and while it moves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from neurockt import open_run, testing
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.reading.random_access import RowReader
from neurockt.store.tables import parts


class Writer:
    """A run of one column whose sealing the test decides."""

    def __init__(self, root: Path) -> None:
        self.recorder = Recorder(root, quiet=True, run_id="run")

    def write(self, *values: float | None) -> None:
        testing.record(self.recorder, {"loss": values})

    def seal(self) -> None:
        testing.seal(self.recorder, "steps")


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Row groups of three rows, so that a few rows make several; nobody else seals."""
    monkeypatch.setattr(parts, "row_group_rows", lambda columns: 3)
    with testing.writer_timing(tick=3600.0):
        made = Writer(tmp_path)
        yield made
        made.recorder.finish()


def reader_of(writer: Writer) -> RowReader:
    reader = open_run(writer.recorder.run_dir).rows("steps")
    reader.refresh()
    return reader


def column(reader: RowReader, name: str = "loss") -> list[int | float | None]:
    blocks = [reader.read(group, [name])[name] for group in range(len(reader.groups))]
    return [block.at(index) for block in blocks for index in range(len(block.values))]


def test_parts_and_journal_are_one_table(writer: Writer) -> None:
    """Rows in a part come before those in the journal, null and NaN kept apart."""
    writer.write(1.0, None, 3.0, 4.0)
    writer.seal()
    writer.write(5.0, math.nan)
    reader = reader_of(writer)
    assert reader.groups.starts == (0, 3, 4, 6)
    assert column(reader)[:5] == [1.0, None, 3.0, 4.0, 5.0]
    assert math.isnan(column(reader)[5] or 0)
    assert column(reader, "step") == [1, 2, 3, 4, 5, 6]


def test_a_growing_table_keeps_its_places(writer: Writer) -> None:
    """Rows that move from the journal to a part between two looks are neither lost nor seen twice."""
    writer.write(1.0, 2.0)
    reader = reader_of(writer)
    assert not reader.refresh()
    writer.write(3.0)
    writer.seal()
    writer.write(4.0)
    assert reader.refresh()
    assert column(reader) == [1.0, 2.0, 3.0, 4.0]


def test_rows_leave_the_memory_once_they_are_in_a_part(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of a live run does not grow for ever."""
    monkeypatch.setattr("neurockt.store.reading.random_access.TAIL_ROWS", 2)
    writer.write(-1.0)
    reader = reader_of(writer)
    for value in range(6):
        writer.write(float(value))
        writer.seal()
        reader.refresh()
    assert sum(map(len, reader._tail)) <= 3
    assert column(reader) == [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_step_is_found_by_its_number(writer: Writer) -> None:
    """In a part, in the journal, and past the end."""
    writer.write(*map(float, range(7)))
    writer.seal()
    writer.write(8.0, 9.0)
    reader = reader_of(writer)
    assert [reader.position_of(number) for number in (1, 4, 7, 8, 9, 100)] == [0, 3, 6, 7, 8, 8]


def test_bounds_come_without_reading_rows(writer: Writer) -> None:
    """The smallest and largest value of each group, from the footer or from the rows not in a part."""
    writer.write(3.0, 1.0, 2.0, math.nan)
    writer.seal()
    writer.write(7.0, None)
    reader = reader_of(writer)
    assert reader.bounds(0, "loss") == (1.0, 3.0)
    assert reader.bounds(2, "loss") == (7.0, 7.0)


def test_what_cannot_be_read_is_null_and_named(writer: Writer) -> None:
    """A damaged row group does not take the others with it."""
    writer.write(*map(float, range(9)))
    writer.seal()
    part = layout.part_path(writer.recorder.run_dir, "steps", 0)
    reader = reader_of(writer)
    chunk = pq.read_metadata(part).row_group(1).column(3)
    data = bytearray(part.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 0xFF
    part.write_bytes(bytes(data))
    reader = reader_of(writer)
    assert column(reader) == [0.0, 1.0, 2.0, None, None, None, 6.0, 7.0, 8.0]
    assert list(reader.damaged) == [part]


def test_values_are_those_of_the_table(tmp_path: Path) -> None:
    """A run of the size people look at reads the same either way."""
    writer = Writer(tmp_path)
    values = np.random.default_rng(0).normal(size=500)
    writer.write(*values.tolist())
    writer.recorder.finish()
    assert column(reader_of(writer)) == values.tolist()
