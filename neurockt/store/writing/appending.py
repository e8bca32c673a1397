"""The training loop's side of a table: rows go to the journal at once, or wait where the disk refuses them.

``append`` takes no lock, which would cost the loop a tenth of its time. It notes which descriptor it writes to, in
``_writing``. The background thread may exchange the descriptor at any time, and does not touch the old one before the
loop has stopped writing to it. Everything rarer than a row is done under ``_lock``, under which the background thread
never uses the disk.

A row that the disk refuses waits in the backlog, and so does every row after it. Then the loop has no
descriptor until the background thread has repaired the file and written what waits (FORMAT.md section 6).
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import write
from threading import RLock
from typing import Final
from zlib import crc32

from neurockt.store.journal import journal_file, repair
from neurockt.store.journal.records import CRC_SIZE, columns_record, pack_crc, row_struct
from neurockt.store.writing.backlog import Backlog

Fault = Callable[[str, Exception], None]
"""Called with what could not be done, and the error."""
REFUSED: Final = "a row could not be written; rows wait in memory until the disk takes them"

LOCK_SECONDS: Final = 0.2
"""How long the background thread waits for the loop. A signal handler may hold the loop anywhere, for any time."""
COLUMNS_DUE: Final = -2
"""Where the loop notes which descriptor it writes to: none, but a columns record comes before the next row."""


class RowAppender:
    """Appends the rows of one table to the journal that the background thread provides."""

    def __init__(self, columns: Sequence[str], last: int, on_fault: Fault) -> None:
        self.last = last
        """Number of the last row: the step in `steps`, the epoch in `epochs`, the sample in `system`; -1 before any."""
        self._jump = -1, last, last  # the newest jump: the number after it, and ``_left_out`` before and after it
        self.dropped = 0
        """Rows that are lost: the disk refused them for too long or lost them, or they were skipped."""
        self._fd = -1  # the active journal; -1 where rows wait
        self._writing: int | None = None  # what the loop writes to, or did when a signal handler raised
        self._failed_fd = -1  # the active journal's, taken from the loop
        self._written: int | None = None  # while rows wait: how many had been written
        self._backlog = Backlog()
        self._given_up = False
        self._on_fault = on_fault
        self._lock = RLock()  # a signal handler may finish the run in the middle of whatever the loop does
        self._loop_is_held = False  # by a signal handler, in the middle of something, when it was last waited for
        self._closing = False
        self._take_columns(columns)

    @property
    def _left_out(self) -> int:
        """Numbers up to the last one that no row of this process has."""
        number, before, after = self._jump
        return after if self.last >= number - 1 else before

    @_left_out.setter
    def _left_out(self, numbers: int) -> None:
        self._jump = -1, numbers, numbers

    @property
    def _count(self) -> int:
        """How many rows there have been, but for those in ``dropped``."""
        return self.last - self._left_out

    @property
    def _next(self) -> int:
        """The number after the last row, also while the loop is about to write one that jumps."""
        last = self.last  # read first: the loop notes a jump before it changes this
        number, before, after = self._jump
        return last + 1 - (after - before if last == number - 1 else 0)

    @property
    def taken(self) -> int:
        """How many rows it was given, and how many were skipped."""
        return self._count + self.dropped

    def append_at(self, number: int, other: int, time_ns: int, values: Sequence[float]) -> None:
        """As ``append``, for a row of this number. Does nothing where there is one of that number or a higher one."""
        if self._writing is not None:  # columns that were half changed cannot pack
            with self._lock:
                self._settle()
        payload = self._pack(number, other, time_ns, *values)
        self.append_packed(number, payload + pack_crc(crc32(payload)))

    def append_packed(self, number: int, frame: bytes) -> None:
        """As ``append_at``, for a row that is packed with the present columns."""
        if self._writing is not None or number != self.last + 1:
            with self._lock:
                self._settle()
                gap = number - 1 - self.last
                if gap < 0:
                    return
                before = self._left_out
                self._jump = number, before, before + gap  # an exception may strike here: it counts with ``last``
                self.last = number - 1
        self._writing = fd = self._fd  # as in ``append``
        try:
            if write(fd, frame) == self._row_bytes:
                self.last = number
                self._writing = None
                return
        except OSError as error:
            self._refused(frame, error)
        else:
            self._refused(frame, journal_file.disk_full())

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
            kept = not self._given_up and self._backlog.hold(self.columns, frame)
            self.last += 1
            self.dropped += not kept
            self._left_out += not kept
            self._writing = None
        if is_new:
            self._on_fault(REFUSED, error)

    def _wait(self) -> None:
        self._withdraw()
        if self._written is None:
            self._written = self._count

    def _give_up(self) -> None:
        """Drop the rows that wait, and the one that comes after a handler has ended the run in the middle of it."""
        self._given_up = True
        rows = self._backlog.give_up()
        self.dropped += rows
        self._left_out += rows

    def _withdraw(self) -> None:
        if self._fd >= 0:
            self._failed_fd, self._fd = self._fd, -1

    def set_columns(self, columns: Sequence[str]) -> None:
        """Rows from here on have these columns; the next row writes them down."""
        with self._lock:
            if self._writing != COLUMNS_DUE:
                self._settle()
            if self._fd < 0:
                self._wait()
            self._writing = COLUMNS_DUE
            self._take_columns(columns)

    def skip(self, rows: int, last: int | None = None) -> None:
        """Count rows in ``dropped`` that were lost before they got here, the last one numbered ``last``."""
        with self._lock:
            self.dropped += rows
            last = self.last + rows if last is None else last
            if last > self.last:
                self._left_out += last - self.last
                self.last = last
            self.set_columns(self.columns)
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
                self.last = max(self.last, end.next - 1 if end else -1)
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

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Hold the lock, as the background thread.

        Raises TimeoutError where a loop that is held in the middle of something keeps it, except at the end.
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
        for _ in range(100):
            if self._writing != fd:
                return True
            time.sleep(0.0001)
        return False
