"""The last line of each screen: the keys that are needed there, in a terminal of 80 columns, and more in a wide one."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.theme import Theme
from viewing import lines, rows, text, typed, until

from neurockt_viewer.app import DARK, FLAT, LIGHT, ViewerApp
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.chart import Chart

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
EVERYWHERE = "? Help q Quit"


def keys(app: ViewerApp) -> str:
    return " ".join(lines(app)[-1].split())


async def listed(app: ViewerApp) -> None:
    await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)


async def charted(pilot: Pilot[None], *pressed: str) -> None:
    await pilot.press(*pressed)
    await until(lambda: isinstance(pilot.app.focused, Chart))
    await pilot.pause()


async def test_the_list_shows_how_to_go_to_its_charts_and_back() -> None:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app)
        await until(lambda: app.screen.query(Chart))
        assert keys(app) == f"⏎ Open space Mark / Filter s Sort b Group f Full tab Panel t Tag {EVERYWHERE}"
        await charted(pilot, "tab")
        assert keys(app).endswith(f"esc List {EVERYWHERE}")
        await pilot.press("escape")
        await charted(pilot, "f")
        assert keys(app).endswith(f"esc List {EVERYWHERE}")
        await pilot.press("escape", "space", "space")
        assert "c Compare" in keys(app)
        assert "esc" not in keys(app)


async def test_a_grouped_list_shows_how_it_is_folded() -> None:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app)
        assert "Fold" not in keys(app)
        await typed(pilot, "bcfg.optimizer\r")
        await until(lambda: "z Fold all" in keys(app))


@pytest.mark.parametrize(("screen", "pressed"), [(RunScreen, ["enter"]), (CompareScreen, ["a", "c"])])
async def test_charts_show_how_to_leave_them(screen: type, pressed: list[str]) -> None:
    """Also in a narrow terminal."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(app)
        await pilot.press(*pressed)
        await until(lambda: isinstance(app.screen, screen) and isinstance(app.focused, Chart))
        await until(lambda: keys(app).startswith("x X axis s Smooth"))
        assert keys(app).endswith(f"esc Runs {EVERYWHERE}")
        await pilot.resize_terminal(40, 12)
        await until(lambda: keys(app) == f"x X axis + Zoom esc Runs {EVERYWHERE}")
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)


async def test_one_run_alone_has_no_list_to_go_back_to() -> None:
    app = ViewerApp(SAMPLES / "sgd-0.1-s0")
    async with app.run_test(size=(160, 24)):
        await until(lambda: "X axis" in keys(app))
        assert "Runs" not in keys(app)


async def test_a_wide_list_names_more_of_its_keys() -> None:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 24)):
        await listed(app)
        for shown in ("t Tag", "n Note", "x Archive", "e Export", "o Columns", "p Charts", "d Details"):
            assert shown in keys(app)


async def test_a_terminal_of_few_lines_has_no_line_of_keys_until_it_is_larger() -> None:
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(80, FLAT - 1)) as pilot:
        await until(lambda: "adam" in text(app))
        assert EVERYWHERE not in text(app)
        await pilot.resize_terminal(80, FLAT)
        await until(lambda: keys(app).endswith(EVERYWHERE))
        await pilot.resize_terminal(80, FLAT - 1)
        await until(lambda: EVERYWHERE not in text(app))


@pytest.mark.parametrize("theme", [DARK, LIGHT])
async def test_the_theme_that_was_chosen_is_that_of_the_first_screen(theme: Theme) -> None:
    app = ViewerApp(SAMPLES, Settings(theme=theme.name.removeprefix("neurockt-")))
    async with app.run_test(size=(80, 24)):
        assert app.screen.styles.background.hex == theme.background
        assert app.has_class("-dark-mode") == theme.dark
        assert not app.has_class("-theme-textual-dark")
