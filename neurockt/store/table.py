"""One table being written: rows go to the journal at once, and from there to the parts in the background.

Two threads meet here. The training loop calls ``append`` and ``set_columns``; the run's background thread calls the
rest. ``append`` takes no lock, which would cost the loop a tenth of its time: it raises ``_busy`` before it looks up
the journal's descriptor and lowers it when the write is done; the background thread exchanges the descriptor, and lets
the old journal be until it has seen ``_busy`` low. Everything rarer than a row is done under ``_lock``.
"""

from __future__ import annotations

import errno
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from os import write
from pathlib import Path
from threading import Lock
from typing import Final
from zlib import crc32

from neurockt.records import TableSummary
from neurockt.store import files, layout
from neurockt.store.journal import MAGIC, JournalDecoder, Rows, columns_record, pack_crc, row_struct, rows_after
from neurockt.store.layout import TableName

SEAL_ROWS: Final = 65_536
SEAL_BYTES: Final = 16 * 2**20
SEAL_SECONDS: Final = 60.0
"""The journal is sealed into a part when it has so many rows, bytes, or is so old."""

BACKLOG_BYTES: Final = 64 * 2**20
"""Rows that the disk refuses wait in memory up to this size; then new ones are dropped, and counted."""
RETRY_SECONDS: Final = 1.0
"""How often a disk that refused a row is tried again."""


class TableWriter:
    """Writes one table of one run; the only writer it has."""

    def __init__(
        self,
        run_dir: Path,
        table: TableName,
        columns: Sequence[str],
        *,
        last: int = 0,
        on_trouble: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        """Start the journal.

        Args:
            last: number of the last row there is already.
            on_trouble: hears of a write that was refused.
        """
        self.last = last
        """Number of the last row appended: the step in `steps`, the epoch in `epochs`, the sample in `system`."""
        self.dropped = 0
        """Rows lost because the disk refused them for too long."""
        self.columns = tuple(columns)
        self._run_dir = run_dir
        self._table = table
        self._on_trouble = on_trouble
        self._sealed = last
        self._sealed_summary = TableSummary()
        self._sealed_at = time.monotonic()
        self._synced = last
        self._frozen = False  # the journal is being sealed, and rows go to its successor
        self._frozen_fd: int | None = None  # the journal's descriptor, as long as the loop may still write to it
        self._frozen_last = last
        self._busy = False  # the loop is writing; or its last write was interrupted, or refused
        self._backlog: deque[tuple[bytes, int | None]] = (
            deque()
        )  # records that wait; the second of a columns record: its `first`
        self._backlog_bytes = 0
        self._tried_at = 0.0
        self._lock = Lock()
        self._pack = row_struct(len(self.columns)).pack
        (run_dir / table).mkdir(exist_ok=True)
        self._fd = _create(layout.journal_path(run_dir, table))
        self._write_columns(MAGIC)

    # The training loop's side

    def append(self, other: int, time_ns: int, values: Sequence[float]) -> None:
        """Store one row; when this returns it is the kernel's, and outlives the process.

        Args:
            other: the other axis (the epoch in `steps`, the step in `epochs` and in `system`).
            time_ns: nanoseconds since 1970, UTC.
            values: one float a column.

        Raises:
            struct.error: a value is not a number; nothing has been stored.
        """
        if self._busy and not self._settle():
            self._hold(self._frame(other, time_ns, values))
            return
        number = self.last + 1
        payload = self._pack(number, other, time_ns, *values)
        frame = payload + pack_crc(crc32(payload))
        self._busy = True  # stays so if a signal handler raises before the write is accounted for
        try:
            written = write(self._fd, frame)
            if written == len(frame):
                self.last = number
                self._busy = False
                return
            self._truncate(written)
        except OSError as error:
            self._refused(frame, error)
        else:
            self._refused(frame, _disk_full())

    def _frame(self, other: int, time_ns: int, values: Sequence[float]) -> bytes:
        payload = self._pack(self.last + 1, other, time_ns, *values)
        return payload + pack_crc(crc32(payload))

    def set_columns(self, columns: Sequence[str]) -> None:
        """Rows from here on have these columns."""
        if self._busy:
            self._settle()
        with self._lock:
            self._busy = True
            self.columns = tuple(columns)
            self._pack = row_struct(len(self.columns)).pack
            if self._backlog:
                self._hold_columns()
                return
            try:
                self._write_columns()
            except OSError as error:
                self._hold_columns()
                self._on_trouble(error)
            else:
                self._busy = False

    def _write_columns(self, before: bytes = b"", fd: int | None = None) -> None:
        """Write a columns record to the journal in use, or to another."""
        record = before + columns_record(self.columns, self.last + 1)
        written = os.write(self._fd if fd is None else fd, record)
        if written != len(record):
            if fd is None:
                self._truncate(written)
            raise _disk_full()

    # When the disk refuses

    def _refused(self, frame: bytes, error: OSError) -> None:
        self._hold(frame)
        self._tried_at = time.monotonic()
        self._on_trouble(error)

    def _truncate(self, written: int) -> None:
        """Take back the part of a record that was written, so that the journal ends with a whole one."""
        if written:
            end = os.fstat(self._fd).st_size - written
            os.ftruncate(self._fd, end)
            os.lseek(self._fd, end, os.SEEK_SET)

    def _hold(self, frame: bytes) -> None:
        """Keep a row in memory until the disk takes it; past the limit, drop it and leave a marked gap."""
        self.last += 1
        if self._backlog_bytes + len(frame) <= BACKLOG_BYTES:
            self._backlog.append((frame, None))
            self._backlog_bytes += len(frame)
            return
        self.dropped += 1
        if self._backlog[-1][1] is not None:
            self._backlog.pop()  # the gap grows: one record marks its end
        self._hold_columns()

    def _hold_columns(self) -> None:
        first = self.last + 1
        self._backlog.append((columns_record(self.columns, first), first))

    def _settle(self) -> bool:
        """Make good for a write that was interrupted, and try again what the disk refused; True when all is written."""
        with self._lock:
            try:
                if not self._backlog:
                    self._recount()
                elif time.monotonic() - self._tried_at >= RETRY_SECONDS:
                    self._tried_at = time.monotonic()
                    self._write_backlog()
            except OSError:
                return False
            self._busy = bool(self._backlog)
            return not self._busy

    def _recount(self) -> None:
        """A signal handler raised amid ``append``: the file tells whether the row is in it."""
        decoder = JournalDecoder()
        decoder.feed(os.pread(self._fd, os.fstat(self._fd).st_size, 0))
        os.ftruncate(self._fd, decoder.offset)
        os.lseek(self._fd, decoder.offset, os.SEEK_SET)
        if decoder.first is None:
            self._write_columns(MAGIC)
        else:
            self.last = max(self.last, decoder.next - 1)
            if decoder.columns != self.columns:
                self._write_columns()

    def _write_backlog(self) -> None:
        while self._backlog:
            record, first = self._backlog[0]
            written = os.write(self._fd, record)
            if written != len(record):
                self._truncate(written)
                return
            self._backlog.popleft()
            if first is None:
                self._backlog_bytes -= len(record)

    # The background thread's side

    def sync(self) -> None:
        """Put the rows so far on stable storage."""
        last = self.last
        if last != self._synced:
            os.fsync(self._fd)
            self._synced = last

    def seal_if_due(self) -> None:
        """Seal a journal that has grown long or old."""
        rows = self.last - self._sealed
        if (rows or self._frozen) and not self._backlog:
            old = time.monotonic() - self._sealed_at >= SEAL_SECONDS
            if self._sealed == 0 or old or rows >= SEAL_ROWS or os.fstat(self._fd).st_size >= SEAL_BYTES:
                self.seal()

    def seal(self, *, join: bool = False) -> None:
        """Move the journal's rows into the parts. Whatever interrupts it, every row is in one place at least.

        The loop is turned to a new journal; the old one's rows are appended to the parts; then the new journal takes
        the old one's name, which drops the old rows in one rename.
        """
        if not self._frozen:
            self._freeze()
        if not self._loop_has_left():
            return  # amid a slow write, or interrupted in one: the next call goes on
        journal = layout.journal_path(self._run_dir, self._table)
        rows, whole = _decode(journal)
        self._append_to_parts(rows, join)
        if not whole:
            self._put_aside(journal)
        os.replace(layout.next_journal_path(self._run_dir, self._table), journal)
        self._frozen = False
        files.sync_directory(self._run_dir)
        self._sealed_at = time.monotonic()

    def _put_aside(self, journal: Path) -> None:
        """Keep a journal that the disk has damaged: it may hold rows that could not be read back."""
        aside = journal.with_name(journal.name + layout.DAMAGED)
        os.replace(journal, aside)
        self._on_trouble(OSError(errno.EIO, f"the journal was damaged on disk; it is kept as {aside}"))

    def _freeze(self) -> None:
        """Turn the loop to a new journal."""
        fd = _create(layout.next_journal_path(self._run_dir, self._table))
        with self._lock:
            try:
                self._write_columns(MAGIC, fd)
            except OSError:
                os.close(fd)
                layout.next_journal_path(self._run_dir, self._table).unlink()
                raise
            self._frozen_last = self.last
            self._frozen_fd, self._fd = self._fd, fd
            self._frozen = True

    def _loop_has_left(self) -> bool:
        """Whether the loop can no longer be writing to the frozen journal."""
        if self._frozen_fd is not None:
            for _ in range(100):
                if not self._busy or self.last > self._frozen_last:
                    break  # the one write that may have begun before the exchange is done
                time.sleep(0.0001)
            else:
                return False
            os.close(self._frozen_fd)
            self._frozen_fd = None
        return True

    def _append_to_parts(self, batches: list[Rows], join: bool) -> None:
        from neurockt.store import parts
        from neurockt.store.summary import summarise

        new = rows_after(batches, self._sealed)
        if new:
            parts.append(self._run_dir, self._table, parts.rows_to_table(new, layout.KEY[self._table]), join=join)
            self._sealed_summary = summarise(new, onto=self._sealed_summary)
            self._sealed = int(new[-1].data["number"][-1])

    def summary(self) -> TableSummary:
        """What the columns came to, rows that are still in the journal included."""
        from neurockt.store.summary import summarise

        if self.last == self._sealed:
            return self._sealed_summary
        path = layout.next_journal_path if self._frozen else layout.journal_path
        rows, _ = _decode(path(self._run_dir, self._table))
        return summarise(rows_after(rows, self._sealed), onto=self._sealed_summary)

    def close(self) -> None:
        """Seal what is left and remove the journal; the loop must have ended."""
        if self._busy:
            self._tried_at = 0.0
            self._settle()
        self._busy = False
        if self._frozen:
            self.seal()
        if self.last > self._sealed:
            self.seal(join=True)
        os.close(self._fd)
        if self._backlog:
            self.dropped += sum(first is None for _, first in self._backlog)
        else:
            layout.journal_path(self._run_dir, self._table).unlink()


def _create(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)


def _decode(journal: Path) -> tuple[list[Rows], bool]:
    """A journal's rows, and whether they are all it holds. Checksums are trusted: it was written a moment ago."""
    decoder = JournalDecoder(verify=False)
    data = journal.read_bytes()
    return decoder.feed(data), decoder.offset == len(data)


def _disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
