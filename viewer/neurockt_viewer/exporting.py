"""Exports what a screen shows to a file, by the ending of its name: CSV or Parquet, and charts as figures, too."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from textual.widget import Widget

from neurockt.errors import NeurocktError, UsageError
from neurockt.formatting import clean, format_count
from neurockt.query.comparing import as_text
from neurockt.store import files
from neurockt_viewer.widgets.prompts import Ask

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import TableName
    from neurockt_viewer.charts.picture import Picture
    from neurockt_viewer.charts.series import ChartSettings, Line
    from neurockt_viewer.table_rows import Order

ENDINGS: Final = (".csv", ".parquet")
FIGURES: Final = (".png", ".svg", ".pdf")
"""Endings of figures, which matplotlib draws."""
Endings = Sequence[str]
Draw = Callable[[Path], str]
"""Writes a figure to a file of that name; gives what it is called."""
MOST_NAMES: Final = 5_000
"""Names of a directory that are looked at to complete one."""
Rows = tuple["pa.Schema", Iterable["pa.Table"]]
"""What to write: the schema, and tables that have it."""


def check_target(text: str, endings: Endings = ENDINGS) -> Path:
    """The file to write.

    Raises:
        UsageError: the name has another ending, the file exists, or it cannot be made.
    """
    try:
        path = Path(text.strip()).expanduser()
        if path.suffix.lower() not in endings:
            raise UsageError(f"end the name in {_listed(endings)}")
        if not path.parent.is_dir():
            raise UsageError(f"no directory {path.parent}")
        if _exists(path):
            raise UsageError(f"{path} exists; choose another name")
        _exists(files.temporary_path(path))  # too long, too
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UsageError(f"no permission to write in {path.parent}")
    except OSError as error:
        raise UsageError(f"cannot write there: {error.strerror}; choose another name") from error
    except UnicodeError as error:
        raise UsageError("no file name can have one of these characters; choose another name") from error
    except (RuntimeError, ValueError) as error:  # `~nobody`, a NUL
        raise UsageError(f"not a file name: {error}") from error
    return path


def _exists(path: Path) -> bool:
    """``Path.exists`` that hides no error and does not follow a link."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _listed(endings: Endings) -> str:
    return f"{', '.join(endings[:-1])} or {endings[-1]}"


def describe_target(text: str, endings: Endings = ENDINGS) -> str:
    """Where a file of that name would be."""
    try:
        path = Path(text.strip()).expanduser()
        return f"{clean(path if path.is_absolute() else Path.cwd() / path)}, {_listed(endings)}; tab completes"
    except (OSError, RuntimeError, ValueError):  # the current directory has been removed; `~nobody`; a NUL
        return _listed(endings)


def complete_target(text: str, endings: Endings = ENDINGS) -> tuple[str, list[str]]:
    """A path as far as it can be completed, and the names that it could go on with: directories, and files there."""
    head, slash, begin = text.rpartition("/")
    try:
        with os.scandir(Path(f"{head}{slash}" or ".").expanduser()) as entries:
            names = [f"{entry.name}/" if _is_directory(entry) else entry.name for entry in islice(entries, MOST_NAMES)]
    except (OSError, RuntimeError, ValueError):
        return text, []
    names = sorted(
        name
        for name in names
        if name.startswith(begin)
        and (begin or not name.startswith("."))
        and name.endswith(("/", *endings))
        and clean(name, len(name)) == name
    )
    completed = f"{head}{slash}{os.path.commonprefix(names)}" if names else text  # noqa: RUF071 - by characters
    return completed, names if len(names) > 1 else []


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


async def export(widget: Widget, what: str, name: str, read: Callable[[], Rows], draw: Draw | None = None) -> None:
    """Ask for a file, and write there what ``read`` gives; both in a worker of the widget.

    Args:
        widget: whose worker it is.
        what: what is written, in clean words.
        name: what the file may be called, without its ending.
        read: gives the rows.
        draw: writes a figure, where one is asked for.
    """
    endings = (*ENDINGS, *FIGURES) if draw is not None else ENDINGS
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:80].lstrip("-.") or "table"

    def begin(path: Path | None) -> None:
        if path is not None:
            is_figure = path.suffix.lower() in FIGURES
            write = partial(draw, path) if draw and is_figure else partial(_publish, path, read)
            widget.run_worker(partial(_report, widget, path, write), thread=True, group="export", exit_on_error=False)

    question = Ask(
        f"{what}: export to",
        f"{safe}.csv",
        hint=partial(describe_target, endings=endings),
        check=partial(check_target, endings=endings),
        complete=partial(complete_target, endings=endings),
    )
    await widget.app.push_screen(question, begin)


async def export_chart(
    widget: Widget, run: str, names: Sequence[str], lines: Sequence[Line], settings: ChartSettings, picture: Picture
) -> None:
    """Ask for a file, and write there the points of a chart, or a figure that shows what it shows.

    Args:
        widget: whose worker it is.
        run: what the runs are called in the name of the file.
        names: those of the metrics.
        lines: of the chart.
        settings: of the chart.
        picture: the chart as it is drawn.
    """

    def draw(path: Path) -> str:
        from neurockt_viewer.figures import Chart, Look, save

        y_range = (picture.y.low, picture.y.high) if picture.y and picture.off.count else None
        save(path, [Chart(", ".join(names), lines)], Look(settings, y_range))
        return "figure"

    what = f"the points of {' and '.join(clean(name, 40) for name in names)}"
    await export(widget, what, "-".join([run, *names]), lambda: as_arrow(*points(lines, settings)), draw)


def _report(widget: Widget, path: Path, write: Callable[[], str]) -> None:
    """Write the file, and show that it is being written, what has been, or why not."""
    app = widget.app
    app.call_from_thread(app.notify, f"writing {clean(path)} …", markup=False, timeout=2)
    try:
        written = write()
    except (NeurocktError, OSError, MemoryError, ValueError) as error:
        app.call_from_thread(app.notify, clean(f"not written: {error}"), severity="error", markup=False)
    else:
        app.call_from_thread(app.notify, f"{written} written to {clean(path)}", markup=False)


def _publish(path: Path, read: Callable[[], Rows]) -> str:
    count = 0

    def write(temporary: Path) -> None:
        nonlocal count
        count = _write(temporary, path.suffix.lower(), *read())

    files.publish(path, write)
    return format_count(count, "row")


def as_arrow(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Rows:
    """Rows as Arrow: numbers as numbers; everything else, and columns of several kinds, as text."""
    import pyarrow as pa

    arrays = []
    for at in range(len(columns)):
        values = [row[at] for row in rows]
        try:
            arrays.append(pa.array([_plain(value) for value in values]))
        except (pa.ArrowException, OverflowError):
            arrays.append(pa.array([None if value is None else _text(value) for value in values]))
    table = pa.Table.from_arrays(arrays, names=[_text(column) for column in columns])
    return table.schema, [table]


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else _text(value)


def _text(value: Any) -> str:
    """Text of a value; lone surrogates, which no encoding has, become a visible mark."""
    if isinstance(value, datetime):
        value = value.isoformat()
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else as_text(value)
    return text.encode(errors="replace").decode()


def points(lines: Sequence[Line], settings: ChartSettings) -> tuple[list[str], list[list[object]]]:
    """The columns and rows of the points within the window; of a stretch of values its extremes and its mean."""
    import numpy as np

    rows: list[list[object]] = []
    for line in lines:
        series = line.series
        start, stop = 0, len(series)
        if settings.window:
            start = int(np.searchsorted(series.x, settings.window[0]))
            stop = int(np.searchsorted(series.x, settings.window[1], side="right"))
        seen = series.part(start, stop)
        counts = np.ones(len(seen), np.int64) if seen.count is None else seen.count
        single = (seen.low == seen.high) | (counts == 0)
        value = np.where(single, seen.first, seen.mean)
        places = [int(place) if place.is_integer() else place for place in seen.x.tolist()]
        columns = [places, *(column.tolist() for column in (value, seen.low, seen.high, counts))]
        rows += [[line.label, *row] for row in zip(*columns, strict=True)]
    return ["line", settings.axis, "value", "low", "high", "values"], rows


def read_table(run: Path, table: TableName, columns: list[str], order: Order | None) -> Rows:
    """Columns of a run's table, a row group at a time; sorted, they are all in memory once."""
    import pyarrow as pa

    from neurockt import open_run

    if order is None:
        return open_run(run).batches(table, columns)
    rows = pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)])
    whole = open_run(run).window(table, columns).take(rows)
    return whole.schema, [whole]


def _write(path: Path, ending: str, schema: pa.Schema, batches: Iterable[pa.Table]) -> int:
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    count = 0
    as_csv = ending == ".csv"
    with pc.CSVWriter(path, schema) if as_csv else pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(batch)
            count += len(batch)
    return count
