"""Rows of a run's tables, as Arrow reads them, as arrays of numbers; pyarrow itself is not loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurockt.store import KEY, arrays
from neurockt_viewer.charts.pyramid import Values

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import TableName


def axes_of(rows: pa.Table, table: TableName) -> Values:
    """The axes of rows, with nothing for a value."""
    number = arrays.numbers(rows[KEY[table]])
    return Values(number, arrays.numbers(rows["step"]), arrays.numbers(rows["time"]), np.zeros(len(number)))


def values_of(axes: Values, column: pa.ChunkedArray) -> Values:
    """A column's values that are not null."""
    values, missing = arrays.numbers(column), arrays.missing(column)
    if missing is None:
        return Values(axes.number, axes.step, axes.time, values)
    return Values(axes.number[~missing], axes.step[~missing], axes.time[~missing], values[~missing])
