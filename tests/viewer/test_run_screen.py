"""One run: its tabs, what is told of it, and how it is followed, killed and damaged."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from live_run import LiveRun
from textual.pilot import Pilot
from textual.widgets import Static
from viewing import text, typed, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.info import InfoView
from neurockt_viewer.widgets.tab_bar import TabBar
from neurockt_viewer.widgets.table_view import TableView

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parents[2] / "sample_runs" / "adam-0.003-s0"


@asynccontextmanager
async def opened(path: Path, size: tuple[int, int] = (140, 60)) -> AsyncIterator[tuple[Pilot[None], RunScreen]]:
    app = ViewerApp(path, Settings())
    async with app.run_test(size=size) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and bool(app.screen.query(ChartGrid)))
        screen = app.screen
        assert isinstance(screen, RunScreen)
        await until(lambda: bool(screen.query_one(ChartGrid).charts))
        await pilot.pause()
        yield pilot, screen


def told(screen: RunScreen, where: str = "#title") -> str:
    return str(screen.query_one(where, Static).content)


def tabs(screen: RunScreen) -> str:
    bar = screen.query_one(TabBar)
    return bar.render_line(0).text


def info(screen: RunScreen) -> list[str]:
    views = screen.query(InfoView)
    return str(views.first().query_one(Static).content).splitlines() if views else []


def read(grid: ChartGrid) -> int:
    """Losses that the charts know of."""
    return len(grid.charts[0].lines[0].series)


def said(lines: list[str], begin: str) -> str:
    """The line that begins so, without that."""
    return next((line.removeprefix(begin).strip() for line in lines if line.startswith(begin)), "")


async def test_tabs_are_reached_by_number_and_one_after_the_other() -> None:
    """Charts first, then the two tables and what is known; each tells how many rows it has, and has the keys."""
    async with opened(SAMPLE) as (pilot, screen):
        assert "Steps 900" in tabs(screen)
        assert "Epochs 20" in tabs(screen)
        for key, kind in ("2", TableView), ("3", TableView), ("4", InfoView), ("1", ChartGrid):
            await pilot.press(key)
            (shown,) = [tab for tab in screen.query("#tab > *") if tab.display]
            assert type(shown) is kind
            assert screen.focused is not None
            assert shown in screen.focused.ancestors_with_self
        await pilot.press("tab", "tab")
        (table,) = [tab for tab in screen.query(TableView) if tab.display]
        await until(lambda: table.rows is not None)
        assert str(table.query_one(".status", Static).content).endswith("at epoch 1 · row 1 of 20")


async def test_all_that_is_known_stands_under_info() -> None:
    """Config, tags, host, and of each column the last, smallest and largest value and the step of each, in full."""
    summary = json.loads((SAMPLE / "run.json").read_text())
    async with opened(SAMPLE) as (pilot, screen):
        await pilot.press("4")
        lines = info(screen)
        column = summary["epochs"]["columns"]["valid_loss"]
        expected = [
            *(f"{column['count']:,}", repr(column["last"]), repr(column["min"]), str(column["min_at"])),
            *(repr(column["max"]), str(column["max_at"])),
        ]
        assert said(lines, "valid_loss").split() == expected
        assert said(lines, "host") == summary["attempts"][0]["host"]
        assert said(lines, "tags") == ", ".join(summary["tags"])
        for key, value in summary["config"].items():
            if not isinstance(value, dict):
                assert said(lines, f"{key} ") == (value if isinstance(value, str) else json.dumps(value))


async def test_a_narrow_info_has_shorter_numbers() -> None:
    """A line for each metric, which is not broken."""
    async with opened(SAMPLE, size=(80, 24)) as (pilot, screen):
        await pilot.press("4")
        await until(lambda: said(info(screen), "valid_loss").split() == ["20", "0.13685", "0.13685", "20", "1.65", "1"])
        assert max(map(len, info(screen)[12:16])) <= 75
        await pilot.resize_terminal(160, 24)
        await until(lambda: len(said(info(screen), "valid_loss")) > 75)


async def test_the_numbers_of_info_are_aligned_on_their_decimal_points() -> None:
    """In columns named as `show` names them."""
    async with opened(SAMPLE, size=(160, 48)) as (pilot, screen):
        await pilot.press("4")
        lines = info(screen)
        begin = next(
            at for at, line in enumerate(lines) if line.split()[:4] == ["metric", "values", "last", "smallest"]
        )
        points = [[found.start() for found in re.finditer(r"\.", line)] for line in lines[begin + 1 : begin + 4]]
        assert len(points[0]) == 3
        assert points[0] == points[1] == points[2]


async def test_the_path_is_copied() -> None:
    """The whole of it, from the charts."""
    async with opened(SAMPLE) as (pilot, _):
        await pilot.press("y")
        assert pilot.app.clipboard == str(SAMPLE.absolute())


async def test_all_that_reads_at_the_same_time_does_on_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list, the charts beside it, a run, its charts and both tables read; a sort and an export do too."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 1, raising=False)
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(SAMPLE.parent)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and app.screen.query(ChartGrid))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen) and "5 charts" in text(app))
        for key, rows in ("2", 900), ("3", 20):
            await pilot.press(key)
            await until(lambda rows=rows: f"row 1 of {rows}" in text(app))
        await typed(pilot, "ls")
        await until(lambda: "▲" in text(app))
        await typed(pilot, "e\r")
        await until(lambda: list(tmp_path.glob("*.csv")))


async def test_a_run_that_is_written_goes_on_in_every_tab(tmp_path: Path) -> None:
    """A real process records; then it is killed, and that is told, with every row that it had recorded."""
    with LiveRun(tmp_path, rate=300.0) as live:
        live.wait_for(300)
        async with opened(live.path) as (pilot, screen):
            await until(lambda: "running" in told(screen))
            grid = screen.query_one(ChartGrid)
            await until(lambda: len(grid.charts) >= 4 and len(grid.charts[0].lines[0].series) > 400)
            await pilot.press("4")
            await until(lambda: bool(said(info(screen), "loss")))
            before = int(said(info(screen), "loss").split()[0].replace(",", ""))
            await until(lambda: int(said(info(screen), "loss").split()[0].replace(",", "")) > before)
            await pilot.press("2")
            (table,) = screen.query(TableView)
            await until(lambda: table.rows is not None and table.following)
            live.kill()
            await until(lambda: "killed" in told(screen))
            ends = live.steps, live.steps + 1  # it may die between a row and its report
            await until(lambda: table.rows is not None and table.rows.total in ends)
            assert any(f"Steps {end:,}" in tabs(screen) for end in ends)


async def test_charts_that_nobody_sees_are_not_read_until_they_are_seen_again(tmp_path: Path) -> None:
    """And have then all that has come meanwhile."""
    with LiveRun(tmp_path, rate=300.0) as live:
        live.wait_for(100)
        async with opened(live.path) as (pilot, screen):
            grid = screen.query_one(ChartGrid)
            await until(lambda: bool(grid.charts) and read(grid) > 50)
            await pilot.press("2")
            await until(lambda: not grid.is_on_screen)
            await pilot.pause()
            before, steps = read(grid), live.steps
            await until(lambda: live.steps > steps + 300)
            assert read(grid) == before
            await pilot.press("1")
            await until(lambda: read(grid) > before + 200)


async def test_a_run_that_goes_away_is_told_of_and_the_screen_stays(tmp_path: Path) -> None:
    """A sentence, and no traceback; and nothing more once it is back."""
    with LiveRun(tmp_path, rate=100.0) as live:
        live.wait_for(50)
        async with opened(live.path) as (_, screen):
            await until(lambda: "running" in told(screen))
            live._child.send_signal(signal.SIGSTOP)
            away = live.path.rename(tmp_path / "elsewhere")
            await until(lambda: str(live.path) in told(screen, "#problem"))
            away.rename(live.path)
            live._child.send_signal(signal.SIGCONT)
            await until(lambda: told(screen, "#problem") == "")
