"""Columns as numpy arrays and lists, and numpy arrays as columns.

pyarrow's own ``to_numpy``, ``pa.array``, and every value of time it gives would import pandas where it is installed:
half a second, in which the training loop is held up.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa

Bools = npt.NDArray[np.bool_]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_array(values: npt.NDArray[Any], kind: pa.DataType, missing: Bools | None = None) -> pa.Array:
    """A contiguous array of 8-byte numbers as Arrow, without a copy; null where ``missing`` is true."""
    import pyarrow as pa

    valid = None
    if missing is not None and missing.any():
        valid = pa.py_buffer(np.packbits(~missing, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(values)])


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """A column of 8-byte numbers: float64, or int64, in which a time is microseconds since 1970. No copy of one chunk.

    Where the column is null, any number may be.
    """
    kind = np.float64 if str(column.type) == "double" else np.int64
    chunks = [
        np.frombuffer(chunk.buffers()[1], kind)[chunk.offset : chunk.offset + len(chunk)]
        for chunk in column.chunks
        if len(chunk)
    ]
    return chunks[0] if len(chunks) == 1 else np.concatenate([np.empty(0, kind), *chunks])


def missing(column: pa.ChunkedArray) -> Bools | None:
    """Where a column is null; None where it has no null."""
    if not column.null_count:
        return None
    return np.concatenate([_missing(chunk) for chunk in column.chunks])


def _missing(chunk: pa.Array) -> Bools:
    valid = chunk.buffers()[0]
    if valid is None:
        return np.zeros(len(chunk), np.bool_)
    flags = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")
    return np.equal(flags[chunk.offset : chunk.offset + len(chunk)], 0)


def values(column: pa.ChunkedArray) -> list[Any]:
    """A column of numbers as a list, with None for null: ``to_pylist`` takes ten times as long."""
    found: list[Any] = numbers(column).tolist()
    nulls = missing(column)
    for index in () if nulls is None else np.flatnonzero(nulls).tolist():
        found[index] = None
    return found


def moment(microseconds: int) -> datetime:
    """A value of a column of times, as ``numbers`` gives it."""
    return _EPOCH + timedelta(microseconds=microseconds)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table as ``to_pylist`` gives them."""
    columns = [values(column) for column in table.columns]
    for index, kind in enumerate(table.schema.types):
        if str(kind).startswith("timestamp"):
            columns[index] = [None if value is None else moment(value) for value in columns[index]]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
