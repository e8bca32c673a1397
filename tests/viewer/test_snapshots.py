"""A few screens as they were looked at and found good. ``SNAPSHOTS=write pytest`` writes them anew, to be looked at."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
from viewing import rows, text, typed, until

from neurockt import formatting
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.help import HelpScreen
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.prompts import Choose

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent / "snapshots"
SCROLLBAR = re.compile("[▁▂▃▄▅▆▇█▎▍▌▋▊▉]")
"""Its end is an eighth longer where the list has one more line."""
SAMPLES = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times are the same everywhere, and on every day."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.setattr(formatting, "utc_now", lambda: datetime(2026, 11, 25, 12, tzinfo=timezone.utc))
        patch.chdir(SAMPLES)
        time.tzset()
        yield
    time.tzset()


def check(app: ViewerApp, name: str) -> None:
    """Compare what is seen with what was accepted."""
    path = HERE / f"{name}.txt"
    seen = "\n".join(SCROLLBAR.sub(" ", line).rstrip() for line in text(app).splitlines()) + "\n"
    if os.environ.get("SNAPSHOTS") == "write":
        path.write_text(seen, encoding="utf-8")
    assert seen == path.read_text(encoding="utf-8"), name


async def test_screens_look_as_they_were_accepted() -> None:
    """The runs with details, by group; the keys; the choice of columns; and metrics and configs compared."""
    app = ViewerApp(Path("sample_runs"), Settings(charts=False))
    async with app.run_test(size=(120, 24)) as pilot:
        await until(lambda: len(rows(app.screen, "#runs")) == 12)
        await pilot.press("j", "j", "j", "space", "space")
        await until(lambda: "c Compare" in text(app))
        check(app, "runs")
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen))
        check(app, "help")
        await pilot.press("escape", "o")
        await until(lambda: isinstance(app.screen, Choose) and len(rows(app.screen, "RowGrid")) > 20)
        check(app, "columns")
        await pilot.press("escape", "b")
        await until(lambda: isinstance(app.screen, Choose))
        await typed(pilot, "optimizer")
        await pilot.press("enter")
        await until(lambda: len(rows(app.screen, "#runs")) == 15)
        await pilot.press("g", "j", "j", "j", "j")
        check(app, "groups")
        await pilot.press("c", "2")
        await until(lambda: isinstance(app.screen, CompareScreen) and len(rows(app.screen, "#metrics")) == 2)
        await pilot.pause()
        check(app, "metrics")
        await pilot.press("3")
        check(app, "config")
