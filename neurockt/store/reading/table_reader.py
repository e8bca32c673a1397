"""One table of a run, read while it may be written. FORMAT.md section 7 explains why the order of reading matters.

Rows move one way: from the file of the open row or the next journal to the journal, and from there to a part. A reader
that reads in the same order misses none, and drops what it sees twice.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.errors import ColumnNotFound, UsageError
from neurockt.formatting import alternatives
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.open_row import read_open_row
from neurockt.store.journal.records import JournalDecoder, Rows, rows_after
from neurockt.store.tables import arrays, parts
from neurockt.store.tables.outline import Outline, outline_of

_LASTING: Final = (errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL)
"""Errors of the file system that waiting does not cure."""


@dataclass(frozen=True)
class Damage:
    """A file of a run that could not be read, or not to its end."""

    path: Path
    what: str
    passing: bool = False
    """Whether it may be readable again: the file system refuses it, as during a file server's fail-over."""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class Snapshot:
    """The files of a table at one moment."""

    parts: list[tuple[Path, pq.ParquetFile]]
    rows: list[Rows]
    """The rows of the journals that follow those of the parts, and then the open row."""
    open_columns: tuple[str, ...] = ()
    """The metrics of the open row, which is not among the rows where only final ones are."""

    def __bool__(self) -> bool:
        return bool(self.parts or self.rows)

    @property
    def columns(self) -> dict[str, None]:
        """The metrics, in the order in which they appeared."""
        known = dict.fromkeys(name for _, part in self.parts for name in parts.metric_columns(part.schema_arrow))
        known |= dict.fromkeys(name for batch in self.rows for name in batch.columns)
        return known | dict.fromkeys(self.open_columns)

    def last_number(self, key: str) -> int:
        if self.rows:
            return int(self.rows[-1].data["number"][-1])
        return max((parts.footer_last(part.metadata, key) for _, part in self.parts), default=-1)

    def before_last(self, count: int, key: str) -> int:
        """The number after which the last ``count`` rows are, and those that lie in one row group with the first."""
        for batch in reversed(self.rows):
            if (count := count - len(batch)) <= 0:
                return int(batch.data["number"][0]) - 1
        for _, part in reversed(self.parts):
            for group in reversed(range(part.num_row_groups)):
                if (count := count - part.metadata.row_group(group).num_rows) <= 0:
                    return parts.group_numbers(part.metadata, group, key)[0] - 1
        return -1


class TableReader:
    """Reads one table of one run. Never writes, waits, or fails on a file that is being written."""

    def __init__(self, run_dir: Path, table: TableName, *, final: bool = False) -> None:
        """With ``final``, without the open row."""
        self.damaged: list[Damage] = []
        """What the last ``read`` could not read."""
        self._run_dir = run_dir
        self._table = table
        self._key = layout.KEY[table]
        self._final = final

    def read(self, columns: Sequence[str] | None = None, *, after: int = -1, until: int | None = None) -> pa.Table:
        """The rows: parts and journal joined, each row once, in order.

        Args:
            columns: these alone, in that order; default step, epoch, time and every metric. ``_`` may stand for ``/``.
            after: only rows numbered above this; row groups that hold none are not read.
            until: only rows numbered up to this.

        Raises:
            ColumnNotFound: the table has rows, and no such column.
        """
        schema, pieces = self.batches(columns, after=after, until=until)
        rows = pa.concat_tables([parts.empty_table(schema), *pieces])
        return rows if columns is None else rows.rename_columns(list(columns))

    def batches(
        self, columns: Sequence[str] | None = None, *, after: int = -1, until: int | None = None
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        snapshot = self.snapshot()
        wanted = self._schema(snapshot.columns if snapshot else None, columns)
        return wanted, self.pieces(snapshot, wanted, after, until)

    def outline(self) -> Outline:
        snapshot = self.snapshot()
        return outline_of([part.metadata for _, part in snapshot.parts], snapshot.rows, self._key)

    def _schema(self, known: dict[str, None] | None, columns: Sequence[str] | None) -> pa.Schema:
        """The schema of the columns wanted, of a table with these metrics; None for a table without rows."""
        if isinstance(columns, str):
            raise UsageError(f"columns is a list of names, such as [{columns!r}], not a name")
        schema = self._fields(known or ())
        if columns is None:
            return schema
        there = set(schema.names)
        columns = [name if name in there else _with_slashes(name, schema.names) for name in columns]
        for name in columns:
            if name not in there and known is not None:
                hint = alternatives(name, schema.names)
                raise ColumnNotFound(f"no column {name!r} in {self._table} of {self._run_dir}; {hint}")
        if not there.issuperset(columns):
            schema = self._fields(dict.fromkeys(name for name in columns if name not in there))
        return pa.schema([schema.field(name) for name in columns])

    def _fields(self, metrics: Iterable[str]) -> pa.Schema:
        return parts.table_schema(metrics, self._key)

    def pieces(self, snapshot: Snapshot, wanted: pa.Schema, after: int, until: int | None) -> Iterator[pa.Table]:
        """The rows of a snapshot above ``after`` and up to ``until``, with these columns; null where it lacks one."""
        for path, part in snapshot.parts:
            yield from self._read_part(path, part, wanted, after, until)
        if rows := rows_after(snapshot.rows, after, until):
            metrics = parts.metric_columns(wanted)
            yield parts.rows_to_table(rows, self._key, metrics).select(wanted.names)

    def last_number(self) -> int:
        return self.snapshot().last_number(self._key)

    def before_last(self, count: int) -> int:
        return self.snapshot().before_last(count, self._key)

    def open_rows(self) -> pa.Table:
        """The open row as its file has it, which may be in the journal by now."""
        return parts.rows_to_table(self._open_row(), self._key)

    def last_time(self) -> datetime | None:
        snapshot = self.snapshot()
        if snapshot.rows:
            return arrays.moment(int(snapshot.rows[-1].data["time"][-1]) // 1000)
        for _, part in reversed(snapshot.parts):
            metadata = part.metadata
            if metadata.num_rows:
                last = metadata.row_group(metadata.num_row_groups - 1).column(layout.axes(self._key).index("time"))
                return arrays.moment(last.statistics.max_raw)
        return None

    def snapshot(self) -> Snapshot:
        """The parts, and the rows of the journals that follow them: all from before a rewind, or all from after it."""
        while True:
            superseded = layout.superseded_names(self._run_dir)
            snapshot = self._look()
            if layout.superseded_names(self._run_dir) == superseded:
                return snapshot

    def _look(self) -> Snapshot:
        self.damaged = []
        last_row = self._open_row()
        journal, following = JournalDecoder(), JournalDecoder()
        path = layout.next_journal_path(self._run_dir, self._table)
        later = self._replay(following, path)
        rows = self._replay(journal, layout.journal_path(self._run_dir, self._table))
        opened = list(self.open_parts())
        last = Snapshot(opened, []).last_number(self._key)
        gap = bool(later) and (following.first or 0) > max(journal.next, last + 1)
        if gap and not any(damage.path.suffix == ".parquet" for damage in self.damaged):
            self.damaged.append(Damage(path, "left out: rows that came before it are missing"))
        else:  # a part that cannot be read may hold the rows that seem to be missing
            rows = [*rows, *later]
        columns = last_row[0].columns if last_row else ()
        return Snapshot(opened, rows_after(rows if self._final else [*rows, *last_row], last), columns)

    def _open_row(self) -> list[Rows]:
        path = layout.open_row_path(self._run_dir, self._table)
        try:
            return open_row(path)
        except OSError as error:
            self.damaged.append(damage_of(path, error, unreachable(error)))
            return []

    def _replay(self, decoder: JournalDecoder, path: Path) -> list[Rows]:
        try:
            data = files.read_if_there(path)
        except OSError as error:
            self.damaged.append(damage_of(path, error, unreachable(error)))
            return []
        if data is None:
            return []
        rows = decoder.feed(data)
        if decoder.damaged:
            self.damaged.append(Damage(path, f"damaged after byte {decoder.offset}; the rows before it are read"))
        return rows

    def open_parts(self) -> Iterator[tuple[Path, pq.ParquetFile]]:
        try:
            paths = layout.part_paths(self._run_dir, self._table)
        except OSError as error:
            self.damaged.append(Damage(self._run_dir / self._table, unreachable(error), passing=True))
            return
        for path in paths:
            try:
                yield path, parts.open_part(path, self._key)
            except FileNotFoundError:
                return  # it is being superseded, as are those after it
            except (pa.ArrowException, OSError) as error:
                self.damaged.append(
                    damage_of(path, error, f"not a readable Parquet file, left out ({first_line(error)})")
                )

    def _read_part(
        self, path: Path, part: pq.ParquetFile, wanted: pa.Schema, after: int, until: int | None
    ) -> Iterator[pa.Table]:
        known = set(part.schema_arrow.names)
        names = [name for name in wanted.names if name in known]
        groups = range(part.num_row_groups)
        if cut := after >= 0 or until is not None:
            names = list(dict.fromkeys([*names, self._key]))
            groups = parts.groups_between(part.metadata, self._key, after, until)
        lost = 0
        fault: Exception | None = None
        for group in groups:
            try:
                rows = parts.read_group(path, part, group, names, self._key, use_threads=True)
            except (pa.ArrowException, OSError) as error:
                lost += part.metadata.row_group(group).num_rows
                fault = error
            else:
                if cut:
                    rows = parts.rows_between(rows, self._key, after, until)
                yield parts.with_columns(rows, wanted)
        if fault is not None:
            what = f"{lost:,} of its rows cannot be read, the others are ({first_line(fault)})"
            self.damaged.append(damage_of(path, fault, what))


def open_row(path: Path) -> list[Rows]:
    """The open row, where the file has one."""
    row = read_open_row(path)
    return [] if row is None else [row]


def _with_slashes(name: str, known: Sequence[str]) -> str:
    """The column that is called so but for ``/`` instead of ``_``, if one alone is."""
    found = [each for each in known if each.replace("/", "_") == name]
    return found[0] if len(found) == 1 else name


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def unreachable(error: OSError) -> str:
    return f"cannot be read now ({error.strerror or first_line(error)})"


def damage_of(path: Path, error: Exception, what: str) -> Damage:
    """An error with a number is the file system's, and most of them pass; one without is about the bytes."""
    if isinstance(error, OSError) and error.errno not in (None, *_LASTING):
        return Damage(path, unreachable(error), passing=True)
    return Damage(path, what)
