"""A part grows at its end alone, until its short row groups are joined: so a footer that was read before stays true."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from live_run import numbers
from live_run.by_hand import PART, Recording

from neurockt import open_run
from neurockt.store.base import layout
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts


def groups(run: Path, number: int = 0) -> list[int]:
    """How many rows each row group of a part has."""
    metadata = pq.read_metadata(layout.part_path(run, "steps", number))
    return [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]


def pages(run: Path) -> bytes:
    """A part without its footer."""
    data = layout.part_path(run, "steps", 0).read_bytes()
    return data[: -8 - int.from_bytes(data[-8:-4], "little")]


def seal_each(recording: Recording, *rows: int) -> None:
    for count in rows:
        recording.write(count)
        recording.seal()


def test_sealing_adds_to_the_end_of_a_part(recording: Recording) -> None:
    """What was there stays byte for byte where it was."""
    seal_each(recording, 2)
    for count in (1, 4):
        before = pages(recording.path)
        seal_each(recording, count)
        assert pages(recording.path).startswith(before)
    assert groups(recording.path) == [2, 1, 3, 1]


def test_short_row_groups_are_joined_when_there_are_many(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first short one on; a reader need not open hundreds."""
    monkeypatch.setattr(parts, "SHORT_GROUPS", 3)
    seal_each(recording, 3, 1, 1, 1)
    assert groups(recording.path) == [3, 1, 1, 1]
    seal_each(recording, 1)
    assert groups(recording.path) == [3, 3, 1]
    assert numbers(open_run(recording.path).steps()) == list(range(1, 8))


def test_a_wide_table_is_joined_sooner(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its footer has an entry for each column of each row group."""
    monkeypatch.setattr(parts, "SHORT_CHUNKS", 9)
    seal_each(recording, 1, 1)
    assert groups(recording.path) == [1, 1]
    seal_each(recording, 1)
    assert groups(recording.path) == [3]


def test_a_full_part_has_full_row_groups(recording: Recording) -> None:
    """However its rows came."""
    seal_each(recording, *[1] * (PART - 2), 5)
    assert [groups(recording.path), groups(recording.path, 1)] == [[3, 3, 3], [3]]


def test_a_finished_run_has_full_row_groups(recording: Recording) -> None:
    """All but the last."""
    seal_each(recording, 1, 1, 1, 1)
    recording.write(1)
    recording.recorder.finish()
    assert groups(recording.path) == [3, 2]


def test_sealing_a_dead_run_joins_them(recording: Recording) -> None:
    """As finishing would have."""
    seal_each(recording, 1, 1, 1, 1)
    recording.write(1)
    copy = recording.dead_copy()
    seal_run(copy)
    assert groups(copy) == [3, 2]
