"""Runs beside each other: what differs, and the screen that shows it."""

from __future__ import annotations

import csv
import math
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from viewing import lines, rows, text, titles, typed, until

from neurockt.monitor import Recorder
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.comparison import compare_configs, compare_metrics
from neurockt_viewer.marks import Marks
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import CellRows

pytestmark = pytest.mark.slow

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
    assert [str(value) for value in loss.values] == ["0.5", "0.3 (-0.2)", "-"]
    assert [value.better for value in best_acc.values] == [None, None, None]


def test_values_of_one_table_are_not_compared_with_those_of_the_other() -> None:
    """Where a run has the metric in both tables, each has its columns."""
    steps = TableSummary(9, {"loss": ColumnSummary(9, 0.2, 9, 0.1, 1, 2.0, 2)})
    both = replace(info("both", loss=(0.5, 0.4, 1.0)), steps=steps)
    alone = replace(info("alone"), steps=steps)
    columns = compare_metrics([both, alone], 0)
    assert [(column.metric, column.which) for column in columns] == [
        *(("loss@epochs", "last"), ("loss@epochs", "best"), ("loss@steps", "last"), ("loss@steps", "best")),
    ]
    assert [[value.value for value in column.values] for column in columns] == [
        *([0.5, None], [0.4, None], [0.2, 0.2], [0.1, 0.1]),
    ]


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
    differing = [(key.name, key.values) for key in compare_configs(runs) if key.differs]
    assert differing == [("model.width", ["32", "64"]), ("amp", ["true", "1"]), ("clip", ["null", "·"])]
    assert [key.name for key in compare_configs(runs)] == ["lr", "model.width", "model.depth", "amp", "clip"]


def test_a_mark_keeps_its_slot_while_others_come_and_go() -> None:
    """A run's letter and colour are its own for as long as it is marked; the lowest free one goes to the next."""
    marks = Marks()
    for name in "abc":
        marks.add(Path(name))
    marks.toggle(Path("b"))
    assert [marks[Path(name)] for name in "ac"] == [0, 2]
    marks.toggle(Path("d"))
    marks.add(Path("a"))
    assert [str(path) for path in sorted(marks, key=lambda path: marks[path])] == ["a", "d", "c"]
    marks.keep([Path("c"), Path("x")])
    assert marks == {Path("c"): 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four finished runs; two differ only in the seed, and one's name and config are hostile."""
    root = tmp_path / "runs"
    for index, (name, seed) in enumerate([("slow-s0", 0), ("slow-s1", 1), ("fast", 0), (HOSTILE, 0)]):
        config = {"lr": 10.0 ** -(index // 2), "width": 32, "seed": seed, HOSTILE: HOSTILE if index == 3 else 0}
        recorder = Recorder(root, run_id=f"r{index}", name=name, quiet=True, config=config)
        loss = recorder.track_scalar("loss", lambda values: values[-1])(float)
        for step in range(1, 6):
            with recorder(train=True):
                loss((index + 1) / step)
        recorder.finish()
    return root


async def test_marked_runs_are_compared_by_keys(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves in the colours of the marks, seeds as one; metrics against any baseline; configs, all keys on request."""
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(root)
    async with app.run_test(size=(140, 30)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 4)
        await pilot.press("c")
        assert isinstance(app.screen, RunsScreen), "one run cannot be compared"
        await pilot.press(*["space"] * 4, "g", "space")
        assert [row[0] for row in rows(app.screen, "#runs")] == ["", "B", "C", "D"], "the newest is marked no longer"
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, CompareScreen) and app.screen.query_one(ChartGrid).charts)
        screen = app.screen
        charts = screen.query_one(ChartGrid)
        await until(lambda: [line.colour for line in charts.charts[0].lines] == [1, 2, 3])
        await until(lambda: "B fast" in lines(app)[0])
        await until(lambda: charts.charts[0].has_focus)
        await pilot.press("b")
        seen = [("fast", False), ("slow ×2", True)]
        await until(lambda: [(line.label, line.band) for line in charts.charts[0].lines] == seen)

        await pilot.press("2")
        await until(lambda: len(rows(screen, "#metrics")) == 3)
        assert titles(screen, "#metrics") == ["run", "loss last", "loss best"]
        assert rows(screen, "#metrics")[0][:2] == ["B fast", "0.6"]
        assert rows(screen, "#metrics")[1][:2] == ["C slow-s1", "0.4 (-0.2) ✓"]
        await pilot.press("j", "enter")
        assert rows(screen, "#metrics")[0][1] == "0.6 (+0.2) ✗"
        assert rows(screen, "#metrics")[1][1] == "0.4"
        await until(lambda: "differences are to C slow-s1" in text(app))
        await typed(pilot, "e\r")
        await until((tmp_path / "metrics.csv").exists)
        with (tmp_path / "metrics.csv").open() as file:
            assert next(csv.DictReader(file))["loss last difference"] == repr(3 / 5 - 2 / 5)

        await pilot.press("tab")
        assert [row[0] for row in rows(screen, "#config")] == ["lr", "seed"]
        assert titles(screen, "#config") == ["key", "B fast", "C slow-s1", "D slow-s0"]
        await pilot.press("a")
        assert [row[0] for row in rows(screen, "#config")][:3] == ["lr", "width", "seed"]
        await pilot.press("l", "y")
        assert app.clipboard == "0.1"
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen))


async def test_the_groups_of_the_list_are_drawn_as_bands(root: Path) -> None:
    """All their runs as one, beside the list and compared."""
    app = ViewerApp(root, Settings(group="cfg.width"))
    async with app.run_test(size=(160, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 5)
        await pilot.press("a")
        await until(lambda: len(app.screen.query(ChartGrid)) and app.screen.query_one(ChartGrid).charts)
        beside = app.screen.query_one(ChartGrid)
        await until(lambda: len(beside.charts[0].lines) == 4)
        beside.action_band()
        await until(lambda: [line.label for line in beside.charts[0].lines] == ["cfg.width = 32 ×4"])
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, CompareScreen) and app.screen.query_one(ChartGrid).charts)
        compared = app.screen.query_one(ChartGrid)
        await until(lambda: compared.charts[0].has_focus and len(compared.charts[0].lines) == 4)
        await pilot.press("b")
        await until(lambda: [line.label for line in compared.charts[0].lines] == ["cfg.width = 32 ×4"])


async def test_the_configs_of_many_runs_are_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted by any key; what most runs do not have is bold; `v` turns the table; it is exported as it is shown."""
    monkeypatch.chdir(tmp_path)
    for index in range(6):
        config = {"lr": [0.1, 0.1, 0.1, 0.1, 0.01, 1][index], "model": {"depth": 10 - index}, "same": 1}
        recorder = Recorder(tmp_path / "runs", run_id=f"r{index}", quiet=True, config=config)
        recorder.log({"loss": 1.0})
        recorder.finish()
    app = ViewerApp(tmp_path / "runs")
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 6)
        await pilot.press("a", "c", "3")
        await until(lambda: isinstance(app.screen, CompareScreen) and len(rows(app.screen, "#config")) == 6)
        screen = app.screen
        assert titles(screen, "#config") == ["run", "lr", "model.depth"]
        source = screen.query_one("#config", RowGrid).source
        assert isinstance(source, CellRows)
        assert sorted(row[1].text for row in source.rows if row[1].tone == "strong") == ["0.01", "1"]
        await pilot.press("l", "l", "s")
        await until(lambda: "model.depth ▲" in text(app))
        assert [row[2] for row in rows(screen, "#config")] == ["5", "6", "7", "8", "9", "10"]
        await pilot.press("s")
        assert [row[2] for row in rows(screen, "#config")] == ["10", "9", "8", "7", "6", "5"]
        await pilot.press("a")
        assert titles(screen, "#config")[-1] == "same"
        await typed(pilot, "e\r")
        await until((tmp_path / "config.csv").exists)
        with (tmp_path / "config.csv").open() as file:
            assert [row["model.depth"] for row in csv.DictReader(file)] == ["10", "9", "8", "7", "6", "5"]
        await pilot.press("v")
        await until(lambda: [row[0] for row in rows(screen, "#config")] == ["lr", "model.depth", "same"])
        assert "s Sort" not in text(app)


async def test_any_number_of_runs_is_compared(tiny_run: Path) -> None:
    """Each has its curve, and the legend leaves most of the chart to them."""
    for number in range(40):
        shutil.copytree(tiny_run, tiny_run.with_name(f"copy{number}"))
    app = ViewerApp(tiny_run.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 41)
        await pilot.press("a", "c")
        await until(lambda: isinstance(app.screen, CompareScreen) and app.screen.query_one(ChartGrid).charts)
        grid = app.screen.query_one(ChartGrid)
        await until(lambda: all(len(chart.lines) == 41 for chart in grid.charts))
        assert {line.colour for line in grid.charts[0].lines} == set(range(41))
        assert all(chart.picture.top <= chart.size.height // 4 for chart in grid.charts)
        assert "+" in text(app)
