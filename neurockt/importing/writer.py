"""Write what was imported as a run directory: a new one, more rows of one that is there, or one in its place.

Invariant: under the name of a run there is a whole run or none at any moment, the one before or the new one. What is
written elsewhere beside a run, such as its edits and the ledger of its uploads, stays with it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from msgspec.structs import replace

from neurockt.errors import NeurocktError
from neurockt.importing.series import Attempt, Rows
from neurockt.importing.staging import OLD, STAGING
from neurockt.run_info import Attempt as AttemptInfo
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.json_values import plain
from neurockt.store.base.layout import TableName
from neurockt.store.base.origin import ORIGIN, Origin, origin_path
from neurockt.store.base.run_file import now, read_info, write_info
from neurockt.store.reading.run import open_run
from neurockt.store.tables import parts
from neurockt.store.tables.summary import summarise_parts
from neurockt.store.tables.superseded import rewind

_TABLES: Final[tuple[TableName, ...]] = ("steps", "epochs")
_OURS: Final = (layout.RUN_FILE, layout.SUPERSEDED, ORIGIN, *_TABLES)
"""What an import writes in a run; all else in it stays."""


def write_run(
    root: Path, info: RunInfo, attempts: Sequence[Attempt], origin: Origin | None = None, *, dated: bool = True
) -> str:
    """Write a run to ``root``; what was done: *imported*, *grown* or *replaced*.

    Args:
        info: describes it. Its path, tables, attempts and times are set here.
        origin: where its last attempt ran.
        dated: its times are exact; else a row that the run has keeps the time that it was given.
    """
    target = root / info.id
    staging = root / f"{STAGING}{info.id}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        _write(staging, attempts)
        if origin is not None:
            path = origin_path(staging, len(attempts))
            path.parent.mkdir()
            files.publish_json(path, {"attempt": len(attempts), **plain(origin)})
        info = _described(replace(info, path=staging), attempts)
        write_info(info)
        if not (target / layout.RUN_FILE).exists():
            _sync_and_move(staging, target)
            return "imported"
        before = read_info(target)
        info = _revised(replace(info, heartbeat=before.heartbeat + 1), before.revision)
        new = _new_rows(target, staging, dated=dated)
        if new is not None:
            for table, rows in new.items():
                if len(rows):
                    (target / table).mkdir(exist_ok=True)
                    parts.append(target, table, rows)
            write_info(replace(info, path=target))
            return "grown"
        write_info(_revised(info, before.revision + 1))
        _swap(target, staging)
        return "replaced"
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _revised(info: RunInfo, revision: int) -> RunInfo:
    return replace(info, imported={**(info.imported or {}), "revision": revision})


def _write(run_dir: Path, attempts: Sequence[Attempt]) -> None:
    for table in _TABLES:
        (run_dir / table).mkdir()
    for number, attempt in enumerate(attempts):
        if number and _has_rows_from(run_dir, attempt):
            rewind(run_dir, number, {"steps": attempt.first_step - 1, "epochs": attempt.kept_epochs})
        for rows in (attempt.steps, attempt.epochs):
            _write_parts(run_dir, rows)


def _has_rows_from(run_dir: Path, attempt: Attempt) -> bool:
    """Whether the run has rows that this attempt supersedes."""
    kept = {"steps": attempt.first_step - 1, "epochs": attempt.kept_epochs}
    return any((summarise_parts(run_dir, table).last or -1) > kept[table] for table in _TABLES)


def _write_parts(run_dir: Path, rows: Rows) -> None:
    """Write rows as parts after those that are there."""
    if not len(rows):
        return
    schema = parts.table_schema(rows.metrics, layout.KEY[rows.table])
    size = parts.row_group_rows(len(rows.metrics))
    there = layout.part_paths(run_dir, rows.table)
    number = int(there[-1].stem.removeprefix("part-")) + 1 if there else 0
    groups = rows.chunks(size)
    per_part = max(1, parts.PART_ROWS // size)
    for index in range(0, -(-len(rows) // size), per_part):
        with parts.open_writer(layout.part_path(run_dir, rows.table, number + index // per_part), schema) as writer:
            for group in (next(groups, None) for _ in range(per_part)):
                if group is not None:
                    writer.write_table(group, row_group_size=size)


def _described(info: RunInfo, attempts: Sequence[Attempt]) -> RunInfo:
    """The description with its tables, attempts and times."""
    tables: dict[TableName, TableSummary] = {table: summarise_parts(info.path, table) for table in _TABLES}
    known = [
        AttemptInfo(
            number,
            attempt.process.host,
            attempt.process.pid,
            "",
            attempt.began,
            attempt.ended,
            info.attempts[0].cause if info.attempts and number == len(attempts) else None,
            attempt.first_step if number > 1 else 0,
            attempt.kept_epochs + 1,
        )
        for number, attempt in enumerate(attempts, 1)
    ]
    ended = max(attempt.ended for attempt in attempts)
    return replace(
        info,
        created=min(attempt.began for attempt in attempts),
        ended=None if info.state == "running" else ended,
        updated=now() if info.state == "running" else ended,
        attempts=tuple(known),
        steps=tables["steps"],
        epochs=tables["epochs"],
    )


def _new_rows(target: Path, staging: Path, *, dated: bool) -> dict[TableName, pa.Table] | None:
    """The rows that the run in ``target`` lacks; None where a row that it has is another one now.

    Times are compared only where they are ``dated``.
    """
    if layout.superseded_names(target) != layout.superseded_names(staging):
        return None
    new: dict[TableName, pa.Table] = {}
    for table in _TABLES:
        try:
            before, after = (open_run(path).window(table) for path in (target, staging))
        except (NeurocktError, pa.ArrowException, OSError):
            return None
        there = set(before.column_names)
        if len(before) > len(after) or not there <= set(after.column_names):
            return None
        kept = after.slice(0, len(before))
        if any(
            kept[name].null_count < len(kept) if name not in there else not _equal(before[name], kept[name])
            for name in after.column_names
            if dated or name != "time"
        ):
            return None
        new[table] = after.slice(len(before))
    return new


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Whether two columns are equal to the bit, also in NaN."""
    first, second = (pa.concat_arrays(column.chunks or [pa.array([], column.type)]) for column in (one, other))
    return bool(first.view(pa.int64()).equals(second.view(pa.int64())))


def _swap(target: Path, staging: Path) -> None:
    """Put the new run in the place of the old one, with what others keep beside the old one."""
    for entry in target.iterdir():
        if entry.name not in _OURS and not entry.name.startswith("."):
            if entry.is_dir() and not entry.is_symlink():
                shutil.copytree(entry, staging / entry.name, symlinks=True)
            else:
                shutil.copy2(entry, staging / entry.name, follow_symlinks=False)
    old = target.with_name(f"{STAGING}{target.name}{OLD}")
    shutil.rmtree(old, ignore_errors=True)
    target.rename(old)
    _sync_and_move(staging, target)
    shutil.rmtree(old, ignore_errors=True)


def _sync_and_move(staging: Path, target: Path) -> None:
    for path in [*staging.rglob("*.parquet")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            files.fsync(descriptor)
        finally:
            os.close(descriptor)
    staging.rename(target)
    files.sync_directory(target.parent)
