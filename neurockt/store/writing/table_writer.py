"""One table being written: rows go to the journal at once, and from there to the parts in the background.

Two threads meet here. The training loop calls ``append`` and ``set_columns``; the run's background thread calls the
rest. ``append`` takes no lock, which would cost the loop a tenth of its time: it raises ``_busy`` before it looks up
the journal's descriptor and lowers it when the write is done; the background thread exchanges the descriptor, or has
the loop do so before its next row, and lets the old journal be until no write to it can be under way. Everything rarer
than a row is done under ``_lock``, under which the background thread never touches the disk.

A row that the disk refuses waits in the backlog, and so does every row after it. From then on the disk is the
background thread's alone: it takes the journal's descriptor from the loop, puts the file in order, writes what waits,
and gives the loop a descriptor again. FORMAT.md section 6 says what that leaves on disk.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from os import write
from pathlib import Path
from threading import RLock
from zlib import crc32

from neurockt.run_info import TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file, repair
from neurockt.store.journal.journal_file import JournalEnd
from neurockt.store.journal.records import CRC_SIZE, MAGIC, columns_record, pack_crc, row_packer, row_struct
from neurockt.store.writing.backlog import Backlog, Waiting
from neurockt.store.writing.sealed_rows import SealedRows
from neurockt.store.writing.timing import Timing


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
        on_trouble: Callable[[OSError], None] = lambda error: None,
    ) -> None:
        """Start the journal; if the disk refuses it, rows wait until it does not.

        Args:
            last: number of the last row there is already.
            summary: what the rows there are already come to.
            timing: how often it is sealed, and how soon a disk that failed is tried again.
            is_ours: asked before files are changed by their names: whether no other process has taken the run over.
            on_trouble: hears of a write that was refused.
        """
        self.last = last
        """Number of the last row appended: the step in `steps`, the epoch in `epochs`, the sample in `system`."""
        self.columns = tuple(columns)
        self._parts = run_dir / table
        self._journal = layout.journal_path(run_dir, table)
        self._next_journal = layout.next_journal_path(run_dir, table)
        self._timing = timing or Timing()
        self._is_ours = is_ours
        self._on_trouble = on_trouble
        self._sealed = SealedRows(run_dir, table, last, summary or TableSummary())
        self._sealed_at = time.monotonic()
        self._seal_again_at = 0.0
        self._synced = last
        self._first: int | None = None  # what the header of the journal in use says; tells it from every other
        self._frozen = False  # the journal is being sealed, and rows go to its successor
        self._frozen_fd = -1
        self._frozen_last = last
        self._offer: list[int] | None = None  # the successor's descriptor, until one of the two threads has taken it
        self._loop_left = True  # the loop can no longer be writing to the frozen journal
        self._busy = False  # the loop is writing; or its last write was interrupted, or refused
        self._waiting = False  # rows are not written now, but wait
        self._backlog = Backlog()
        self._written = last  # while rows wait: number of the last row that was written
        self._lost = 0  # rows that had been written, and are not there any more
        self._sick = -1  # a descriptor that was taken from the loop
        self._pace = repair.Pace(self._timing.retry)
        self._lock = RLock()  # a signal handler may finish the run amid whatever the loop does
        self._take_columns(columns)
        self._fd = -1
        header = MAGIC + columns_record(self.columns, last + 1)
        try:
            self._parts.mkdir(exist_ok=True)
            self._fd = journal_file.create(self._journal, header)
            self._first = last + 1
        except OSError as error:
            self._wait()
            on_trouble(error)

    @property
    def dropped(self) -> int:
        """Rows lost because the disk refused them for too long, or lost them."""
        return self._backlog.dropped + self._lost + self._sealed.lost

    # The training loop's side

    def append(self, other: int, time_ns: int, values: Sequence[float]) -> None:
        """Store one row; when this returns it is the kernel's, and outlives the process.

        Args:
            other: the other axis (the epoch in `steps`, the step in `epochs` and in `system`).
            time_ns: nanoseconds since 1970, UTC.
            values: one float a column.

        Raises:
            struct.error, ValueError: the values are others than a number a column; nothing has been stored.
        """
        if self._busy and self._held(other, time_ns, values):
            return
        number = self.last + 1
        pack = self._pack  # called by a local name, which is faster than as what looks like a method
        payload = pack(number, other, time_ns, values)
        frame = payload + pack_crc(crc32(payload))
        self._busy = True  # stays so if a signal handler raises before the write is accounted for
        try:
            if write(self._fd, frame) == self._row_bytes:
                self.last = number
                self._busy = False
                return
        except OSError as error:
            self._refused(frame, error)
        else:
            self._refused(frame, journal_file.disk_full())

    def _held(self, other: int, time_ns: int, values: Sequence[float]) -> bool:
        """Where rows wait, let this one wait too; else make good for a write that was interrupted."""
        with self._lock:
            self._settle()
            if self._waiting:
                payload = self._pack(self.last + 1, other, time_ns, values)
                self._hold(payload + pack_crc(crc32(payload)))
            return self._waiting

    def _wait(self) -> None:
        """Rows wait from here on."""
        self._busy = self._waiting = True
        self._written = self.last

    def _hold(self, frame: bytes) -> None:
        self._backlog.hold(self.columns, self.last + 1, frame)
        self.last += 1

    def _refused(self, frame: bytes, error: OSError) -> None:
        with self._lock:
            told = self._fd < 0  # whoever took the descriptor has told why
            self._wait()
            self._hold(frame)
        if not told:
            self._on_trouble(error)

    def _take_columns(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._pack = row_packer(len(self.columns))
        self._row_bytes = row_struct(len(self.columns)).size + CRC_SIZE

    def set_columns(self, columns: Sequence[str]) -> None:
        """Rows from here on have these columns."""
        with self._lock:
            self._settle()
            self._take_columns(columns)
        self._begin_section()

    def skip(self, rows: int) -> None:
        """So many rows were lost before they got here: they are counted in ``dropped``, and keep their numbers."""
        with self._lock:
            self._settle()
            self.last += rows
            self._lost += rows
        self._begin_section()

    def _begin_section(self) -> None:
        """Rows from here on follow a columns record."""
        with self._lock:
            if self._waiting:
                return
            self._busy = True
            try:
                journal_file.write_all(self._fd, columns_record(self.columns, self.last + 1))
                self._busy = False
                return
            except OSError as error:
                told, trouble = self._fd < 0, error
                self._wait()
        if not told:
            self._on_trouble(trouble)

    def _settle(self) -> None:
        """Make good for a write that a signal handler interrupted, if one did: the file tells whether it was done."""
        if self._busy and not self._waiting:
            try:
                end = repair.cut(self._fd)
                self.last = max(self.last, end.next - 1)
                if end.columns != self.columns:
                    journal_file.write_all(self._fd, columns_record(self.columns, self.last + 1))
                self._busy = False
            except OSError:
                self._wait()

    # The background thread's side: when the disk has refused

    def retry(self) -> None:
        """Write what waits, if something does and it is time to try again."""
        if (self._waiting or self._fd < 0) and self._pace.is_time() and self._is_ours():
            with self._pace.trying():
                self._recover()

    def _withdraw(self) -> None:
        """Take the journal from the loop: the next row will be refused, and wait."""
        with self._lock:
            if self._fd >= 0:
                self._sick, self._fd = self._fd, -1

    def _recover(self) -> None:
        """Put the journal's file in order, write what waits, and give the loop the file again."""
        self._withdraw()
        if self._busy and not self._waiting:
            return  # the loop may be amid its last write to it
        end, newest = self._repair()
        with self._lock:
            written = self._written if self._waiting else self.last
            self._lost += max(0, written - newest)
            self._written = newest
            self.last = max(self.last, newest)  # the row of an interrupted write is there
            self._backlog.forget_until(newest)  # as is one whose write failed after all was done
        while True:
            with self._lock:
                rows = self._backlog.next_rows(repair.PIECE_BYTES)
                if rows is None:
                    rows = Waiting(self.columns, self.last + 1, b"", 0)
                    if (rows.columns, rows.first) == end:
                        self._fd, self._sick = self._sick, -1
                        if self._waiting:
                            self._busy = self._waiting = False
                        return
            head = b"" if (rows.columns, rows.first) == end else columns_record(rows.columns, rows.first)
            journal_file.write_all(self._sick, head + rows.data)
            end = JournalEnd(rows.columns, rows.first + rows.rows)
            with self._lock:
                self._written = end.next - 1
                self._backlog.forget_until(end.next - 1)

    def _repair(self) -> tuple[JournalEnd, int]:
        """Open the journal in use again; gives its end, and the number of the newest row that is stored anywhere."""
        path, old = self._next_journal if self._frozen else self._journal, self._sick
        self._sick, self._first, end, newest = repair.repair(path, self._parts, old, self._first, self._next_end)
        if old >= 0:
            os.close(old)
        return end, max(newest, self._sealed.last, self._frozen_last)

    def _next_end(self) -> JournalEnd:
        """What the next row to be written fits."""
        with self._lock:
            rows = self._backlog.next_rows(0)
            return JournalEnd(rows.columns, rows.first) if rows else JournalEnd(self.columns, self.last + 1)

    # The background thread's side: fsync and sealing

    def sync(self) -> None:
        """Put the rows so far on stable storage; a journal that is not where it was is taken from the loop."""
        last, fd = self.last, self._fd
        if fd < 0 or self._waiting:
            return
        try:
            if os.fstat(fd).st_nlink == 0 and self._is_ours():
                raise FileNotFoundError(errno.ENOENT, "it was removed; it is made again", str(self._journal))
            if last != self._synced:
                files.fsync(fd)
                self._synced = last
        except OSError:
            self._withdraw()  # the kernel takes what it could not write for written: it has to be written again
            raise

    def seal_if_due(self) -> None:
        """Seal a journal that has grown long or old."""
        rows = self.last - self._sealed.last
        if (rows or self._frozen) and self._fd >= 0 and not self._waiting and time.monotonic() >= self._seal_again_at:
            old = time.monotonic() - self._sealed_at >= self._timing.seal
            due = self._frozen or self._sealed.last == 0 or old or rows >= self._timing.seal_rows
            if (due or os.fstat(self._fd).st_size >= self._timing.seal_bytes) and self._is_ours():
                self._seal_again_at = time.monotonic() + self._timing.seal_retry
                self.seal()
                self._seal_again_at = 0.0

    def seal_soon(self) -> None:
        """Have ``seal_if_due`` seal, however young the journal is."""
        self._sealed_at = -math.inf

    def seal(self) -> None:
        """Move the journal's rows into the parts. Whatever interrupts it, every row is in one place at least.

        The loop is turned to a new journal; the old one's rows are appended to the parts; then the new journal takes
        the old one's name, which drops the old rows in one rename.
        """
        if not self._frozen and not self._freeze():
            return
        if not self._loop_has_left():
            return  # amid a slow write, or interrupted in one: the next call goes on
        content = self._content(self._frozen_fd)
        for rows in content:
            self._sealed.add(rows, join=False)
        if not content.whole:
            self._put_aside()
        os.replace(self._next_journal, self._journal)
        os.close(self._frozen_fd)
        self._frozen_fd = -1
        self._frozen = False
        self._offer = None
        self._lost += max(0, self._frozen_last - max(content.next - 1, self._sealed.last))
        files.sync_directory(self._journal.parent)
        self._sealed_at = time.monotonic()

    def _content(self, fd: int) -> journal_file.Reading:
        """What a journal holds that the loop does not write to; by its name where the descriptor is dead."""
        return journal_file.Reading(partial(journal_file.read_either, fd, self._journal))

    def _put_aside(self) -> None:
        """Keep a journal that the disk has damaged."""
        if kept := journal_file.put_aside(self._journal):
            self._on_trouble(OSError(errno.EIO, f"the journal was damaged on disk; it is kept as {kept}"))

    def _freeze(self) -> bool:
        """Turn the loop to a new journal; False where that has to wait.

        A loop that does nothing but record is amid a write whenever this thread comes to look: it turns itself, where
        it next asks for a row to be packed. The journal is offered in a list, and turned to by whoever takes it out;
        not under the lock, since a signal handler may hold the loop there while the run is sealed.
        """
        if self._offer == []:
            return self._frozen  # else the loop is held up between taking it and turning to it
        with self._lock:
            columns, first, pack = self.columns, self.last + 1, self._pack
        fd = journal_file.create(self._next_journal, MAGIC + columns_record(columns, first))
        self._offer = offer = [fd]

        def turn_and_pack(number: int, other: int, time_ns: int, values: Sequence[float]) -> bytes:
            self._pack = pack
            if not self._waiting:
                self._turn(offer, first)
            return pack(number, other, time_ns, values)

        for _ in range(100):
            with self._lock:
                if self._waiting or self._fd < 0 or self.columns != columns:
                    break
                if not self._busy:
                    self._turn(offer, first)
                elif offer:
                    self._pack = turn_and_pack
                if self._frozen:
                    break
            time.sleep(0.0001)
        with self._lock:
            if self._pack is turn_and_pack:
                self._pack = pack
        if _take_from(offer) < 0:
            return self._frozen
        self._offer = None
        os.close(fd)
        with suppress(OSError):
            self._next_journal.unlink()
        return False

    def _turn(self, offer: list[int], first: int) -> None:
        """Rows from here on go to the journal that is offered, if it still is; not amid a write."""
        if (fd := _take_from(offer)) >= 0:
            self._frozen_last = self.last
            self._frozen_fd, self._fd = self._fd, fd
            self._first = first
            self._loop_left = False
            self._frozen = True

    def _loop_has_left(self) -> bool:
        """Whether the loop can no longer be writing to the frozen journal."""
        for _ in range(100):
            if self._loop_left:
                break
            self._loop_left = not self._busy or self._waiting or self.last > self._frozen_last
            time.sleep(0.0001)
        return self._loop_left

    def summary(self) -> TableSummary:
        """What the columns came to, rows that are still in the journals included."""
        journals = [self._journal, self._next_journal] if self._frozen else [self._journal]
        return self._sealed.summary([] if self.last == self._sealed.last else journals)

    def abandon(self) -> None:
        """Write nothing more to the run, which is another process's now; rows from here on go nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        with self._lock:
            self._fd = nowhere  # the loop may be writing to the journal of before: that stays open
            if self._waiting:
                self._busy = self._waiting = False
            self._backlog.give_up()

    def close(self) -> None:
        """Seal what is left and remove the journal; the loop must have ended.

        Raises:
            OSError: the disk still refuses; the rows are in the journals, but for those that waited: they are dropped.
        """
        with self._lock:
            self._settle()
            self._busy = self._waiting
            if journal_file.is_removed(self._fd):
                self._withdraw()
        try:
            if self._waiting or self._fd < 0:
                with suppress(OSError):  # told when it began
                    self._recover()
            if self._frozen:
                self.seal()
            self._seal_last()
        finally:
            self._backlog.give_up()
            for fd in {self._fd, self._sick, self._frozen_fd} - {-1}:
                os.close(fd)
            self._fd = self._sick = self._frozen_fd = -1

    def _seal_last(self) -> None:
        content = self._content(max(self._fd, self._sick))
        for rows in content:
            self._sealed.add(rows, join=True)
        newest = max(content.next - 1, self._sealed.last)
        self._lost += max(0, (self._written if self._waiting else self.last) - newest)
        self._backlog.forget_until(newest)
        self._next_journal.unlink(missing_ok=True)  # begun, and given up
        if content.damaged:
            self._put_aside()
        else:
            self._journal.unlink(missing_ok=True)


def _take_from(offer: list[int]) -> int:
    """The descriptor that is offered, for whoever asks first; -1 for the other."""
    try:
        return offer.pop()
    except IndexError:
        return -1
