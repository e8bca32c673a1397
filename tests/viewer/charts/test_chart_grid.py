"""The charts of a run, driven by keys, as a run that is finished, live, damaged or hostile has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Static
from viewing import text, until

from neurockt.monitor import Recorder
from neurockt_viewer.charts import picture
from neurockt_viewer.charts.pieces import Smoothed
from neurockt_viewer.charts.plot import Plot
from neurockt_viewer.widgets.chart_grid import ChartGrid

pytestmark = pytest.mark.slow

HOSTILE = "[/x][@click=app.bell]a\u202e"
"""A name that the recorder takes; those with control characters it refuses."""


class Screen(App[None]):
    """The charts of some runs."""

    def __init__(self, *paths: Path) -> None:
        super().__init__()
        self.grid = ChartGrid(*paths)

    def compose(self) -> ComposeResult:
        yield self.grid


@asynccontextmanager
async def shown(*paths: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[Pilot[None], ChartGrid]]:
    app = Screen(*paths)
    async with app.run_test(size=size) as pilot:
        await until(lambda: status(app.grid) not in ("", "reading …") and read_whole(app.grid))
        await pilot.pause()
        yield pilot, app.grid


def status(grid: ChartGrid) -> str:
    with suppress(Exception):
        return str(grid.query_one(".status", Static).content)
    return ""


def read_whole(grid: ChartGrid) -> bool:
    return not any(line.approximate for chart in grid.charts for line in chart.lines)


def labels(grid: ChartGrid) -> list[list[str]]:
    return [[line.label for line in chart.lines] for chart in grid.charts]


def last(values: list[float]) -> float:
    return values[-1]


def record(root: Path, run_id: str, names: list[str], steps: int = 20, **about: Any) -> Recorder:
    """A run with a value a step for each name, and a validation each tenth."""
    recorder = Recorder(root, run_id=run_id, quiet=True, **about)
    scalars = [recorder.track_scalar(name, last)(float) for name in names]
    accuracy = recorder.metric("valid_loss", last)(float)
    for step in range(1, steps + 1):
        with recorder(train=True):
            for index, scalar in enumerate(scalars):
                scalar(step * (index + 1))
        if step % 10 == 0:
            with recorder(train=False):
                accuracy(1 / step)
    return recorder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run of four metrics."""
    recorder = record(tmp_path, "run", ["train_loss", "lr", "grad_norm"])
    recorder.finish()
    return recorder.run_dir


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Recorder]:
    """A run that is being written."""
    recorder = record(tmp_path, "live", ["train_loss"])
    yield recorder
    recorder.finish()


async def test_every_metric_has_a_chart_with_all_its_values(run_dir: Path) -> None:
    """In the order in which they were declared, those of the steps first; the first has the keys."""
    async with shown(run_dir) as (pilot, grid):
        assert labels(grid) == [["train_loss"], ["lr"], ["grad_norm"], ["valid_loss"]]
        assert grid.charts[1].lines[0].series.first.tolist() == [2.0 * step for step in range(1, 21)]
        assert pilot.app.focused is grid.charts[0]


@pytest.mark.slow
async def test_arrows_go_from_chart_to_chart_and_enter_shows_one_large(run_dir: Path) -> None:
    """Escape brings all of them back, with the keys where they were."""
    async with shown(run_dir) as (pilot, grid):
        await pilot.press("right", "down")
        assert grid.focused_chart is grid.charts[3]
        await pilot.press("enter")
        assert labels(grid) == [["valid_loss"]]
        await pilot.press("pageup")
        assert labels(grid) == [["grad_norm"]]
        await pilot.press("escape")
        assert len(labels(grid)) == 4
        assert grid.focused_chart is grid.charts[2]


async def test_small_screens_have_pages(run_dir: Path) -> None:
    """One chart each on a small one, and the line below says which."""
    async with shown(run_dir, size=(40, 10)) as (pilot, grid):
        assert labels(grid) == [["train_loss"]]
        assert "page 1 of 4" in status(grid)
        await pilot.press("]", "]", "]", "]")
        assert labels(grid) == [["valid_loss"]]
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert len(labels(grid)) == 4


async def test_a_search_narrows_as_it_is_typed(run_dir: Path) -> None:
    """Enter keeps what was found, Escape brings back all."""
    async with shown(run_dir) as (pilot, grid):
        await pilot.press("slash", *"LOSS")
        assert labels(grid) == [["train_loss"], ["valid_loss"]]
        await pilot.press("enter")
        assert grid.focused_chart is not None
        assert grid.focused_chart.has_focus
        await pilot.press("escape")
        assert len(labels(grid)) == 4
        await pilot.press("slash", "z", "q")
        assert status(grid) == "no metric's name has 'zq'"
        await pilot.press("escape")
        assert not grid.query_one(Input).has_focus


@pytest.mark.slow
async def test_training_and_validation_share_a_chart_on_request(run_dir: Path) -> None:
    """And are apart again the second time."""
    async with shown(run_dir) as (pilot, grid):
        await pilot.press("t")
        assert labels(grid) == [["train_loss", "valid_loss"], ["lr"], ["grad_norm"]]
        await pilot.press("t")
        assert len(labels(grid)) == 4


async def test_charts_side_by_side_show_the_same_range_of_x(run_dir: Path) -> None:
    """That of all of them, here that of the steps; an enlarged chart shows its own."""
    async with shown(run_dir) as (pilot, grid):
        assert [(chart.picture.x.low, chart.picture.x.high) for chart in grid.charts if chart.picture.x] == [
            (1.0, 20.0)
        ] * 4
        await pilot.press("plus", "minus", "right", "right", "right", "enter")
        assert grid.charts[0].picture.x is not None
        assert grid.charts[0].picture.x.low == 10.0


async def test_charts_share_their_x_axis_and_keep_their_own_y(run_dir: Path) -> None:
    """Axis, window, smoothing and crosshair are common; log y and the range of y are not; the screen says so."""
    async with shown(run_dir) as (pilot, grid):
        assert "x keys: all charts, y keys: this one" in status(grid)
        await pilot.press("o", "x", "s", "plus", "Y", "i")
        await pilot.pause()
        first, *others = grid.charts
        for chart in others:
            assert chart.settings.axis == "epoch"
            assert chart.settings.smoothing == first.settings.smoothing > 0
            assert chart.settings.window == first.settings.window is not None
            assert chart.cross == first.cross is not None
            assert not chart.settings.log_y
            assert chart.settings.y_range == "usual"
        assert first.settings.log_y
        assert first.settings.y_range == "all"
        await pilot.press("x", "x", "X")
        assert "x: time of day" in status(grid)
        assert not any(chart.settings.is_log_x for chart in grid.charts)


async def test_a_live_run_grows_on_the_screen(live: Recorder) -> None:
    """New steps, new epochs, and a metric that was not there before."""
    async with shown(live.run_dir) as (_, grid):
        await until(lambda: len(labels(grid)) >= 2 and read_whole(grid))
        new = live.track_scalar("later", last)(float)
        with live(train=True):
            new(7.0)
        await until(lambda: ["later"] in labels(grid) and read_whole(grid))
        assert grid.charts[labels(grid).index(["later"])].lines[0].series.first.tolist() == [7.0]


async def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    """Neither on the chart nor in the line below it."""
    recorder = record(tmp_path, "bad", [HOSTILE, "../../etc/x"])
    recorder.finish()
    async with shown(recorder.run_dir) as (pilot, grid):
        await pilot.press("t", "slash", *"[/x]", "enter")
        assert labels(grid) == [[HOSTILE]]
        shown_text = "".join(piece.text for row in grid.charts[0].picture.rows for piece in row)
        assert "[/x][@click=app.bell]a" in shown_text
        assert "\u202e" not in shown_text


async def test_the_points_of_a_chart_are_exported(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a file that is asked for, called after the run and the metric."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    async with shown(run_dir) as (pilot, _):
        await pilot.press("e")
        await pilot.press("enter")
        await until((folder / "run-train_loss.csv").exists)
    lines = (folder / "run-train_loss.csv").read_text().splitlines()
    assert lines[:2] == ['"line","step","value","low","high","values"', '"train_loss",1,1,1,1,1']
    assert len(lines) == 21


async def test_what_is_no_run_is_a_sentence(tmp_path: Path) -> None:
    """Not a traceback, and the screen stays."""
    app = Screen(tmp_path / "nowhere")
    async with app.run_test():
        await until(lambda: "nowhere" in status(app.grid))


async def test_runs_over_each_other_keep_their_colours(tmp_path: Path) -> None:
    """A line a run, in each chart the same colour; seeds as one on request, with all their values in the band."""
    paths = []
    for index, (name, config) in enumerate(
        [("a-s0", {"lr": 1, "seed": 0}), ("b", {"lr": 2}), ("a-s1", {"lr": 1, "seed": 1})]
    ):
        names = ["train_loss"] if index != 1 else ["other", "train_loss"]
        recorder = record(tmp_path, f"r{index}", names, steps=20 - index, name=name, config=config)
        recorder.finish()
        paths.append(recorder.run_dir)
    async with shown(*paths) as (pilot, grid):
        assert {heading.heading: [(line.label, line.colour) for line in heading.lines] for heading in grid.charts} == {
            "train_loss": [("a-s0", 0), ("b", 1), ("a-s1", 2)],
            "other": [("b", 1)],
            "valid_loss": [("a-s0", 0), ("b", 1), ("a-s1", 2)],
        }
        await pilot.press("b")
        band, single = grid.charts[0].lines
        assert (band.label, band.colour, band.band, single.label) == ("a ×2", 0, True, "b")
        assert band.series.high.tolist() == [float(step) for step in range(1, 21)]


async def test_other_runs_take_the_place_of_those_shown(tmp_path: Path) -> None:
    """Runs that stay are not read again; the charts change only when there is something to draw."""
    root = tmp_path / "runs"
    for name in "ab":
        record(root, name, ["loss"]).finish()
    record(root, "c", ["other"]).finish()
    async with shown(root / "a") as (_, grid):
        assert labels(grid) == [["loss"], ["valid_loss"]]
        before = grid.charts[0].lines[0].series
        grid.show_runs([root / "a", root / "b"], [3, 1])
        await until(lambda: labels(grid)[0] == ["a", "b"])
        assert [line.colour for line in grid.charts[0].lines] == [3, 1]
        assert grid.charts[0].lines[0].series is before
        grid.show_runs([root / "a"])
        grid.show_runs([root / "c"])
        await until(lambda: labels(grid) == [["other"], ["valid_loss"]])
        await until(lambda: len(grid.charts[0].lines[0].series) == 20)


async def test_runs_that_are_expected_are_drawn_at_once(tmp_path: Path) -> None:
    """They have been read by then, and so has each part of them."""
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        record(tmp_path, path.name, ["loss"]).finish()
    async with shown(paths[0]) as (pilot, grid):
        grid.expect(paths[:2])
        await pilot.pause()
        grid.show_runs(paths[:2])
        assert labels(grid)[0] == ["a", "b"]
        assert read_whole(grid)
        grid.show_runs(paths[1:2])
        assert labels(grid)[0] == ["loss"]
        grid.show_runs(paths[1:])
        assert labels(grid)[0] == ["loss"], "the last one is still to be read"
        await until(lambda: labels(grid)[0] == ["b", "c"])


async def test_runs_that_are_expected_have_been_painted_by_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[list[str]] = []

    class Painted(Plot):
        def __init__(self, lines: Sequence[Smoothed], *of: Any) -> None:
            painted.append([line.line.label for line in lines])
            super().__init__(lines, *of)

    monkeypatch.setattr(picture, "Plot", Painted)
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        record(tmp_path, path.name, ["loss"]).finish()
    async with shown(paths[0]) as (pilot, grid):
        grid.expect(paths)
        await until(lambda: ["a", "b"] in painted)
        await pilot.pause()
        painted.clear()
        grid.show_runs(paths)
        await until(lambda: "━ a" in text(pilot.app) and "━ b" in text(pilot.app))
        assert not painted


async def test_a_metric_of_both_tables_says_which_it_is(tmp_path: Path) -> None:
    """Of one run and of several, alone and paired."""
    paths = []
    for name in ("a", "b"):
        recorder = record(tmp_path, name, ["loss"], name=name)
        with recorder(train=False):
            recorder.metric("loss", last)(float)(1.0)
        recorder.finish()
        paths.append(recorder.run_dir)
    async with shown(paths[0]) as (_, grid):
        assert [line.label for chart in grid.charts for line in chart.lines][:1] == ["loss@steps"]
    async with shown(*paths) as (pilot, grid):
        assert {"loss@steps", "loss@epochs"} < {chart.heading for chart in grid.charts}
        await pilot.press("t")
        assert "b · loss@epochs" in [line.label for line in grid.charts[0].lines]
