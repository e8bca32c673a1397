"""What of a table its writer has put into parts so far, and what all of its rows come to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from neurockt.run_info import TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal import journal_file
from neurockt.store.journal.records import Rows, rows_after


class SealedRows:
    """The rows in the parts of a table; its writer adds to them. Imports pyarrow when the first rows come."""

    def __init__(self, run_dir: Path, table: TableName, last: int, summary: TableSummary) -> None:
        self.last = last
        """Number of the last one."""
        self.lost = 0
        """Rows of parts that somebody removed."""
        self._run_dir = run_dir
        self._table = table
        self._summary = summary
        self._told = summary

    def add(self, batches: Sequence[Rows], *, join: bool) -> None:
        """Append those rows of a journal that are not in a part yet; ``join`` as in ``parts.append``."""
        from neurockt.store.tables import parts
        from neurockt.store.tables.summary import summarise

        if self._summary.rows and self._run_dir.is_dir() and not layout.part_paths(self._run_dir, self._table):
            self.lost += self._summary.rows
            self._summary = TableSummary()
        new = rows_after(batches, self.last)
        if not new:
            return
        (self._run_dir / self._table).mkdir(exist_ok=True)
        parts.append(self._run_dir, self._table, parts.rows_to_table(new, layout.KEY[self._table]), join=join)
        self._summary = summarise(new, onto=self._summary)
        self.last = int(new[-1].data["number"][-1])

    def summary(self, journals: Sequence[Path]) -> TableSummary:
        """What the columns came to, with the rows that are still in these journals; where they fail, the last known."""
        from neurockt.store.tables.summary import summarise

        summary, last = self._summary, self.last
        try:
            for path in journals:
                for batches in journal_file.Reading(partial(journal_file.read_named, path)):
                    if new := rows_after(batches, last):
                        summary = summarise(new, onto=summary)
                        last = int(new[-1].data["number"][-1])
        except OSError:
            return self._told
        self._told = summary
        return summary
