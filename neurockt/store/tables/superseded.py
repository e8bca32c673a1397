"""Rewinds: rows past the checkpoint from which a run is resumed are moved out of its tables. FORMAT.md section 6.

Invariant: only rows at the end of a table are moved, so that its parts are one clean series at every moment; every row
is always in a file; and an interrupted rewind can be completed from what is on disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.errors import CorruptRun
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.tables import parts


def rewind(run_dir: Path, attempt: int, kept: Mapping[TableName, int]) -> None:
    """Move the rows of each table numbered above ``kept``; there must be no journal.

    Their directory is named after ``attempt``, the latest one that can have recorded them.
    """
    moving = layout.moving_path(run_dir, attempt)
    staging = files.temporary_path(moving.with_name("rewind"))
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    files.publish_json(staging / layout.REWIND_FILE, {"kept": dict(kept)})
    staging.rename(moving)  # from here on, the next writer completes the rewind first
    files.sync_directory(moving.parent)
    complete_rewinds(run_dir)


def complete_rewinds(run_dir: Path) -> None:
    for moving, done in layout.moving_paths(run_dir):
        for table, last in read_kept(moving).items():
            _cut(run_dir, table, last, moving / table)
        moving.rename(done)
        files.sync_directory(done.parent)


def read_kept(directory: Path) -> dict[TableName, int]:
    """For each table that was cut when these rows were moved, the number of the last row that stayed."""
    path = directory / layout.REWIND_FILE
    try:
        kept = files.read_json(path)["kept"]
        return {table: int(kept[table]) for table in layout.TABLES if table in kept}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptRun(f"cannot read {path} ({error}), which names the last valid rows") from None


def _cut(run_dir: Path, table: TableName, last: int, into: Path) -> None:
    """Move the rows numbered above ``last``: whole parts from the last one on, then the end of the one before them."""
    into.mkdir(exist_ok=True)
    for path, first, end in reversed(_numbers(run_dir, table)):
        if end <= last:
            break
        if first <= last:
            _split(path, layout.KEY[table], last, into / path.name)
            break
        os.replace(path, into / path.name)
        files.sync_directory(into)
        files.sync_directory(path.parent)


def _numbers(run_dir: Path, table: TableName) -> list[tuple[Path, int, int]]:
    """The parts, with the numbers of their first and last rows; of one that cannot be read, the next number."""
    found: list[tuple[Path, int, int]] = []
    last = -1
    for path in layout.part_paths(run_dir, table):
        numbers = (last + 1, last + 1)
        with suppress(pa.ArrowException, OSError), parts.open_part(path, layout.KEY[table]) as part:
            numbers = parts.footer_range(part.metadata, layout.KEY[table]) or numbers
            last = numbers[1]
        found.append((path, *numbers))
    return found


def _split(path: Path, key: str, last: int, rest: Path) -> None:
    """Publish the rows numbered above ``last`` as ``rest``, then the part without them; a damaged one is kept."""
    part = parts.open_part(path, key)
    if not _copy(part, rest, key, last, None):
        aside = rest.with_name(rest.name + layout.DAMAGED)
        files.publish(aside, lambda temporary: shutil.copyfile(path, temporary))
    _copy(part, path, key, -1, last)


def _copy(part: pq.ParquetFile, target: Path, key: str, after: int, until: int | None) -> bool:
    """Publish a part's rows numbered above ``after`` and up to ``until``; whether all of the part could be read."""
    sound = True

    def write(temporary: Path) -> None:
        nonlocal sound
        wanted = parts.groups_between(part.metadata, key, after, until)
        with parts.open_writer(temporary, part.schema_arrow) as writer:
            for group in range(part.num_row_groups):
                try:
                    rows = part.read_row_group(group, use_threads=False)
                except (pa.ArrowException, OSError):
                    sound = False
                    continue
                if group in wanted:
                    rows = parts.rows_between(rows, key, after, until)
                    writer.write_table(rows.combine_chunks(), row_group_size=max(1, len(rows)))

    files.publish(target, write)
    return sound
