"""Late values in the lines of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from written import Written

from neurockt_viewer.charts.series import Axis, Series, merge
from neurockt_viewer.charts.source import Metric, RunSeries

LOSS, EXTRA = Metric("steps", "loss"), Metric("steps", "extra")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Written]:
    """Steps 10, 20 and 30, and a late value at each of two steps between them."""
    made = Written(tmp_path / "run")
    for step in (10, 20, 30):
        made.add("steps", step, {"loss": float(step)})
    made.add("late", 25, {"loss": 25.0})
    made.add("late", 15, {"loss": 15.0, "extra": 1.0})
    yield made
    made.finish()


def opened(run: Written) -> RunSeries:
    run.publish()
    series = RunSeries(run.path)
    series.outline()
    series.read(series.metrics)
    return series


def points(series: RunSeries, metric: Metric = LOSS, axis: Axis = "step") -> list[tuple[float, float]]:
    found: Series = series.line(metric, axis).series
    return list(zip(found.x.tolist(), found.last.tolist(), strict=True))


@pytest.mark.parametrize("finished", [True, False])
def test_they_are_drawn_at_their_steps(run: Written, finished: bool) -> None:
    """In order, whatever came when; a metric that only they have is one of the steps too."""
    if finished:
        run.finish()
    series = opened(run) if not finished else RunSeries(run.path)
    series.read(series.metrics)
    assert series.metrics == [LOSS, EXTRA]
    assert points(series) == [(step, float(step)) for step in (10, 15, 20, 25, 30)]
    assert points(series, EXTRA) == [(15, 1.0)]
    assert not series.line(EXTRA, "step").approximate


def test_what_arrives_while_one_looks_is_added(run: Written) -> None:
    """Of metrics that are shown, and of new ones."""
    series = opened(run)
    assert not series.poll()
    run.add("late", 12, {"loss": 12.0, "new": 3.0})
    run.add("late", 11, {"new": 4.0})
    assert series.poll()
    assert points(series)[:2] == [(10, 10.0), (12, 12.0)]
    assert series.read([Metric("steps", "new")])
    assert points(series, Metric("steps", "new")) == [(11, 4.0), (12, 3.0)]


def test_a_metric_that_comes_to_the_steps_later_has_both(run: Written) -> None:
    series = opened(run)
    run.add("steps", 40, {"loss": 40.0, "extra": 2.0})
    assert series.poll()
    series.read([EXTRA])
    assert points(series, EXTRA) == [(15, 1.0), (40, 2.0)]


def test_on_the_other_axes_too(run: Written) -> None:
    """By the time they arrived, and where their step lies among the epochs."""
    run.add("epochs", 20, {"acc": 0.5})
    series = opened(run)
    assert [y for _, y in points(series, LOSS, "wall")] == [10.0, 20.0, 30.0, 25.0, 15.0]
    assert points(series, LOSS, "epoch")[:3] == [(0.5, 10.0), (0.75, 15.0), (1.0, 20.0)]


def test_among_stretches_of_values(run: Written) -> None:
    """Of a long table only extremes are kept: a late value lies where it belongs."""
    for step in range(1000, 3000):
        run.add("steps", step, {"loss": 1.0})
    run.add("late", 1500, {"loss": 99.0})
    run.publish()
    series = RunSeries(run.path, entries=64)
    series.read([LOSS])
    line = series.line(LOSS, "step").series
    assert (np.diff(line.x) >= 0).all()
    assert float(line.x[int(np.nanargmax(line.high))]) == 1500
    assert np.nanmax(line.high) == 99.0


def test_a_gap_is_closed_by_a_late_value() -> None:
    series = Series.of([1, 2, 9], [1.0, 1.0, 1.0], np.array([False, False, True]))
    assert merge(series, Series.of([5], [2.0])).gaps is None or not merge(series, Series.of([5], [2.0])).gaps.any()
    kept = merge(series, Series.of([0], [2.0])).gaps
    assert kept is not None
    assert kept.tolist() == [False, False, False, True]
