"""Any rows of a table by their position, at the price of the row groups that hold them; for tables of any size.

Positions count from 0 and stay, as a table only grows. When a run is rewound, everything is looked up again. The rows
that are not in a part yet form one last group.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.reading.follow import TableFollower
from neurockt.store.reading.table_reader import Damage, TableReader, damage_of, first_line
from neurockt.store.tables import arrays, parts

RETRY_SECONDS: Final = 5.0
"""How soon to open again what the file system refused."""
TAIL_ROWS: Final = 2 * parts.ROW_GROUP_ROWS
"""Rows that are kept in memory since the parts were opened; with more of them, the parts are opened again."""


@dataclass(frozen=True)
class ColumnValues:
    """A column's values in one group: int64 for step, epoch and time (microseconds since 1970), else float64."""

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None
    """Where they are null; None where none is."""

    def at(self, index: int) -> int | float | None:
        if self.missing is not None and self.missing[index]:
            return None
        value: int | float = self.values[index].item()
        return value

    def take(self, indices: npt.NDArray[np.int64] | slice) -> ColumnValues:
        return ColumnValues(self.values[indices], None if self.missing is None else self.missing[indices])


@dataclass(frozen=True)
class Groups:
    starts: tuple[int, ...] = (0,)
    """The position of each group's first row, and at the end the number of rows."""
    numbers: tuple[tuple[int, int], ...] = ()
    """The numbers of each group's first and last row."""
    unique: bool = True
    """Whether no two rows have one number."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def total(self) -> int:
        return self.starts[-1]

    def of(self, position: int) -> int:
        return bisect_right(self.starts, position) - 1

    def span(self, group: int) -> range:
        return range(self.starts[group], self.starts[group + 1])

    def count_until(self, number: int) -> int | None:
        """How many rows are not numbered above ``number``; None where numbers are missing: only reading shows it."""
        group = bisect_right(self.numbers, number, key=lambda numbers: numbers[1])
        if group == len(self) or number < self.numbers[group][0]:
            return self.starts[group]
        first, _ = self.numbers[group]
        return self.starts[group] + number - first + 1 if self.is_gapless(group) else None

    def is_gapless(self, group: int) -> bool:
        first, last = self.numbers[group]
        return self.unique and last - first == len(self.span(group)) - 1

    def position_of(self, number: int) -> int | None:
        """The position of the row of that number, else of the next one, else of the last; None as ``count_until``."""
        count = self.count_until(number - 1)
        return None if count is None else max(0, min(count, self.total - 1))


class RowReader:
    """Reads rows of one table by their position. Never writes; not to be shared between threads."""

    def __init__(self, run_dir: Path, table: TableName) -> None:
        self.groups = Groups()
        self.columns: tuple[str, ...] = layout.axes(layout.KEY[table])
        """``step``, ``epoch``, ``time``, then the metrics; in `system` ``sample`` before them all."""
        self.damaged: dict[Path, str] = {}
        """The files that could not be read, and why."""
        self.rewinds = 0
        """Rises when ``refresh`` finds rows superseded, or readable again: what was read before is then void."""
        self.changed: int | None = None
        """The number of the row that had been open, where the last ``refresh`` found that it has changed or ended."""
        self.key = layout.KEY[table]
        self._run_dir = run_dir
        self._table = table
        self._opened: list[tuple[Path, pq.ParquetFile, int]] = []
        """A row group each: the part that holds it, and its index there."""
        self._names: dict[Path, dict[str, int]] = {}
        self._numbers: list[tuple[int, int]] = []
        self._tail: list[pa.Table] = []
        self._open_row: pa.Table | None = None
        """The last row, while it may change."""
        self._open_content: Hashable = None
        self._follower: TableFollower | None = None
        self._superseded: frozenset[str] = frozenset()
        self._retry_at = math.inf
        """When to open again what the file system refused."""

    def refresh(self) -> bool:
        before = self.groups.total, self.columns, self.rewinds
        if time.monotonic() >= self._retry_at:
            self.rewinds += 1
            self._follower = None
        if self._follower is None or sum(map(len, self._tail)) > TAIL_ROWS:
            self._open()
        new = self._new_rows()
        if len(new):
            self._tail.append(new)
        self._take_open_row()
        self._arrange()
        return (self.groups.total, self.columns, self.rewinds) != before or self.changed is not None

    def _take_open_row(self) -> None:
        assert self._follower is not None
        earlier, content = self._open_row, self._follower.open_content
        self.changed = None
        if content != self._open_content:
            self.changed = earlier[self.key][0].as_py() if earlier is not None else None
            row = self._follower.open_rows
            self._open_row, self._open_content = row if len(row) else None, content

    def _new_rows(self) -> pa.Table:
        """The rows after those known; where some of these were superseded, all files are opened again."""
        while True:
            assert self._follower is not None
            new = self._follower.new_rows()
            if self._superseded == layout.superseded_names(self._run_dir):
                return new
            self.rewinds += 1
            self._open()

    def _open(self) -> None:
        self._opened, self._numbers, self._tail, self._names = [], [], [], {}
        self.damaged, self._retry_at = {}, math.inf
        self._superseded = layout.superseded_names(self._run_dir)
        last = -1
        snapshot = TableReader(self._run_dir, self._table)
        for path, part in snapshot.open_parts():
            groups = range(part.num_row_groups)
            self._names[path] = {name: index for index, name in enumerate(part.schema_arrow.names)}
            self._opened += [(path, part, group) for group in groups]
            self._numbers += [parts.group_numbers(part.metadata, group, self.key) for group in groups]
            last = max(last, parts.footer_last(part.metadata, self.key))
        for damage in snapshot.damaged:
            self._note(damage)
        self._follower = TableFollower(self._run_dir, self._table, after=last)

    def _note(self, damage: Damage) -> None:
        self.damaged[damage.path] = damage.what
        if damage.passing:
            self._retry_at = min(self._retry_at, time.monotonic() + RETRY_SECONDS)

    def _arrange(self) -> None:
        sizes = [part.metadata.row_group(group).num_rows for _, part, group in self._opened]
        numbers = list(self._numbers)
        if tail := self._last_group:
            sizes.append(sum(map(len, tail)))
            numbers.append((tail[0][self.key][0].as_py(), tail[-1][self.key][-1].as_py()))
        self.groups = Groups(tuple(accumulate(sizes, initial=0)), tuple(numbers))
        axes = layout.axes(self.key)
        known = dict.fromkeys(chain(axes, *self._names.values(), *(table.schema.names for table in self._last_group)))
        self.columns = tuple(known)

    @property
    def _last_group(self) -> list[pa.Table]:
        """The rows that are not in a part."""
        return self._tail if self._open_row is None else [*self._tail, self._open_row]

    def read(self, group: int, columns: Sequence[str]) -> dict[str, ColumnValues]:
        """A group's columns. Those it lacks, and those that cannot be read, are null."""
        count = len(self.groups.span(group))
        if group >= len(self._opened):
            return {name: self._tail_block(name) for name in columns}
        path, part, index = self._opened[group]
        there = {name for name in columns if name in self._names[path]}
        try:
            rows = parts.read_group(path, part, index, list(there), self.key)
        except (pa.ArrowException, OSError) as error:
            self._note(damage_of(path, error, first_line(error)))
            there = set()
        return {name: to_block(rows[name]) if name in there else _nothing(count) for name in columns}

    def _tail_block(self, name: str) -> ColumnValues:
        return concatenated(
            [
                to_block(table[name]) if name in table.schema.names else _nothing(len(table))
                for table in self._last_group
            ]
        )

    def bounds(self, group: int, column: str) -> tuple[float, float]:
        """The smallest and largest value of a metric in a group, NaN left out; NaN where the group holds none."""
        if group < len(self._opened):
            path, part, index = self._opened[group]
            if column not in self._names[path]:
                return np.nan, np.nan
            statistics = part.metadata.row_group(index).column(self._names[path][column]).statistics
            if statistics is not None and statistics.has_min_max:
                return statistics.min, statistics.max
        values = self.read(group, [column])[column].values
        real = values[~np.isnan(values)]
        return (float(real.min()), float(real.max())) if len(real) else (np.nan, np.nan)

    def count_until(self, number: int) -> int:
        count = self.groups.count_until(number)
        if count is not None:
            return count
        group = bisect_left(self.groups.numbers, number, key=lambda numbers: numbers[1])
        numbers = self.read(group, [self.key])[self.key].values
        return self.groups.starts[group] + int(np.searchsorted(numbers, number, side="right"))

    def position_of(self, number: int) -> int:
        return max(0, min(self.count_until(number - 1), self.groups.total - 1))

    def number_at(self, position: int) -> int:
        group = self.groups.of(position)
        index = position - self.groups.starts[group]
        if self.groups.is_gapless(group):
            return self.groups.numbers[group][0] + index
        return int(self.read(group, [self.key])[self.key].values[index])


def to_block(column: pa.ChunkedArray) -> ColumnValues:
    return ColumnValues(arrays.numbers(column), arrays.missing(column))


def concatenated(blocks: Sequence[ColumnValues]) -> ColumnValues:
    if len(blocks) == 1:
        return blocks[0]
    values = np.concatenate([block.values for block in blocks]) if blocks else np.empty(0)
    if all(block.missing is None for block in blocks):
        return ColumnValues(values)
    missing = [np.zeros(len(block.values), np.bool_) if block.missing is None else block.missing for block in blocks]
    return ColumnValues(values, np.concatenate(missing))


def _nothing(count: int) -> ColumnValues:
    return ColumnValues(np.full(count, np.nan), np.ones(count, np.bool_))
