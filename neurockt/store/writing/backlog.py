"""Rows that the disk refuses wait here, in order, until it takes them or the memory for them is full."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

BACKLOG_BYTES: Final = 64 * 2**20
"""Memory for the waiting rows of one table; when it is full, new rows are dropped and counted."""


class Waiting(NamedTuple):
    """Consecutive rows that wait, as the journal will hold them."""

    columns: tuple[str, ...]
    first: int
    data: bytes
    rows: int


@dataclass
class _Section:
    columns: tuple[str, ...]
    first: int
    width: int
    data: bytearray

    @property
    def end(self) -> int:
        return self.first + len(self.data) // self.width


class Backlog:
    """Rows as the journal will hold them, by number; a missing number was dropped. Callers hold a lock."""

    def __init__(self) -> None:
        self._sections: deque[_Section] = deque()
        self._bytes = 0

    @property
    def last(self) -> int:
        return self._sections[-1].end - 1 if self._sections else 0

    def hold(self, columns: tuple[str, ...], number: int, frame: bytes) -> bool:
        if self._bytes + len(frame) > BACKLOG_BYTES:
            return False
        last = self._sections[-1] if self._sections else None
        if last is None or last.columns != columns or last.end != number:
            last = _Section(columns, number, len(frame), bytearray())
            self._sections.append(last)
        last.data += frame
        self._bytes += len(frame)
        return True

    def next_rows(self, size: int) -> Waiting | None:
        """The first rows that wait, about ``size`` bytes of them, or None. They are not removed."""
        if not self._sections:
            return None
        section = self._sections[0]
        rows = min(max(1, size // section.width), section.end - section.first)
        return Waiting(section.columns, section.first, bytes(section.data[: rows * section.width]), rows)

    def forget_until(self, number: int) -> None:
        while self._sections and self._sections[0].first <= number:
            section = self._sections[0]
            rows = min(number + 1, section.end) - section.first
            del section.data[: rows * section.width]
            section.first += rows
            self._bytes -= rows * section.width
            if not section.data:
                self._sections.popleft()

    def give_up(self) -> int:
        rows = sum(section.end - section.first for section in self._sections)
        self._sections.clear()
        self._bytes = 0
        return rows
