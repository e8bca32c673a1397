"""SQL over the runs of a directory, with DuckDB: their Parquet files where they are, and rows that are in none yet."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from neurockt.catalogue import list_runs
from neurockt.errors import MissingExtra, NeurocktError
from neurockt.query.fields import parse_field
from neurockt.query.metrics import metric_summary
from neurockt.run_info import RunInfo
from neurockt.store import KEY, RANK, TABLES, TableName, default_root, layout, open_run, plain

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_NO_TYPE: Final = re.compile('"NULL"(?!:)')
"""The type of a key that is null everywhere."""
_GLOB: Final = str.maketrans({character: f"[{character}]" for character in "*?["})
_RUNS: Final[dict[str, Any]] = {
    **dict.fromkeys(("id", "name", "project", "group", "state", "cause", "host"), "VARCHAR"),
    "tags": ["VARCHAR"],
    "notes": "VARCHAR",
    **dict.fromkeys(("started", "ended"), "TIMESTAMPTZ"),
    "seconds": "DOUBLE",
    **dict.fromkeys(("steps", "epochs"), "BIGINT"),
    "path": "VARCHAR",
    "config": "JSON",
}
_FIELDS: Final = {name: parse_field("duration" if name == "seconds" else name) for name in _RUNS if name != "config"}
_SUMMARY: Final = dict.fromkeys(("last", "min", "max"), "DOUBLE")
_PATH: Final = "_neurockt_path"
"""The column that has the path of a row's file, for as long as a query takes."""


def connect(root: str | os.PathLike[str] | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with views of the runs in a directory; archived runs are left out.

    ``runs`` has a row for each run: id, name, project, group, state, cause, host, tags, notes, started, ended, seconds,
    steps, epochs (the number of the last row), path, and the structures ``config`` and ``metrics``, as in ``config.lr``
    and ``metrics.acc.max`` (last, min and max of each); what cannot be a structure is JSON. The views ``steps``,
    ``epochs``, ``late`` and ``system`` have the rows of all runs, with a column ``run``. Where ranks keep their own
    rows there is a column ``rank``, and where rows are attached to a run, ``attached`` with their name; metrics of
    these names are ``metric_run`` and so on. Rows that are not in Parquet yet are those of the moment of this call.

    Args:
        root: a directory of runs, or one run; default ``$NEUROCKT_DIR``, else ``runs``.

    Raises:
        RunNotFound: there is no such directory.
        MissingExtra: DuckDB is not installed.
        NeurocktError: a file was removed meanwhile; ask again.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("SQL needs DuckDB: pip install 'neurockt[sql]'") from error
    runs = list_runs(default_root() if root is None else root)
    connection = duckdb.connect()
    _add_runs(connection, runs)
    found = {table: _Files(table) for table in TABLES}
    for info in runs:
        for whose, described, path in _directories(info):
            names: frozenset[str] = frozenset()
            with suppress(OSError):  # it has been removed
                names = frozenset(os.listdir(path))
            for files in found.values():
                files.add(whose, described, path, names)
    try:
        for files in found.values():
            files.make_view(connection)
    except duckdb.IOException as error:  # a file was removed meanwhile
        raise NeurocktError(str(error).partition("\n")[0]) from None
    return connection


class _Whose(NamedTuple):
    """Whose the rows of a directory are; the names are those of columns of the views."""

    run: str
    rank: int | None = None
    attached: str | None = None


def _directories(info: RunInfo) -> Iterator[tuple[_Whose, RunInfo, Path]]:
    """Those with rows of a run, each with what describes its rows."""
    if info.ranks is None:
        yield _Whose(info.id), info, info.path
    else:
        yield from ((_Whose(info.id, rank), info, path) for rank, path in layout.rank_paths(info.path).items())
    yield from ((_Whose(info.id, attached=name), each, each.path) for name, each in info.attached.items())


def _add_runs(connection: duckdb.DuckDBPyConnection, runs: Sequence[RunInfo]) -> None:
    """Make the table of the runs. DuckDB reads them as JSON, which needs neither pyarrow nor numpy."""
    rows = [_describe(info) for info in runs]
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    kinds = {**_RUNS, "metrics": dict.fromkeys(metrics, _SUMMARY) if metrics and _are_distinct(metrics) else "JSON"}
    texts = [json.dumps(plain(row) if kinds["metrics"] == "JSON" else row, ensure_ascii=False) for row in rows]
    connection.execute(
        "CREATE TEMP TABLE _runs AS SELECT run.* FROM (SELECT from_json(unnest($1::VARCHAR[]), $2) AS run)",
        [[text.encode(errors="replace").decode() for text in texts], json.dumps(kinds)],
    )
    connection.execute(f"CREATE TABLE runs AS SELECT * REPLACE ({_structure(connection)} AS config) FROM _runs")


def _structure(connection: duckdb.DuckDBPyConnection) -> str:
    """An expression for the configs as a STRUCT; as JSON where they cannot be one, as with the keys `a` and `A`."""
    import duckdb

    try:
        (found,) = connection.execute("SELECT json_group_structure(config) FROM _runs").fetchone() or ("",)
        structure = _NO_TYPE.sub('"VARCHAR"', str(found))
        expression = f"from_json(config, {_literal(structure)})"
        connection.execute(f"SELECT {expression} FROM _runs")
    except duckdb.Error:
        return "config"
    return expression if structure.startswith("{") and structure != "{}" else "config"


@dataclass
class _Files:
    """The files of one table, of all runs."""

    table: TableName
    columns: dict[str, None] = field(default_factory=dict)
    """The metrics that the files have."""
    named: list[str] = field(default_factory=list)
    """Those whose path names their run, and all of whose rows count."""
    others: list[tuple[str, _Whose, int | None]] = field(default_factory=list)
    """Path and owner of the others, and the number of their last row that counts; later ones are unsealed."""
    unsealed: list[tuple[_Whose, pa.Table]] = field(default_factory=list)
    """Owner of rows that are not in Parquet yet, and these rows."""

    def add(self, whose: _Whose, info: RunInfo, run_dir: Path, names: frozenset[str]) -> None:
        """Add those of a directory; ``names`` are what it holds."""
        found = layout.part_paths(run_dir, self.table) if self.table in names else []
        known, until = getattr(info, self.table).columns, None
        is_unsealed = any(path(run_dir, self.table).name in names for path in _UNSEALED)
        if found and (is_unsealed or whose.rank is not None or info.ended is None or not known):
            known, until = self._read_footer(found[-1])  # run.json may be older
        if found:
            self.columns.update(dict.fromkeys(known))
        if is_unsealed:
            rows = open_run(run_dir).window(self.table, after=-1 if until is None else until)
            self.unsealed += [(whose, rows)] if len(rows) else []
        if not is_unsealed and whose == (run_dir.name, None, None):
            self.named += map(str, found)
        else:
            self.others += [(str(path), whose, until if is_unsealed else None) for path in found]

    def _read_footer(self, path: Path) -> tuple[Iterable[str], int]:
        """The metrics of a part, and the number of its last row; -1 where it cannot be read, which a query reports."""
        import pyarrow as pa

        from neurockt.store.tables import parts

        with suppress(pa.ArrowException, OSError), parts.open_part(path, KEY[self.table]) as part:
            return parts.metric_columns(part.schema_arrow), parts.footer_last(part.metadata, KEY[self.table])
        return (), -1

    def make_view(self, connection: duckdb.DuckDBPyConnection) -> None:
        key = KEY[self.table]
        axes = {name: "TIMESTAMPTZ" if name == "time" else "BIGINT" for name in layout.axes(key)}
        owners = [*(whose for _, whose, _ in self.others), *(whose for whose, _ in self.unsealed)]
        about = {"run": "VARCHAR"}
        about |= {RANK: "BIGINT"} if any(whose.rank is not None for whose in owners) else {}
        about |= {layout.ATTACHED: "VARCHAR"} if any(whose.attached is not None for whose in owners) else {}
        empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in {**about, **axes}.items())
        pieces = [f"SELECT {empty} WHERE false"]
        for index, (whose, rows) in enumerate(self.unsealed):
            connection.register(f"_unsealed_{self.table}_{index}", rows)
            rows_of = f"(SELECT *, NULL AS {_PATH} FROM _unsealed_{self.table}_{index})"
            owner = ", ".join(f"{_literal(getattr(whose, name))} AS {name}" for name in about)
            pieces.append(f"SELECT {owner}, {_others(about, rows.column_names)} FROM {rows_of}")
        if not self._are_distinct(axes):
            self.others += [(path, _Whose(Path(path).parts[-3]), None) for path in self.named]
            self.named.clear()
        if self.named:  # of each file its path is one value, and so is what is made of it: nothing is joined
            parquet = self._parquet(self.named, axes)
            pieces.append(f"SELECT parse_path({_PATH})[-3] AS run, {_others(about, self.columns)} FROM {parquet}")
        if self.others:
            parquet = self._parquet((path for path, *_ in self.others), axes)
            files = ", ".join(
                f"({', '.join(_literal(value) for value in (path, until, *whose))})"
                for path, whose, until in self.others
            )
            owner = ", ".join(f"f.of_{name} AS {name}" for name in about)
            pieces.append(
                f"SELECT {owner}, p.{_others(about, self.columns)} FROM {parquet} p "
                f"JOIN (VALUES {files}) f ({_PATH}, until, of_run, of_{RANK}, of_{layout.ATTACHED}) "
                f"ON p.{_PATH} = f.{_PATH} WHERE f.until IS NULL OR p.{key} <= f.until::BIGINT"
            )
        connection.execute(f"CREATE VIEW {self.table} AS {' UNION ALL BY NAME '.join(pieces)}")

    def _are_distinct(self, axes: Iterable[str]) -> bool:
        """Whether a name finds one column of a file. If not, DuckDB has to read all files and to name the columns."""
        return _are_distinct([*axes, *self.columns])

    def _parquet(self, paths: Iterable[str], axes: dict[str, str]) -> str:
        """The rows of files. With their schema, no footer is read before a query asks for rows."""
        schema = "union_by_name = true"
        if self._are_distinct(axes):
            kinds = {**axes, **dict.fromkeys(self.columns, "DOUBLE")}
            fields = (
                f"{_literal(name)}: {{name: {_literal(name)}, type: '{kind}', default_value: NULL}}"
                for name, kind in kinds.items()
            )
            schema = f"schema = MAP {{{', '.join(fields)}}}"
        listed = ", ".join(_literal(path.translate(_GLOB)) for path in paths)
        return f"read_parquet([{listed}], filename = '{_PATH}', {schema})"


_UNSEALED: Final = (layout.journal_path, layout.next_journal_path, layout.open_row_path)


def _are_distinct(names: Sequence[str]) -> bool:
    """Whether DuckDB takes none of them for the same as another: it ignores case."""
    return len({name.casefold() for name in names}) == len(names)


def _others(about: Iterable[str], columns: Iterable[str]) -> str:
    """The columns of the rows themselves; those that are named as one of ``about`` get another name."""
    clashing = {name.lower() for name in columns} & {*about}
    renamed = ", ".join(f"{name} AS metric_{name}" for name in clashing)
    return f"* EXCLUDE ({_PATH})" + (f" RENAME ({renamed})" if renamed else "")


def _literal(value: str | int | None) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def _describe(info: RunInfo) -> dict[str, Any]:
    attached = info.attached_metrics if info.attached else {}
    summaries = {name: metric_summary(info, name) for name in info.metrics if name not in attached}
    summaries |= {shown: metric_summary(info.attached[name], own) for shown, (name, own) in attached.items()}
    own = {name: field.value(info) for name, field in _FIELDS.items()}
    moments = {name: moment.isoformat() for name in ("started", "ended") if (moment := own[name])}
    metrics = {
        name: {"last": each.last, "min": each.min, "max": each.max}
        for name, each in summaries.items()
        if each is not None and each.count
    }
    return {**own, **moments, "config": info.config, "metrics": metrics}
