"""A run whose ranks each keep their own rows, read as one: the rows of all ranks, ordered by step, then by rank.

Nothing is averaged and nothing withheld: each rank's directory is read as a run, and its rows get the column ``rank``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from neurockt.errors import NeurocktError
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import RANK, TABLES, TableName
from neurockt.store.reading.follow import TableFollower
from neurockt.store.reading.random_access import ColumnValues, Groups, RowReader, concatenated
from neurockt.store.reading.run import Run
from neurockt.store.reading.table_reader import TableReader
from neurockt.store.tables import arrays, parts
from neurockt.store.tables.outline import Outline, outline_of
from neurockt.store.tables.summary import join


class RankedRun(Run):
    """The whole of a run whose ranks keep their own rows."""

    @property
    def info(self) -> RunInfo:
        """What rank 0 wrote of the run; *running* while any rank is."""
        info = super().info
        if info.state == "finished" and "running" in self.rank_states().values():
            return replace(info, state="running", ended=None)
        return info

    def current_info(self) -> RunInfo:
        """``info`` with the summaries over all ranks; the last value is that of the lowest rank that has the metric."""
        each = []
        for rank in self.ranks:
            try:
                each.append(self.rank(rank).current_info())
            except NeurocktError:
                continue  # it is reported where its rows are read
        info = self._with_attached_now(self.info)
        return info.with_tables({table: _together([getattr(info, table) for info in each]) for table in TABLES})

    def follower(self, table: TableName, *, after: int = 0) -> TableFollower:
        return RankedFollower(self.path, table, after=after)

    def rows(self, table: TableName) -> RowReader:
        return RankedRows(self.path, table, max(1, super().info.ranks or 1))

    @property
    def rewind_token(self) -> frozenset[str]:
        ranks = layout.rank_paths(self.path).items()
        return frozenset(f"{rank}/{name}" for rank, path in ranks for name in layout.superseded_names(path))

    def settled(self, table: TableName) -> int:
        readers = RankedReader(self.path, table).readers()
        last = {rank: reader.last_number() for rank, reader in readers.items()}
        states = self.rank_states()
        live = [number for rank, number in last.items() if number and states.get(rank) == "running"]
        return min(live) if live else max(last.values(), default=0)

    def _reader(self, table: TableName) -> TableReader:
        return RankedReader(self.path, table)


def _together(tables: Sequence[TableSummary]) -> TableSummary:
    columns: dict[str, ColumnSummary] = {}
    for name in dict.fromkeys(name for table in tables for name in table.columns):
        for summary in (table.columns[name] for table in tables if name in table.columns):
            known = columns.get(name, ColumnSummary())
            columns[name] = join(
                known, replace(summary, last=known.last, last_at=known.last_at) if known.count else summary
            )
    last = [table.last for table in tables if table.last is not None]
    return TableSummary(max((table.rows for table in tables), default=0), columns, max(last, default=None))


class RankedReader(TableReader):
    def batches(
        self, columns: Sequence[str] | None = None, *, after: int = 0, until: int | None = None
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        readers = self.readers()
        snapshots = {rank: reader.snapshot() for rank, reader in readers.items()}
        known = dict.fromkeys(name for snapshot in snapshots.values() for name in snapshot.columns)
        wanted = self._schema(known if any(snapshots.values()) else None, columns)
        inner = pa.schema([field for field in wanted if field.name != RANK])
        if self._key not in inner.names:
            inner = inner.append(self._fields(()).field(self._key))

        def pieces() -> Iterator[pa.Table]:
            each = {rank: readers[rank].pieces(snapshots[rank], inner, after, until) for rank in readers}
            yield from merged(each, wanted, self._key)
            self.damaged = [damage for reader in readers.values() for damage in reader.damaged]

        return wanted, pieces()

    def outline(self) -> Outline:
        """The row groups of the ranks, one rank after the other."""
        snapshots = [reader.snapshot() for reader in self.readers().values()]
        footers = [part.metadata for snapshot in snapshots for _, part in snapshot.parts]
        return outline_of(footers, [rows for snapshot in snapshots for rows in snapshot.rows], self._key)

    def last_number(self) -> int:
        return max((reader.last_number() for reader in self.readers().values()), default=0)

    def _fields(self, metrics: Iterable[str]) -> pa.Schema:
        schema = parts.table_schema((name for name in metrics if name != RANK), self._key)
        return schema.insert(0, pa.field(RANK, pa.int64(), nullable=False))

    def readers(self) -> dict[int, TableReader]:
        return {rank: TableReader(path, self._table) for rank, path in layout.rank_paths(self._run_dir).items()}


def merged(each: Mapping[int, Iterator[pa.Table]], wanted: pa.Schema, key: str) -> Iterator[pa.Table]:
    """The rows of several ranks by number, then by rank. All rows of one number are in one piece.

    Holds one piece of each rank.
    """
    waiting: dict[int, pa.Table] = {}
    inner = wanted.append(pa.field(key, pa.int64()))  # to sort by
    while True:
        for rank, pieces in each.items():
            if rank not in waiting and (piece := next((piece for piece in pieces if len(piece)), None)) is not None:
                waiting[rank] = piece
        if not waiting:
            return
        end = min(int(arrays.numbers(rows[key])[-1]) for rows in waiting.values())
        ready = []
        for rank in sorted(waiting):
            rows = waiting.pop(rank)
            count = parts.rows_until(rows, key, end)
            if count < len(rows):
                waiting[rank] = rows.slice(count)
            column = arrays.to_array(np.full(count, rank, np.int64), pa.int64())
            ready.append(parts.with_columns(rows.slice(0, count).append_column(RANK, column), inner))
        together = pa.concat_tables(ready)
        order = np.argsort(arrays.numbers(together.column(len(wanted))), kind="stable")
        yield together.select(range(len(wanted))).take(arrays.to_array(order.astype(np.int64), pa.int64()))


class RankedFollower(TableFollower):
    """The new rows of all ranks: of each those that it has recorded since."""

    def __init__(self, run_dir: Path, table: TableName, *, after: int = 0) -> None:
        super().__init__(run_dir, table, after=after)
        self._after = after
        self._followers: dict[int, TableFollower] = {}

    def new_rows(self) -> pa.Table:
        """Where a rank was rewound, ``rewound_to`` holds for all of them, and the later rows of all are given again."""
        self.rewound_to = None
        while True:
            for rank, path in layout.rank_paths(self._run_dir).items():
                if rank not in self._followers:
                    after = self._after if self.rewound_to is None else min(self._after, self.rewound_to)
                    self._followers[rank] = TableFollower(path, self._table, after=after)
            before = {rank: follower.last for rank, follower in self._followers.items()}
            tables = {rank: follower.new_rows() for rank, follower in self._followers.items()}
            kept = [follower.rewound_to for follower in self._followers.values() if follower.rewound_to is not None]
            if not kept:
                break
            self.rewound_to = min(kept if self.rewound_to is None else [*kept, self.rewound_to])
            for rank, last in before.items():
                path = layout.rank_path(self._run_dir, rank)
                self._followers[rank] = TableFollower(path, self._table, after=min(last, self.rewound_to))
        self.damaged = [damage for follower in self._followers.values() for damage in follower.damaged]
        self.last = max((follower.last for follower in self._followers.values()), default=self._after)
        metrics = dict.fromkeys(name for rows in tables.values() for name in parts.metric_columns(rows.schema))
        schema = RankedReader(self._run_dir, self._table)._fields(metrics)
        return pa.concat_tables(
            [pa.Table.from_batches([], schema), *merged({r: iter([t]) for r, t in tables.items()}, schema, self._key)]
        )


class RankedRows(RowReader):
    """Any rows of all ranks by their position. A group holds the rows of a span of numbers."""

    def __init__(self, run_dir: Path, table: TableName, ranks: int) -> None:
        super().__init__(run_dir, table)
        self._span = max(64, parts.ROW_GROUP_ROWS // ranks)
        self._readers: dict[int, RowReader] = {}
        self._kept: dict[tuple[int, int], dict[str, ColumnValues]] = {}

    def refresh(self) -> bool:
        before = self.groups, self.columns, self.rewinds
        for rank, path in layout.rank_paths(self._run_dir).items():
            self._readers.setdefault(rank, RowReader(path, self._table))
        self._readers = dict(sorted(self._readers.items()))
        rewinds = sum(reader.rewinds for reader in self._readers.values())
        changed = [reader.refresh() for reader in self._readers.values()]
        if not any(changed):
            return False
        self.rewinds += sum(reader.rewinds for reader in self._readers.values()) - rewinds
        self._kept.clear()
        last = max((reader.groups.numbers[-1][1] for reader in self._readers.values() if len(reader.groups)), default=0)
        ends = [min(last, begin + self._span) for begin in range(0, last, self._span)]
        starts = (0, *(self.count_until(end) for end in ends))
        if starts[: len(self.groups)] != self.groups.starts[:-1]:
            self.rewinds += 1  # a rank that was behind has recorded rows among those known
        self.groups = Groups(starts, tuple((end - (end - 1) % self._span, end) for end in ends))
        metrics = dict.fromkeys(chain.from_iterable(reader.columns for reader in self._readers.values()))
        self.columns = (RANK, *(name for name in metrics if name != RANK))
        self.damaged = {path: why for reader in self._readers.values() for path, why in reader.damaged.items()}
        return (self.groups, self.columns, self.rewinds) != before

    def count_until(self, number: int) -> int:
        return sum(reader.count_until(number) for reader in self._readers.values())

    def read(self, group: int, columns: Sequence[str]) -> dict[str, ColumnValues]:
        first, last = self.groups.numbers[group]
        names = list(dict.fromkeys([self.key, *(name for name in columns if name != RANK)]))
        pieces: dict[str, list[ColumnValues]] = {name: [] for name in [*names, RANK]}
        for rank, reader in self._readers.items():
            begin, end = reader.count_until(first - 1), reader.count_until(last)
            pieces[RANK].append(ColumnValues(np.full(end - begin, rank, np.int64)))
            while begin < end:
                inner = reader.groups.of(begin)
                span = reader.groups.span(inner)
                stop = min(end, span.stop)
                blocks = self._blocks(rank, inner, names)
                for name in names:
                    pieces[name].append(blocks[name].take(slice(begin - span.start, stop - span.start)))
                begin = stop
        found = {name: concatenated(blocks) for name, blocks in pieces.items()}
        order = np.argsort(found[self.key].values, kind="stable")
        return {name: found[name].take(order) for name in columns}

    def _blocks(self, rank: int, group: int, names: Sequence[str]) -> dict[str, ColumnValues]:
        """A group of a rank: several of ours lie in it, so that the latest one is kept."""
        known = self._kept.get((rank, group), {})
        lacking = [name for name in names if name not in known]
        if lacking:
            self._kept = {key: blocks for key, blocks in self._kept.items() if key[0] != rank}
            self._kept[rank, group] = known = {**known, **self._readers[rank].read(group, lacking)}
        return known
