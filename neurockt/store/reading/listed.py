"""A run as a list shows it: what its ``run.json`` and its edits hold, and the open rows, which are not in there yet."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.edits import read_edited
from neurockt.store.base.layout import TableName

LOGGED: Final[tuple[TableName, ...]] = ("steps", "epochs")
"""The tables that may have an open row."""


def read_listed(run_dir: str | Path) -> RunInfo:
    """The run, with its open rows and what is attached to it; raises as ``read_info``."""
    info = read_edited(run_dir)
    if info.attached:
        attached = {name: _with_open_rows(each) for name, each in info.attached.items()}
        info = replace(info, attached=attached)
    return _with_open_rows(info)


def _with_open_rows(info: RunInfo) -> RunInfo:
    if info.ended is not None:
        return info
    # the summaries of a run whose ranks keep their own rows are those of rank 0
    directory = layout.rank_path(info.path, 0) if info.keeps_ranks else info.path
    return info.with_tables({table: _with_open_row(directory, table, getattr(info, table)) for table in LOGGED})


def _with_open_row(run_dir: Path, table: TableName, summary: TableSummary) -> TableSummary:
    path = layout.open_row_path(run_dir, table)
    with suppress(OSError):  # opening the run gives the reason
        if path.exists():
            from neurockt.store.journal.open_row import read_open_row
            from neurockt.store.tables.summary import add_rows

            row = read_open_row(path)
            if row is not None and (summary.last is None or int(row.data["number"][0]) > summary.last):
                time_us = int(row.data["time"][0]) // 1000
                return add_rows(summary, row.columns, row.data["number"], row.data["values"], time_us)
    return summary
