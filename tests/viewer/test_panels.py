"""The panels beside the list of runs: charts of the marked runs, details, their sizes, and where there is no room."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from viewing import idle, rows, text, until

from neurockt.store import Edit, edit_run
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.settings import Settings, load_settings
from neurockt_viewer.widgets import run_charts
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.details import Details
from neurockt_viewer.widgets.panels import Panels
from neurockt_viewer.widgets.row_grid import RowGrid

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"


def panels(app: ViewerApp) -> Panels:
    return app.screen.query_one(Panels)


def drawn(app: ViewerApp) -> list[list[str]]:
    """The labels of the lines of each chart beside the list."""
    grid = panels(app).charts.grid
    return [[line.label for line in chart.lines] for chart in grid.charts] if grid else []


async def listed(app: ViewerApp) -> None:
    await until(lambda: app.screen.query(RowGrid) and len(rows(app.screen, "#runs")) == 12)


async def drag(pilot: Pilot[None], widget: str, x: int, y: int) -> None:
    """Move a widget with the mouse; Textual's pilot moves it with no button pressed."""
    await pilot.mouse_down(widget)
    pilot.app.post_message(events.MouseMove(None, x, y, 0, 0, 1, False, False, False, x, y))
    await pilot.mouse_up(offset=(x, y))


async def test_charts_are_of_the_run_under_the_cursor_until_runs_are_marked() -> None:
    """Space adds a run to the charts at once, and takes it away; the details stay those of the run under the cursor."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        await until(lambda: ["train_loss"] in drawn(app))
        await pilot.press("j", "j", "j")
        await until(lambda: text(app).count("adam-0.03-s0") == 3)
        await pilot.press("space")
        await until(lambda: "1 marked run " in text(app))
        await pilot.press("space")
        await until(lambda: ["adam-0.03-s0", "adam-0.003-s2"] in drawn(app))
        await pilot.press("j", "j")
        assert app.screen.query_one(Details).lines[0][0].text == "sgd-diverged"
        await pilot.press("k", "k", "k", "space")
        await until(lambda: ["train_loss"] in drawn(app) and "1 marked run " in text(app))
        await pilot.press("escape")
        await until(lambda: "marked" not in text(app) and text(app).count("adam-0.003-s1") == 3)


async def test_the_run_under_the_cursor_is_read_before_it_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where other runs are marked; its curves are then drawn with the mark."""
    monkeypatch.setattr(run_charts, "AHEAD_SECONDS", 0.001)
    names = ["sgd-0.1-s0", "sgd-0.1-s1"]
    for name in names:
        shutil.copytree(SAMPLES / name, tmp_path / name)
    app = ViewerApp(tmp_path)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: ["train_loss"] in drawn(app))
        await pilot.press("space")
        await pilot.pause()
        for name in names:
            shutil.rmtree(tmp_path / name / "steps")
        await pilot.press("space")
        assert sorted(drawn(app)[0]) == names
        grid = panels(app).charts.grid
        assert grid is not None
        assert all(len(line.series) for line in grid.charts[0].lines)


async def test_hidden_charts_read_no_run() -> None:
    """Once they are shown again they are of the runs that have been marked in the meantime."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        await until(lambda: ["train_loss"] in drawn(app))
        before = drawn(app)
        await pilot.press("p", "space", "space")
        await until(lambda: "2 marked" in text(app))
        await idle()
        assert drawn(app) == before
        await pilot.press("p")
        await until(lambda: len(drawn(app)[0]) == 2)


async def test_charts_that_are_hidden_from_the_start_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_charts, "REST_SECONDS", 0.001)
    app = ViewerApp(SAMPLES, Settings(charts=False))
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        await until(lambda: "reading" not in text(app))
        await pilot.pause(0.01)
        await idle()
        assert panels(app).charts.grid is None
        await pilot.press("p")
        await until(lambda: ["train_loss"] in drawn(app))


async def test_the_charts_take_the_keys_and_all_of_the_screen() -> None:
    """Tab goes to the charts and back; `f` gives them the whole screen; Escape goes back to the list."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        await until(lambda: ["train_loss"] in drawn(app))
        await pilot.press("tab")
        assert isinstance(app.focused, Chart)
        await pilot.press("x")
        await until(lambda: "x: epoch" in text(app))
        await pilot.press("tab")
        assert app.focused is panels(app).list
        await pilot.press("f")
        await until(lambda: panels(app).charts.size.width == 160)
        assert isinstance(app.focused, Chart)
        await pilot.press("escape")
        await until(lambda: panels(app).list.size.width > 50)
        assert app.focused is panels(app).list


async def test_panels_are_resized_by_key_and_mouse_and_remembered() -> None:
    """Their sizes, and which are shown, are those of the directory; another directory begins with the same panels."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        before = panels(app).list.outer_size
        await pilot.press("greater_than_sign", "left_curly_bracket")
        await until(lambda: panels(app).list.outer_size.width == before.width + 8)
        await until(lambda: panels(app).list.outer_size.height < before.height)
        await drag(pilot, "#before-charts", 60, 11)
        await until(lambda: panels(app).charts.region.x in (61, 62))
        await drag(pilot, "#above-details", 5, 20)
        await until(lambda: panels(app).details.region.y in (20, 21))
        await pilot.press("s")
        heights = panels(app).details.size.height
        await pilot.press("d")
        await until(lambda: not panels(app).details.size)
    again = ViewerApp(SAMPLES)
    async with again.run_test(size=(160, 48)) as pilot:
        await listed(again)
        assert panels(again).charts.region.x in (61, 62)
        assert not panels(again).details.size
        await pilot.press("d")
        await until(lambda: panels(again).details.size.height == heights)
    other = load_settings(SAMPLES.parent)
    assert (other.sort, other.list_share) == (None, load_settings(SAMPLES).list_share)
    assert load_settings(SAMPLES).sort is not None or load_settings(SAMPLES).reverse is False


@pytest.mark.parametrize(
    ("size", "charts", "details"),
    [((160, 48), True, True), ((120, 30), True, True), ((80, 24), True, False), ((40, 12), False, False)],
)
async def test_a_small_screen_has_fewer_panels(size: tuple[int, int], charts: bool, details: bool) -> None:
    """Charts are to the right where the screen is wide, below where it is high; a small one has the list alone."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=size) as pilot:
        await listed(app)
        await pilot.pause()
        shown = panels(app)
        assert (bool(shown.charts.size), bool(shown.details.size)) == (charts, details)
        if charts:
            await until(lambda: ["train_loss"] in drawn(app))
            assert (shown.charts.region.x > 0) == (size[0] >= 100)
            await pilot.press("p")
            await until(lambda: bool(shown.details.size) and not shown.charts.size)


@pytest.mark.parametrize(
    ("size", "key", "notice"),
    [
        ((80, 24), "d", "no room for the details; p hides the charts"),
        ((40, 12), "p", "no room for the charts;"),
        ((40, 12), "d", "no room for the details"),
    ],
)
async def test_a_panel_without_room_is_noted(size: tuple[int, int], key: str, notice: str) -> None:
    """A key that shows it does so on a larger screen."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=size, notifications=True) as pilot:
        await listed(app)
        for _ in range(2):
            await pilot.press(key)
            await until(lambda: notice in text(app))
            app.clear_notifications()
            await until(lambda: notice not in text(app))
        await pilot.resize_terminal(160, 48)
        await until(lambda: bool(panels(app).charts.size) and bool(panels(app).details.size))


async def test_a_panel_appears_and_goes_with_one_layout() -> None:
    """No panel has another size after it, nor is one drawn for a size that it does not keep."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        await until(lambda: ["train_loss"] in drawn(app))
        await pilot.pause()
        layouts: list[object] = []
        app.screen.screen_layout_refresh_signal.subscribe(panels(app), layouts.append, immediate=True)
        for shown in (False, True, False, True):
            await pilot.press("p")
            await until(lambda shown=shown: bool(panels(app).charts.size) == shown)
            await pilot.pause()
        assert len(layouts) == 4


async def test_what_is_chosen_last_is_remembered_where_the_viewer_is_left_at_once() -> None:
    """Also where nothing has been drawn since."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await listed(app)
        screen = app.screen
        assert isinstance(screen, RunsScreen)
        screen.action_panel("details")
        app.exit()
        await pilot.pause()
    assert load_settings(SAMPLES).details is False


@pytest.mark.parametrize("size", [(100, 30), (160, 48)])
async def test_details_are_cut_before_the_cell_beside_their_border(size: tuple[int, int], tmp_path: Path) -> None:
    """With an ellipsis, in one column and in two; notes are wrapped."""
    shutil.copytree(SAMPLES / "sgd-0.1-s0", tmp_path / "run")
    note = "one in table 2, the other is that with the larger model of the appendix"
    edit_run(tmp_path / "run", Edit(texts={"notes": note, "name": "b" * 100, "project": "p" * 100}))
    app = ViewerApp(tmp_path, Settings(details_share=0.8))
    async with app.run_test(size=size) as pilot:
        await until(lambda: app.screen.query(RowGrid) and len(rows(app.screen, "#runs")) == 1)
        await pilot.pause()
        details = panels(app).details
        lines = [strip.text for strip in details.render_lines(details.size.region)]
        assert any(line[-2] == "…" for line in lines), "one is too long"
        assert {line[0] + line[-1] for line in lines} == {"  "}
        assert any(line.rstrip().endswith("appendix") for line in lines)
        await pilot.resize_terminal(2, 40)
        await pilot.pause()
