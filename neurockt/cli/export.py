"""``neurockt export``: runs' rows as CSV, JSON lines or one Parquet file; floats come back bit for bit.

In CSV, null is empty; NaN and the infinities are ``nan``, ``inf``, ``-inf``. JSON lines are strict JSON: null, and the
strings ``NaN``, ``Infinity``, ``-Infinity``. One row group is in memory at a time.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from neurockt.cli import FAILED, WrongUsage, completers, output, parsing, selecting
from neurockt.cli.joining import Batches, RowsOfRuns
from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt.query.fields import CONFIG_PREFIXES, split_names
from neurockt.query.known import KnownFields
from neurockt.store import TABLES, expanded, files, number, open_run

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS: Final = 4096

_SUFFIXES: Final = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_DESCRIPTION: Final = """\
Write the rows of one or more runs as CSV, JSON lines or Parquet.

Rows of several runs have a column run, the run's id, in front; --join adds fields of the run, such as its config keys:
cfg.lr, or cfg.* for all.
"""
_EXAMPLE: Final = """\
  neurockt export brave-otter --table epochs > epochs.csv
  neurockt export brave-otter --columns step,train_loss -o loss.parquet
  neurockt export -f 'tag:sweep' --join cfg.lr,cfg.seed -o sweep.csv
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(
        subparsers, "export", "write rows as CSV, JSON lines or Parquet", _EXAMPLE, _DESCRIPTION
    )
    selecting.add_arguments(parser, or_latest=True)
    parsing.add_part_arguments(parser)
    parser.add_argument("--table", choices=TABLES, default="steps", help="which rows (default: steps)")
    parser.add_argument(
        "--format", choices=("csv", "jsonl", "parquet"), help="default: by the last ending of FILE, else csv"
    )
    columns = parser.add_argument(
        "--columns", metavar="NAMES", help="only these, in this order, separated by commas; * is any text"
    )
    join = parser.add_argument(
        "--join", metavar="FIELDS", help="fields of the run in front of each row, separated by commas"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (default: stdout)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    completers.add(columns, completers.column_lists)
    completers.add(join, completers.field_lists)


def run(arguments: argparse.Namespace) -> int:
    target = expanded(arguments.output) if arguments.output not in (None, "-") else None
    kind = arguments.format or _kind_of(target)
    if target is None and kind == "parquet":
        raise WrongUsage("a Parquet file cannot be written to stdout; name it with -o FILE")
    if target is not None:
        check_target(target, force=arguments.force)
    runs = [parsing.part(open_run(path), arguments) for path in selecting.selected_or_latest(arguments)]
    if not runs:
        return FAILED
    wanted = split_names(arguments.columns) if arguments.columns is not None else None
    joined = [name for name in wanted or () if name.startswith(CONFIG_PREFIXES)]
    joined += split_names(arguments.join) if arguments.join is not None else []
    columns = None if wanted is None else [name for name in wanted if name not in joined]
    values: dict[str, list[Any]] = {}
    if arguments.filter is not None or len(runs) > 1:
        values["run"] = [each.info.id for each in runs]
        columns = columns and [name for name in columns if name != "run"]
    if joined:
        infos = [each.current_info() for each in runs]
        values |= {field.label: list(map(field.value, infos)) for field in KnownFields(infos).expand(joined)}
    rows = RowsOfRuns(runs, arguments.table, columns, values)
    schema, batches = rows.schema, rows.batches()
    if target is None:
        _WRITERS[kind](sys.stdout, schema, batches)
    elif kind == "parquet":
        files.publish(target, lambda path: _write_parquet(path, schema, batches))
    else:
        files.publish(target, lambda path: _write_text(path, kind, schema, batches))
    if rows.is_empty:
        others = [table for table in TABLES if any(len(each.last_rows(table, 1)) for each in runs)]
        output.note(f"no rows in {arguments.table}" + (f"; --table {' or '.join(others)} has some" if others else ""))
    return FAILED if any(each.damaged for each in runs) else 0


def _kind_of(target: Path | None) -> str:
    """The format by the last ending of the file's name; CSV where it has none."""
    if target is None or not target.suffix:
        return "csv"
    if kind := _SUFFIXES.get(target.suffix.lower()):
        return kind
    raise WrongUsage(f"no format ends in {target.suffix}; end the name in {', '.join(_SUFFIXES)}, or add --format")


def check_target(target: Path, *, force: bool) -> None:
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        if not target.parent.is_dir():
            raise NeurocktError(f"no directory {target.parent}; make it first") from None
    except ValueError:
        raise NeurocktError(f"no file can be named {str(target)!r}; choose another name") from None
    else:
        if not stat.S_ISREG(mode):
            raise NeurocktError(f"{target} is not a plain file; name a file to write")
        if not force:
            raise NeurocktError(f"{target} exists; --force replaces it")


def _write_text(path: Path, kind: str, schema: pa.Schema, batches: Batches) -> None:
    with path.open("w", encoding="utf-8", errors="surrogatepass", newline="") as file:
        _WRITERS[kind](file, schema, batches)


def _write_csv(file: TextIO, schema: pa.Schema, batches: Batches) -> None:
    writer = csv.writer(file, lineterminator="\n")
    names = schema.names
    is_seen = output.is_terminal(file)
    writer.writerow([clean(name) for name in names] if is_seen else names)
    for columns in _columns(batches):
        if is_seen:
            columns = [
                [clean(cell, output.WHOLE) if isinstance(cell, str) else cell for cell in column] for column in columns
            ]
        writer.writerows(zip(*columns, strict=True))


def _write_json_lines(file: TextIO, schema: pa.Schema, batches: Batches) -> None:
    names = schema.names
    encode = json.JSONEncoder(allow_nan=False).encode
    for columns in _columns(batches):
        plain_columns = [_plain(column) for column in columns]
        file.writelines(f"{encode(dict(zip(names, row, strict=True)))}\n" for row in zip(*plain_columns, strict=True))


def _write_parquet(path: Path, schema: pa.Schema, batches: Batches) -> None:
    from neurockt.store import open_writer

    with open_writer(path, schema) as writer:
        for batch in batches:
            writer.write_table(batch)


_WRITERS: Final = {"csv": _write_csv, "jsonl": _write_json_lines}


def _columns(batches: Batches) -> Iterator[list[list[Any]]]:
    """The columns of some rows at a time, as Python values; moments in ISO form."""
    for batch in batches:
        for start in range(0, len(batch), BATCH_ROWS):
            yield [_values(column) for column in batch.slice(start, BATCH_ROWS).columns]


def _values(column: pa.ChunkedArray) -> list[Any]:
    import numpy as np
    import pyarrow as pa

    from neurockt.store import arrays

    if str(column.type).startswith("timestamp"):
        moments = arrays.numbers(column).view("datetime64[us]")
        return [f"{moment}+00:00" for moment in np.datetime_as_string(moments).tolist()]
    if column.type in (pa.float64(), pa.int64()):
        return arrays.values(column)
    values: list[Any] = column.to_pylist()
    return values


def _plain(column: list[Any]) -> list[Any]:
    if all(not isinstance(value, float) or math.isfinite(value) for value in column):
        return column
    return [number(value) for value in column]
