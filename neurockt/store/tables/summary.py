"""Summaries of the columns of a table: last, smallest and largest value, and their rows; computed outside the loop."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from neurockt.direction import smaller_is_better
from neurockt.run_info import ColumnSummary, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.base.run_file import moment
from neurockt.store.journal.records import NULL, NULL_BITS

if TYPE_CHECKING:
    import pyarrow as pa

BEST_ROWS: Final = 10
"""Metrics of a table, at most, for which the rows of their best values are kept: their number squared are kept."""


def summarise_parts(run_dir: Path, table: TableName) -> TableSummary:
    import pyarrow as pa

    from neurockt.store.tables import parts

    summary, key = TableSummary(), layout.KEY[table]
    for path in layout.part_paths(run_dir, table):
        with suppress(pa.ArrowException, OSError):
            part = parts.open_part(path, key)
            for group in range(part.num_row_groups):
                with suppress(pa.ArrowException, OSError):
                    rows = parts.read_group(path, part, group, None, key)
                    summary = summarise_rows(rows, key, onto=summary)
            if (last := parts.footer_last(part.metadata, key)) >= 0:
                summary = replace(summary, last=last)
    return summary


def summarise_rows(rows: pa.Table, key: str, *, onto: TableSummary) -> TableSummary:
    """``onto`` with these rows of the table numbered by ``key`` added; they follow those it summarises."""
    from neurockt.store.tables import arrays, parts

    names = parts.metric_columns(rows.schema)
    values = np.empty((len(rows), len(names)))
    for index, name in enumerate(names):
        column = rows[name]
        values[:, index] = arrays.numbers(column)
        if (missing := arrays.missing(column)) is not None:
            values[missing, index] = NULL
    times = arrays.numbers(rows["time"])
    return add_rows(onto, names, arrays.numbers(rows[key]), values, int(times[-1]) if len(times) else 0)


def add_rows(
    onto: TableSummary,
    names: Sequence[str],
    numbers: npt.NDArray[np.integer[Any]],
    values: npt.NDArray[np.float64],
    time_us: int,
) -> TableSummary:
    """``onto`` with these rows added, which follow those it summarises.

    Args:
        onto: the summary so far.
        names: of the metrics.
        numbers: of the rows.
        values: one for each name in each row.
        time_us: when the last row was recorded, in microseconds since 1970.
    """
    columns = {**onto.columns, **{name: onto.columns.get(name, ColumnSummary()) for name in names}}
    best = onto.best if len(columns) <= BEST_ROWS else {}
    if not len(numbers):
        return replace(onto, columns=columns, best=best)
    values = np.ascontiguousarray(values)
    present: npt.NDArray[np.bool_] = np.asarray(values.view(np.uint64) != NULL_BITS)
    real: npt.NDArray[np.bool_] = np.asarray(values == values)  # not NaN
    index = np.arange(len(names))
    # where all real values equal the filler, argmin may fall on a NaN: any of the real ones is as good
    first_real = np.argmax(real, axis=0)
    is_real = real[first_real, index].tolist()
    last = len(numbers) - 1 - np.argmax(present[::-1], axis=0)
    lowest = np.argmin(np.where(real, values, np.inf), axis=0)
    highest = np.argmax(np.where(real, values, -np.inf), axis=0)
    extremes = [np.where(real[at, index], at, first_real) for at in (lowest, highest)]
    found = (array.tolist() for at in (last, *extremes) for array in (values[at, index], numbers[at]))
    for name, has_real, count, *ends in zip(names, is_real, present.sum(axis=0).tolist(), *found, strict=True):
        if count:
            columns[name] = join(columns[name], ColumnSummary(count, *ends[: 6 if has_real else 2]))
    if len(columns) <= BEST_ROWS:
        best = dict(best)
        for name, low, high in zip(names, *extremes, strict=True):
            end, at = ("min_at", low) if smaller_is_better(name) else ("max_at", high)
            number = getattr(columns[name], end)
            if number is not None and number != getattr(onto.columns.get(name), end, None):
                best[name] = dict(compress(zip(names, values[at].tolist(), strict=True), present[at]))
    rows, last = onto.rows + len(numbers), int(numbers[-1])
    return replace(onto, rows=rows, columns=columns, best=best, last=last, last_time=moment(time_us * 1000))


def join(earlier: ColumnSummary, later: ColumnSummary) -> ColumnSummary:
    """Two summaries of the same column as one; on a tie the earlier row keeps the extreme."""
    last = later if later.count else earlier
    low = later if later.min is not None and (earlier.min is None or later.min < earlier.min) else earlier
    high = later if later.max is not None and (earlier.max is None or later.max > earlier.max) else earlier
    return ColumnSummary(
        earlier.count + later.count, last.last, last.last_at, low.min, low.min_at, high.max, high.max_at
    )
