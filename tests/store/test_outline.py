"""`Run.window` and `Run.outline`: some rows of a table, and what all of them hold, at the price of a few."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from neurockt import Run
from neurockt.store.base.layout import TABLES
from neurockt.store.tables import parts
from neurockt.store.writing.table_writer import TableWriter

ROWS = 1000


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """1,000 sealed rows in row groups of 256, then 100 in the journal; with NaN, an infinity and a late column."""
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", 256)
    for table in TABLES:
        writer = TableWriter(tmp_path, table, ["loss"])
        for step in range(1, ROWS + 101) if table == "steps" else ():
            if step == ROWS + 1:
                writer.seal()
                writer.set_columns(["loss", "late"])
            loss = {5: math.nan, 7: math.inf}.get(step, float(step))
            writer.append(step // 300 + 1, step * 10**9, [loss, -float(step)][: len(writer.columns)])
    return Run(tmp_path)


@pytest.mark.parametrize(
    ("after", "until"), [(0, 1), (0, 0), (255, 257), (100, 900), (999, 1001), (1050, 1060), (1099, 5000), (2000, 3000)]
)
def test_a_window_is_those_rows_of_the_table(run: Run, after: int, until: int) -> None:
    """Whatever row groups and journal they lie in."""
    rows = run.steps(["loss", "step"])
    steps = rows["step"].to_numpy()
    wanted = rows.filter(pa.array((steps > after) & (steps <= until)))
    window = run.window("steps", ["loss", "step"], after=after, until=until)
    assert str(window.to_pylist()) == str(wanted.to_pylist())  # as text NaN equals NaN


def test_an_outline_bounds_every_row(run: Run) -> None:
    """The groups' rows add up, and each group's extremes are those of its rows without NaN."""
    rows, outline = run.steps(), run.outline("steps")
    assert outline.total == len(rows)
    assert list(outline.metrics) == ["loss", "late"]
    start = 0
    for index, count in enumerate(outline.rows.tolist()):
        group = rows.slice(start, count)
        start += count
        for axis, (low, high) in outline.axes.items():
            values = group[axis].cast(pa.int64()).to_numpy()
            assert (low[index], high[index]) == (values.min(), values.max())
        for name, extremes in outline.metrics.items():
            values = group[name].to_numpy()
            real = values[~np.isnan(values)]
            expected = (real.min(), real.max()) if len(real) else (math.nan, math.nan)
            assert (extremes.low[index], extremes.high[index]) == pytest.approx(expected, nan_ok=True)


def test_the_outline_of_an_empty_table_is_empty(run: Run) -> None:
    """No rows, no metrics."""
    outline = run.outline("epochs")
    assert (len(outline), outline.total, outline.metrics) == (0, 0, {})
