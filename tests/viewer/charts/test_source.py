"""A run's series: in outline, exactly, in detail, and as the run grows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from neurockt.monitor import Recorder
from neurockt.store.tables import parts
from neurockt_viewer.charts import source
from neurockt_viewer.charts.pyramid import ENTRIES
from neurockt_viewer.charts.source import Metric, RunSeries

FEW = 256
"""Entries as few as of a run ten thousand times as long."""
LOSS, SPARSE, ACC = Metric("steps", "loss"), Metric("steps", "sparse"), Metric("epochs", "acc")


class Training:
    """A run that goes on when told to: a loss each step, another value each tenth, an epoch each hundredth."""

    def __init__(self, root: Path) -> None:
        self.recorder = Recorder(root, quiet=True, run_id="run")
        self.loss = self.recorder.track_scalar("loss", last)(same)
        self.sparse = self.recorder.track_scalar("sparse", last)(same)
        self.acc = self.recorder.metric("acc", last)(same)
        self.losses: list[float] = []

    def go(self, steps: int) -> Path:
        """Take some more steps."""
        for _ in range(steps):
            step = len(self.losses) + 1
            self.losses.append(math.nan if step == 50 else math.cos(step) * 100)
            with self.recorder(train=True):
                self.loss(self.losses[-1])
                if step % 10 == 0:
                    self.sparse(float(step))
            if step % 100 == 0:
                with self.recorder(train=False):
                    self.acc(step / 1000)
        return self.recorder.run_dir


def same(value: float) -> float:
    return value


def last(values: list[float]) -> float:
    return values[-1]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    """A run in row groups of 256 rows."""
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", 256)
    made = Training(tmp_path)
    yield made
    made.recorder.finish()


@pytest.fixture
def outlined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A footer for everything, as of a run a hundred times as long."""
    monkeypatch.setattr(source, "OUTLINE_ROWS", 100)


def read(path: Path, entries: int = ENTRIES) -> RunSeries:
    series = RunSeries(path, entries)
    series.outline()
    series.read(series.metrics)
    return series


def test_what_is_read_is_what_was_recorded(training: Training) -> None:
    """Each value at its step, null left out, NaN kept."""
    path = training.go(300)
    training.recorder.finish()
    series = read(path)
    loss, sparse, acc = (series.line(metric, "step").series for metric in (LOSS, SPARSE, ACC))
    assert loss.x.tolist() == list(range(1, 301))
    assert loss.first.tolist() == pytest.approx(training.losses, nan_ok=True)
    assert sparse.x.tolist() == sparse.first.tolist() == list(range(10, 301, 10))
    assert (acc.x.tolist(), acc.first.tolist()) == ([100, 200, 300], [0.1, 0.2, 0.3])


def test_both_tables_share_every_axis(training: Training) -> None:
    """By epoch, an epoch's value lies where its last step does; by time, all lies within the run."""
    path = training.go(250)
    training.recorder.finish()
    series = read(path)
    steps, epochs = series.line(LOSS, "epoch").series.x, series.line(ACC, "epoch").series.x
    assert steps[99] == epochs[0] == 1.0
    assert steps[149] == pytest.approx(1.5)
    assert steps[249] == pytest.approx(2.5)
    relative, wall = series.line(LOSS, "relative").series.x, series.line(LOSS, "wall").series.x
    assert 0 <= relative[0] <= relative[-1] < 600
    assert wall - relative == pytest.approx(series.places.begin)


def test_an_outline_bounds_what_is_read_later(training: Training, outlined: None) -> None:
    """Before a row has been read, the chart spans the run and holds every value."""
    path = training.go(2000)
    training.recorder.finish()
    series = RunSeries(path)
    series.outline()
    coarse = series.line(LOSS, "step")
    assert coarse.approximate
    assert (np.nanmin(coarse.series.low), np.nanmax(coarse.series.high)) == (
        np.nanmin(training.losses),
        np.nanmax(training.losses),
    )
    assert coarse.series.x[0] == 1
    assert coarse.series.x[-1] > 1900


def test_a_read_that_was_stopped_goes_on(training: Training, outlined: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read stays, the rest is in outline, and the next read begins there."""
    path = training.go(2000)
    training.recorder.finish()
    whole = read(path, FEW).line(LOSS, "step").series
    monkeypatch.setattr(source, "REPORT_SECONDS", 0.0)
    series = RunSeries(path, FEW)
    series.outline()
    reads = 0
    while series.read(series.metrics, lambda: False):
        reads += 1
        line = series.line(LOSS, "step").series
        assert np.nanmax(line.high) == np.nanmax(training.losses)
        assert np.all(np.diff(line.x) >= 0)
    assert reads > 3
    assert series.line(LOSS, "step").series.high.tolist() == whole.high.tolist()


def test_a_narrow_window_is_read_value_by_value(training: Training, outlined: None) -> None:
    """Exactly the values recorded there, and the rest of the run around them in stretches."""
    path = training.go(2000)
    training.recorder.finish()
    series = read(path, FEW)
    assert len(series.line(LOSS, "step").series) < 500
    assert series.detail([LOSS], "step", (700.0, 720.0), 40)
    line = series.line(LOSS, "step").series
    seen = (line.x >= 700) & (line.x <= 720)
    assert line.first[seen].tolist() == training.losses[699:720]
    assert not series.detail([LOSS], "step", (700.0, 720.0), 40)
    assert (line.x[0], line.last[-1]) == (1, training.losses[-1])
    assert np.all(np.diff(line.x) > 0)


@pytest.mark.parametrize("entries", [ENTRIES, 64])
def test_a_live_run_grows(training: Training, entries: int) -> None:
    """Each poll adds what has come, once, also when it has been sealed meanwhile."""
    series = read(training.go(120), entries)
    assert series.metrics == [LOSS, SPARSE, ACC]
    for steps in (1, 99, 0, 80):
        training.go(steps)
        assert series.poll() == bool(steps)
        loss = series.line(LOSS, "step").series
        assert np.nanmax(loss.high) == np.nanmax(training.losses)
        assert loss.last[-1] == training.losses[-1]
        counts = np.ones(len(loss)) if loss.count is None else loss.count
        assert counts.sum() == len(training.losses) - 1
    training.recorder.finish()
    assert not series.poll()
    assert series.line(ACC, "epoch").series.x.tolist() == [1, 2, 3]


def test_a_run_that_goes_on_keeps_the_entries_that_were_allowed(training: Training) -> None:
    """Not twice as many before they are joined, so that memory is level soon; every value is in one of them."""
    series = read(training.go(300), entries=2048)
    most = 0
    for _ in range(20):
        training.go(250)
        series.poll()
        most = max(most, sum(len(series.line(metric, "step").series) for metric in (LOSS, SPARSE)))
    assert 1024 < most <= 2048
    assert series.line(LOSS, "step").series.count.sum() == np.isfinite(training.losses).sum() == 5299
