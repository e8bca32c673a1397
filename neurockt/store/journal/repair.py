"""What a table's writer does after the disk has failed: when it tries again, and how it repairs the journal.

Every function raises OSError as the disk does.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from neurockt.store.journal import journal_file
from neurockt.store.journal.journal_file import JournalEnd, create, read_at
from neurockt.store.journal.records import MAGIC, JournalDecoder, columns_record

RETRY_SHARE: Final = 20
"""After a try that took long, the next one waits this many times as long."""
PIECE_BYTES: Final = 2**20
"""Rows that wait are written in pieces of this size."""


class Pace:
    """When to try again what has failed."""

    def __init__(self, seconds: float, longest: float | None = None) -> None:
        """The first try is due at once. After a failure wait ``seconds``, then twice as long, up to ``longest``."""
        self._first = self._seconds = seconds
        self._longest = seconds if longest is None else longest
        self._next = 0.0

    def is_time(self) -> bool:
        return time.monotonic() >= self._next

    @contextmanager
    def trying(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except Exception:
            ended = time.monotonic()
            self._next = ended + max(self._seconds, RETRY_SHARE * (ended - began))
            self._seconds = min(2 * self._seconds, self._longest)
            raise
        self._seconds = self._first


class Repaired(NamedTuple):
    fd: int
    first: int
    end: JournalEnd
    newest: int
    """Number of the newest row in it, or a smaller one where there is none."""
    rows: int


def repair(path: Path, parts: Path, old: int, first: int | None, end: JournalEnd) -> Repaired:
    """Open the journal at a path again; where it is gone, create it from what the old descriptor still reads.

    Args:
        old: the descriptor it was written by, or -1; stays open.
        first: the first number in its header, which no other journal has; None where it was never created.
        end: of a journal of which nothing is left: what the next row to be written fits.
    """
    opened = _reopen(path, first)
    if opened is not None:
        return opened
    decoder, content = JournalDecoder(), b""
    with suppress(OSError):
        content = read_at(old, 0, max(1, os.fstat(old).st_size))
        decoder.feed(content)
    if not path.parent.is_dir() and not journal_file.is_removed(old):
        # an unmounted file system looks like this: what is written now would be hidden when it is back
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    parts.mkdir(parents=True, exist_ok=True)
    if decoder.first is not None:
        fd = create(path, content[: decoder.offset], replace=False)
        return Repaired(fd, decoder.first, JournalEnd(decoder.columns, decoder.next), decoder.next - 1, decoder.rows)
    header = MAGIC + columns_record(end.columns, end.next)
    return Repaired(create(path, header, replace=False), end.next, end, -1, 0)


def _reopen(path: Path, first: int | None) -> Repaired | None:
    """Open the journal again by its name, and cut it after its last sound record; None where it is missing.

    A descriptor may be dead for ever after a failure of the file system (a stale handle) while the name works again.
    The bytes are written once more where they are: after a failed fsync the kernel takes them for stored.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        decoder = _decoded(fd)
        if decoder.first is None and not decoder.damaged:
            path.unlink()  # its creation was interrupted
        elif decoder.first is None or decoder.first != first:
            journal_file.put_aside(path)
        else:
            if decoder.damaged:
                shutil.copyfile(path, journal_file.aside(path))
            for start in range(0, decoder.offset, PIECE_BYTES):
                data = read_at(fd, start, min(PIECE_BYTES, decoder.offset - start))
                if os.pwrite(fd, data, start) != len(data):
                    raise journal_file.disk_full()
            os.ftruncate(fd, decoder.offset)
            os.lseek(fd, decoder.offset, os.SEEK_SET)
            end = JournalEnd(decoder.columns, decoder.next)
            return Repaired(fd, first, end, decoder.next - 1, decoder.rows)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _decoded(fd: int) -> JournalDecoder:
    reading = journal_file.Reading(partial(read_at, fd), verify=True)
    reading.last()
    return reading.decoder


def cut(fd: int) -> JournalEnd:
    decoder = _decoded(fd)
    os.ftruncate(fd, decoder.offset)
    os.lseek(fd, decoder.offset, os.SEEK_SET)
    return JournalEnd(decoder.columns, decoder.next)
