"""SQL over the runs of a directory, with DuckDB: their Parquet files where they are, and rows that are in none yet."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neurockt.catalogue import list_runs
from neurockt.errors import MissingExtra
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store import KEY, RANK, TABLES, TableName, default_root, layout, open_run, plain
from neurockt.store.tables import parts

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_NO_TYPE: Final = re.compile('"NULL"(?!:)')
"""The type of a key that is null everywhere."""
_GLOB: Final = str.maketrans({character: f"[{character}]" for character in "*?["})


def connect(root: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with views of the runs in a directory; archived runs are left out.

    ``runs`` has a row for each run: id, name, project, group, state, cause, host, tags, notes, started, ended, seconds,
    steps, epochs (the number of the last row), path, and the structures ``config`` and ``metrics``, as in ``config.lr``
    and ``metrics.acc.max`` (last, min and max of each); what cannot be a structure is JSON. The views ``steps``,
    ``epochs``, ``late`` and ``system`` have the rows of all runs, with a column ``run`` and, where ranks keep their own
    rows, ``rank``. Rows that are not in Parquet yet are those of the moment of this call.

    Args:
        root: a directory of runs, or one run; default ``$NEUROCKT_DIR``, else ``runs``.

    Raises:
        RunNotFound: there is no such directory.
        MissingExtra: DuckDB is not installed.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("SQL needs DuckDB: pip install 'neurockt[sql]'") from error
    runs = list_runs(default_root() if root is None else root)
    connection = duckdb.connect()
    connection.register("_runs", _describe(runs))
    connection.execute(f"CREATE TABLE runs AS SELECT * REPLACE ({_structure(connection)} AS config) FROM _runs")
    for table in TABLES:
        _add_table(connection, table, runs)
    return connection


def _structure(connection: duckdb.DuckDBPyConnection) -> str:
    """An expression for the configs as a STRUCT; as JSON where they cannot be one, as with the keys `a` and `A`."""
    import duckdb

    as_json = "CAST(config AS JSON)"
    try:
        (found,) = connection.execute(f"SELECT json_group_structure({as_json}) FROM _runs").fetchone() or ("",)
        structure = _NO_TYPE.sub('"VARCHAR"', str(found))
        expression = f"from_json({as_json}, {_quoted(structure)})"
        connection.execute(f"SELECT {expression} FROM _runs")
    except duckdb.Error:
        return as_json
    return expression if structure.startswith("{") and structure != "{}" else as_json


@dataclass
class _Files:
    """The files of one table, of all runs."""

    named: list[str] = field(default_factory=list)
    """Those whose path names their run, and all of whose rows count."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """Path, run and rank of the others, and the number of their last row that counts; later ones are unsealed."""
    unsealed: list[pa.Table] = field(default_factory=list)
    """Rows that are not in Parquet yet."""

    def add(self, run_dir: Path, table: TableName, run: str, rank: int | None) -> None:
        import pyarrow as pa

        found, key = layout.part_paths(run_dir, table), KEY[table]
        until: int | None = None
        if _has_unsealed_rows(run_dir, table):
            until = -1
            if found:
                with suppress(pa.ArrowException, OSError), parts.open_part(found[-1], key) as part:
                    until = parts.footer_last(part.metadata, key)
            rows = open_run(run_dir).window(table, after=until)
            if len(rows):
                rows = rows.add_column(0, "run", pa.array([run] * len(rows), pa.string()))
                self.unsealed.append(rows.append_column(RANK, pa.array([rank] * len(rows), pa.int64())))
        if until is None and rank is None and run_dir.name == run:
            self.named += map(str, found)
        else:
            self.others += [{"filename": str(path), "run": run, RANK: rank, "until": until} for path in found]

    @property
    def have_ranks(self) -> bool:
        return any(other[RANK] is not None for other in self.others) or any(
            rows[RANK].null_count < len(rows) for rows in self.unsealed
        )


def _has_unsealed_rows(run_dir: Path, table: TableName) -> bool:
    paths = (layout.journal_path, layout.next_journal_path, layout.open_row_path)
    return any(os.path.exists(path(run_dir, table)) for path in paths)


def _add_table(connection: duckdb.DuckDBPyConnection, table: TableName, runs: Iterable[RunInfo]) -> None:
    """Make the view of a table."""
    import pyarrow as pa

    found = _Files()
    for info in runs:
        ranks: list[tuple[int | None, Path]] = [(None, info.path)]
        if info.ranks is not None:
            ranks = [*layout.rank_paths(info.path).items()]
        for rank, path in ranks:
            found.add(path, table, info.id, rank)
    empty = parts.empty_table(parts.table_schema((), KEY[table]))
    unsealed = empty.add_column(0, "run", pa.array([], pa.string())).append_column(RANK, pa.array([], pa.int64()))
    if found.unsealed:
        unsealed = pa.concat_tables([unsealed, *found.unsealed], promote_options="default")
    connection.register(f"_unsealed_{table}", unsealed)
    schema = pa.schema([("filename", pa.string()), ("run", pa.string()), (RANK, pa.int64()), ("until", pa.int64())])
    connection.register(f"_files_{table}", pa.Table.from_pylist(found.others, schema=schema))
    pieces = [f"SELECT * FROM _unsealed_{table}"]
    if found.named:  # of each file its path is one value, and so is what is made of it: nothing is joined
        pieces.append(f"SELECT parse_path(filename)[-3] AS run, * EXCLUDE (filename) FROM {_parquet(found.named)}")
    if found.others:
        others = _parquet(other["filename"] for other in found.others)
        pieces.append(
            f"SELECT f.run, p.* EXCLUDE (filename), f.{RANK} FROM {others} p JOIN _files_{table} f "
            f"ON p.filename = f.filename WHERE f.until IS NULL OR p.{KEY[table]} <= f.until"
        )
    dropped = "" if found.have_ranks else f" EXCLUDE ({RANK})"
    connection.execute(f"CREATE VIEW {table} AS SELECT *{dropped} FROM ({' UNION ALL BY NAME '.join(pieces)})")


def _parquet(paths: Iterable[str]) -> str:
    listed = ", ".join(_quoted(path.translate(_GLOB)) for path in paths)
    return f"read_parquet([{listed}], union_by_name = true, filename = true)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _describe(runs: Iterable[RunInfo]) -> pa.Table:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    columns: dict[str, tuple[pa.DataType, Any]] = {
        "id": (pa.string(), lambda info: info.id),
        "name": (pa.string(), lambda info: info.label),
        "project": (pa.string(), lambda info: info.project),
        "group": (pa.string(), lambda info: info.group),
        "state": (pa.string(), lambda info: info.state),
        "cause": (pa.string(), lambda info: info.cause),
        "host": (pa.string(), lambda info: info.attempt.host if info.attempt else None),
        "tags": (pa.list_(pa.string()), lambda info: list(info.tags)),
        "notes": (pa.string(), lambda info: info.notes),
        "started": (moment, lambda info: info.created),
        "ended": (moment, lambda info: info.ended),
        "seconds": (pa.float64(), lambda info: info.seconds),
        "steps": (pa.int64(), lambda info: info.steps.number),
        "epochs": (pa.int64(), lambda info: info.epochs.number),
        "path": (pa.string(), lambda info: str(info.path)),
        "config": (pa.string(), lambda info: json.dumps(info.config)),
    }
    runs = list(runs)
    metrics = [_metrics([info.steps, info.epochs]) for info in runs]
    arrays = [pa.array([value(info) for info in runs], kind) for kind, value in columns.values()]
    return pa.table([*arrays, _structures(metrics)], names=[*columns, "metrics"])


def _structures(metrics: list[dict[str, dict[str, float | None]]]) -> pa.Array:
    """The summaries as structures; as JSON where names differ in nothing but case, which DuckDB takes for one."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for each in metrics for name in each))
    if not names or len({name.casefold() for name in names}) < len(names):
        return pa.array([json.dumps(plain(each)) for each in metrics], pa.string())
    summary = pa.struct([(which, pa.float64()) for which in ("last", "min", "max")])
    return pa.array(metrics, pa.struct([(name, summary) for name in names]))


def _metrics(tables: Iterable[TableSummary]) -> dict[str, dict[str, float | None]]:
    return {
        name: {"last": each.last, "min": each.min, "max": each.max}
        for table in tables
        for name, each in table.columns.items()
        if each.count
    }
