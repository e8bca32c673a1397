"""A run whose ranks keep their own rows, on the screen: the mean with a band, or one rank."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing import rows, text, until

from neurockt.monitor import Recorder
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.lines import RunLines
from neurockt_viewer.charts.series import Line
from neurockt_viewer.charts.source import Metric
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.prompts import Choose

pytestmark = pytest.mark.slow

LOSS = Metric("steps", "loss")


def record(root: Path, monkeypatch: pytest.MonkeyPatch, rank: int, steps: int) -> Recorder:
    """What a rank of three records, the step and its rank being the loss."""
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "3")
    recorder = Recorder(root, run_id="ranked", ranks="all", quiet=True)
    loss = recorder.track_scalar("loss", max)(float)
    for step in range(1, steps + 1):
        with recorder(train=True):
            loss(step + rank)
    return recorder


@pytest.fixture
def ranked_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three ranks, of which the last stopped after 6 of 10 steps."""
    for rank, steps in ((0, 10), (1, 10), (2, 6)):
        record(tmp_path / "runs", monkeypatch, rank, steps).finish()
    return tmp_path / "runs" / "ranked"


async def test_a_run_with_ranks_is_its_mean_with_a_band_or_one_rank(ranked_run: Path) -> None:
    """Charts show the mean, tables the rows of all ranks; R chooses one rank, and all again."""
    app = ViewerApp(ranked_run)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: app.screen.query(ChartGrid) and app.screen.query_one(ChartGrid).charts)
        (chart,) = app.screen.query_one(ChartGrid).charts
        await until(lambda: chart.lines and not chart.lines[0].approximate)
        (line,) = chart.lines
        assert (line.label, line.band) == ("loss", True)
        assert line.series.last.tolist() == [step + (1.0 if step <= 6 else 0.5) for step in range(1, 11)]
        assert (line.series.low[0], line.series.high[0]) == (1.0, 3.0)
        await until(lambda: "mean of 3 ranks" in text(app))
        await pilot.press("2")
        await until(lambda: len(rows(app.screen, "TableView RowGrid")) > 10)
        assert [row[-1] for row in rows(app.screen, "TableView RowGrid")[:4]] == ["1", "2", "3", "2"]

        await pilot.press("R")
        await until(lambda: isinstance(app.screen, Choose))
        assert "rank 2  finished" in text(app)
        await pilot.press(*"2", "enter")
        await until(lambda: isinstance(app.screen, RunScreen) and "rank 2 of 3" in text(app))
        await until(lambda: len(rows(app.screen, "TableView RowGrid")) == 6)
        assert rows(app.screen, "TableView RowGrid")[0][-1] == "3"
        await pilot.press("1")
        await until(lambda: app.screen.query_one(ChartGrid).charts)
        (chart,) = app.screen.query_one(ChartGrid).charts
        await until(lambda: chart.lines and not chart.lines[0].approximate)
        assert not chart.lines[0].band
        await pilot.press("R")
        await until(lambda: isinstance(app.screen, Choose))
        await pilot.press(*"mean", "enter")
        await until(lambda: "mean of 3 ranks" in text(app))


async def test_a_run_of_one_writer_has_no_ranks_to_choose(tiny_run: Path) -> None:
    """R does nothing there, and is not offered."""
    app = ViewerApp(tiny_run)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and "finished" in text(app))
        await pilot.press("R")
        assert isinstance(app.screen, RunScreen)
        assert "Ranks" not in text(app)


def test_a_live_rank_joins_the_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank that begins to record after the charts were opened is in the mean and the band from then on."""

    def line() -> Line:
        (found,) = lines.lines([LOSS], "step")
        return found

    first = record(tmp_path, monkeypatch, 0, 4)
    lines = RunLines([tmp_path / "ranked"])
    assert lines.open()
    lines.outline()
    lines.read([LOSS], lambda: True)
    assert not line().band
    second = record(tmp_path, monkeypatch, 2, 4)
    assert lines.live()
    assert lines.open()
    lines.outline()
    lines.read([LOSS], lambda: True)
    assert (line().band, line().series.last.tolist()) == (True, [2.0, 3.0, 4.0, 5.0])
    assert line().series is line().series, "nothing has come, so nothing is drawn again"
    first.finish()
    second.finish()
    assert not lines.live()
