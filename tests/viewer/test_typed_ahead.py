"""What is typed in one go with the key that opens a line or a prompt is for that line or prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing import rows, text, titles, typed, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid

SAMPLES = Path(__file__).parents[2] / "sample_runs"


async def test_in_the_list_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filter, groups, columns and export, each from its key to Enter, without a pause."""
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        screen = app.screen
        await typed(pilot, "bcfg.optimizer\r")
        await until(lambda: "by cfg.optimizer" in text(app) and app.screen is screen)
        before = titles(screen, "#runs")
        await typed(pilot, "ojj \r")
        await until(lambda: app.screen is screen and titles(screen, "#runs") != before)
        assert titles(screen, "#runs") == [*before[:3], *before[4:]], "the third column is gone"
        await typed(pilot, "e\r")
        await until((tmp_path / "runs.csv").exists)
        assert app.screen is screen
        await typed(pilot, "/sgd\r")
        await until(lambda: "5 of 12 runs" in text(app))


async def test_in_the_tables_and_charts_of_a_run() -> None:
    """Go to, and the search for a metric: digits open no tab, letters change no chart."""
    app = ViewerApp(SAMPLES / "adamw-0.003-late")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and "5 charts" in text(app))
        charts = app.screen.query_one(ChartGrid)
        await until(lambda: charts.charts and charts.charts[0].has_focus)
        await typed(pilot, "/valid\r")
        await until(lambda: "with 'valid'" in text(app))
        await pilot.press("escape")
        await typed(pilot, "2")
        await until(lambda: "row 1 of 900" in text(app))
        for step in 512, 34, 890:
            await typed(pilot, f":{step}\r")
            await until(lambda step=step: f"at step {step} · row {step} of 900" in text(app))
