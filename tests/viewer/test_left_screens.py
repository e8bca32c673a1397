"""A screen that is left while it opens, or while its charts are laid out, ends quietly."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen
from viewing import rows, text, until

from neurockt_viewer import background
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.help import HelpScreen
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.prompts import Ask, Choose

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
RUNS = [SAMPLES / "adam-0.003-s0", SAMPLES / "adam-0.003-s1"]
MOMENTS = (0, 2, 5)
"""Rounds of the event loop between opening and leaving: before and while the children are mounted."""

SCREENS: dict[str, Callable[[], Screen[Any]]] = {
    "a run": lambda: RunScreen(RUNS[0]),
    "a comparison": lambda: CompareScreen({path: slot for slot, path in enumerate(RUNS)}),
    "a question": lambda: Ask("name"),
    "a choice": lambda: Choose("columns", ["a", "b"], several=True),
    "help": lambda: HelpScreen(RunScreen(RUNS[0])),
}


@asynccontextmanager
async def list_of_runs() -> AsyncIterator[tuple[ViewerApp, Pilot[None]]]:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        yield app, pilot
    assert app.fault is None


@pytest.mark.parametrize("name", ["a run", "a comparison"])
async def test_left_as_its_charts_are_laid_out(name: str) -> None:
    """No chart gets the focus after the next refresh, which is one of the screen below."""
    async with list_of_runs() as (app, pilot):
        below, left = app.screen, asyncio.Event()
        await app.push_screen(SCREENS[name]())
        await until(lambda: "5 charts" in text(app))
        below.call_later(left.wait)  # its refresh waits until the other screen is gone
        app.screen.query_one(ChartGrid).post_message(ChartGrid.Known())
        await app.pop_screen()
        left.set()
        await pilot.pause()
        assert app.screen is below


async def test_left_as_it_opens() -> None:
    """At whatever moment, the screen below is there as it was."""
    async with list_of_runs() as (app, pilot):
        below = app.screen
        for made in SCREENS.values():
            for moment in MOMENTS:
                app.push_screen(made())
                for _ in range(moment):
                    await asyncio.sleep(0)
                await app.pop_screen()
                await pilot.pause()
                assert app.screen is below
        await until(lambda: "12 runs" in text(app))


@pytest.mark.parametrize("moment", [0, 3])
async def test_quit_as_it_opens(moment: int) -> None:
    """Ctrl+C while the children of a comparison are mounted ends the viewer, and is no error."""
    async with list_of_runs() as (app, _):
        app.push_screen(SCREENS["a comparison"]())
        for _ in range(moment):
            await asyncio.sleep(0)
        app.exit()


@pytest.mark.parametrize("moment", [1, 3, 5, 8])
async def test_keys_whose_effects_nobody_waits_for(moment: int) -> None:
    """What is still on its way when the viewer ends meets no screen."""
    async with list_of_runs() as (app, _):
        for character in "jk" * 3:
            app.post_message(events.Key(character, character))
        for _ in range(moment):
            await asyncio.sleep(0)


async def test_an_error_of_a_widget_that_stays_is_reported() -> None:
    """What is left out is only what a screen that is on its way out does."""

    def fail() -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        async with list_of_runs() as (app, _):
            app.screen.call_later(fail)
            await until(lambda: app.return_code is not None)  # the pause of a pilot waits half a minute


async def test_a_reading_thread_ends_though_nobody_wakes_it() -> None:
    """It waits for nothing but to be woken, as that of hidden charts does, and its worker is cancelled after that."""
    wake, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def read() -> None:
        background.repeat(begun.set, wake, str)
        ended.set()

    app: App[None] = App()
    async with app.run_test():
        worker = app.run_worker(read, thread=True)
        await until(begun.is_set)
        worker.cancel()
        try:
            await until(ended.is_set)
        finally:
            wake.set()
