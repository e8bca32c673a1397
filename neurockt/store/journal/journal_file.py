"""The journal's file, for its writer: create it, read it back, and keep it where the disk has damaged it.

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
"""Bytes of a journal that are read at once: a long journal takes no more memory."""


class JournalEnd(NamedTuple):
    """The columns and the number that the next row must have; other ones need a columns record first."""

    columns: tuple[str, ...]
    next: int


class Reading:
    """Reads a journal's rows, some megabytes at a time; when read again, those that are new."""

    def __init__(self, read: Callable[[int, int], bytes], *, verify: bool = False, piece: int = PIECE_BYTES) -> None:
        """``read(offset, size)`` gives ``size`` bytes from an offset on, or fewer at the end."""
        self.read = read
        self._piece = piece
        self.decoder = JournalDecoder(verify=verify)

    def last(self) -> int:
        """Read to the end; gives the number of the last row, or a smaller one where there is none."""
        for _ in self:
            pass
        return self.decoder.next - 1

    def __iter__(self) -> Iterator[list[Rows]]:
        decoder, size = self.decoder, self._piece
        while not decoder.damaged:
            begun = decoder.offset
            data = self.read(begun, size)
            if not data:
                return
            if rows := decoder.feed(data):
                yield rows
            if decoder.offset == begun:
                if len(data) < size:
                    return  # a torn record
                size *= 2  # a record that is larger than a piece


def create(path: Path, content: bytes, *, replace: bool = True) -> int:
    instead = os.O_TRUNC if replace else os.O_EXCL
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | instead, 0o644)
    try:
        write_all(fd, content)
    except BaseException:
        os.close(fd)
        raise
    return fd


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, or fail: a disk that takes only a part is full."""
    if os.write(fd, data) != len(data):
        raise disk_full()


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_at(fd: int, offset: int, size: int) -> bytes:
    """``size`` bytes of an open file from an offset on, or fewer at its end."""
    data = os.pread(fd, size, offset)
    while len(data) < size and (more := os.pread(fd, size - len(data), offset + len(data))):
        data += more
    return data


def read_named(path: Path, offset: int, size: int) -> bytes:
    with suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
        return read_at(file.fileno(), offset, size)
    return b""


def read_either(fd: int, path: Path, offset: int, size: int) -> bytes:
    try:
        return read_at(fd, offset, size)
    except OSError:
        return read_named(path, offset, size)


def is_removed(fd: int) -> bool:
    """Whether an open file has been deleted: what is written to it would be lost."""
    try:
        return os.fstat(fd).st_nlink == 0
    except OSError:
        return False


def aside(journal: Path) -> Path:
    return journal.with_name(journal.name + layout.DAMAGED)


def put_aside(journal: Path) -> Path | None:
    try:
        os.replace(journal, aside(journal))
    except FileNotFoundError:
        return None
    return aside(journal)
