"""Write one table: rows go to the journal at once, and from there to the parts in the background.

Two threads meet here. The training loop calls ``append``, ``set_columns`` and ``skip``; the run's background thread
calls the rest. ``append`` takes no lock, which would cost the loop a tenth of its time. It notes which descriptor it
writes to, in ``_writing``. The background thread may exchange the descriptor at any time, and does not touch the
old one before the loop has stopped writing to it. Everything rarer than a row is done under ``_lock``, under which the
background thread never uses the disk.

A row that the disk refuses waits in the backlog, and so does every row after it. Then the loop has no
descriptor until the background thread has repaired the file and written what waits (FORMAT.md section 6).
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from os import write
from pathlib import Path
from threading import RLock
from typing import Final
from zlib import crc32

from neurockt.errors import CorruptRun
from neurockt.run_info import TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file, repair
from neurockt.store.journal.journal_file import JournalEnd, Reading
from neurockt.store.journal.records import CRC_SIZE, MAGIC, columns_record, pack_crc, row_struct
from neurockt.store.writing.backlog import Backlog, Waiting
from neurockt.store.writing.sealed_rows import SealedRows
from neurockt.store.writing.timing import Timing

Fault = Callable[[str, Exception], None]
"""Called with what could not be done, and the error."""
REFUSED: Final = "a row could not be written; rows wait in memory until the disk takes them"

LOCK_SECONDS: Final = 0.2
"""How long the background thread waits for the loop. A signal handler may hold the loop anywhere, for any time."""
COLUMNS_DUE: Final = -2
"""Where the loop notes which descriptor it writes to: none, but a columns record comes before the next row."""
LONGEST_SEAL_RETRY: Final = 32
"""Sealings that fail one after the other are tried after twice the time each, up to this multiple."""


class TableWriter:
    """Writes one table of one run; the only writer it has."""

    def __init__(
        self,
        run_dir: Path,
        table: TableName,
        columns: Sequence[str],
        *,
        last: int = 0,
        summary: TableSummary | None = None,
        timing: Timing | None = None,
        is_ours: Callable[[], bool] = lambda: True,
        on_fault: Fault = lambda what, error: None,
    ) -> None:
        """Create the journal; if the disk refuses it, rows wait.

        Args:
            last: number of the last row there is already.
            summary: of the rows there are already.
            timing: how often it is sealed, and how soon a disk that failed is tried again.
            is_ours: called before files are changed by their names: whether this process still owns the run.
            on_fault: called when the disk refuses a row, the first time, or has damaged the journal.
        """
        self.last = last
        """Number of the last row: the step in `steps`, the epoch in `epochs`, the sample in `system`."""
        self.columns = tuple(columns)
        self.dropped = 0
        """Rows that are lost: the disk refused them for too long or lost them, or they were skipped."""
        self._parts = run_dir / table
        self._journal = layout.journal_path(run_dir, table)
        self._next_journal = layout.next_journal_path(run_dir, table)
        self._timing = timing or Timing()
        self._is_ours = is_ours
        self._on_fault = on_fault
        self._sealed = SealedRows(run_dir, table, last, summary or TableSummary())
        self._sealed_at = time.monotonic()
        self._seal_pace = repair.Pace(self._timing.seal_retry, LONGEST_SEAL_RETRY * self._timing.seal_retry)
        self._last_synced = last
        self._fd = -1  # the active journal; -1 where rows wait
        self._writing: int | None = None  # what the loop writes to, or did when a signal handler raised
        self._first: int | None = None  # what the header of the active journal says; tells it from every other
        self._summarised = Reading(self._read_active)  # the active journal, as far as the summary has it
        self._sealing_fd = -1  # the journal that is being sealed
        self._sealing_last = last
        self._sealing_summarised = self._summarised
        self._waiting = False  # rows are not written now, but wait
        self._last_written = last  # while rows wait: number of the last row that was written
        self._backlog = Backlog()
        self._failed_fd = -1  # the active journal's, taken from the loop
        self._retry_pace = repair.Pace(self._timing.retry)
        self._loop_is_held = False  # by a signal handler, in the middle of something, when it was last waited for
        self._closing = False
        self._lock = RLock()  # a signal handler may finish the run in the middle of whatever the loop does
        self._take_columns(columns)
        try:
            self._parts.mkdir(exist_ok=True)
            self._fd = journal_file.create(self._journal, MAGIC + columns_record(self.columns, last + 1))
            self._first = last + 1
        except OSError as error:
            self._wait()
            on_fault(REFUSED, error)

    # The training loop's side

    def append(self, other: int, time_ns: int, values: Sequence[float]) -> None:
        """Store one row; when this returns, it survives the death of the process.

        Args:
            other: the other index (the epoch in `steps`, the step in `epochs` and in `system`).
            time_ns: nanoseconds since 1970, UTC.
            values: one float per column.

        Raises:
            struct.error: the values are not one number for each column; nothing has been stored.
        """
        if self._writing is not None:
            with self._lock:
                self._settle()
        number = self.last + 1
        pack = self._pack  # a call by a local name is faster
        payload = pack(number, other, time_ns, *values)
        frame = payload + pack_crc(crc32(payload))
        # no call between reading the descriptor and noting it: the interpreter does not switch threads there
        self._writing = fd = self._fd  # stays so if a signal handler raises before the write is accounted for
        try:
            if write(fd, frame) == self._row_bytes:
                self.last = number
                self._writing = None
                return
        except OSError as error:
            self._refused(frame, error)
        else:
            self._refused(frame, journal_file.disk_full())

    def _refused(self, frame: bytes, error: OSError) -> None:
        with self._lock:
            is_new = self._fd >= 0  # otherwise whoever took the descriptor has reported why
            self._wait()
            self.dropped += not self._backlog.hold(self.columns, self.last + 1, frame)
            self.last += 1
            self._writing = None
        if is_new:
            self._on_fault(REFUSED, error)

    def _wait(self) -> None:
        """Rows wait from here on."""
        self._withdraw()
        if not self._waiting:
            self._waiting = True
            self._last_written = self.last

    def _withdraw(self) -> None:
        """Take the journal from the loop: the next row will be refused, and wait."""
        if self._fd >= 0:
            self._failed_fd, self._fd = self._fd, -1

    def set_columns(self, columns: Sequence[str], *, skipped: int = 0) -> None:
        """Rows from here on have these columns; the next row writes them down. ``skipped`` as in ``skip``."""
        with self._lock:
            if self._writing != COLUMNS_DUE:
                self._settle()
            if self._fd < 0:
                self._wait()
            self._writing = COLUMNS_DUE
            self.last += skipped
            self.dropped += skipped
            self._take_columns(columns)

    def skip(self, rows: int) -> None:
        """Leave out the numbers of rows that were lost before they got here, and count them in ``dropped``."""
        with self._lock:
            self.set_columns(self.columns, skipped=rows)
            self._settle()

    def _take_columns(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        row = row_struct(len(self.columns))
        self._pack = row.pack
        self._row_bytes = row.size + CRC_SIZE

    def _settle(self) -> None:
        """Prepare the journal for the next row.

        A write that a signal handler interrupted may have been done or not; no number may be used twice.
        """
        fd, error = self._writing, None
        if fd is None:
            return
        self._take_columns(self.columns)
        self.last = max(self.last, self._backlog.last)
        is_known = fd == COLUMNS_DUE
        self._writing = fd = self._fd if is_known else fd
        if fd >= 0:
            try:
                end = None if is_known else repair.cut(fd)
                self.last = max(self.last, end.next - 1 if end else 0)
                if fd == self._fd and end != (self.columns, self.last + 1):
                    journal_file.write_all(fd, columns_record(self.columns, self.last + 1))
            except OSError as refused:
                self.last += not is_known  # it may have been written
                if fd == self._fd:
                    error = refused
                    self._wait()
        self._writing = None
        if error is not None:
            self._on_fault(REFUSED, error)

    # The background thread's side

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock.

        A loop that is held in the middle of something keeps it; at the end, when it does nothing more, that is ignored.

        Raises:
            TimeoutError: the loop keeps it.
        """
        held = self._lock.acquire(timeout=0 if self._loop_is_held else LOCK_SECONDS)
        self._loop_is_held = not held
        if not held and not self._closing:
            raise TimeoutError(errno.ETIMEDOUT, "the training loop is held up in the middle of a row")
        try:
            yield
        finally:
            if held:
                self._lock.release()

    def _has_left(self, fd: int) -> bool:
        """Whether the loop has stopped writing to a descriptor, now or within some milliseconds."""
        for _ in range(100):
            if self._writing != fd:
                return True
            time.sleep(0.0001)
        return False

    @property
    def _active(self) -> Path:
        """The active journal."""
        return self._next_journal if self._sealing_fd >= 0 else self._journal

    def _read_active(self, offset: int, size: int) -> bytes:
        return journal_file.read_named(self._active, offset, size)

    def _reading(self, fd: int) -> Reading:
        """Reads a journal that the loop does not write to; by its name where the descriptor is dead."""
        return Reading(partial(journal_file.read_either, fd, self._journal))

    def _lose(self, rows: int) -> None:
        """Count rows that had been stored and are gone."""
        if rows > 0:
            with self._exclusive():
                self.dropped += rows
            self._sealed.recount()
            self._sealing_summarised = Reading(self._sealing_summarised.read)
            self._summarised = Reading(self._read_active)

    # When the disk has refused

    def retry(self) -> None:
        """Write what waits, if something does and it is time to try again."""
        if self._fd < 0 and self._retry_pace.is_time() and self._is_ours():
            with suppress(OSError), self._retry_pace.trying():  # reported when it began
                self._recover()

    def _recover(self) -> None:
        """Repair the journal, write what waits, and give the journal back to the loop."""
        if self._writing == self._failed_fd >= 0:
            return  # the loop may still be in its last write to it
        end, newest = self._repair()
        with self._exclusive():
            written = self._last_written if self._waiting else self.last
            self._last_written = newest
            self.last = max(self.last, newest)  # the row of an interrupted write is there
            self._backlog.forget_until(newest)  # as is one whose write failed after all was done
        self._lose(written - newest)
        while True:
            with self._exclusive():
                rows = self._next_rows()
                if not rows.data and (rows.columns, rows.first) == end:
                    self._fd, self._failed_fd = self._failed_fd, -1
                    self._waiting = False
                    return
            head = b"" if (rows.columns, rows.first) == end else columns_record(rows.columns, rows.first)
            journal_file.write_all(self._failed_fd, head + rows.data)
            end = JournalEnd(rows.columns, rows.first + rows.rows)
            with self._exclusive():
                self._last_written = end.next - 1
                self._backlog.forget_until(end.next - 1)

    def _next_rows(self) -> Waiting:
        """The first rows that wait; none of the columns and the number of the next row where none does."""
        return self._backlog.next_rows(repair.PIECE_BYTES) or Waiting(self.columns, self.last + 1, b"", 0)

    def _repair(self) -> tuple[JournalEnd, int]:
        """Open the active journal again; gives its end, and the number of the newest row that is stored anywhere."""
        with self._exclusive():
            rows = self._next_rows()
        old = self._failed_fd
        repaired = repair.repair(self._active, self._parts, old, self._first, JournalEnd(rows.columns, rows.first))
        self._failed_fd, self._first, end, newest = repaired
        if old >= 0:
            os.close(old)
        self._summarised = Reading(self._read_active)
        if self._sealing_fd >= 0:
            newest = max(newest, self._reading(self._sealing_fd).last())
        return end, max(newest, self._sealed.last)

    # Fsync and sealing

    def sync(self) -> None:
        """Put the rows so far on stable storage; take the journal from the loop if it was removed or fails."""
        last, fd = self.last, self._fd
        if fd < 0:
            return
        try:
            if os.fstat(fd).st_nlink == 0 and self._is_ours():
                raise FileNotFoundError(errno.ENOENT, "it was removed; it is made again", str(self._active))
            if last != self._last_synced:
                if self._sealing_fd >= 0:
                    files.fsync(self._sealing_fd)
                files.fsync(fd)
                self._last_synced = last
        except OSError:
            with self._exclusive():
                self._withdraw()  # the kernel takes what it could not write for written: it has to be written again
            raise

    def seal_if_due(self) -> None:
        """Seal a journal that has grown long or old."""
        rows = self.last - self._sealed.last
        if (rows or self._sealing_fd >= 0) and self._fd >= 0 and self._seal_pace.is_time():
            old = time.monotonic() - self._sealed_at >= self._timing.seal
            due = self._sealing_fd >= 0 or self._sealed.last == 0 or old or rows >= self._timing.seal_rows
            if (due or os.fstat(self._fd).st_size >= self._timing.seal_bytes) and self._is_ours():
                with self._seal_pace.trying():
                    self.seal()

    def seal_soon(self) -> None:
        """Have ``seal_if_due`` seal, however young the journal is."""
        self._sealed_at = -math.inf

    def seal(self) -> None:
        """Move the journal's rows into the parts. Whatever interrupts that, every row is in one place at least.

        The loop is given a new journal; the old one's rows are appended to the parts; then the new journal takes
        the old one's name, which drops the old rows in one rename.
        """
        if self._sealing_fd < 0 and not self._switch():
            return
        if not self._has_left(self._sealing_fd):
            return  # in a slow write, or interrupted in one: the next call goes on
        content = self._reading(self._sealing_fd)
        for rows in content:
            self._lose(self._sealed.add(rows, join=False))
        lost = self._sealing_last - max(content.next - 1, self._sealed.last)
        if content.damaged or lost > 0:
            self._put_aside()
        os.replace(self._next_journal, self._journal)
        os.close(self._sealing_fd)
        self._sealing_fd = -1
        self._lose(lost)
        files.sync_directory(self._journal.parent)
        self._sealed_at = time.monotonic()

    def _switch(self) -> bool:
        """Give the loop a new journal, so that the old one can be sealed; False if that has to wait."""
        columns, first = self.columns, self.last + 1
        fd = journal_file.create(self._next_journal, MAGIC + columns_record(columns, first))
        with suppress(TimeoutError), self._exclusive():
            if self._fd >= 0 and self.columns == columns:
                self._sealing_last = self.last
                self._sealing_fd, self._fd = self._fd, fd
                self._first = first
                self._sealing_summarised = self._summarised
                self._sealing_summarised.read = self._reading(self._sealing_fd).read
                self._summarised = Reading(self._read_active)
                return True
        os.close(fd)
        with suppress(OSError):
            self._next_journal.unlink()
        return False

    def _put_aside(self) -> None:
        """Keep a journal that the disk has damaged."""
        if kept := journal_file.put_aside(self._journal):
            self._on_fault("the disk has damaged a journal", CorruptRun(f"what cannot be read is kept as {kept}"))

    def summary(self) -> TableSummary:
        """The summary of all rows, also those in journals; only new rows are read. If the disk fails, the last one."""
        with suppress(OSError):
            if self._sealing_fd >= 0:
                self._sealed.count(self._sealing_summarised)
            self._sealed.count(self._summarised)
        return self._sealed.summary

    # The end

    def abandon(self) -> None:
        """Write nothing more to the run: another process has taken it over. Rows from here on go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._closing = True
        with self._exclusive():
            self._withdraw()  # it stays open: the loop may be writing to it
            self._fd = nowhere
            self._waiting = False
            self.dropped += self._backlog.give_up()

    def release(self) -> None:
        """Close the files as they are, after the loop has ended."""
        for fd in {self._fd, self._failed_fd, self._sealing_fd} - {-1}:
            os.close(fd)
        self._fd = self._failed_fd = self._sealing_fd = -1

    def close(self, *, seal: bool = True) -> None:
        """Seal what is left and remove the journal, after the loop has ended.

        Args:
            seal: False leaves the rows in the journal, on stable storage.

        Raises:
            OSError: the disk still refuses. The rows are in the journals; those that waited are dropped.
        """
        self._closing = True
        try:
            with self._exclusive():
                self._settle()
                if journal_file.is_removed(self._fd):
                    self._withdraw()
            if self._fd < 0:
                with suppress(OSError):  # reported when it began
                    self._recover()
            if not seal:
                self.sync()
                return
            if self._sealing_fd >= 0:
                self.seal()
            self._seal_last()
        finally:
            self.dropped += self._backlog.give_up()
            self.release()

    def _seal_last(self) -> None:
        content = self._reading(max(self._fd, self._failed_fd))
        for rows in content:
            self._lose(self._sealed.add(rows, join=True))
        newest = max(content.next - 1, self._sealed.last)
        self._lose((self._last_written if self._waiting else self.last) - newest)
        self._backlog.forget_until(newest)
        self._next_journal.unlink(missing_ok=True)  # a switch that was given up
        if content.damaged:
            self._put_aside()
        else:
            self._journal.unlink(missing_ok=True)
