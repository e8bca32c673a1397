"""The Parquet parts of a table: schema, reading, and growing the last one. FORMAT.md section 4 says what they contain.

Invariant: a part is replaced whole or not at all, and only the last part is ever replaced, or moved away when a run is
rewound; so the plain Parquet files are one clean series at every moment, for readers that know nothing of neurockt too.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from neurockt.store.base import files, layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import NULL_BITS, Rows
from neurockt.store.tables.arrays import numbers, to_array

ROW_GROUP_ROWS: Final = 65_536
"""Rows in a full row group: small enough for a reader to fetch only what it shows."""
ROW_GROUP_BYTES: Final = 32 * 2**20
"""A wide table's row groups hold fewer rows, so that one fits in this much memory."""
SHORT_GROUPS: Final = 32
"""Short row groups at the end of a part before they are joined. Until then the part only changes at its end, and a
reader that has the footer of the file that was replaced finds its rows in the new one."""
SHORT_CHUNKS: Final = 8192
"""Columns times short row groups before they are joined: with as many, the footer takes a megabyte."""
PART_ROWS: Final = 16 * ROW_GROUP_ROWS
"""Rows of a full part: ten million rows make ten files."""
PART_BYTES: Final = 64 * 2**20
"""Bytes of a full part: what one sealing rewrites at most."""

_TIME: Final = pa.timestamp("us", tz="UTC")
_FLOAT: Final = pa.float64()


def table_schema(columns: Iterable[str], key: str = "step") -> pa.Schema:
    """The axes of the table numbered by ``key``, never null, then one float64 a column."""
    fields = [pa.field(name, _TIME if name == "time" else pa.int64(), nullable=False) for name in layout.axes(key)]
    return pa.schema([*fields, *(pa.field(name, _FLOAT) for name in columns)])


def empty_table(schema: pa.Schema) -> pa.Table:
    """One without rows. ``schema.empty_table()`` imports pandas, which a process that exits no longer can."""
    return pa.Table.from_batches([], schema=schema)


def metric_columns(schema: pa.Schema) -> list[str]:
    return [name for name, kind in zip(schema.names, schema.types, strict=True) if kind == _FLOAT]


def row_group_rows(columns: int) -> int:
    return max(256, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // (8 * (columns + len(layout.AXES)))))


def rows_to_table(batches: Sequence[Rows], key: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Journal rows of the table numbered by ``key``, with ``columns`` (default: all, in order of appearance)."""
    if columns is None:
        columns = list(dict.fromkeys(name for batch in batches for name in batch.columns))
    schema = table_schema(columns, key)
    return pa.concat_tables([empty_table(schema), *(_batch_to_table(batch, key, schema) for batch in batches)])


def _batch_to_table(batch: Rows, key: str, schema: pa.Schema) -> pa.Table:
    position = {name: index for index, name in enumerate(batch.columns)}
    arrays = [to_array(batch.axis(name, key), schema.field(name).type) for name in layout.axes(key)]
    for name in schema.names[len(arrays) :]:
        if name not in position:
            arrays.append(pa.nulls(len(batch), _FLOAT))
            continue
        values = np.ascontiguousarray(batch.data["values"][:, position[name]])
        arrays.append(to_array(values, _FLOAT, missing=values.view(np.uint64) == NULL_BITS))
    return pa.Table.from_arrays(arrays, schema=schema)


def with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of ``schema``, in that order; those it lacks are null."""
    known = set(table.schema.names)
    arrays = [table[field.name] if field.name in known else pa.nulls(len(table), field.type) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def open_part(path: Path, key: str) -> pq.ParquetFile:
    """A part, opened for reading; raises pa.ArrowException or OSError where the file cannot be one."""
    try:
        part = _open(path)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"a column's name is damaged: {error}") from None
    if problem := _footer_problem(part, key):
        part.close()
        raise pa.ArrowInvalid(problem)
    return part


def read_group(
    path: Path, part: pq.ParquetFile, group: int, columns: Sequence[str] | None, key: str, *, use_threads: bool = False
) -> pa.Table:
    """A row group. Where the open file fails, as after a file server's fail-over, it is opened again by name."""
    try:
        return part.read_row_group(group, columns, use_threads=use_threads)
    except OSError as error:
        if error.errno is None:
            raise  # the bytes are wrong
        part, known = open_part(path, key), part.metadata
        if group >= part.num_row_groups or group_numbers(part.metadata, group, key) != group_numbers(known, group, key):
            raise
        return part.read_row_group(group, columns, use_threads=use_threads)


def _open(path: Path) -> pq.ParquetFile:
    """Arrow takes the name of a file only where it is UTF-8, but opens one by its bytes."""
    return pq.ParquetFile(pa.OSFile(os.fsencode(path)), page_checksum_verification=True)


def _footer_problem(part: pq.ParquetFile, key: str) -> str:
    """Why a Parquet file cannot be a part; empty if it can. Readers rely on it."""
    schema = part.schema_arrow
    expected = table_schema(metric_columns(schema), key)
    if schema.names != expected.names or schema.types != expected.types or len(set(schema.names)) < len(schema.names):
        return "its columns are not those of a part"
    last = -1
    for index in range(part.num_row_groups):
        group = part.metadata.row_group(index)
        statistics = group.column(layout.axes(key).index(key)).statistics
        if statistics is None or not statistics.has_min_max:
            return f"its footer lacks the range of each {key}"
        if statistics.min <= last or statistics.max - statistics.min < group.num_rows - 1:
            return f"the {key} does not rise in its footer"
        last = statistics.max
    return ""


def footer_range(metadata: pq.FileMetaData, key: str) -> tuple[int, int] | None:
    """The numbers of the first and last row a Parquet file holds, from its footer alone; None for an empty file."""
    if not metadata.num_row_groups:
        return None
    return group_numbers(metadata, 0, key)[0], group_numbers(metadata, metadata.num_row_groups - 1, key)[1]


def footer_last(metadata: pq.FileMetaData, key: str) -> int:
    """The number of the last row a Parquet file holds, from its footer alone; -1 for an empty file."""
    return (footer_range(metadata, key) or (-1, -1))[1]


def groups_between(metadata: pq.FileMetaData, key: str, after: int, until: int | None) -> range:
    """The row groups that may hold rows numbered above ``after`` and, where it is given, up to ``until``."""
    groups = range(metadata.num_row_groups)
    first = bisect_right(groups, after, key=lambda group: group_numbers(metadata, group, key)[1])
    if until is None:
        return groups[first:]
    end = bisect_right(groups, until, first, key=lambda group: group_numbers(metadata, group, key)[0])
    return groups[first:end]


def group_numbers(metadata: pq.FileMetaData, group: int, key: str) -> tuple[int, int]:
    statistics = metadata.row_group(group).column(layout.axes(key).index(key)).statistics
    return int(statistics.min), int(statistics.max)


class DamagedPart(Exception):
    """A part that was to grow cannot be read to its end."""


def append(run_dir: Path, table: TableName, new: pa.Table, *, join: bool = False) -> None:
    """Add rows after the last part's: grow that part while it is not full, then begin another.

    The rows become a row group of their own; with ``join``, when the part is full, or when there are too many of them,
    the short row groups at its end become one.

    Rows that the last part holds already are left out, so that an append may be repeated. Memory stays that of a few
    row groups, whatever the part holds.
    """
    existing = layout.part_paths(run_dir, table)
    number, room = 0, PART_ROWS
    if existing:
        number = int(existing[-1].stem.removeprefix("part-"))
        room, last = _room_and_last(existing[-1], layout.KEY[table])
        new = new.slice(rows_until(new, layout.KEY[table], last))
        if not room:
            number, room = number + 1, PART_ROWS
    while len(new):
        try:
            path = layout.part_path(run_dir, table, number)
            _grow(path, layout.KEY[table], new.slice(0, room), join or len(new) >= room)
        except DamagedPart:
            pass  # it stays as it is: readers read from it what can be read
        else:
            new = new.slice(room)
        number, room = number + 1, PART_ROWS
    pa.default_memory_pool().release_unused()  # Arrow would keep it until the next rows, much later


def rows_until(rows: pa.Table, key: str, number: int) -> int:
    return int(np.searchsorted(numbers(rows[key]), number, side="right"))


def rows_between(rows: pa.Table, key: str, after: int, until: int | None) -> pa.Table:
    begin = rows_until(rows, key, after)
    return rows.slice(begin, None if until is None else max(0, rows_until(rows, key, until) - begin))


def _room_and_last(part: Path, key: str) -> tuple[int, int]:
    """How many more rows fit in a part, and the number of its last one. A part that cannot be read is not changed."""
    try:
        with open_part(part, key) as opened:
            metadata = opened.metadata
    except (pa.ArrowException, OSError):
        return 0, -1
    full = part.stat().st_size >= PART_BYTES
    return 0 if full else max(0, PART_ROWS - int(metadata.num_rows)), footer_last(metadata, key)


def _grow(path: Path, key: str, new: pa.Table, join: bool) -> None:
    old = _open(path) if path.exists() else None
    names = dict.fromkeys([*(metric_columns(old.schema_arrow) if old else ()), *metric_columns(new.schema)])
    schema = table_schema(names, key)
    size = row_group_rows(len(names))
    kept = _groups_to_keep(old.metadata, size, join) if old else 0

    def write(temporary: Path) -> None:
        with open_writer(temporary, schema) as writer:
            for group in _regroup(old, kept, new, schema, size):
                writer.write_table(group, row_group_size=size)

    try:
        files.publish(path, write)
    finally:
        if old is not None:
            old.close(force=True)  # its destructor would close it too, and hold up the training loop meanwhile


def _groups_to_keep(metadata: pq.FileMetaData, size: int, join: bool) -> int:
    """How many of a part's row groups stay as they are: all, or those before the first short one."""
    short = [group for group in range(metadata.num_row_groups) if metadata.row_group(group).num_rows < size]
    join = join or len(short) >= min(SHORT_GROUPS, SHORT_CHUNKS // metadata.num_columns)
    return short[0] if short and join else int(metadata.num_row_groups)


def _regroup(old: pq.ParquetFile | None, kept: int, new: pa.Table, schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    """The old part's first row groups as they are, then the others and the new rows in full ones."""
    rest = empty_table(schema)
    if old is not None:
        for group in range(old.num_row_groups):
            try:
                rows = with_columns(old.read_row_group(group, use_threads=False), schema)
            except (pa.ArrowException, OSError) as error:
                raise DamagedPart from error
            if group < kept:
                yield rows
                continue
            rest = pa.concat_tables([rest, rows])
            while len(rest) >= size:
                yield rest.slice(0, size).combine_chunks()
                rest = rest.slice(size)
    rest = pa.concat_tables([rest, with_columns(new, schema)])
    for start in range(0, len(rest), size):
        yield rest.slice(start, size).combine_chunks()


@contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a Parquet file with these columns, encoded as the parts are; columns of texts and flags are plain."""
    plain = {pa.string(): "PLAIN", pa.bool_(): "PLAIN"}
    encodings = {
        name: "BYTE_STREAM_SPLIT" if kind == _FLOAT else plain.get(kind, "DELTA_BINARY_PACKED")
        for name, kind in zip(schema.names, schema.types, strict=True)
    }
    with (
        pa.OSFile(os.fsencode(path), "wb") as file,
        pq.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=False, write_page_checksum=True, column_encoding=encodings
        ) as writer,
    ):
        yield writer
