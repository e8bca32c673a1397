"""Write the open row of a table: its file is overwritten in place by each call of ``log``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from os import pwrite
from pathlib import Path
from threading import RLock

from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file
from neurockt.store.journal.open_row import header, pack_tail


class OpenRowFile:
    """The file of one table's open row. There is none before the first row.

    The training loop writes without a lock while the disk takes what it gets. Everything rarer is done under one.
    """

    def __init__(self, run_dir: Path, table: TableName, on_refused: Callable[[OSError], None]) -> None:
        """``on_refused`` is called when the disk refuses a row, the first time. Then ``retry`` stores the newest."""
        self._on_refused = on_refused
        self._path = layout.open_row_path(run_dir, table)
        self._columns: tuple[str, ...] = ()
        self._fd = -1  # -1 where the file has to be made
        self._offsets = (0, 0)
        self._revision = 0
        self._synced = 0
        self._refused: bytes | None = None  # the newest slot, while the disk does not take it
        self._abandoned = False
        self._lock = RLock()  # a signal handler may log in the middle of it

    def store(self, columns: tuple[str, ...], row: bytes, crc: int) -> None:
        """Put this row, packed for a journal, in the file; when this returns, it survives the death of the process.

        Args:
            crc: the CRC-32 at its end.
        """
        self._revision = revision = self._revision + 1
        data, fd = row + pack_tail(revision, revision ^ crc), self._fd
        error: OSError | None = None
        if fd >= 0 and columns is self._columns:
            try:
                if pwrite(fd, data, self._offsets[revision & 1]) == len(data):
                    return
                error = journal_file.disk_full()
            except OSError as refused:
                error = refused
        with self._lock:
            is_new, self._columns = self._refused is None, columns
            if is_new and error is None:
                try:
                    self._replace(data)
                    return
                except OSError as refused:
                    error = refused
            self._close()
            self._refused = data
        if is_new and error is not None:
            self._on_refused(error)

    def _replace(self, data: bytes) -> None:
        """Put a file with this slot in the place of what is there, which may have values that are on stable storage."""
        if self._abandoned:
            return
        head, empty = header(self._columns), bytes(len(data))
        temporary = files.temporary_path(self._path)
        fd = journal_file.create(temporary, head + (empty + data if self._revision & 1 else data + empty))
        try:
            files.fsync(fd)
            os.replace(temporary, self._path)
        except BaseException:
            os.close(fd)
            with suppress(OSError):
                temporary.unlink()
            raise
        self._close()
        self._offsets = len(head), len(head) + len(data)
        self._fd = fd

    def retry(self) -> None:
        """Store again what the disk refused."""
        with self._lock:
            if self._refused is not None:
                self._replace(self._refused)
                self._refused = None

    def sync(self) -> None:
        """Put the row on stable storage."""
        with self._lock:
            if self._fd >= 0 and self._synced != self._revision:
                self._synced = self._revision
                files.fsync(self._fd)
                if journal_file.is_removed(self._fd):
                    self._close()  # the next row makes it again

    def abandon(self) -> None:
        """Write nothing more: another process has taken the run over."""
        with self._lock:
            self._abandoned = True
            self._close()

    def remove(self) -> None:
        """The row is final, and its table has it."""
        with self._lock:
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
