"""What the columns of a table came to: last, smallest and largest value, and where; computed away from the loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from neurockt.records import ColumnSummary, TableSummary
from neurockt.store.journal import NULL_BITS, Rows


def summarise(batches: Sequence[Rows], *, onto: TableSummary) -> TableSummary:
    """``onto`` with these rows added; they follow the ones it tells of."""
    columns = dict(onto.columns)
    rows = onto.rows
    for batch in batches:
        data = batch.data
        rows += len(data)
        for name, later in _summarise_batch(batch.columns, data["number"], data["values"]):
            columns[name] = _join(columns.get(name, ColumnSummary()), later)
    return TableSummary(rows, columns)


def _summarise_batch(
    names: Sequence[str], numbers: npt.NDArray[np.uint64], values: npt.NDArray[np.float64]
) -> Iterable[tuple[str, ColumnSummary]]:
    if not len(numbers):
        return [(name, ColumnSummary()) for name in names]
    values = np.ascontiguousarray(values)
    present: npt.NDArray[np.bool_] = np.asarray(values.view(np.uint64) != NULL_BITS)
    real: npt.NDArray[np.bool_] = np.asarray(values == values)  # not NaN
    lowest = np.argmin(np.where(real, values, np.inf), axis=0)
    highest = np.argmax(np.where(real, values, -np.inf), axis=0)
    # where all real values equal the filler, argmin may fall on a NaN: any of the real ones is as good
    last = len(numbers) - 1 - np.argmax(present[::-1], axis=0)
    first_real = np.argmax(real, axis=0)
    has_real = np.asarray(real.any(axis=0))
    counts = present.sum(axis=0)
    summaries = []
    for index, name in enumerate(names):
        summary = ColumnSummary()
        if counts[index]:
            at = last[index]
            summary = ColumnSummary(int(counts[index]), float(values[at, index]), int(numbers[at]))
        if has_real[index]:
            low, high = (at if real[at, index] else first_real[index] for at in (lowest[index], highest[index]))
            summary = replace(
                summary,
                min=float(values[low, index]),
                min_at=int(numbers[low]),
                max=float(values[high, index]),
                max_at=int(numbers[high]),
            )
        summaries.append((name, summary))
    return summaries


def _join(earlier: ColumnSummary, later: ColumnSummary) -> ColumnSummary:
    """Two summaries of the same column as one; on a tie the earlier row keeps the extreme."""
    joined = replace(earlier, count=earlier.count + later.count)
    if later.count:
        joined = replace(joined, last=later.last, last_at=later.last_at)
    if later.min is not None and (joined.min is None or later.min < joined.min):
        joined = replace(joined, min=later.min, min_at=later.min_at)
    if later.max is not None and (joined.max is None or later.max > joined.max):
        joined = replace(joined, max=later.max, max_at=later.max_at)
    return joined
