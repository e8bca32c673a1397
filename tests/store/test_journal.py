"""The journal's bytes: what was appended replays to the bit, and whatever befalls them, what replays is a prefix."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.store.journal import journal_file
from neurockt.store.journal.records import (
    MAGIC,
    NULL_BITS,
    JournalDecoder,
    Rows,
    columns_record,
    pack_crc,
    row_struct,
)

pytestmark = pytest.mark.slow

Row = tuple[tuple[str, ...], int, int, int, tuple[int, ...]]
"""Columns, number, other axis, time, and the bits of each value."""


class Written(NamedTuple):
    """A journal, and what was appended to it."""

    data: bytes
    rows: list[Row]


bits = st.one_of(st.integers(0, 2**64 - 1), st.just(NULL_BITS), st.floats().map(lambda v: bits_of(v)))
names = st.lists(
    st.text(min_size=1, max_size=5).filter(lambda name: name not in ("step", "epoch")), unique=True, max_size=4
)


def bits_of(value: float) -> int:
    """The 64 bits of a float."""
    (found,) = struct.unpack("<Q", struct.pack("<d", value))
    return int(found)


@st.composite
def journals(draw: st.DrawFn) -> Written:
    """Sections of rows with columns of their own, whose numbers rise by any amount."""
    data, rows, number = MAGIC, [], draw(st.sampled_from([0, 1, 1000]))
    gaps = st.sampled_from([0, 0, 1, 10**12])
    for columns in draw(st.lists(names, min_size=1, max_size=4)):
        data += columns_record(columns, number)
        for _ in range(draw(st.integers(0, 5))):
            number += draw(gaps)
            values = tuple(draw(bits) for _ in columns)
            other, time = draw(st.integers(0, 2**40)), draw(st.integers(-(2**62), 2**62))
            head = row_struct(0).pack(number, other, time) + struct.pack(f"<{len(values)}Q", *values)
            data += head + pack_crc(crc32(head))
            rows.append((tuple(columns), number, other, time, values))
            number += 1
    return Written(data, rows)


def told(batches: Sequence[Rows]) -> list[Row]:
    """Rows as they were appended."""
    return [
        (batch.columns, int(row["number"]), int(row["other"]), int(row["time"]), tuple(map(bits_of, row["values"])))
        for batch in batches
        for row in batch.data
    ]


@given(journals())
def test_what_was_appended_replays_to_the_bit(written: Written) -> None:
    """Every bit pattern of a value, null among them."""
    decoder = JournalDecoder()
    assert told(decoder.feed(written.data)) == written.rows
    assert (decoder.offset, decoder.damaged) == (len(written.data), False)


@given(journals(), st.data())
def test_cutting_the_journal_anywhere_leaves_a_prefix(written: Written, data: st.DataObject) -> None:
    """A crash may lose the tail; it never invents or reorders a row, and a torn record is no damage."""
    cut = data.draw(st.integers(0, len(written.data)))
    decoder = JournalDecoder()
    kept = told(decoder.feed(written.data[:cut]))
    assert kept == written.rows[: len(kept)]
    assert not decoder.damaged
    rest = decoder.feed(written.data[decoder.offset :])
    assert kept + told(rest) == written.rows


@given(journals(), st.data())
def test_a_byte_changed_anywhere_leaves_a_prefix(written: Written, data: st.DataObject) -> None:
    """The rows before it are read, and none after it."""
    at = data.draw(st.integers(0, len(written.data) - 1))
    changed = bytearray(written.data)
    changed[at] ^= data.draw(st.integers(1, 255))
    decoder = JournalDecoder()
    kept = told(decoder.feed(bytes(changed)))
    assert kept == written.rows[: len(kept)]
    assert decoder.offset <= at
    assert len(kept) < len(written.rows) or decoder.offset < len(written.data)


@given(journals(), st.lists(st.integers(0, 60), max_size=20))
def test_a_journal_that_arrives_piece_by_piece_is_the_same(written: Written, sizes: list[int]) -> None:
    """A reader of a live run sees a write that has not arrived in full, and goes on from there."""
    decoder, seen, until = JournalDecoder(), [], 0
    for size in [*sizes, len(written.data)]:
        until = min(until + size, len(written.data))
        seen += told(decoder.feed(written.data[decoder.offset : until]))
    assert seen == written.rows


@given(journals(), st.integers(1, 200), st.binary(max_size=3))
def test_a_journal_of_any_size_is_read_in_pieces(written: Written, piece: int, torn: bytes) -> None:
    """Memory is bounded by the piece, or by the largest record; a torn end is left out."""

    def read(offset: int, size: int) -> bytes:
        return (written.data + torn)[offset : offset + size]

    reading = journal_file.Reading(read, piece=piece)
    assert [row for rows in reading for row in told(rows)] == written.rows
    assert not reading.decoder.damaged
    assert reading.decoder.offset == len(written.data)


def test_reading_a_journal_by_its_name(tmp_path: Path) -> None:
    """One that is not there is empty."""
    path = tmp_path / "steps.journal"
    assert list(journal_file.Reading(partial(journal_file.read_named, path))) == []
    path.write_bytes(MAGIC + columns_record(["loss"], 1))
    reading = journal_file.Reading(partial(journal_file.read_named, path))
    assert list(reading) == []
    assert reading.decoder.offset == path.stat().st_size
