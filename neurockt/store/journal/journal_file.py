"""The journal's file, as its writer handles it: made, read back, and put aside where the disk has damaged it.

Every function raises OSError as the disk does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from neurockt.store.base import layout
from neurockt.store.journal.records import JournalDecoder, Rows

PIECE_BYTES: Final = 8 * 2**20
"""A journal is read so much at a time, so that one that has grown while the disk was slow takes no more memory."""


class JournalEnd(NamedTuple):
    """What a row that is added to a journal must fit, or else a columns record comes before it."""

    columns: tuple[str, ...]
    next: int


class Reading:
    """Reads a journal's rows, some megabytes at a time. Checksums are trusted: it was written a moment ago."""

    def __init__(self, read: Callable[[int, int], bytes], piece: int = PIECE_BYTES) -> None:
        """``read`` gives the bytes from an offset on, up to so many; fewer only at the end."""
        self.read = read
        self._piece = piece
        self._decoder = JournalDecoder(verify=False)
        self.whole = False
        """Whether it held nothing but rows, and they all have been read."""

    @property
    def next(self) -> int:
        """Number of the row that would follow those read so far."""
        return self._decoder.next

    @property
    def damaged(self) -> bool:
        """Whether it holds bytes that cannot be read as records; a torn record at its end is none."""
        return self._decoder.damaged

    def last(self) -> int:
        """Read to the end; gives the number of the last row, less where there is none."""
        for _ in self:
            pass
        return self.next - 1

    def __iter__(self) -> Iterator[list[Rows]]:
        decoder, size = self._decoder, self._piece
        while not decoder.damaged:
            begun = decoder.offset
            data = self.read(begun, size)
            if not data:
                self.whole = True
                return
            if rows := decoder.feed(data):
                yield rows
            if decoder.offset == begun:
                if len(data) < size:
                    return  # a torn record
                size *= 2  # a record that is larger than a piece


def create(path: Path, content: bytes, *, replace: bool = True) -> int:
    """A new journal that begins so, open for more; with ``replace`` it may take the place of another."""
    instead = os.O_TRUNC if replace else os.O_EXCL
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | instead, 0o644)
    try:
        write_all(fd, content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write it, or fail: a disk that takes a part of it is full."""
    if os.write(fd, data) != len(data):
        raise disk_full()


def disk_full() -> OSError:
    """What a write that was cut short means."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_at(fd: int, offset: int, size: int) -> bytes:
    """The bytes of an open file from an offset on, up to so many; fewer only at its end."""
    data = os.pread(fd, size, offset)
    while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
        data += more
    return data


def read_all(fd: int) -> bytes:
    """Everything in an open file."""
    return read_at(fd, 0, max(1, os.fstat(fd).st_size))


def read_named(path: Path, offset: int, size: int) -> bytes:
    """What ``read_at`` gives, of a file by its name; nothing where there is none."""
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        return read_at(file.fileno(), offset, size)
    return b""


def read_either(fd: int, path: Path, offset: int, size: int) -> bytes:
    """What ``read_at`` gives; by the file's name where the descriptor is dead."""
    try:
        return read_at(fd, offset, size)
    except OSError:
        return read_named(path, offset, size)


def is_removed(fd: int) -> bool:
    """Whether an open file has been deleted: what is written to it will be gone."""
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:
        return False


def aside(journal: Path) -> Path:
    """Where a journal that the disk has damaged is kept: it may hold rows that could not be read back."""
    return journal.with_name(journal.name + layout.DAMAGED)


def put_aside(journal: Path) -> Path | None:
    """Keep a journal that the disk has damaged; gives where, and None where there is none."""
    try:
        os.replace(journal, aside(journal))
    except FileNotFoundError:
        return None
    return aside(journal)
