"""Seal a dead run: turn the rows in its journals into Parquet, and write its final state into ``run.json``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from neurockt.errors import RunInUse
from neurockt.run_info import Attempt, RunInfo, TableSummary
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TABLES, TableName
from neurockt.store.base.origin import ORIGIN
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.journal.journal_file import put_aside
from neurockt.store.owner.attempts import by_whom
from neurockt.store.owner.claim import claimed
from neurockt.store.owner.liveness import Liveness
from neurockt.store.reading.table_reader import TableReader
from neurockt.store.tables import parts
from neurockt.store.tables.summary import summarise_parts
from neurockt.store.tables.superseded import complete_rewinds


@dataclass(frozen=True)
class SealedRun:
    path: Path
    steps: int
    """Rows of `steps` that were moved from the journal into parts."""
    epochs: int
    system: int
    late: int
    already: bool


def seal_run(path: Path) -> SealedRun:
    """Move the rows of a dead run's journals and its open rows into its parts; mark it killed, or what else is known.

    Does nothing to a run that is sealed already; may be interrupted and repeated. A journal that is damaged after
    some row is kept beside the parts, under a name that ends in ``.damaged``.

    Raises:
        RunNotFound, CorruptRun, FormatTooNew: as ``open_run``.
        RunInUse: a live process still writes the run.
    """
    hint = "seal it when that process has ended"
    info = read_info(path)
    if info.keeps_ranks:
        return _seal_ranks(path)
    seen = Liveness().infer(info)
    if seen.state == "running":
        raise RunInUse(f"{path} is still being written{by_whom(seen.attempt)}; {hint}")
    if _is_sealed(path):
        return SealedRun(path, **dict.fromkeys(TABLES, 0), already=True)
    with claimed(path, hint) as claim:
        if _is_sealed(path):
            return SealedRun(path, **dict.fromkeys(TABLES, 0), already=True)
        complete_rewinds(path)
        moved = seal_tables(path, claim.check)
        ended = _ended(claim.info, seen, {table: summarise_parts(path, table) for table in TABLES})
        claim.check()
        write_info(ended)
    return SealedRun(path, **moved, already=False)


def _seal_ranks(path: Path) -> SealedRun:
    """Seal each rank of a run, those that are dead also while others are alive."""
    sealed: list[SealedRun] = []
    alive: RunInUse | None = None
    for rank in layout.rank_paths(path).values():
        try:
            sealed.append(seal_run(rank))
        except RunInUse as error:
            alive = alive or error
    if alive is not None:
        raise alive
    moved = {table: sum(getattr(rank, table) for rank in sealed) for table in TABLES}
    return SealedRun(path, **moved, already=all(rank.already for rank in sealed))


def _is_sealed(path: Path) -> bool:
    if read_info(path).state == "running" or layout.moving_paths(path):
        return False
    return not any(_left_files(path, table) for table in TABLES)


def seal_tables(path: Path, check: Callable[[], None] = lambda: None) -> dict[TableName, int]:
    """Move the journals' rows into the parts, and remove what a crash left; ``check`` is called before each change."""
    moved = {}
    for table in TABLES:
        check()
        moved[table] = _seal_table(path, table)
    _remove_temporaries(path)
    return moved


def _left_files(path: Path, table: TableName) -> list[Path]:
    """The files with rows that are not in a part, the newest first: if only that is removed, the rest is a prefix."""
    names = [layout.open_row_path, layout.next_journal_path, layout.journal_path]
    return [left for name in names if (left := name(path, table)).exists()]


def _seal_table(path: Path, table: TableName) -> int:
    reader = TableReader(path, table)
    rows = reader.snapshot().rows
    if rows:
        (path / table).mkdir(exist_ok=True)
        parts.append(path, table, parts.rows_to_table(rows, layout.KEY[table]), join=True)
    damaged = {damage.path for damage in reader.damaged}
    for left in _left_files(path, table):
        if left in damaged:
            put_aside(left)
        else:
            left.unlink()
    files.sync_directory(path)
    return sum(len(batch) for batch in rows)


def _remove_temporaries(path: Path) -> None:
    """Remove what an interrupted write left.

    Not that of ``run.json``, which may be this process's own heartbeat, and not that of the edits, which people make at
    any time.
    """
    kept = [files.temporary_path(path / name) for name in (layout.RUN_FILE, layout.EDITS_FILE)]
    for directory in (path, path / ORIGIN, *(path / table for table in TABLES)):
        for leftover in directory.glob(f"*{layout.TEMPORARY}"):
            if leftover not in kept:
                leftover.unlink()
    for leftover in (path / layout.SUPERSEDED).glob(f"*{layout.TEMPORARY}"):
        shutil.rmtree(leftover)


def _ended(info: RunInfo, seen: RunInfo, summaries: Mapping[TableName, TableSummary]) -> RunInfo:
    info = info.with_tables(summaries)
    if info.state != "running":
        return info
    end = last_sign_of_life(info)
    attempts = ended_attempts(replace(info, attempts=seen.attempts), end)
    return replace(info, state=seen.state, ended=end, attempts=attempts)


def ended_attempts(info: RunInfo, end: datetime) -> tuple[Attempt, ...]:
    """The attempts of a dead run; the last one ended at ``end``, if it could not write when."""
    if not info.attempts:
        return ()
    *earlier, last = info.attempts
    cause = last.cause or ("killed" if info.state == "running" else info.state)
    return *earlier, replace(last, ended=last.ended or end, cause=cause)


def last_sign_of_life(info: RunInfo) -> datetime:
    """When the process of a dead run was last known to be alive: its last row, or its last heartbeat."""
    rows = [TableReader(info.path, table).last_time() for table in TABLES]
    return max(moment for moment in (info.updated, info.created, *rows) if moment is not None)
