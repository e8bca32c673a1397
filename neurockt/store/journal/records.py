"""The journal: rows that have been recorded and are not in a part yet. FORMAT.md section 3 is its grammar.

Invariant: whatever is cut from the end of a journal, and whichever byte of it is flipped, what replays is a prefix of
the rows that were appended.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAGIC: Final = b"NRKTJNL1"

NULL_BITS: Final = 0x7FF8_6E75_6C6C_0000
NULL: Final[float] = struct.unpack("<d", struct.pack("<Q", NULL_BITS))[0]
"""Means "no value" in a row: a NaN whose payload spells `null`. No arithmetic yields it."""
_NULL_BYTES: Final = struct.pack("<Q", NULL_BITS)

COLUMNS_TAG: Final = 0xFFFF_FFFF_FFFF_FFFF
"""Where a row has its number, a columns record has this."""

LARGEST_NUMBER: Final = 2**63 - 1
"""The largest number of a row: Parquet keeps it as int64."""
LARGEST_STEP: Final = 2**62
"""The largest that is taken from a user: more steps may be counted after it."""
FIRST_ROWS: Final = 256
"""How many rows are looked for at first after a columns record."""

_COLUMNS_HEAD: Final = struct.Struct("<QI")
_CRC: Final = struct.Struct("<I")
CRC_SIZE: Final = _CRC.size
pack_crc: Final = _CRC.pack

NO_ROW: Final = struct.error
"""Raised by packing a row where its values are not numbers, or not as many as there are columns."""


def is_null(value: float) -> bool:
    return value != value and struct.pack("<d", value) == _NULL_BYTES


def row_struct(columns: int) -> struct.Struct:
    """A row without its checksum: its number, the other index, time in ns, one float64 per column.

    In `steps` the number is the step and the other index the epoch; in `epochs` it is the other way round. In `system`
    the number is the sample, the other index the step, and the first column is the epoch.
    """
    return struct.Struct(f"<QQq{columns}d")


def columns_record(columns: Sequence[str], first: int) -> bytes:
    """A record that names the columns of the rows after it; they are numbered from ``first`` or above."""
    text = json.dumps({"first": first, "columns": list(columns)}, ensure_ascii=False).encode()
    head = _COLUMNS_HEAD.pack(COLUMNS_TAG, len(text)) + text
    return head + pack_crc(crc32(head))


def header_size(data: bytes) -> int:
    """Bytes of the magic and of the first columns record, as far as these bytes of a file show."""
    begin = len(MAGIC)
    return begin + (
        _COLUMNS_HEAD.size + int(_COLUMNS_HEAD.unpack_from(data, begin)[1]) + CRC_SIZE
        if len(data) >= begin + _COLUMNS_HEAD.size
        else 0
    )


@dataclass(frozen=True)
class Rows:
    columns: tuple[str, ...]
    """The metrics."""
    data: npt.NDArray[Any]
    """Structured as ``row_dtype`` says."""

    def __len__(self) -> int:
        return len(self.data)

    def count_until(self, number: int) -> int:
        """The number of rows, from the first, that are numbered up to ``number``."""
        if number < 0:
            return 0
        numbers = self.data["number"]
        return int(numbers.searchsorted(numbers.dtype.type(number), side="right"))

    def axis(self, name: str, key: str) -> npt.NDArray[np.int64]:
        """An index column of the table numbered by ``key``; the time in microseconds."""
        if name == "time":
            return self.data["time"] // 1000
        column = "number" if name == key else name if name in (self.data.dtype.names or ()) else "other"
        return self.data[column].astype("int64")


def rows_after(batches: Sequence[Rows], number: int, until: int | None = None) -> list[Rows]:
    """The rows numbered above ``number``, each once, where batches of rising numbers may overlap."""
    kept = []
    for batch in batches:
        data = batch.data[batch.count_until(number) : None if until is None else batch.count_until(until)]
        if len(data):
            number = int(data["number"][-1])
            kept.append(Rows(batch.columns, data))
    return kept


def row_dtype(columns: Sequence[str]) -> np.dtype[Any]:
    """A row with its checksum: a first column that is an index, if there is one, then the metrics as ``values``."""
    import numpy as np

    axes = [(name, "<f8") for name in columns[:1] if name in ("step", "epoch")]
    values = ("values", "<f8", (len(columns) - len(axes),))
    return np.dtype([("number", "<u8"), ("other", "<u8"), ("time", "<i8"), *axes, values, ("crc", "<u4")])


class JournalDecoder:
    """Replays one journal, in one go or as it grows.

    ``offset`` is the first byte not replayed yet: feed it the file's bytes from there. Bytes that are not a whole,
    sound record are left for the next time, since a reader of a live run may see a write that has not arrived yet.
    """

    def __init__(self, *, verify: bool = True) -> None:
        """With ``verify=False`` checksums are not computed: for the writer, which reads what it has just written."""
        self.offset = 0
        self.first: int | None = None
        """No row of this journal is numbered below this; None until its header has been read."""
        self.next: int = 0
        """No row after those that were read is numbered below this."""
        self.rows = 0
        """How many were read."""
        self.columns: tuple[str, ...] = ()
        self.damaged = False
        """Whether the last feed stopped at a complete record that is wrong."""
        self._verify = verify
        self._dtype: np.dtype[Any] | None = None

    def feed(self, data: bytes) -> list[Rows]:
        """The rows in ``data``, which starts at ``offset`` of the file; moves ``offset`` past them."""
        self.damaged = False
        batches: list[Rows] = []
        position = 0
        if self.offset == 0:
            if len(data) < len(MAGIC):
                return []
            if not data.startswith(MAGIC):
                self.damaged = True
                return []
            position = len(MAGIC)
        while True:
            if self._dtype is not None:
                rows, position = self._rows(data, position)
                if rows is not None:
                    batches.append(rows)
                if self.damaged:
                    break
            end = self._columns_record(data, position)
            if end is None:
                break
            position = end
        self.offset += position
        if self.first is None:
            self.offset = 0  # no header yet: start over next time
        return batches

    def _rows(self, data: bytes, position: int) -> tuple[Rows | None, int]:
        """The rows from a position to the next columns record, to damage, or to the end."""
        import numpy as np

        assert self._dtype is not None
        width = self._dtype.itemsize
        most, count, ended = (len(data) - position) // width, 0, False
        while count < most and not ended:
            # as many again each time: these rows may be few, and what comes after a columns record is long
            start = position + count * width
            rows = np.frombuffer(data, self._dtype, min(max(count, FIRST_ROWS), most - count), start)
            numbers = rows["number"]
            rising = numbers <= LARGEST_NUMBER
            rising[0] &= numbers[0] >= self.next
            rising[1:] &= numbers[1:] > numbers[:-1]
            sound = len(rows) if rising.all() else int(rising.argmin())
            whole = sound == len(rows) or numbers[sound] == COLUMNS_TAG
            if self._verify:
                checked = _count_sound(data, start, width, rows["crc"][:sound].tolist())
                whole, sound = whole and checked == sound, checked
            if sound:
                self.next = int(numbers[sound - 1]) + 1
            self.damaged, ended = not whole, sound < len(rows)
            count += sound
        if not count:
            return None, position
        self.rows += count
        rows = np.frombuffer(data, self._dtype, count, position)
        return Rows(self.columns[len(self.columns) - rows["values"].shape[1] :], rows), position + count * width

    def _columns_record(self, data: bytes, position: int) -> int | None:
        body = position + _COLUMNS_HEAD.size
        if len(data) < body:
            return None
        tag, length = _COLUMNS_HEAD.unpack_from(data, position)
        if tag != COLUMNS_TAG:
            self.damaged = self.first is None
            return None
        end = body + int(length) + CRC_SIZE
        if len(data) < end:
            return None
        if _CRC.unpack_from(data, body + length)[0] != crc32(data[position : body + length]):
            self.damaged = True
            return None
        head: dict[str, Any] = json.loads(data[body : body + length])
        first = int(head["first"])
        if self.first is None:
            self.first = first
        elif first < self.next:
            self.damaged = True
            return None
        self.next = first
        self.columns = tuple(head["columns"])
        self._dtype = row_dtype(self.columns)
        return end


def _count_sound(data: bytes, position: int, width: int, checksums: list[int]) -> int:
    payload = width - CRC_SIZE
    view = memoryview(data)
    for index, checksum in enumerate(checksums):
        if crc32(view[position : position + payload]) != checksum:
            return index
        position += width
    return len(checksums)
