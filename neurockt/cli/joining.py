"""The rows of several runs as one table, each with values of its run in front."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neurockt.errors import ColumnNotFound
from neurockt.formatting import alternatives
from neurockt.query.fields import is_pattern, matching, unquoted
from neurockt.store import KEY, TABLES, Run, TableName, plain

if TYPE_CHECKING:
    import pyarrow as pa

Batches = Iterator["pa.Table"]


class RowsOfRuns:
    """A table of one or more runs. A column that a run lacks is null in its rows."""

    def __init__(
        self, runs: Sequence[Run], table: TableName, columns: Sequence[str] | None, joined: Mapping[str, Sequence[Any]]
    ) -> None:
        """Find the columns; ``ColumnNotFound`` where no run has one of them.

        Args:
            runs: whose rows.
            table: which rows.
            columns: only these; ``val/*`` stands for all that match.
            joined: what comes in front of each row, by the name of its column: a value for each run.
        """
        import pyarrow as pa

        self._runs = runs
        self._table = table
        columns = None if columns is None else _expanded(columns, runs, table)
        self._of_run = _columns_of_runs(runs, table, columns)
        wanted = columns if columns is not None else [name for found in self._of_run for name in found]
        found = [found[name] for name in dict.fromkeys(wanted) for found in self._of_run if name in found]
        own = {field.name: field for field in found}
        self._joined: dict[str, pa.Array] = {}
        for name, values in joined.items():
            while name in own or name in self._joined:
                name += "'"
            self._joined[name] = _array(values)
        in_front = [pa.field(name, values.type) for name, values in self._joined.items()]
        self.schema: pa.Schema = pa.schema([*in_front, *own.values()])
        self.is_empty = True
        """Whether no row has been read."""

    def batches(self) -> Batches:
        """The rows, run by run, a row group at a time."""
        import pyarrow as pa

        for index, run in enumerate(self._runs):
            names = [field.name for field in self._of_run[index].values()]
            _, pieces = run.batches(self._table, names or [KEY[self._table]])  # its rows count without columns, too
            for piece in pieces:
                self.is_empty = self.is_empty and not len(piece)
                columns = {name: pa.repeat(values[index], len(piece)) for name, values in self._joined.items()}
                columns |= dict(zip(piece.column_names, piece.columns, strict=True))
                lacking = (field for field in self.schema if field.name not in columns)
                columns |= {field.name: pa.nulls(len(piece), field.type) for field in lacking}
                yield pa.Table.from_arrays([columns[name] for name in self.schema.names], schema=self.schema)


def _expanded(names: Sequence[str], runs: Sequence[Run], table: TableName) -> list[str]:
    """The names without quotes, with all that a pattern matches in its place; ``ColumnNotFound`` if that is nothing."""
    having = runs if any(map(is_pattern, names)) else ()
    there = dict.fromkeys(name for run in having for name in run.batches(table)[0].names)
    columns: dict[str, None] = {}
    for name in names:
        found = matching(name, there)
        if not found and is_pattern(name) and any(getattr(run.info, table).rows for run in runs):
            raise ColumnNotFound(f"no column of {table} matches {name!r}; {alternatives(name, there)}")
        columns |= dict.fromkeys(found or ([] if is_pattern(name) else [unquoted(name)]))
    return list(columns)


def _columns_of_runs(runs: Sequence[Run], table: TableName, columns: Sequence[str] | None) -> list[dict[str, pa.Field]]:
    """The columns that each run has, by the names that were asked for; by default all."""
    if columns is None:
        return [{field.name: field for field in run.batches(table)[0]} for run in runs]
    there: list[dict[str, pa.Field]] = []
    missing: dict[str, ColumnNotFound] = {}
    for run in runs:
        found: dict[str, pa.Field] = {}
        there.append(found)
        with suppress(ColumnNotFound):  # most runs have all of them
            found |= zip(columns, run.batches(table, columns)[0], strict=True)
            continue
        for name in columns:
            try:
                (found[name],) = run.batches(table, [name])[0]
            except ColumnNotFound as error:
                missing.setdefault(name, error)
    for name, problem in missing.items():
        if not any(name in found for found in there):
            others = [other for other in TABLES if any(name in getattr(run.info, other).columns for run in runs)]
            raise ColumnNotFound(f"{name} is a column of {others[0]}: add --table {others[0]}") if others else problem
    return there


def _array(values: Sequence[Any]) -> pa.Array:
    """The values of a field: as numbers, flags or moments where all of them are, else as text."""
    import pyarrow as pa

    kinds = {type(value) for value in values if value is not None}
    for some, arrow in (
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({datetime}, pa.timestamp("us", "UTC")),
    ):
        if kinds and kinds <= some:
            with suppress(pa.ArrowInvalid, OverflowError):  # an integer may be too large
                return pa.array(values, arrow)
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if isinstance(value, tuple):  # tags
        value = ", ".join(value)
    text = value if value is None or isinstance(value, str) else json.dumps(plain(value))
    return text and text.encode(errors="replace").decode()
