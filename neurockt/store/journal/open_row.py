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

_TAIL: Final = struct.Struct("<QQ")
pack_tail: Final = _TAIL.pack
"""Takes what follows the row in a slot: its revision, and that XOR the row's CRC-32, which ties the two together."""
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
    for start in (len(head), len(head) + width + _TAIL.size):
        found, tail = data[start : start + width], data[start + width : start + width + _TAIL.size]
        crc = crc32(found[:-CRC_SIZE])
        if len(tail) == _TAIL.size and found[-CRC_SIZE:] == pack_crc(crc):
            revision, check = _TAIL.unpack(tail)
            if revision > newest and revision ^ crc == check:
                newest, row = revision, found
    batches = JournalDecoder().feed(head + row)
    return batches[0] if batches else None
