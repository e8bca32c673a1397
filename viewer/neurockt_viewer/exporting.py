"""Writing what is seen to a file: CSV or Parquet, by the ending of its name."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.widget import Widget

from neurockt.errors import NeurocktError, UsageError
from neurockt.formatting import clean
from neurockt_viewer.screens.prompts import Ask

if TYPE_CHECKING:
    from neurockt.store.base.layout import TableName
    from neurockt_viewer.table_rows import Order

ENDINGS: Final = (".csv", ".parquet")


def check_target(text: str) -> Path:
    """The file that is meant.

    Raises:
        UsageError: it cannot be written, or there is one already.
    """
    path = Path(text.strip()).expanduser()
    if path.suffix not in ENDINGS:
        raise UsageError(f"end the name in {' or '.join(ENDINGS)}")
    if path.exists():
        raise UsageError(f"{path} is there already; choose another name")
    if not path.parent.is_dir():
        raise UsageError(f"there is no directory {path.parent}")
    return path


async def export_rows(widget: Widget, name: str, columns: list[str], rows: list[list[object]]) -> None:
    """Ask for a file, and write these rows to it."""
    await _ask(widget, name, lambda path: write_rows(path, columns, rows))


async def export_table(widget: Widget, run: Path, table: TableName, columns: list[str], order: Order | None) -> None:
    """Ask for a file, and write these columns of a run's table to it, in that order."""
    await _ask(widget, f"{run.name}-{table}", lambda path: write_table(path, run, table, columns, order))


async def _ask(widget: Widget, name: str, write: Callable[[Path], int]) -> None:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80].lstrip(".") or "table"

    def begin(answer: str | None) -> None:
        if answer:
            path = check_target(answer)
            widget.run_worker(lambda: _write(widget, path, write), thread=True, group="export", exit_on_error=False)

    hint = f".csv or .parquet, in {clean(Path.cwd())}"
    await widget.app.push_screen(Ask("export to", f"{safe}.csv", hint=hint, check=check_target), begin)


def _write(widget: Widget, path: Path, write: Callable[[Path], int]) -> None:
    """Write under another name and rename, so that there is never half a file of that name."""
    app = widget.app
    app.call_from_thread(app.notify, f"writing {clean(path)} …", markup=False, timeout=2)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        rows = write(temporary)
        os.replace(temporary, path)
    except (NeurocktError, OSError, MemoryError, ValueError) as error:
        temporary.unlink(missing_ok=True)
        app.call_from_thread(app.notify, clean(f"not written: {error}"), severity="error", markup=False)
    else:
        app.call_from_thread(app.notify, f"{rows:,} rows written to {clean(path)}", markup=False)


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> int:
    """Write a list of runs; a value that is no number is written as text."""
    if ".csv" in path.name:
        with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            writer = csv.writer(file)
            writer.writerow([_plain(column) for column in columns])
            writer.writerows([_plain(value) for value in row] for row in rows)
        return len(rows)
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = []
    for at in range(len(columns)):
        values = [row[at] for row in rows]
        numbers = all(value is None or (isinstance(value, (int, float))) for value in values)
        arrays.append(pa.array(values if numbers else [None if v is None else str(_plain(v)) for v in values]))
    pq.write_table(pa.Table.from_arrays(arrays, names=list(columns)), path)
    return len(rows)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        value = ", ".join(str(item) for item in value)
    # csv refuses NUL before Python 3.11
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def write_table(path: Path, run: Path, table: TableName, columns: list[str], order: Order | None) -> int:
    """Write columns of a run's table, a row group at a time; sorted, they are all in memory once."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    from neurockt import open_run

    if order is None:
        schema, pieces = open_run(run).batches(table, columns)
    else:
        places = pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)])
        whole = open_run(run).window(table, columns).take(places)
        schema, pieces = whole.schema, iter([whole])
    count = 0
    as_csv = ".csv" in path.name
    with pc.CSVWriter(path, schema) if as_csv else pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces:
            writer.write_table(piece)
            count += len(piece)
    return count
