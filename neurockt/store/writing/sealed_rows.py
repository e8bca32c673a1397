"""The rows of a table that its writer has put into parts, and the summary of all its rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from neurockt.run_info import TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import Rows, rows_after


class SealedRows:
    """The rows in the parts of a table; its writer adds to them. Imports pyarrow for the first rows."""

    def __init__(self, run_dir: Path, table: TableName, last: int, summary: TableSummary) -> None:
        self.last = last
        self.summary = summary
        """Of the rows counted so far, which may be ahead of those in the parts."""
        self.added = 0
        """How many rows this process has added."""
        self._last_counted = last
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

        for batches in journal:
            for rows in rows_after(batches, self._last_counted):
                numbers = rows.data["number"]
                self.summary = add_rows(self.summary, rows.columns, numbers, rows.data["values"])
                self._last_counted = int(numbers[-1])

    def recount(self) -> None:
        """Count only what is in the parts: rows that had been counted are lost."""
        from neurockt.store.tables.summary import summarise_parts

        self.summary, self._last_counted = summarise_parts(self._run_dir, self._table), self.last
