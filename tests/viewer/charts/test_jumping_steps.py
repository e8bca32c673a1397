"""Lines of runs whose steps jump, begin at 0, and end in an open row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from live_run.jumping import LARGE, Jumping

from neurockt_viewer.charts import source
from neurockt_viewer.charts.series import Axis, Series
from neurockt_viewer.charts.source import Metric, RunSeries

LOSS, ACC = Metric("steps", "loss"), Metric("epochs", "acc")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Jumping]:
    made = Jumping(tmp_path / "run")
    yield made
    made.release()


def opened(run: Jumping, entries: int = source.ENTRIES) -> RunSeries:
    run.beat()
    series = RunSeries(run.path, entries)
    series.outline()
    series.read(series.metrics)
    series.poll()
    return series


def points(series: RunSeries, metric: Metric = LOSS, axis: Axis = "step") -> list[tuple[float, float]]:
    found: Series = series.line(metric, axis).series
    return list(zip(found.x.tolist(), found.last.tolist(), strict=True))


def test_every_step_has_its_place(run: Jumping) -> None:
    """From 0 on, in the parts and in the journal, and without a gap in the line."""
    steps = [0, 1, 17, 10**6, LARGE]
    run.write(steps[:3])
    run.steps.seal()
    run.write(steps[3:])
    series = opened(run)
    assert points(series) == [(step, float(step)) for step in steps]
    assert series.line(LOSS, "step").series.gaps is None
    assert series.part_read(LOSS) == 1.0
    run.write([2 * LARGE])
    assert series.poll()
    assert points(series)[-1] == (2 * LARGE, 2.0 * LARGE)


def test_the_open_row_is_drawn_and_drawn_again_as_it_changes(run: Jumping) -> None:
    """Until it is final; a metric that only it has is one of the run's."""
    run.write([0, 10])
    run.open("steps", 20, 1, {"loss": 5.0})
    series = opened(run)
    assert points(series) == [(0, 0.0), (10, 10.0), (20, 5.0)]
    assert not series.poll()
    run.open("steps", 20, 1, {"loss": 6.0, "lr": 0.5})
    assert series.poll()
    lr = Metric("steps", "lr")
    assert lr in series.metrics
    series.read(series.metrics)
    assert points(series, lr) == [(20, 0.5)]
    assert points(series) == [(0, 0.0), (10, 10.0), (20, 6.0)]
    run.write([20])
    assert series.poll()
    assert points(series) == [(0, 0.0), (10, 10.0), (20, 20.0)]
    assert points(series, lr) == [(20, 0.5)] or points(series, lr) == []


def test_a_dead_run_s_open_row_is_its_last_value(run: Jumping) -> None:
    """Before it is sealed."""
    run.write([0, 10])
    run.open("steps", 20, 1, {"loss": 5.0})
    run.beat()
    run.die()
    assert points(opened(run)) == [(0, 0.0), (10, 10.0), (20, 5.0)]


def test_validations_of_earlier_steps_do_not_bend_the_axis_of_epochs(run: Jumping) -> None:
    """Steps between the ends of epochs lie between them; a validation of an earlier step ends none there."""
    run.write([0, 100])
    run.validate(100)
    run.validate(50)
    run.write([200])
    run.validate(200)
    series = opened(run)
    assert points(series, ACC, "epoch") == [(1.0, 100.0), (2.0, 50.0), (3.0, 200.0)]
    assert points(series, ACC, "step") == [(50.0, 50.0), (100.0, 100.0), (200.0, 200.0)]
    places = [x for x, _ in points(series, LOSS, "epoch")]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0.0, 3.0)


def test_a_long_run_up_to_a_trillion_is_drawn_in_outline_and_in_detail(
    run: Jumping, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few entries, and the single values of a window of it; at any width of the numbers."""
    monkeypatch.setattr(source, "OUTLINE_ROWS", 100)
    every = LARGE // 1000
    run.write(range(0, LARGE, every))
    run.steps.seal()
    series = opened(run, entries=64)
    drawn = series.line(LOSS, "step").series
    assert len(drawn) < 200
    assert (drawn.low.min(), drawn.high.max()) == (0.0, float(LARGE - every))
    window = (float(LARGE // 2), float(LARGE // 2 + 20 * every))
    assert series.detail([LOSS], "step", window, 100)
    fine = series.line(LOSS, "step").series
    inside = fine.x[(fine.x >= window[0]) & (fine.x <= window[1])]
    assert np.array_equal(inside, np.arange(window[0], window[1] + 1, every))
    assert not series.detail([LOSS], "step", window, 100)
