"""A run whose ranks each keep their own rows, read as one: the rows of all ranks, ordered by step, then by rank.

Nothing is averaged and nothing withheld: each rank's directory is read as a run, and its rows get the column ``rank``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

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

    def follower(self, table: TableName, *, after: int = -1) -> TableFollower:
        return RankedFollower(self.path, table, self._is_live, after=after)

    def rows(self, table: TableName) -> RowReader:
        return RankedRows(self.path, table, max(1, super().info.ranks or 1))

    @property
    def rewind_token(self) -> frozenset[str]:
        ranks = layout.rank_paths(self.path).items()
        return frozenset(f"{rank}/{name}" for rank, path in ranks for name in layout.superseded_names(path))

    def settled(self, table: TableName) -> int:
        live = self._live_ranks()
        last = {rank: reader.last_number() for rank, reader in RankedReader(self.path, table, live).readers().items()}
        begun = {rank for rank, reader in RankedReader(self.path, table).readers().items() if reader.last_number() >= 0}
        waited_for = [number for rank, number in last.items() if rank in live & begun]
        return min(waited_for) if waited_for else max(last.values(), default=-1)

    def _reader(self, table: TableName, *, final: bool = False) -> TableReader:
        return RankedReader(self.path, table, self._live_ranks() if final else ())

    def _live_ranks(self) -> set[int]:
        return {rank for rank, path in layout.rank_paths(self.path).items() if self._is_live(path)}


def _together(tables: Sequence[TableSummary]) -> TableSummary:
    columns: dict[str, ColumnSummary] = {}
    for name in dict.fromkeys(name for table in tables for name in table.columns):
        for summary in (table.columns[name] for table in tables if name in table.columns):
            known = columns.get(name, ColumnSummary())
            columns[name] = join(
                known, replace(summary, last=known.last, last_at=known.last_at) if known.count else summary
            )
    last = [table.last for table in tables if table.last is not None]
    times = [table.last_time for table in tables if table.last_time is not None]
    speeds = [table.speed for table in tables if table.speed is not None]
    return TableSummary(
        max((table.rows for table in tables), default=0),
        columns,
        max(last, default=None),
        max(times, default=None),
        max(speeds, default=None),
    )


class RankedReader(TableReader):
    def __init__(self, run_dir: Path, table: TableName, final: Collection[int] = ()) -> None:
        """With ``final``, the ranks whose open row is left out."""
        super().__init__(run_dir, table)
        self._final_ranks = final

    def batches(
        self, columns: Sequence[str] | None = None, *, after: int = -1, until: int | None = None
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
        return max((reader.last_number() for reader in self.readers().values()), default=-1)

    def before_last(self, count: int) -> int:
        return min((reader.before_last(count) for reader in self.readers().values()), default=-1)

    def open_rows(self) -> pa.Table:
        return _ordered({rank: reader.open_rows() for rank, reader in self.readers().items()}, self._key)

    def _fields(self, metrics: Iterable[str]) -> pa.Schema:
        return _with_rank(metrics, self._key)

    def readers(self) -> dict[int, TableReader]:
        paths = layout.rank_paths(self._run_dir).items()
        return {rank: TableReader(path, self._table, final=rank in self._final_ranks) for rank, path in paths}


def _with_rank(metrics: Iterable[str], key: str) -> pa.Schema:
    schema = parts.table_schema((name for name in metrics if name != RANK), key)
    return schema.insert(0, pa.field(RANK, pa.int64(), nullable=False))


def _ordered(tables: Mapping[int, pa.Table], key: str) -> pa.Table:
    """A table of each rank as one."""
    names = dict.fromkeys(name for rows in tables.values() for name in parts.metric_columns(rows.schema))
    schema = _with_rank(names, key)
    each = {rank: iter([rows]) for rank, rows in tables.items()}
    return pa.concat_tables([parts.empty_table(schema), *merged(each, schema, key)])


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

    def __init__(
        self, run_dir: Path, table: TableName, is_rank_live: Callable[[Path], bool], *, after: int = -1
    ) -> None:
        super().__init__(run_dir, table, after=after)
        self._after = after
        self._is_rank_live = is_rank_live
        self._followers: dict[int, TableFollower] = {}

    def new_rows(self) -> pa.Table:
        """Where a rank was rewound, ``rewound_to`` holds for all of them, and the later rows of all are given again."""
        self.rewound_to = None
        while True:
            for rank, path in layout.rank_paths(self._run_dir).items():
                if rank not in self._followers:
                    after = self._after if self.rewound_to is None else min(self._after, self.rewound_to)
                    self._followers[rank] = self._follower(path, after)
            before = {rank: follower.last for rank, follower in self._followers.items()}
            tables = {rank: follower.new_rows() for rank, follower in self._followers.items()}
            kept = [follower.rewound_to for follower in self._followers.values() if follower.rewound_to is not None]
            if not kept:
                break
            self.rewound_to = min(kept if self.rewound_to is None else [*kept, self.rewound_to])
            for rank, last in before.items():
                path = layout.rank_path(self._run_dir, rank)
                self._followers[rank] = self._follower(path, min(last, self.rewound_to))
        self.damaged = [damage for follower in self._followers.values() for damage in follower.damaged]
        self.last = max((follower.last for follower in self._followers.values()), default=self._after)
        return _ordered(tables, self._key)

    @property
    def open_rows(self) -> pa.Table:
        return _ordered({rank: follower.open_rows for rank, follower in self._followers.items()}, self._key)

    @property
    def open_content(self) -> Hashable:
        return tuple((rank, follower.open_content) for rank, follower in self._followers.items())

    def _follower(self, path: Path, after: int) -> TableFollower:
        return TableFollower(path, self._table, after=after, is_live=lambda: self._is_rank_live(path))


class RankedRows(RowReader):
    """Any rows of all ranks by their position. A group holds the rows of a span of numbers, some of each rank."""

    def __init__(self, run_dir: Path, table: TableName, ranks: int) -> None:
        super().__init__(run_dir, table)
        self._share = max(64, parts.ROW_GROUP_ROWS // ranks)
        """Rows of each rank in a group, at most."""
        self._readers: dict[int, RowReader] = {}
        self._ends: list[int] = []
        """The numbers at which the groups end, but for the last group."""
        self._counts: dict[tuple[int, int], int] = {}
        self._kept: dict[tuple[int, int], dict[str, ColumnValues]] = {}

    def refresh(self) -> bool:
        before = self.groups, self.columns, self.rewinds
        for rank, path in layout.rank_paths(self._run_dir).items():
            self._readers.setdefault(rank, RowReader(path, self._table))
        self._readers = dict(sorted(self._readers.items()))
        rewinds = sum(reader.rewinds for reader in self._readers.values())
        changed = [reader.refresh() for reader in self._readers.values()]
        self.changed = min((r.changed for r in self._readers.values() if r.changed is not None), default=None)
        if not any(changed):
            return False
        if rewound := sum(reader.rewinds for reader in self._readers.values()) - rewinds:
            self.rewinds += rewound
            self._ends, self._counts = [], {}
        self._kept.clear()
        ends = self._divide()
        starts = (0, *(self.count_until(end) for end in ends))
        if starts[: len(self.groups)] != self.groups.starts[:-1]:
            self.rewinds += 1  # a rank that was behind has recorded rows among those known
        begins = [0, *(end + 1 for end in ends)]
        self.groups = Groups(starts, tuple(zip(begins, ends, strict=False)), unique=False)
        metrics = dict.fromkeys(chain.from_iterable(reader.columns for reader in self._readers.values()))
        self.columns = (RANK, *(name for name in metrics if name != RANK))
        self.damaged = {path: why for reader in self._readers.values() for path, why in reader.damaged.items()}
        return (self.groups, self.columns, self.rewinds) != before

    def _divide(self) -> list[int]:
        """The numbers at which groups end. Those of full groups stay as the ranks go on."""
        while True:
            before = self._ends[-1] if self._ends else -1
            ends = [(reader, self._count(rank, before) + self._share) for rank, reader in self._readers.items()]
            full = [reader.number_at(end - 1) for reader, end in ends if end < reader.groups.total]
            if not full:
                break
            self._ends.append(min(full))
        last = [reader.groups.numbers[-1][1] for reader in self._readers.values() if len(reader.groups)]
        return [*self._ends, max(last)] if last else []

    def count_until(self, number: int) -> int:
        return sum(self._count(rank, number) for rank in self._readers)

    def _count(self, rank: int, number: int) -> int:
        reader = self._readers[rank]
        if not len(reader.groups) or reader.groups.numbers[-1][1] <= number:
            return reader.groups.total
        if (rank, number) not in self._counts:  # does not change any more: its later rows are above
            self._counts[rank, number] = reader.count_until(number)
        return self._counts[rank, number]

    def read(self, group: int, columns: Sequence[str]) -> dict[str, ColumnValues]:
        first, last = self.groups.numbers[group]
        names = list(dict.fromkeys([self.key, *(name for name in columns if name != RANK)]))
        pieces: dict[str, list[ColumnValues]] = {name: [] for name in [*names, RANK]}
        for rank, reader in self._readers.items():
            begin, end = self._count(rank, first - 1), self._count(rank, last)
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
