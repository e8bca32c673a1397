"""Late rows, and what is attached to a run, on the screens."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing import rows, text, titles, until
from written import Written, attached

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.prompts import Choose

pytestmark = pytest.mark.slow

HOSTILE = "\x1b]0;owned\x07[red]"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with two late rows and two evaluators, one of which has a hostile name."""
    made = Written(tmp_path / "runs" / "run")
    for step in (10, 20, 30):
        made.add("steps", step, {"loss": float(step)})
    made.add("late", 25, {"loss": 25.0})
    made.add("late", 15, {"loss": 15.0})
    attached(made.path, "mmlu", {10: {"acc": 0.25}, 20: {"acc": 0.5}}).finish()
    attached(made.path, HOSTILE, {10: {"f1": 0.75}}).finish()
    return made.finish()


async def test_the_charts_have_both(run: Path) -> None:
    app = ViewerApp(run)
    async with app.run_test(size=(120, 40)):
        await until(lambda: app.screen.query(ChartGrid) and len(app.screen.query_one(ChartGrid).charts) == 3)
        charts = app.screen.query_one(ChartGrid).charts
        await until(lambda: all(chart.lines and not chart.lines[0].approximate for chart in charts))
        drawn = {chart.lines[0].label: chart.lines[0].series.x.tolist() for chart in charts}
        assert drawn == {"loss": [10, 15, 20, 25, 30], "acc": [10, 20], "f1": [10]}


async def test_late_rows_have_a_tab(run: Path) -> None:
    """In the order in which they came."""
    app = ViewerApp(run)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: "5 Late 2" in text(app))
        await pilot.press("5")
        await until(lambda: len(rows(app.screen, "TableView RowGrid")) == 2)
        assert titles(app.screen, "TableView RowGrid") == ["arrival", "step", "epoch", "time", "loss"]
        assert [row[:2] for row in rows(app.screen, "TableView RowGrid")] == [["1", "25"], ["2", "15"]]
        await until(lambda: "at arrival 1" in text(app))
        await pilot.press("tab")
        await until(lambda: app.screen.query_one(ChartGrid).display)


async def test_a_run_without_late_rows_has_no_tab(tiny_run: Path) -> None:
    app = ViewerApp(tiny_run)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: "3 Epochs 2" in text(app))
        await pilot.press("5", "A")
        assert "Late" not in text(app)
        assert isinstance(app.screen, RunScreen)


async def test_what_is_attached_can_be_looked_at_as_a_run(run: Path) -> None:
    """A chooses it: its charts, tables and facts; and the run again."""
    app = ViewerApp(run)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: "2 attached (A)" in text(app))
        await pilot.press("3", "A")
        await until(lambda: isinstance(app.screen, Choose))
        assert "\x1b" not in text(app)
        assert [row[-1].split()[-1] for row in rows(app.screen, "RowGrid")] == ["run", "finished", "finished"]
        await pilot.press("m", "m", "l", "u", "enter")
        await until(lambda: "attached to run" in text(app))
        await until(lambda: len(rows(app.screen, "TableView RowGrid")) == 2)
        assert [row[0] for row in rows(app.screen, "TableView RowGrid")] == ["10", "20"]
        await until(lambda: [line.split()[:1] for line in text(app).splitlines()].count(["20"]) == 1)
        await pilot.press("A")
        await until(lambda: isinstance(app.screen, Choose))
        await pilot.press("t", "h", "e", "enter")
        await until(lambda: "attached to run" not in text(app))


async def test_the_facts_name_them(run: Path) -> None:
    """On the run's own screen, and beside the table of runs."""
    app = ViewerApp(run)
    async with app.run_test(size=(120, 70)) as pilot:
        await pilot.press("4")
        await until(lambda: "attached: mmlu, finished" in text(app))
        assert "columns of arrivals" in text(app)
        assert "3 steps up to 30, 0 epochs, 2 late" in text(app)
        assert "\x1b" not in text(app)
    app = ViewerApp(run.parent)
    async with app.run_test(size=(160, 40)):
        await until(lambda: "attached" in text(app) and "acc" in text(app))
        assert "0.5" in text(app)
