"""Rows of a run's tables, as Arrow reads them, as arrays of numbers; pyarrow itself is not loaded for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurockt.store.base.layout import KEY
from neurockt_viewer.charts.pyramid import Values

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store.base.layout import TableName


def axes_of(rows: pa.Table, table: TableName) -> Values:
    """The axes of rows, with nothing for a value."""
    step, number = numbers_of(rows["step"], np.int64), numbers_of(rows[KEY[table]], np.int64)
    return Values(number, step, numbers_of(rows["time"], np.int64), np.zeros(len(number)))


def values_of(axes: Values, column: pa.ChunkedArray) -> Values:
    """A column's values that are not null."""
    values = numbers_of(column, np.float64)
    if not column.null_count:
        return Values(axes.number, axes.step, axes.time, values)
    valid = np.concatenate([_valid(chunk) for chunk in column.chunks])
    return Values(axes.number[valid], axes.step[valid], axes.time[valid], values[valid])


def numbers_of(column: pa.ChunkedArray, kind: Any) -> npt.NDArray[Any]:
    """A column of 8-byte numbers without a copy where it is in one piece; ``to_numpy`` would load pandas."""
    chunks = [
        np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, kind), *chunks])


def _valid(chunk: pa.Array) -> npt.NDArray[np.bool_]:
    bits = chunk.buffers()[0]
    if bits is None:
        return np.ones(len(chunk), np.bool_)
    flags: npt.NDArray[np.bool_] = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little").astype(np.bool_)
    return flags[chunk.offset : chunk.offset + len(chunk)]
