"""A running run as it is now: its ``run.json``, which is up to ten seconds old, and the rows since, each read once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from neurockt.errors import NeurocktError
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.edits import read_edited
from neurockt.store.base.layout import KEY, TableName

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store.reading.follow import TableFollower

COUNTED: Final[tuple[TableName, ...]] = ("steps", "epochs", "late")
"""The tables whose newest rows are read: the machine's own measurements are in no list."""


class NewestRows:
    """Counts the newest rows of one run into its summaries, again and again at the price of the new rows."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._tables: dict[tuple[Path, TableName], _Table] = {}

    def read(self) -> RunInfo:
        """The run with all its rows; raises as ``read_info``."""
        return self._counted(read_edited(self._run_dir))

    def stamp(self) -> tuple[object, ...]:
        """Differs once there are other rows."""
        return tuple(table.stamp() for table in self._tables.values())

    def _counted(self, info: RunInfo) -> RunInfo:
        attached = {name: self._counted(each) for name, each in info.attached.items()}
        if attached:
            info = replace(info, attached=attached)
        if info.ended is not None:
            return info
        # the summaries of a run whose ranks keep their own rows are those of rank 0
        directory = layout.rank_path(info.path, 0) if info.keeps_ranks else info.path
        return info.with_tables({table: self._count(directory, table, getattr(info, table)) for table in COUNTED})

    def _count(self, directory: Path, name: TableName, summary: TableSummary) -> TableSummary:
        table = self._tables.setdefault((directory, name), _Table(directory, name))
        try:
            return table.counted(summary)
        except (NeurocktError, OSError):  # opening the run gives the reason
            return summary


class _Table:
    def __init__(self, run_dir: Path, name: TableName) -> None:
        self._run_dir, self._name = run_dir, name
        self._follower: TableFollower | None = None
        self._after = -1
        self._rows: list[pa.Table] = []
        """Those that ``run.json`` does not count yet."""

    def counted(self, summary: TableSummary) -> TableSummary:
        """``summary`` with the rows after those that it counts."""
        from neurockt.store.reading.follow import TableFollower
        from neurockt.store.tables.parts import rows_between
        from neurockt.store.tables.summary import summarise_rows

        key = KEY[self._name]
        after = summary.last if summary.last is not None else summary.rows or -1
        if self._follower is None or after < self._after:  # the run was resumed from a checkpoint
            self._follower, self._rows = TableFollower(self._run_dir, self._name, after=after), []
        self._after = after
        follower = self._follower
        follower.last = max(follower.last, after)
        new = follower.new_rows()
        if follower.rewound_to is not None:
            self._follower, self._rows = None, []  # run.json is about to be written again
            return summary
        pieces = (rows_between(rows, key, after, None) for rows in [*self._rows, new])
        self._rows = [rows for rows in pieces if len(rows)]
        for rows in [*self._rows, follower.open_rows]:
            summary = summarise_rows(rows, key, onto=summary)
        return summary

    def stamp(self) -> tuple[object, ...]:
        return tuple(_stamps(self._run_dir, self._name))


def _stamps(run_dir: Path, table: TableName) -> Iterator[tuple[int, int] | None]:
    for path in (
        layout.journal_path(run_dir, table),
        layout.next_journal_path(run_dir, table),
        layout.open_row_path(run_dir, table),
    ):
        status = None
        with suppress(OSError):
            status = os.stat(path)  # noqa: PTH116  (a Path takes longer than the call)
        yield None if status is None else (status.st_size, status.st_mtime_ns)
