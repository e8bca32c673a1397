"""Write the open row of a table: its file is overwritten in place by each call of ``log``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock
from zlib import crc32

from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file
from neurockt.store.journal.open_row import TAIL_SIZE, header, slot
from neurockt.store.journal.records import CRC_SIZE, pack_crc, row_struct


class OpenRowFile:
    """The file of one table's open row. There is none before the first row."""

    def __init__(self, run_dir: Path, table: TableName) -> None:
        self._path = layout.open_row_path(run_dir, table)
        self._fd = -1
        self._columns: tuple[str, ...] = ()
        self._number = -1
        self._revision = 0
        self._refused: bytes | None = None  # the newest slot, where the disk did not take it
        self._synced = 0
        self._lock = RLock()  # a signal handler may log in the middle of it

    def store(self, columns: tuple[str, ...], number: int, other: int, time_ns: int, values: Sequence[float]) -> None:
        """Put this row in the file; when this returns, it survives the death of the process.

        Raises:
            OSError: as the disk does. The row of before is kept, and ``retry`` stores this one.
            struct.error: the values are not one number for each column; nothing has been stored.
        """
        with self._lock:
            if columns is not self._columns:
                self._take_columns(columns)
            payload = self._pack(number, other, time_ns, *values)
            self._revision = revision = self._revision + 1
            data = slot(payload + pack_crc(crc32(payload)), revision)
            is_same, self._number = number == self._number, number
            try:
                if self._fd < 0:
                    self._replace(data, durable=is_same)
                elif os.pwrite(self._fd, data, self._offsets[revision & 1]) != len(data):
                    raise journal_file.disk_full()
            except OSError:
                self._refused = data
                raise
            self._refused = None

    def _take_columns(self, columns: tuple[str, ...]) -> None:
        row = row_struct(len(columns))
        self._header, self._pack = header(columns), row.pack
        begin, size = len(self._header), row.size + CRC_SIZE + TAIL_SIZE
        self._offsets = begin, begin + size
        self._close()
        self._columns = columns

    def _replace(self, data: bytes, *, durable: bool) -> None:
        """Put a file with this slot in the place of one that has other columns.

        With ``durable`` the new file may have values that the old one had on stable storage.
        """
        slots = (data, bytes(len(data))) if not self._revision & 1 else (bytes(len(data)), data)
        temporary = files.temporary_path(self._path)
        fd = journal_file.create(temporary, self._header + b"".join(slots))
        try:
            if durable:
                files.fsync(fd)
            os.replace(temporary, self._path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                temporary.unlink()
            raise
        self._fd = fd

    def retry(self) -> None:
        """Store again what the disk refused."""
        with self._lock:
            if self._refused is None:
                return
            self._close()
            self._replace(self._refused, durable=True)
            self._refused = None

    def sync(self) -> None:
        """Put the row on stable storage."""
        with self._lock:
            if self._fd < 0 or self._synced == self._revision:
                return
            self._synced = self._revision
            if journal_file.is_removed(self._fd):
                self._close()  # the next row makes it again
            else:
                files.fsync(self._fd)

    def abandon(self) -> None:
        """Write nothing more: another process has taken the run over."""
        with self._lock:
            if self._fd >= 0:
                self._close()
                self._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def remove(self) -> None:
        """The row is final, and has been stored as such."""
        with self._lock:
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
