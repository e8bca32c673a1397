"""One table of a run, read while it may be being written. FORMAT.md section 7 says why the order of reading matters.

Rows move one way: from the journal's successor to the journal, and from there to a part. A reader that looks in the
same order misses none, and drops what it sees twice.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.errors import ColumnNotFound
from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import JournalDecoder, Rows, rows_after, rows_until
from neurockt.store.tables import parts
from neurockt.store.tables.outline import Outline, outline_of


@dataclass(frozen=True)
class Damage:
    """A file of a run that could not be read, or not to its end."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}"


@dataclass(frozen=True)
class Journals:
    """The journal rows of a table, and from which number on they are known to follow each other."""

    rows: list[Rows]
    successor: list[Rows]
    """Rows of the journal's successor; they count only if nothing is missing before them."""
    next: int
    """Number of the row that would follow ``rows``."""

    def gap_after(self, number: int) -> bool:
        """Whether rows between the last of the parts, numbered ``number``, and the successor's first are missing."""
        return bool(self.successor) and int(self.successor[0].data["number"][0]) > max(self.next, number + 1)


class TableReader:
    """Reads one table of one run. Never writes, never waits, never fails on a file that is being written."""

    def __init__(self, run_dir: Path, table: TableName) -> None:
        self.damaged: list[Damage] = []
        """What the last ``read`` could not read."""
        self._run_dir = run_dir
        self._table = table
        self._key = layout.KEY[table]
        self._axes = layout.axes(self._key)

    def read(self, columns: Sequence[str] | None = None, *, after: int = 0, until: int | None = None) -> pa.Table:
        """The rows there are now: parts and journal joined, each row once, in order.

        Args:
            columns: those wanted, in that order; default step, epoch, time and every metric.
            after: only rows numbered above this; row groups that hold none are not read.
            until: only rows numbered up to this; likewise.

        Raises:
            ColumnNotFound: the table has rows, and no such column.
        """
        schema, pieces = self._plan(columns, after, until, whole=True)
        return pa.concat_tables([pa.Table.from_batches([], schema), *pieces])

    def batches(self, columns: Sequence[str] | None = None, *, after: int = 0) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """What ``read`` gives, a row group at a time, so that memory stays bounded; each piece has the schema."""
        return self._plan(columns, after, None, whole=False)

    def outline(self) -> Outline:
        """What the rows there are now hold, row group by row group, from the footers; the journal's rows come last."""
        opened, rows = self._snapshot()
        return outline_of([part.metadata for _, part in opened], rows, self._key)

    def _plan(
        self, columns: Sequence[str] | None, after: int, until: int | None, *, whole: bool
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        """The schema of the rows there are now, and the pieces they are read in."""
        opened, rows = self._snapshot()
        rows = rows_until(rows_after(rows, after), until)
        known = dict.fromkeys(name for _, part in opened for name in parts.metric_columns(part.schema_arrow))
        known.update(dict.fromkeys(name for batch in rows for name in batch.columns))
        names = [*self._axes, *known] if columns is None else list(columns)
        if opened or rows:
            self._check(names, known)
        schema = parts.table_schema((name for name in names if name not in self._axes), self._key)
        wanted = pa.schema([schema.field(name) for name in names])
        return wanted, self._pieces(opened, rows, wanted, after, until, whole=whole)

    def _pieces(
        self,
        opened: Sequence[tuple[Path, pq.ParquetFile]],
        rows: list[Rows],
        wanted: pa.Schema,
        after: int,
        until: int | None,
        *,
        whole: bool,
    ) -> Iterator[pa.Table]:
        for path, part in opened:
            yield from self._read_part(path, part, wanted, after, until, whole=whole)
        if rows:
            metrics = parts.metric_columns(wanted)
            yield parts.rows_to_table(rows, self._key, metrics).select(wanted.names)

    def journal_rows(self) -> list[Rows]:
        """The rows that are not in a part yet."""
        return self._snapshot()[1]

    def last_number(self) -> int:
        """The number of the last row there is; 0 where there is none."""
        opened, rows = self._snapshot()
        return int(rows[-1].data["number"][-1]) if rows else self._last_number(opened)

    def last_time(self) -> datetime | None:
        """When the last row was recorded; of the parts the footer tells."""
        opened, rows = self._snapshot()
        if rows:
            return datetime.fromtimestamp(int(rows[-1].data["time"][-1]) / 1e9, timezone.utc)
        for _, part in reversed(opened):
            metadata = part.metadata
            if metadata.num_rows:
                last = metadata.row_group(metadata.num_row_groups - 1).column(self._axes.index("time"))
                return cast("datetime", last.statistics.max)
        return None

    def _snapshot(self) -> tuple[list[tuple[Path, pq.ParquetFile]], list[Rows]]:
        """The parts, and the rows of the journals that follow them: all from before a rewind, or all from after it."""
        while True:
            superseded = layout.superseded_names(self._run_dir)
            snapshot = self._look()
            if layout.superseded_names(self._run_dir) == superseded:
                return snapshot

    def _look(self) -> tuple[list[tuple[Path, pq.ParquetFile]], list[Rows]]:
        """The parts, and the rows of the journals that follow them; in the order that misses none."""
        self.damaged = []
        journals = self._read_journals()
        opened = list(self._open_parts())
        last = self._last_number(opened)
        rows = journals.rows
        if any(damage.path.suffix == ".parquet" for damage in self.damaged) or not journals.gap_after(last):
            rows = [*rows, *journals.successor]  # where a part cannot be read, it may hold what seems to be missing
        else:
            path = layout.next_journal_path(self._run_dir, self._table)
            self.damaged.append(Damage(path, "left out: rows that came before it are missing"))
        return opened, rows_after(rows, last)

    def _check(self, names: Sequence[str], known: dict[str, None]) -> None:
        there = [*self._axes, *known]
        for name in names:
            if name not in there:
                close = difflib.get_close_matches(name, there, 1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(there)}"
                raise ColumnNotFound(f"no column {name!r} in {self._table} of {self._run_dir}; {hint}")

    def _read_journals(self) -> Journals:
        successor = JournalDecoder()
        successor_rows = self._replay(successor, layout.next_journal_path(self._run_dir, self._table))
        journal = JournalDecoder()
        rows = self._replay(journal, layout.journal_path(self._run_dir, self._table))
        if journal.first is not None and (successor.first is None or successor.first <= journal.first):
            return Journals(rows, [], journal.next)  # the successor has taken the journal's place meanwhile
        return Journals(rows, successor_rows, journal.next)

    def _replay(self, decoder: JournalDecoder, path: Path) -> list[Rows]:
        try:
            data = files.read_if_there(path)
        except OSError as error:
            self.damaged.append(Damage(path, f"cannot be read, left out ({error.strerror})"))
            return []
        if data is None:
            return []
        rows = decoder.feed(data)
        if decoder.damaged:
            self.damaged.append(Damage(path, f"damaged after byte {decoder.offset}; the rows before it are read"))
        return rows

    def _open_parts(self) -> Iterator[tuple[Path, pq.ParquetFile]]:
        for path in layout.part_paths(self._run_dir, self._table):
            try:
                yield path, parts.open_part(path, self._key)
            except FileNotFoundError:
                return  # it is being superseded, as are those after it
            except (pa.ArrowException, OSError) as error:
                self.damaged.append(Damage(path, f"no readable Parquet file, left out ({_first_line(error)})"))

    def _last_number(self, opened: Sequence[tuple[Path, pq.ParquetFile]]) -> int:
        numbers = [parts.footer_last(part.metadata, self._key) for _, part in opened]
        return max((number for number in numbers if number is not None), default=0)

    def _read_part(
        self, path: Path, part: pq.ParquetFile, wanted: pa.Schema, after: int, until: int | None, *, whole: bool
    ) -> Iterator[pa.Table]:
        names = [name for name in wanted.names if name in part.schema_arrow.names]
        groups = range(part.num_row_groups)
        cut = bool(after) or until is not None
        if cut:
            names = list(dict.fromkeys([*names, self._key]))
            groups = parts.groups_between(part.metadata, self._key, after, until)
        with part:
            if cut and not groups:
                return
            if whole:
                try:
                    rows = part.read_row_groups(groups, names) if cut else part.read(names)
                    yield self._cut(rows, wanted, after, until)
                    return
                except (pa.ArrowException, OSError):
                    pass  # the row groups one by one: most of them can be read
            lost, reason = 0, ""
            for group in groups:
                try:
                    rows = part.read_row_group(group, names)
                except (pa.ArrowException, OSError) as error:
                    lost += part.metadata.row_group(group).num_rows
                    reason = _first_line(error)
                else:
                    yield self._cut(rows, wanted, after, until)
        if reason:
            self.damaged.append(Damage(path, f"{lost:,} of its rows cannot be read, the others are ({reason})"))

    def _cut(self, rows: pa.Table, wanted: pa.Schema, after: int, until: int | None) -> pa.Table:
        """The rows above ``after`` and up to ``until``, with the columns wanted."""
        if until is not None:
            rows = rows.slice(0, parts.rows_until(rows, self._key, until))
        if after and len(rows):
            rows = rows.slice(parts.rows_until(rows, self._key, after))
        return parts.with_columns(rows, wanted)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
