"""What is known of a run's metrics: their summaries, and the value of one where another is best.

A metric is looked for in `epochs`, then in `steps`, then in what is attached. ``x@steps`` and ``x@epochs`` are those of
one table.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from neurockt.direction import smaller_is_better
from neurockt.errors import NeurocktError, NeurocktWarning
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
from neurockt.store import KEY, TableName, open_run

TABLES: Final[tuple[TableName, ...]] = ("epochs", "steps", "late")
AXES: Final = ("step", "epoch")
"""What the rows of `steps` and `epochs` are numbered by, beside their metrics."""
READ_FIRST: Final = 1000
"""Steps before the one asked for that are read first: a metric rarely pauses for longer."""
READS_KEPT: Final = 100_000
"""Values of rows that are kept: a list of ten thousand runs may show several each."""


class Found(NamedTuple):
    """A metric of a run, or of what is attached to it."""

    info: RunInfo
    table: TableName
    name: str
    summary: ColumnSummary

    @property
    def columns(self) -> TableSummary:
        found: TableSummary = getattr(self.info, self.table)
        return found


def metric_summary(info: RunInfo, metric: str) -> ColumnSummary | None:
    """The summary of a metric; of one in `steps`, with its late values."""
    first = info.epochs.columns.get(metric)
    if first is not None and first.count:  # where `find_metric` finds it too: a list asks this for each of its cells
        return first
    found = find_metric(info, metric)
    if found is None:
        return None
    late = found.info.late.columns.get(found.name) if found.table == "steps" and "@" not in metric else None
    return found.summary if late is None else _joined(found.summary, late)


def find_metric(info: RunInfo, metric: str) -> Found | None:
    """Where a metric is: in the first table that has a value of it, else in the first that has it."""
    empty: Found | None = None
    for table in TABLES:
        summary = getattr(info, table).columns.get(metric)
        if summary is not None and summary.count:
            return Found(info, table, metric, summary)
        if summary is not None and empty is None:
            empty = Found(info, table, metric, summary)
    if info.attached and (found := _find_attached(info, metric)):
        return found
    name, _, suffix = metric.rpartition("@")
    for table in TABLES:
        if empty is None and table == suffix and (summary := getattr(info, table).columns.get(name)):
            return Found(info, table, name, summary)
    return empty


def _find_attached(info: RunInfo, metric: str) -> Found | None:
    """A metric of what is attached, by the name that it is shown under, or by ``NAME/metric``."""
    qualified = [(name, metric.removeprefix(f"{name}/")) for name in info.attached if metric.startswith(f"{name}/")]
    for name, own in [*filter(None, [info.attached_metrics.get(metric)]), *qualified]:
        if (found := find_metric(info.attached[name], own)) is not None:
            return found
    return None


def _joined(steps: ColumnSummary, late: ColumnSummary) -> ColumnSummary:
    """A metric's values of `steps` and of `late`. The last one is that of `steps`, whose step is the higher one."""
    lows, highs = (
        [value for value in pair if value is not None] for pair in ((steps.min, late.min), (steps.max, late.max))
    )
    last = steps.last if steps.count else late.last
    return ColumnSummary(steps.count + late.count, last, min=min(lows, default=None), max=max(highs, default=None))


def in_both_tables(runs: Iterable[RunInfo]) -> set[str]:
    """The metrics that some run has in `steps` and in `epochs`: which of them is meant has to be stated."""
    both: set[str] = set()
    for info in runs:
        both |= info.steps.columns.keys() & info.epochs.columns.keys()
    return both


def metrics_by_table(runs: Sequence[RunInfo]) -> list[str]:
    """The metrics of runs, to compare them: one that some run has in both tables as ``x@epochs`` and ``x@steps``."""
    both = in_both_tables(runs)
    names = dict.fromkeys(name for info in runs for name in info.metrics)
    return [each for name in names for each in ((f"{name}@epochs", f"{name}@steps") if name in both else (name,))]


def shown_of_epochs(runs: Iterable[RunInfo]) -> set[str]:
    """The metrics that some run has in both tables and none in `steps` alone, so that a column shows one table's."""
    infos = list(runs)
    both = in_both_tables(infos)
    for info in infos if both else ():
        both -= {name for name in both if name in info.steps.columns and name not in info.epochs.columns}
    return both


def extreme_of(which: str, metric: str) -> str:
    """*min* or *max* for *best*, by the metric's name; others stay."""
    return which if which != "best" else "min" if smaller_is_better(metric) else "max"


def value_where(info: RunInfo, wanted: str, which: str, metric: str) -> float | None:
    """The value of one metric where another has its last, smallest, largest or best one.

    ``run.json`` has it where the table has few metrics and their best value is meant; else the row is read. Where that
    row has none, or it is a metric of another table, it is the last value up to that step.

    Args:
        wanted: a metric; or ``step`` or ``epoch``.
    """
    which = extreme_of(which, metric)
    where = find_metric(info, metric)
    at = where and getattr(where.summary, f"{which}_at")
    if where is None or at is None:
        return None
    if wanted == KEY[where.table]:
        return float(at)
    if wanted in AXES:
        return _read_row(where.info.path, where.table, at, wanted, where.summary.count)
    other = find_metric(info, wanted)
    name = other.name if other is not None and other.columns is where.columns else wanted
    here = where.columns.columns.get(name)
    if here is not None:
        for end in ("last", "min", "max"):
            if getattr(here, f"{end}_at") == at:
                found: float | None = getattr(here, end)
                return found
        row = where.columns.best.get(where.name) if which == extreme_of("best", where.name) else None
        known = row.get(name) if row else _read_row(where.info.path, where.table, at, name, where.summary.count)
        if known is not None:
            return known
        other = Found(where.info, where.table, name, here)
    step = value_where(info, "step", which, metric) if other is not None else None
    if other is None or step is None:
        return None
    return _read_until(other.info.path, other.table, int(step), other.name, other.columns.number)


@lru_cache(maxsize=READS_KEPT)
def _read_row(path: Path, table: TableName, at: int, column: str, count: int) -> float | None:
    """A value of one row; ``count`` is that of the values seen, so that it is read again once there are more."""
    values = _read(path, table, column, after=at - 1, until=at)
    return next((value for _, value in values if value is not None), None)


@lru_cache(maxsize=READS_KEPT)
def _read_until(path: Path, table: TableName, step: int, column: str, last: int) -> float | None:
    """The last value up to a step, of a table that has a row of the number ``last``."""
    for span in (READ_FIRST, step + 1) if table == "steps" else (None,):
        values = _read(path, table, column, **({} if span is None else {"after": step - span, "until": step}))
        for at, value in reversed(values):
            if at <= step and value is not None:
                found: float = value
                return found
    return None


def _read(
    path: Path, table: TableName, column: str, *, after: int = -1, until: int | None = None
) -> list[tuple[Any, Any]]:
    """The steps and a column of some rows; none, with a warning, where they cannot be read."""
    try:
        rows = open_run(path).window(
            table, ["step", column] if column != "step" else ["step"], after=after, until=until
        )
    except NeurocktError as error:
        warnings.warn(str(error), NeurocktWarning, stacklevel=2)
        return []
    if not len(rows):
        return []
    return list(zip(rows["step"].to_pylist(), rows[column].to_pylist(), strict=True))
