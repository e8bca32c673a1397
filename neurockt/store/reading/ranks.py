"""A run whose ranks each keep their own rows, read as one: a row is the mean of its row in each rank, by number.

While ranks are alive, the whole ends with the slowest of them, so that no row changes once it has been read. A rank
that has ended does not hold the others up: rows that it has not recorded are the mean of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from neurockt.errors import CorruptRun, NeurocktError
from neurockt.run_info import RunInfo, State, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TABLES, TableName
from neurockt.store.base.origin import Origin
from neurockt.store.base.run_file import read_info
from neurockt.store.owner.liveness import Liveness
from neurockt.store.reading.follow import TableFollower
from neurockt.store.reading.random_access import Block, Groups, RowReader, to_block
from neurockt.store.reading.run import Run
from neurockt.store.reading.table_reader import TableReader
from neurockt.store.tables import parts
from neurockt.store.tables.outline import Extremes, Outline, outline_of
from neurockt.store.tables.summary import summarise_rows
from neurockt.store.tables.superseded import read_kept

SPAN: Final = parts.ROW_GROUP_ROWS
"""Numbers of rows that are averaged at a time."""


class RankedRun(Run):
    """The whole of a run whose ranks keep their own rows."""

    @property
    def info(self) -> RunInfo:
        """What rank 0 says; still *running* when it has finished before another."""
        info = super().info
        if info.state == "finished" and "running" in self.rank_states().values():
            return replace(info, state="running", ended=None)
        return info

    def rank_states(self) -> dict[int, State]:
        """How each rank that has recorded stands."""
        return states(self.path, self._liveness)

    def current_info(self) -> RunInfo:
        """``info``, with what the columns of the whole come to: ``run.json`` tells it of rank 0 alone."""
        info = self.info
        return info.with_tables({table: self._summary(table) for table in TABLES})

    def _summary(self, table: TableName) -> TableSummary:
        summary = TableSummary()
        for rows in self.batches(table)[1]:
            summary = summarise_rows(rows, layout.KEY[table], onto=summary)
        return summary

    def follower(self, table: TableName, *, after: int = 0) -> TableFollower:
        return MeanFollower(self.path, table, self._liveness, after=after)

    def rows(self, table: TableName) -> RowReader:
        return MeanRows(self.path, table, self._liveness)

    def origin(self, attempt: int | None = None) -> Origin | None:
        return self._first.origin(attempt)

    def diff(self, attempt: int | None = None) -> str | None:
        return self._first.diff(attempt)

    @property
    def _first(self) -> Run:
        """Rank 0, or the first one that has recorded: as for where it came from, they are alike."""
        ranks = self.ranks
        return self.rank(ranks[0]) if ranks else Run(self.path)

    def rewinds(self) -> frozenset[str]:
        return frozenset(f"{rank}/{name}" for rank, names in rewinds(self.path).items() for name in names)

    def _reader(self, table: TableName) -> TableReader:
        return MeanReader(self.path, table, self._liveness)


def states(run_dir: Path, liveness: Liveness) -> dict[int, State]:
    """How each rank of a run stands; one that cannot be read counts as killed."""
    found: dict[int, State] = {}
    for rank, path in layout.rank_paths(run_dir).items():
        try:
            found[rank] = liveness.infer(read_info(path)).state
        except NeurocktError:
            found[rank] = "killed"
    return found


def rewinds(run_dir: Path) -> dict[int, frozenset[str]]:
    """What each rank has superseded."""
    return {rank: layout.superseded_names(path) for rank, path in layout.rank_paths(run_dir).items()}


class MeanReader(TableReader):
    """One table of the whole."""

    def __init__(self, run_dir: Path, table: TableName, liveness: Liveness) -> None:
        super().__init__(run_dir, table)
        self._liveness = liveness

    def last_number(self) -> int:
        """The number of the last row there is: that of the slowest rank alive, else of the one that came furthest."""
        alive, last = states(self._run_dir, self._liveness), {}
        for rank, reader in self._readers().items():
            last[rank] = reader.last_number()
        recording = [number for rank, number in last.items() if number and alive[rank] == "running"]
        return min(recording) if recording else max(last.values(), default=0)

    def outline(self) -> Outline:
        """All rows as one group. What a mean comes to, no footer tells: its extremes are unknown."""
        outlines = [reader.outline() for reader in self._readers().values()]
        last = self.last_number()
        names = dict.fromkeys(name for outline in outlines for name in outline.metrics)
        there = [outline for outline in outlines if outline.total]
        if not last or not there:
            return outline_of([], [], self._key)
        axes = {
            name: (
                np.array([min(int(outline.axes[name][0].min()) for outline in there)]),
                np.array([max(int(outline.axes[name][1].max()) for outline in there)]),
            )
            for name in self._axes
        }
        axes[self._key] = axes[self._key][0], np.array([last])
        gapless = all(outline.total == int(outline.axes[self._key][1].max()) for outline in there)
        total = last if gapless else len(self.read([self._key], until=last))
        return Outline(np.array([total]), axes, dict.fromkeys(names, Extremes(np.full(1, np.nan), np.full(1, np.nan))))

    def _readers(self) -> dict[int, TableReader]:
        return {rank: TableReader(path, self._table) for rank, path in layout.rank_paths(self._run_dir).items()}

    def _plan(
        self, columns: Sequence[str] | None, after: int, until: int | None, *, whole: bool
    ) -> tuple[pa.Schema, Iterator[pa.Table]]:
        self.damaged = []
        last = self.last_number()
        until = last if until is None else min(last, until)
        readers = {reader: parts.metric_columns(reader.batches()[0]) for reader in self._readers().values()}
        known = dict.fromkeys(name for metrics in readers.values() for name in metrics)
        names = [*self._axes, *known] if columns is None else list(columns)
        if known:
            self._check(names, known)
        schema = parts.table_schema((name for name in names if name not in self._axes), self._key)
        wanted = pa.schema([schema.field(name) for name in names])
        return wanted, self._means(readers, wanted, after, until)

    def _means(
        self, readers: Mapping[TableReader, Sequence[str]], wanted: pa.Schema, after: int, until: int
    ) -> Iterator[pa.Table]:
        while after < until:
            span = min(until, after + SPAN)
            each = []
            for reader, metrics in readers.items():
                names = [*self._axes, *(name for name in parts.metric_columns(wanted) if name in metrics)]
                each.append(reader.read(names, after=after, until=span))
                self.damaged += [damage for damage in reader.damaged if damage not in self.damaged]
            rows = mean_of([rows for rows in each if len(rows)], wanted, self._key)
            if len(rows):
                yield rows
            after = span


def mean_of(each: Sequence[pa.Table], wanted: pa.Schema, key: str) -> pa.Table:
    """Rows by their number: of a metric the mean over the tables that have a value, of the axes what the first says.

    NaN is a value, null is none.
    """
    if not each:
        return pa.Table.from_batches([], wanted)
    numbers = [rows[key].to_numpy() for rows in each]
    union = np.unique(np.concatenate(numbers))
    places = [np.searchsorted(union, number) for number in numbers]
    arrays = []
    for field in wanted:
        if field.name in layout.axes(key):
            axis = np.zeros(len(union), np.int64)
            for rows, place in zip(reversed(each), reversed(places), strict=True):
                axis[place] = to_block(rows[field.name]).values
            arrays.append(parts.to_array(axis, field.type))
        else:
            arrays.append(_mean(each, places, len(union), field.name))
    return pa.Table.from_arrays(arrays, schema=wanted)


def _mean(each: Sequence[pa.Table], places: Sequence[npt.NDArray[Any]], count: int, name: str) -> pa.Array:
    total, having = np.zeros(count), np.zeros(count, np.int64)
    for rows, place in zip(each, places, strict=True):
        if name in rows.schema.names:
            block = to_block(rows[name])
            there = slice(None) if block.missing is None else ~block.missing
            total[place[there]] += block.values[there]
            having[place[there]] += 1
    return parts.to_array(total / np.maximum(having, 1), pa.float64(), missing=having == 0)


class MeanFollower(TableFollower):
    """The new rows of the whole."""

    def __init__(self, run_dir: Path, table: TableName, liveness: Liveness, *, after: int = 0) -> None:
        super().__init__(run_dir, table, after=after)
        self._liveness = liveness
        self._rewinds = rewinds(run_dir)

    def new_rows(self) -> pa.Table:
        self.rewound_to = None
        before, self._rewinds = self._rewinds, rewinds(self._run_dir)
        if self._rewinds != before:
            self._go_back_where_ranks_did(before)
        reader = MeanReader(self._run_dir, self._table, self._liveness)
        rows = reader.read(after=self.last)
        self.damaged = reader.damaged
        if len(rows):
            self.last = rows[self._key][-1].as_py()
        return rows

    def _go_back_where_ranks_did(self, before: Mapping[int, frozenset[str]]) -> None:
        """Forget the rows that a rank has superseded since: their means are to change."""
        for rank, names in self._rewinds.items():
            for directory in layout.superseded_paths(layout.rank_path(self._run_dir, rank)).values():
                if directory.name in names - before.get(rank, frozenset()):
                    try:
                        kept = read_kept(directory).get(self._table, self.last)
                    except CorruptRun:
                        kept = 0
                    if kept < self.last:
                        self.last = self.rewound_to = kept


class MeanRows(RowReader):
    """Any rows of the whole by their place. A group holds the rows of so many numbers."""

    def __init__(self, run_dir: Path, table: TableName, liveness: Liveness) -> None:
        super().__init__(run_dir, table)
        self._liveness = liveness
        self._last = 0
        self._rewinds = rewinds(run_dir)

    def refresh(self) -> bool:
        before = self.groups.total, self.columns, self.rewinds
        if (found := rewinds(self._run_dir)) != self._rewinds:
            self._rewinds, self._last, self.groups = found, 0, Groups()
            self.rewinds += 1
        reader = self._reader()
        self.columns = tuple(reader.batches()[0].names)
        starts = list(self.groups.starts)
        begun = self._last % SPAN  # the last group grows
        if begun:
            starts.pop()
        after = self._last - begun
        last = reader.last_number()
        while after < last:
            self._last = min(last, after + SPAN)
            starts.append(starts[-1] + len(reader.read([self.key], after=after, until=self._last)))
            after = self._last
        if len(starts) > 1 or not begun:
            ends = [min(self._last, (group + 1) * SPAN) for group in range(len(starts) - 1)]
            self.groups = Groups(tuple(starts), tuple((group * SPAN + 1, end) for group, end in enumerate(ends)))
        self.damaged = {damage.path: damage.what for damage in reader.damaged}
        return (self.groups.total, self.columns, self.rewinds) != before

    def read(self, group: int, columns: Sequence[str]) -> dict[str, Block]:
        rows = self._reader().read(list(columns), after=group * SPAN, until=min(self._last, (group + 1) * SPAN))
        return {name: to_block(rows[name]) for name in columns}

    def bounds(self, group: int, column: str) -> tuple[float, float]:
        return -np.inf, np.inf  # only reading would tell

    def _reader(self) -> MeanReader:
        return MeanReader(self._run_dir, self._table, self._liveness)
