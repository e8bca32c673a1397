"""Draws the pictures of the README from ``sample_runs``, as ``viewer/*.svg`` and ``viewer/*.png``: ``make pictures``.

The report is drawn by a headless Chromium (see ``tests/chromium.py``), and left as it is where there is none.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from PIL import Image  # matplotlib needs it, too
from textual.pilot import Pilot

from neurockt.cli import main
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.charts.picture import Picture
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.row_grid import RowGrid

HERE: Final = Path(__file__).parent
SIZE: Final = 160, 40
COLUMNS: Final = "state name valid_loss best(acc) cfg.lr"


def draw_figure() -> None:
    words = "plot -f group:* --root sample_runs -m train_loss -m acc --seeds --smooth 0.02 --dpi 110 --force -o"
    assert main([*words.split(), str(HERE / "figure.png")]) == 0


def draw_report(home: Path) -> None:
    sys.path.append(str(HERE.parent / "tests"))
    import chromium

    if not chromium.find():
        print("no Chromium, so viewer/report.png stays as it is: name one in NEUROCKT_CHROMIUM", file=sys.stderr)
        return
    page = home / "report.html"
    words = ["report", "sample_runs", "--filter", "cfg.lr<=0.1 cfg.width=32", "--title", "Optimizers on digits"]
    assert main([*words, "-o", str(page)]) == 0
    browser = chromium.Chromium(home / "chromium", 1240, 1000)
    try:
        browser.call("Emulation.setDeviceMetricsOverride", width=1240, height=1080, deviceScaleFactor=1, mobile=False)
        browser.call("Emulation.setScrollbarsHidden", hidden=True)
        browser.call("Page.navigate", url=page.as_uri())
        browser.until("!!document.querySelector('#grid .main-svg')")
        browser.run("id('smooth').value = 2; id('smooth').oninput()")
        browser.until("charts.every((chart) => !chart.dirty || !chart.seen)")
        left, top, width, height = browser.box(".nsewdrag")
        browser.mouse("Moved", left + 0.35 * width, top + 0.6 * height)
        browser.until("!id('tip').hidden")
        browser.picture(home / "report.png")
    finally:
        browser.close()
    with Image.open(home / "report.png") as picture:
        picture.quantize(256).save(HERE / "report.png", optimize=True)


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
        draw_figure()
        draw_report(Path(home))
