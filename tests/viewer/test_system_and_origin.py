"""What the machine did, beside the charts of the metrics; and where the run came from, in the info."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from live_run import wait_until
from viewing import text, until

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.source import Metric, RunSeries
from neurockt_viewer.widgets.chart_grid import ChartGrid

pytestmark = pytest.mark.slow

CPU, GPU, LOSS, ACC = (
    Metric("system", "cpu_percent"),
    Metric("system", "gpu0_util_percent"),
    Metric("steps", "loss"),
    Metric("epochs", "acc"),
)


@pytest.fixture
def sampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A run of ten steps and an epoch whose machine is sampled very often; the GPU comes with the third sample."""
    monkeypatch.setattr(timing, "default", Timing(tick=0.005, first_sample=0.01))
    recorder = Recorder(tmp_path, run_id="run", quiet=True, system_seconds=None)
    loss, accuracy = recorder.track_scalar("loss")(float), recorder.metric("acc")(float)
    for step in range(10):
        with recorder(train=True):
            loss(step)
    with recorder(train=False):
        accuracy(0.5)
    count = itertools.count()

    def read() -> dict[str, float]:
        number = float(next(count))
        return {"cpu_percent": number, **({"gpu0_util_percent": 10 * number} if number > 2 else {})}

    recorder._writer.sample(read, 0.01)
    wait_until(lambda: len(open_run(recorder.run_dir).system()) > 3, "some samples")
    yield recorder
    recorder.finish()


def test_what_the_machine_did_is_read_as_the_metrics_are(sampled: Recorder) -> None:
    """After them, at its steps or times, and as it grows; the number of the sample is no metric."""
    series = RunSeries(sampled.run_dir)
    series.outline()
    assert series.metrics == [LOSS, ACC, CPU, GPU]
    series.read([CPU, GPU])
    before = len(series.line(CPU, "step").series)
    wait_until(lambda: series.poll() and len(series.line(CPU, "step").series) > before, "another sample")
    sampled.finish()
    series.poll()
    rows = open_run(sampled.run_dir).system()
    assert series.line(CPU, "step").series.x.tolist() == rows["step"].to_pylist()
    assert series.line(CPU, "step").series.last.tolist() == rows["cpu_percent"].to_pylist()
    assert series.line(CPU, "epoch").series.x.tolist() == [1.0] * len(rows)  # the one epoch has ended
    seconds = [moment.timestamp() for moment in rows["time"].to_pylist()]
    assert series.line(CPU, "wall").series.x.tolist() == pytest.approx(seconds)
    assert len(series.line(GPU, "step").series) == len(rows) - rows["gpu0_util_percent"].null_count


async def test_the_charts_and_the_info_show_it(sampled: Recorder) -> None:
    """Charts of the machine follow those of the metrics; the info tells command, versions and packages."""
    app = ViewerApp(sampled.run_dir)
    async with app.run_test(size=(120, 60)) as pilot:
        await until(lambda: "gpu0_util_percent" in text(app))
        shown = app.screen.query_one(ChartGrid)
        assert [metric for together in shown._shown for metric in together] == [LOSS, ACC, CPU, GPU]
        await pilot.press("4")
        await until(lambda: "columns of samples" in text(app) and "software" in text(app))
        assert "Python 3." in text(app)
        await pilot.press("G")
        await until(lambda: "pyarrow" in text(app))
