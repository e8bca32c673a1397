"""The rows of a table that its writer has put into parts, and the summary of all its rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from neurockt.run_info import TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import Rows, rows_after

MARKS: Final = 30
"""How many of the latest heartbeats that found new rows the speed is measured over: five minutes."""


class SealedRows:
    """The rows in the parts of a table; its writer adds to them. Imports pyarrow for the first rows."""

    def __init__(self, run_dir: Path, table: TableName, last: int, summary: TableSummary) -> None:
        self.last = last
        self.summary = summary
        """Of the rows counted so far, which may be ahead of those in the parts."""
        self.added = 0
        """How many rows this process has added."""
        self._last_counted = last
        self._marks: deque[tuple[int, int]] = deque(maxlen=MARKS)  # numbers and times of rows, for the speed
        self.rows = summary.rows
        self._run_dir = run_dir
        self._table = table

    def add(self, batches: Sequence[Rows], *, join: bool) -> int:
        """Append those rows that are not in a part yet; gives how many are lost because somebody removed the parts."""
        from neurockt.store.tables import parts

        lost = 0
        if self.rows and self._run_dir.is_dir() and not layout.part_paths(self._run_dir, self._table):
            lost, self.rows = self.rows, 0
        if new := rows_after(batches, self.last):
            (self._run_dir / self._table).mkdir(exist_ok=True)
            parts.append(self._run_dir, self._table, parts.rows_to_table(new, layout.KEY[self._table]), join=join)
            self.added += sum(map(len, new))
            self.rows += sum(map(len, new))
            self.last = int(new[-1].data["number"][-1])
        self.count([batches])
        return lost

    def count(self, journal: Iterable[Sequence[Rows]]) -> None:
        from neurockt.store.tables.summary import add_rows

        time_us = 0
        for batches in journal:
            for rows in rows_after(batches, self._last_counted):
                numbers, times = rows.data["number"], rows.data["time"]
                time_us = int(times[-1]) // 1000
                self.summary = add_rows(self.summary, rows.columns, numbers, rows.data["values"], time_us)
                self._last_counted = int(numbers[-1])
                if not self._marks:
                    self._marks.append((int(numbers[0]), int(times[0])))
        mark = self._last_counted, time_us * 1000
        if time_us and mark != self._marks[-1]:
            self._marks.append(mark)
            self.summary = replace(self.summary, speed=self._speed())

    def _speed(self) -> float | None:
        """How much the number has risen in a second, from the first mark to the last."""
        (first, begin), (last, end) = self._marks[0], self._marks[-1]
        return (last - first) / (end - begin) * 1e9 if end > begin else self.summary.speed

    def recount(self) -> None:
        """Count only what is in the parts: rows that had been counted are lost."""
        from neurockt.store.tables.summary import summarise_parts

        self.summary, self._last_counted = summarise_parts(self._run_dir, self._table), self.last
