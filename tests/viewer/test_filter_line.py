"""The line of the filter: what it does while it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing import rows, text, typed, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.filter_line import FilterLine
from neurockt_viewer.widgets.row_grid import RowGrid

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"


async def test_a_half_typed_filter_keeps_the_last_rows_and_is_completed() -> None:
    """No row goes before a word is whole; Tab completes names and values; Enter takes it as it is."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        screen, line = app.screen, app.screen.query_one(FilterLine)
        grid = screen.query_one("#runs", RowGrid)
        await typed(pilot, "/sgd val")
        # val could become the name of a metric
        await until(lambda: line.value.endswith("val") and len(rows(screen, "#runs")) == 5)
        assert "valid_loss  " in text(app)
        top = grid.region.y
        await pilot.press("tab")
        assert line.value == "sgd valid_loss"
        await typed(pilot, "<0.25")
        await until(lambda: len(rows(screen, "#runs")) < 5)
        assert grid.region.y == top, "the table does not jump while one types"
        await pilot.press("ctrl+u")
        await typed(pilot, "stat")
        await pilot.press("tab")
        assert line.value == "state:"
        await until(lambda: "running  finished" in text(app))
        await typed(pilot, "kil")
        await pilot.press("tab")
        await until(lambda: "1 of 12 runs" in text(app))
        await pilot.press("ctrl+u")
        await typed(pilot, "cfg.optimizer=adam")
        await pilot.press("tab", "tab")
        completed = line.value
        await pilot.press("shift+tab", "shift+tab", "tab")
        assert line.value == completed
        assert completed.startswith("cfg.optimizer=adam")
        await pilot.press("ctrl+u")
        await typed(pilot, "vali")
        await until(lambda: "valid_loss  " in text(app))
        assert rows(screen, "#runs")
        await pilot.press("enter")
        await until(lambda: "No run matches. Esc clears the filter." in text(app))
        assert not line.is_typed
        await pilot.press("slash", "ctrl+u")
        await typed(pilot, "lr>0.05")
        await until(lambda: "no run has 'lr'; did you mean 'cfg.lr'?" in text(app))
        assert len(rows(screen, "#runs")) == 12
        await pilot.press("enter")
        await until(lambda: not rows(screen, "#runs") and "did you mean 'cfg.lr'?" in text(app))
        await pilot.press("escape")
        await until(lambda: len(rows(screen, "#runs")) == 12)
        assert not line.display
