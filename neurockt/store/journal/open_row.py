"""The file of an open row: the last row of a table while later calls of ``log`` may still add to it.

FORMAT.md section 3 is its grammar. It has two slots, which are written in turn: a write that the death of the process
cuts short leaves the other slot as it was.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

from neurockt.store.base import files
from neurockt.store.journal.records import (
    CRC_SIZE,
    MAGIC,
    JournalDecoder,
    Rows,
    columns_record,
    header_size,
    pack_crc,
    row_struct,
)

_REVISION: Final = struct.Struct("<Q")
pack_revision: Final = _REVISION.pack
"""A slot is a row, as a journal holds it, its revision, and the CRC-32 of both."""
TAIL_SIZE: Final = _REVISION.size + CRC_SIZE
"""Bytes of a slot after its row."""
READS: Final = 3
"""How often a file without a sound slot is read: it may be in the middle of two writes."""


def header(columns: Sequence[str]) -> bytes:
    return MAGIC + columns_record(columns, 0)


def read_open_row(path: Path) -> Rows | None:
    """The row in the file; None where there is no such file, or no sound row. Raises OSError as the disk does."""
    for _ in range(READS):
        data = files.read_if_there(path)
        if data is None:
            return None
        if (rows := _newest(data)) is not None:
            return rows
    return None


def _newest(data: bytes) -> Rows | None:
    head = data[: header_size(data)]
    decoder = JournalDecoder()
    decoder.feed(head)
    if decoder.first is None:
        return None
    width = row_struct(len(decoder.columns)).size + CRC_SIZE
    newest, row = -1, b""
    for start in (len(head), len(head) + width + TAIL_SIZE):
        content = data[start : start + width + _REVISION.size]
        checksum = data[start + len(content) : start + width + TAIL_SIZE]
        if len(checksum) == CRC_SIZE and pack_crc(crc32(content)) == checksum:
            (revision,) = _REVISION.unpack_from(content, width)
            if revision > newest:
                newest, row = revision, content[:width]
    batches = JournalDecoder().feed(head + row)
    return batches[0] if batches else None
