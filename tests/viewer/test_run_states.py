"""One run's screen, whatever becomes of the run: written by a live process, killed, damaged, removed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from live_run import LiveRun
from live_run.by_hand import flip
from viewing import text, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid

pytestmark = pytest.mark.slow


async def test_a_live_run_is_followed_until_it_is_killed(tmp_path: Path) -> None:
    """Charts and tables grow by themselves; when the process dies the screen says so, and has its last row."""
    with LiveRun(tmp_path, rate=200) as live:
        live.wait_for(1)
        app = ViewerApp(live.path)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen) and "● running" in text(app))
            await until(lambda: app.screen.query(ChartGrid))
            charts = app.screen.query_one(ChartGrid)
            await until(lambda: charts.charts and all(chart.lines for chart in charts.charts))
            seen = len(charts.charts[0].lines[0].series)
            await until(lambda: len(charts.charts[0].lines[0].series) > seen)
            await pilot.press("2", "G")
            await until(lambda: "row " in text(app) and live.steps > 0)
            first = text(app)
            await until(lambda: text(app) != first)
            live.kill()
            await until(lambda: "✗ killed" in text(app))
            ends = [f"{rows:,}" for rows in (live.steps, live.steps + 1)]  # it may die between a row and its report
            await until(lambda: any(f"2 Steps {end}" in text(app) for end in ends))
            await pilot.press("4")
            await until(lambda: any(f"{end} steps" in text(app) for end in ends))


async def test_a_killed_run_is_read_from_its_journals(crashed_run: Path) -> None:
    """Nothing of it was sealed, and all of it is there."""
    app = ViewerApp(crashed_run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and "✗ killed" in text(app))
        await until(lambda: "2 charts" in text(app))
        await until(lambda: "2 Steps 30" in text(app) and "3 Epochs 3" in text(app))  # before anyone has looked there
        for key, rows in (("2", "30"), ("3", "3")):
            await pilot.press(key)
            await until(lambda rows=rows: f"row 1 of {rows}" in text(app))
        await pilot.press("4")
        await until(lambda: "30 steps, 3 epochs" in text(app))


async def test_a_damaged_run_shows_what_is_left_of_it(tiny_run: Path) -> None:
    """A part that cannot be read is named; the table that can be read is shown, and no screen fails."""
    for at in range(0, 400, 7):
        flip(tiny_run / "steps" / "part-00000.parquet", at)
    app = ViewerApp(tiny_run)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and "✓ finished" in text(app))
        await until(lambda: "not all can be read" in text(app))
        await pilot.press("2")
        await until(lambda: "not all can be read" in text(app))
        await pilot.press("3")
        await until(lambda: "row 1 of 2" in text(app))
        await pilot.press("4")
        await until(lambda: "could not be read" in text(app) and "part-00000.parquet" in text(app))
        shutil.rmtree(tiny_run)
        await pilot.press("1", "2", "3", "4")
        await until(lambda: "no run at" in text(app) or "does not exist" in text(app) or "no directory" in text(app))
        await pilot.press("q")
    assert app.fault is None
    assert app.return_code == 0


@pytest.mark.parametrize("size", [(10, 3), (40, 10), (200, 60)])
async def test_no_size_is_too_small(tiny_run: Path, size: tuple[int, int]) -> None:
    """Every tab and every question is drawn at any size."""
    app = ViewerApp(tiny_run.parent)
    async with app.run_test(size=size) as pilot:
        await pilot.press(
            "o", "escape", "question_mark", "escape", "p", "space", "enter", "2", "3", "4", "question_mark"
        )
    assert app.fault is None
