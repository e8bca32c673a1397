"""Runs beside each other: what differs, and the screen that shows it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.text import Text
from textual.app import App
from textual.widgets import DataTable, TabbedContent

from neurockt.monitor import Recorder
from neurockt.records import ColumnSummary, RunInfo, TableSummary
from neurockt_viewer.comparison import compare_configs, compare_metrics
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid

HOSTILE = "[/x]\x1b]0;owned\x07[@click=app.bell]a\u202e"


def info(name: str, config: dict[str, Any] | None = None, **metrics: tuple[float, float, float]) -> RunInfo:
    """A run whose metrics came to these last, smallest and largest values."""
    columns = {key: ColumnSummary(9, last, 9, low, 1, high, 2) for key, (last, low, high) in metrics.items()}
    created = datetime(2026, 11, 23, tzinfo=timezone.utc)
    return RunInfo(Path(name), name, created, config=config or {}, epochs=TableSummary(9, columns))


def test_differences_are_to_the_baseline_and_judged_by_the_metrics_name() -> None:
    """A smaller loss and a larger accuracy are better; a run that lacks the metric is neither."""
    runs = [info("a", loss=(0.5, 0.4, 1.0), acc=(0.8, 0.1, 0.9)), info("b", loss=(0.3, 0.3, 1.0), acc=(0.7, 0.1, 0.9))]
    loss, best_loss, acc, best_acc = compare_metrics([*runs, info("c")], baseline=0)
    assert [column.which for column in (loss, best_loss, acc, best_acc)] == ["last", "best", "last", "best"]
    assert [value.better for value in loss.values] == [None, True, None]
    assert [value.better for value in acc.values] == [None, False, None]
    assert [value.value for value in best_loss.values] == [0.4, 0.3, None]
    assert [str(value) for value in loss.values] == ["0.5000", "0.3000 (-0.2000)", "-"]
    assert [value.better for value in best_acc.values] == [None, None, None]


def test_nan_is_neither_better_nor_worse() -> None:
    """A diverged run is shown as it is."""
    (loss, _) = compare_metrics([info("a", loss=(0.5, 0.5, 1.0)), info("b", loss=(math.nan, 0.1, 1.0))], 0)
    assert (loss.values[1].better, str(loss.values[1])) == (None, "nan (nan)")


def test_only_the_config_keys_that_differ_are_listed() -> None:
    """Nested ones by dots; a missing key differs from null; True differs from 1; all of them on request."""
    configs = [
        {"lr": 0.1, "model": {"width": 32, "depth": 2}, "amp": True, "clip": None},
        {"lr": 0.1, "model": {"width": 64, "depth": 2}, "amp": 1},
    ]
    runs = [info(str(index), config) for index, config in enumerate(configs)]
    assert compare_configs(runs) == [("model.width", ["32", "64"]), ("amp", ["true", "1"]), ("clip", ["null", "·"])]
    assert [key for key, _ in compare_configs(runs, everything=True)] == [
        *("lr", "model.width", "model.depth", "amp", "clip")
    ]


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Three finished runs; one's name and config are hostile."""
    made = []
    for index, name in enumerate(["slow", "fast", HOSTILE]):
        config = {"lr": 10.0**-index, "width": 32, HOSTILE: HOSTILE if index == 2 else 0}
        recorder = Recorder(tmp_path, run_id=f"r{index}", name=name, quiet=True, config=config)
        loss = recorder.track_scalar("loss", lambda values: values[-1])(float)
        for step in range(1, 6):
            with recorder(train=True):
                loss((index + 1) / step)
        recorder.finish()
        made.append(recorder.run_dir)
    return made


async def until(holds: Callable[[], bool]) -> None:
    async def look() -> None:
        while not holds():
            await asyncio.sleep(0.01)

    await asyncio.wait_for(look(), 20.0)


def cells(table: DataTable[Text]) -> list[list[str]]:
    return [[str(cell) for cell in table.get_row_at(row)] for row in range(table.row_count)]


async def test_the_screen_compares_by_keys(paths: list[Path]) -> None:
    """Charts, metrics against a baseline that Enter changes, configs with a switch for all keys; Escape leaves."""
    app: App[None] = App()
    async with app.run_test(size=(120, 30)) as pilot:
        screen = CompareScreen(paths)
        await app.push_screen(screen)
        metrics, config = screen.query_one("#metric-table", DataTable), screen.query_one("#config-table", DataTable)
        await until(lambda: metrics.row_count == 3 and bool(screen.query_one(ChartGrid).charts))
        await pilot.press("2")
        await pilot.pause()
        assert screen.query_one(TabbedContent).active == "metrics"
        assert cells(metrics)[0][0].startswith("* A slow")
        assert cells(metrics)[1][1] == "0.4000 (+0.2000) ▾"
        await pilot.press("down", "enter")
        assert cells(metrics)[0][1] == "0.2000 (-0.2000) ▴"
        assert cells(metrics)[1][:2] == ["* B fast", "0.4000"]
        await pilot.press("3")
        await pilot.pause()
        assert cells(config)[0][0] == "lr"
        assert len(cells(config)) == 2
        await pilot.press("a")
        assert len(cells(config)) == 3
        shown = "".join(cell for table in (config, metrics) for row in cells(table) for cell in row)
        assert "[/x]" in shown
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
        await pilot.press("escape")
        assert app.screen is not screen
