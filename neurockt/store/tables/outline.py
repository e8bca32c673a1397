"""A summary of a table, row group by row group, without reading its rows: enough to draw ten million steps.

Parquet keeps the smallest and largest value and the nulls of every row group in its footer. NaN are not in these
extremes; infinities are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from neurockt.store.base import layout
from neurockt.store.journal.records import NULL_BITS, Rows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest value of a metric in each row group; NaN where it has none, or they are not known."""

    low: Floats
    high: Floats


@dataclass(frozen=True)
class Outline:
    """The row groups of a table in order: their rows, their range of each axis, and the extremes of each metric."""

    rows: Integers
    axes: dict[str, tuple[Integers, Integers]]
    """Smallest and largest ``step``, ``epoch``, ``time`` (microseconds since 1970, UTC) and, in `system`, ``sample`` of
    each row group."""
    metrics: dict[str, Extremes]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def total(self) -> int:
        return int(self.rows.sum())


def outline_of(footers: Sequence[pq.FileMetaData], journal: Sequence[Rows], key: str) -> Outline:
    groups = [_of_group(footer, index, key) for footer in footers for index in range(footer.num_row_groups)]
    groups += [_of_rows(batch, key) for batch in journal if len(batch)]
    axes = layout.axes(key)
    names = dict.fromkeys(name for group in groups for name in group if name not in axes and name)

    def column(name: str, missing: Any, kind: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        pairs = np.array([group.get(name, missing) for group in groups], kind).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    nothing = (np.nan, np.nan)
    return Outline(
        np.array([group[""][0] for group in groups], np.int64),
        {name: column(name, (0, 0), np.int64) for name in axes},
        {name: Extremes(*column(name, nothing, np.float64)) for name in names},
    )


def _of_group(footer: pq.FileMetaData, index: int, key: str) -> dict[str, tuple[Any, Any]]:
    """Extremes by column; the rows under the empty name."""
    group, axes = footer.row_group(index), layout.axes(key)
    found: dict[str, tuple[Any, Any]] = {"": (group.num_rows, 0)}
    for position in range(group.num_columns):
        column = group.column(position)
        name, statistics = column.path_in_schema, column.statistics
        if statistics is None or not statistics.has_min_max:
            found.setdefault(name, (np.nan, np.nan) if name not in axes else (0, 0))
        elif name == "time":  # as numbers: a moment would import pandas
            found[name] = statistics.min_raw, statistics.max_raw
        else:
            found[name] = statistics.min, statistics.max
    return found


def _of_rows(batch: Rows, key: str) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {"": (len(batch), 0)}
    for name in layout.axes(key):
        numbers = batch.axis(name, key)
        found[name] = numbers.min(), numbers.max()
    for index, name in enumerate(batch.columns):
        values = np.ascontiguousarray(batch.data["values"][:, index])
        real = values[(values == values) & (values.view(np.uint64) != NULL_BITS)]
        found[name] = (real.min(), real.max()) if len(real) else (np.nan, np.nan)
    return found
