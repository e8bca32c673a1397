"""Any rows of a table by their place, at the price of the row groups that hold them; for tables of any size.

Places count from 0 and stay, as a table only grows; but a run that is resumed from a checkpoint is rewound, and then
everything is looked up again. The rows that are in no part yet form one last group.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.reading.follow import TableFollower
from neurockt.store.tables import parts

TAIL_ROWS: Final = 2 * parts.ROW_GROUP_ROWS
"""When so many rows have come since the parts were opened, they are opened again, so that the rows leave the memory."""


@dataclass(frozen=True)
class Block:
    """A column's values in one group: int64 for step, epoch and time (microseconds since 1970), else float64."""

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_] | None = None
    """Which of them are null; None where none is."""

    def at(self, index: int) -> int | float | None:
        """One value; None for null."""
        if self.missing is not None and self.missing[index]:
            return None
        value: int | float = self.values[index].item()
        return value


@dataclass(frozen=True)
class Groups:
    """How the rows of a table lie in groups."""

    starts: tuple[int, ...] = (0,)
    """The place of each group's first row, and at the end the number of rows."""
    numbers: tuple[tuple[int, int], ...] = ()
    """The numbers of each group's first and last row."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def total(self) -> int:
        """Rows of the table."""
        return self.starts[-1]

    def of(self, place: int) -> int:
        """The group that holds the row."""
        return bisect_right(self.starts, place) - 1

    def span(self, group: int) -> range:
        """The places of a group's rows."""
        return range(self.starts[group], self.starts[group + 1])

    def after(self, number: int) -> int:
        """The group that holds the row of that number, or the next one; beyond the last, how many groups there are."""
        return bisect_left(self.numbers, number, key=lambda numbers: numbers[1])

    def place_of(self, number: int) -> int | None:
        """The place of the row of that number, else of the next one, else of the last.

        None where that cannot be told without reading, since numbers were skipped within the group.
        """
        group = self.after(number)
        if group == len(self):
            return max(0, self.total - 1)
        first, last = self.numbers[group]
        if number > first and last - first != len(self.span(group)) - 1:
            return None
        return self.starts[group] + max(0, number - first)


class RowReader:
    """Reads rows of one table wherever they are. Never writes; not to be shared between threads."""

    def __init__(self, run_dir: Path, table: TableName) -> None:
        """Nothing is read before ``refresh``."""
        self.groups = Groups()
        self.columns: tuple[str, ...] = layout.axes(layout.KEY[table])
        """``step``, ``epoch``, ``time``, then the metrics; in `system` ``sample`` before them all."""
        self.damaged: dict[Path, str] = {}
        """The files that could not be read, and why."""
        self.rewinds = 0
        """How often ``refresh`` found that rows were superseded: what was read of the table before is then void."""
        self.key = layout.KEY[table]
        self._run_dir = run_dir
        self._table = table
        self._opened: list[tuple[pq.ParquetFile, int]] = []
        """A row group each: the part that holds it, and its index there."""
        self._numbers: list[tuple[int, int]] = []
        """The numbers of the first and last row of each of them."""
        self._paths: dict[int, Path] = {}
        self._tail: list[pa.Table] = []
        self._follower: TableFollower | None = None
        self._superseded: frozenset[str] = frozenset()

    def refresh(self) -> bool:
        """Look for rows that have come; whether there are any."""
        before = self.groups.total, self.columns, self.rewinds
        if self._follower is None or sum(map(len, self._tail)) > TAIL_ROWS:
            self._open()
        new = self._new_rows()
        if len(new):
            self._tail.append(new)
        self._arrange()
        return (self.groups.total, self.columns, self.rewinds) != before

    def _new_rows(self) -> pa.Table:
        """The rows that follow those there are; where some of these were superseded, all is opened once more."""
        while True:
            assert self._follower is not None
            new = self._follower.new_rows()
            if self._superseded == layout.superseded_names(self._run_dir):
                return new
            self.rewinds += 1
            self._open()

    def _open(self) -> None:
        """Open the parts there are now; the follower gives what comes after them."""
        self._opened, self._numbers, self._tail, self._paths = [], [], [], {}
        self._superseded = layout.superseded_names(self._run_dir)
        last = 0
        for path in layout.part_paths(self._run_dir, self._table):
            try:
                part = parts.open_part(path, self.key)
            except FileNotFoundError:
                break  # it is being superseded, as are those after it
            except (pa.ArrowException, OSError) as error:
                self._tell(path, error)
                continue
            self._paths[id(part)] = path
            self._opened += [(part, group) for group in range(part.num_row_groups)]
            self._numbers += [
                parts.group_numbers(part.metadata, group, self.key) for group in range(part.num_row_groups)
            ]
            last = parts.footer_last(part.metadata, self.key) or last
        self._follower = TableFollower(self._run_dir, self._table, after=last)

    def _arrange(self) -> None:
        sizes = [part.metadata.row_group(group).num_rows for part, group in self._opened]
        numbers = list(self._numbers)
        if tail := sum(map(len, self._tail)):
            sizes.append(tail)
            numbers.append((self._tail[0][self.key][0].as_py(), self._tail[-1][self.key][-1].as_py()))
        self.groups = Groups(tuple(accumulate(sizes, initial=0)), tuple(numbers))
        schemas = [part.schema_arrow for part in {id(part): part for part, _ in self._opened}.values()]
        schemas += [table.schema for table in self._tail]
        known = dict.fromkeys(name for schema in schemas for name in parts.metric_columns(schema))
        self.columns = (*layout.axes(self.key), *known)

    def _tell(self, path: Path, error: Exception) -> None:
        self.damaged[path] = str(error).partition("\n")[0]

    def read(self, group: int, columns: Sequence[str]) -> dict[str, Block]:
        """A group's columns. Those it lacks, and what cannot be read, are null."""
        count = len(self.groups.span(group))
        if group >= len(self._opened):
            return {name: self._tail_block(name) for name in columns}
        part, index = self._opened[group]
        there = [name for name in columns if name in part.schema_arrow.names]
        try:
            rows = part.read_row_group(index, there, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            self._tell(self._paths[id(part)], error)
            there = []
        return {name: to_block(rows[name]) if name in there else _nothing(count) for name in columns}

    def _tail_block(self, name: str) -> Block:
        blocks = [to_block(table[name]) if name in table.schema.names else _nothing(len(table)) for table in self._tail]
        missing = None
        if any(block.missing is not None for block in blocks):
            missing = np.concatenate(
                [np.zeros(len(b.values), np.bool_) if b.missing is None else b.missing for b in blocks]
            )
        return Block(np.concatenate([block.values for block in blocks]), missing)

    def bounds(self, group: int, column: str) -> tuple[float, float]:
        """The smallest and largest value of a metric in a group, NaN left out; NaN where the group holds none.

        Of a part the footer tells; where it does not, infinities stand for "cannot tell".
        """
        if group < len(self._opened):
            part, index = self._opened[group]
            if column not in part.schema_arrow.names:
                return np.nan, np.nan
            statistics = part.metadata.row_group(index).column(part.schema_arrow.names.index(column)).statistics
            if statistics is not None and statistics.has_min_max:
                return statistics.min, statistics.max
            if statistics is not None and statistics.null_count == len(self.groups.span(group)):
                return np.nan, np.nan
            return -np.inf, np.inf
        block = self._tail_block(column)
        real = block.values[~np.isnan(block.values)]
        return (float(real.min()), float(real.max())) if len(real) else (np.nan, np.nan)

    def place_of(self, number: int) -> int:
        """The place of the row of that number, else of the next one, else of the last."""
        place = self.groups.place_of(number)
        if place is not None:
            return place
        group = self.groups.after(number)
        numbers = self.read(group, [self.key])[self.key].values
        return self.groups.starts[group] + int(np.searchsorted(numbers, number))


def to_block(column: pa.ChunkedArray) -> Block:
    """A column as numpy. ``to_numpy`` would import pandas where it is installed."""
    values, missing = [], []
    for chunk in column.chunks:
        valid, data = chunk.buffers()
        kind = np.float64 if pa.types.is_floating(chunk.type) else np.int64
        span = slice(chunk.offset, chunk.offset + len(chunk))
        values.append(np.frombuffer(data, kind)[span])
        if chunk.null_count:
            missing.append(np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[span] == 0)
        else:
            missing.append(np.zeros(len(chunk), np.bool_))
    if not values:
        return Block(np.empty(0))
    together = values[0] if len(values) == 1 else np.concatenate(values)
    return Block(together, np.concatenate(missing) if column.null_count else None)


def _nothing(count: int) -> Block:
    return Block(np.full(count, np.nan), np.ones(count, np.bool_))
