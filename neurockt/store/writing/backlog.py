"""Rows that the disk refuses wait here, in order, until it takes them or the memory for them is full."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

BACKLOG_BYTES: Final = 64 * 2**20
"""Memory for the waiting rows of one table; when it is full, new rows are dropped and counted."""


class Waiting(NamedTuple):
    """Rows that wait, as the journal will hold them; their numbers rise."""

    columns: tuple[str, ...]
    first: int
    last: int
    data: bytes
    rows: int


@dataclass
class _Section:
    columns: tuple[str, ...]
    width: int
    data: bytearray

    def __len__(self) -> int:
        return len(self.data) // self.width

    def number(self, row: int) -> int:
        begin = row * self.width
        return int.from_bytes(self.data[begin : begin + 8], "little")


class Backlog:
    """Rows as the journal will hold them, in order.

    Callers hold a lock. While a signal handler that interrupts one of them waits for another thread, that thread may
    remove all rows without the lock.
    """

    def __init__(self) -> None:
        self._sections: deque[_Section] = deque()
        self._bytes = 0

    @property
    def last(self) -> int:
        """Number of the last row that waits; -1 where none does."""
        section = self._newest()
        return -1 if section is None else section.number(len(section) - 1)

    def _newest(self) -> _Section | None:
        try:
            return self._sections[-1]
        except IndexError:
            return None

    def hold(self, columns: tuple[str, ...], frame: bytes) -> bool:
        if self._bytes + len(frame) > BACKLOG_BYTES:
            return False
        section = self._newest()
        if section is None or section.columns != columns:
            section = _Section(columns, len(frame), bytearray())
            self._sections.append(section)
        section.data += frame
        self._bytes += len(frame)
        return True

    def next_rows(self, size: int) -> Waiting | None:
        """The first rows that wait, about ``size`` bytes of them, or None. They are not removed."""
        if not self._sections:
            return None
        section = self._sections[0]
        rows = min(max(1, size // section.width), len(section))
        data = bytes(section.data[: rows * section.width])
        return Waiting(section.columns, section.number(0), section.number(rows - 1), data, rows)

    def forget_until(self, number: int) -> None:
        while self._sections and self._sections[0].number(0) <= number:
            section = self._sections[0]
            rows = bisect_right(range(len(section)), number, key=section.number)
            del section.data[: rows * section.width]
            self._bytes -= rows * section.width
            if not section.data:
                self._sections.popleft()

    def give_up(self) -> int:
        rows = sum(map(len, self._sections))
        self._sections.clear()
        self._bytes = 0
        return rows
