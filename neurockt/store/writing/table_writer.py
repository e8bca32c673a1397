"""Write one table: rows go to the journal at once, and from there to the parts in the background.

The background thread calls all methods here; the training loop calls those of ``RowAppender``.
"""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from neurockt.errors import CorruptRun
from neurockt.run_info import TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file, repair
from neurockt.store.journal.journal_file import JournalEnd, Reading
from neurockt.store.journal.records import MAGIC, columns_record
from neurockt.store.writing.appending import REFUSED, Fault, RowAppender
from neurockt.store.writing.backlog import Waiting
from neurockt.store.writing.sealed_rows import SealedRows
from neurockt.store.writing.timing import Timing

LONGEST_SEAL_RETRY: Final = 32
"""Sealings that fail one after the other are tried after twice the time each, up to this multiple."""


class TableWriter(RowAppender):
    """The only writer of one table of one run."""

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
            last, summary: of the rows there are already; -1 where there is none and ``append_at`` may store row 0.
            is_ours: called before files are changed by their names: whether this process still owns the run.
            on_fault: called when the disk refuses a row, the first time, or has damaged the journal.
        """
        super().__init__(columns, last, on_fault)
        self._parts = run_dir / table
        self._journal = layout.journal_path(run_dir, table)
        self._next_journal = layout.next_journal_path(run_dir, table)
        self._timing = timing or Timing()
        self._is_ours = is_ours
        self._sealed = SealedRows(run_dir, table, last, summary or TableSummary())
        self._sealed_at = time.monotonic()
        self._seal_pace = repair.Pace(self._timing.seal_retry, LONGEST_SEAL_RETRY * self._timing.seal_retry)
        self._last_synced = last
        self._first: int | None = None  # what the header of the active journal says; tells it from every other
        self._summarised = Reading(self._read_active)  # the active journal, as far as the summary has it
        self._sealing_fd = -1  # the journal that is being sealed
        self._sealing_rows = 0  # how many it has
        self._sealed_before = 0  # how many rows had been sealed before it
        self._journal_begin = 0  # how many rows there were before the active journal
        self._sealing_summarised = self._summarised
        self._retry_pace = repair.Pace(self._timing.retry)
        try:
            self._parts.mkdir(exist_ok=True)
            self._fd = journal_file.create(self._journal, MAGIC + columns_record(self.columns, last + 1))
            self._first = last + 1
        except OSError as error:
            self._wait()
            on_fault(REFUSED, error)

    @property
    def _active_path(self) -> Path:
        return self._next_journal if self._sealing_fd >= 0 else self._journal

    def _read_active(self, offset: int, size: int) -> bytes:
        return journal_file.read_named(self._active_path, offset, size)

    def _reading(self, fd: int) -> Reading:
        """Reads a journal that the loop does not write to; by its name where the descriptor is dead."""
        return Reading(partial(journal_file.read_either, fd, self._journal))

    def _lose(self, rows: int) -> None:
        if rows > 0:
            with self._exclusive():
                self.dropped += rows
            self._sealed.recount()
            self._sealing_summarised = Reading(self._sealing_summarised.read)
            self._summarised = Reading(self._read_active)

    # When the disk has refused

    def retry(self) -> None:
        if self._fd < 0 and self._retry_pace.is_time() and self._is_ours():
            with suppress(OSError), self._retry_pace.trying():  # reported when it began
                self._recover()

    def _recover(self) -> None:
        if self._writing == self._failed_fd >= 0:
            return  # the loop may still be in its last write to it
        end, newest, found = self._repair()
        with self._exclusive():
            written = (self._count if self._written is None else self._written) - self._journal_begin
            self._written = self._journal_begin + found
            self._left_out += max(0, written - found)
            self.last = max(self.last, newest)  # the row of an interrupted write is there
            self._backlog.forget_until(newest)  # as is one whose write failed after all was done
        self._lose(written - found)
        while True:
            with self._exclusive():
                rows = self._next_rows()
                if not rows.data and (rows.columns, rows.first) == end:
                    self._fd, self._failed_fd = self._failed_fd, -1
                    self._written = None
                    return
                written = self._written + rows.rows
            head = b"" if (rows.columns, rows.first) == end else columns_record(rows.columns, rows.first)
            journal_file.write_all(self._failed_fd, head + rows.data)
            end = JournalEnd(rows.columns, rows.last + 1)
            with self._exclusive():
                self._written = written
                self._backlog.forget_until(rows.last)

    def _next_rows(self) -> Waiting:
        """The first rows that wait; if none does, none, with the columns and the number of the next row."""
        following = self._next
        waiting = self._backlog.next_rows(repair.PIECE_BYTES)
        return waiting or Waiting(self.columns, following, following - 1, b"", 0)

    def _repair(self) -> tuple[JournalEnd, int, int]:
        """Open the active journal again; gives its end, the newest number that is stored anywhere, and its rows."""
        with self._exclusive():
            rows = self._next_rows()
        old = self._failed_fd
        repaired = repair.repair(self._active_path, self._parts, old, self._first, JournalEnd(rows.columns, rows.first))
        self._failed_fd, self._first, end, newest, found = repaired
        if old >= 0:
            os.close(old)
        self._summarised = Reading(self._read_active)
        if self._sealing_fd >= 0:
            sealing = self._reading(self._sealing_fd)
            newest = max(newest, sealing.last())
            self._sealing_has(sealing.decoder.rows)
        return end, max(newest, self._sealed.last), found

    # Fsync and sealing

    def sync(self) -> None:
        """Put the rows so far on stable storage; take the journal from the loop if it was removed or fails."""
        last, fd = self.last, self._fd
        if fd < 0:
            return
        try:
            if os.fstat(fd).st_nlink == 0 and self._is_ours():
                raise FileNotFoundError(errno.ENOENT, "it was removed; it is made again", str(self._active_path))
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
        rows = self._count - self._journal_begin
        if (rows or self._sealing_fd >= 0) and self._fd >= 0 and self._seal_pace.is_time():
            old = time.monotonic() - self._sealed_at >= self._timing.seal
            due = self._sealing_fd >= 0 or not self._sealed.rows or old or rows >= self._timing.seal_rows
            if (due or os.fstat(self._fd).st_size >= self._timing.seal_bytes) and self._is_ours():
                with self._seal_pace.trying():
                    self.seal()

    def seal_soon(self) -> None:
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
        self._sealing_has(content.decoder.rows)
        lost = self._sealing_rows - max(content.decoder.rows, self._sealed.added - self._sealed_before)
        if not self._is_ours():
            return  # this process was stopped meanwhile, and taken for dead
        if content.decoder.damaged or lost > 0:
            self._put_aside()
        os.replace(self._next_journal, self._journal)
        os.close(self._sealing_fd)
        self._sealing_fd = -1
        self._lose(lost)
        files.sync_directory(self._journal.parent)
        self._sealed_at = time.monotonic()

    def _switch(self) -> bool:
        """Give the loop a new journal, so that the old one can be sealed; False if that has to wait."""
        columns, first = self.columns, self._next
        fd = journal_file.create(self._next_journal, MAGIC + columns_record(columns, first))
        with suppress(TimeoutError), self._exclusive():
            if self._fd >= 0 and self.columns == columns:
                self._sealing_rows, self._journal_begin = self._count - self._journal_begin, self._count
                self._sealed_before = self._sealed.added
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

    def _sealing_has(self, rows: int) -> None:
        """Count a row to the sealing journal that the loop was writing to it when it was given a new one."""
        if rows > self._sealing_rows:
            self._journal_begin += rows - self._sealing_rows
            self._sealing_rows = rows

    def _put_aside(self) -> None:
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
            self._written = None
            self._give_up()

    def release(self) -> None:
        for fd in {self._fd, self._failed_fd, self._sealing_fd} - {-1}:
            os.close(fd)
        self._fd = self._failed_fd = self._sealing_fd = -1

    def close(self, *, seal: bool = True) -> None:
        """After the loop has ended, seal what is left and remove the journal; with ``seal=False``, only sync it.

        Raises OSError if the disk still refuses: the rows are in the journals, and those that waited are dropped.
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
            self._give_up()
            self.release()

    def _seal_last(self) -> None:
        content = self._reading(max(self._fd, self._failed_fd))
        for rows in content:
            self._lose(self._sealed.add(rows, join=True))
        written = self._count if self._written is None else self._written
        self._lose(written - self._journal_begin - content.decoder.rows)
        self._backlog.forget_until(max(content.decoder.next - 1, self._sealed.last))
        self._next_journal.unlink(missing_ok=True)  # a switch that was given up
        if content.decoder.damaged:
            self._put_aside()
        else:
            self._journal.unlink(missing_ok=True)
