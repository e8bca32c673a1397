"""Draws the viewer on ``sample_runs`` for the README, as ``viewer/*.svg``: ``python viewer/screenshot.py``."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from textual.pilot import Pilot

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.picture import Picture
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.row_grid import RowGrid

HERE: Final = Path(__file__).parent
SIZE: Final = 160, 40
COLUMNS: Final = "state name valid_loss best(acc) cfg.lr"


async def until(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the screen is not as it should be")
        await pilot.pause(0.05)


async def draw() -> None:
    """Draw the pictures."""
    app = ViewerApp(Path("sample_runs"), Settings(sort="best(acc)", columns=COLUMNS.split(), list_share=0.47))

    def save(name: str) -> None:
        (HERE / name).write_text(app.export_screenshot(title="neurockt view"), encoding="utf-8")

    def drawn(charts: int) -> bool:
        found = [chart for chart in app.screen.query(Chart) if chart.lines and isinstance(chart.picture, Picture)]
        return len(found) >= charts

    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: any(grid.source for grid in app.screen.query(RowGrid)))
        await pilot.press(*"jj", "space", *"jjj", "space", *"jjj", "space", *"gjj")
        await until(pilot, lambda: drawn(1))
        await pilot.pause(0.2)
        save("runs.svg")
        await pilot.press("c")
        await until(pilot, lambda: drawn(4) and isinstance(app.focused, Chart))
        await pilot.press(*"sss")
        await pilot.pause(0.2)
        save("compare.svg")


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    os.chdir(HERE.parent)
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CONFIG_HOME"] = home
        asyncio.run(draw())
