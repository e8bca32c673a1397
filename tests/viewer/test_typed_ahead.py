"""Keys typed in one go do what they do one by one, though they open and close lines, prompts and screens."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_terminal import NEUROCKT, RealTerminal
from textual.widgets import Input
from viewing import rows, text, titles, typed, until

from neurockt_viewer.app import Probe, ViewerApp
from neurockt_viewer.screens.help import HelpScreen
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.prompts import Ask
from neurockt_viewer.widgets.table_view import TableView

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"


async def test_in_the_list_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Filter, groups, columns and export, each from its key to Enter, without a pause."""
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        screen = app.screen
        await typed(pilot, "bcfg.optimizer\r")
        await until(lambda: "by cfg.optimizer" in text(app) and app.screen is screen)
        before = titles(screen, "#runs")
        await typed(pilot, f"o{before[3]} \r")
        await until(lambda: app.screen is screen and titles(screen, "#runs") != before)
        assert titles(screen, "#runs") == [*before[:3], *before[4:]], "the third column is gone"
        await typed(pilot, "e\r")
        await until((tmp_path / "runs.csv").exists)
        assert app.screen is screen
        await typed(pilot, "/sgd\r")
        await until(lambda: "5 of 12 runs" in text(app))


async def test_in_the_tables_and_charts_of_a_run() -> None:
    """Go to, and the search for a metric: digits open no tab, letters change no chart."""
    app = ViewerApp(SAMPLES / "adamw-0.003-late")
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunScreen) and "5 charts" in text(app))
        charts = app.screen.query_one(ChartGrid)
        await until(lambda: charts.charts and charts.charts[0].has_focus)
        await typed(pilot, "/valid\r")
        await until(lambda: "with 'valid'" in text(app))
        await pilot.press("escape")
        await typed(pilot, "2")
        await until(lambda: "row 1 of 900" in text(app))
        for step in 512, 34, 890:
            await typed(pilot, f":{step}\r")
            await until(lambda step=step: f"at step {step} · row {step} of 900" in text(app))


async def test_an_answer_that_comes_late_is_for_no_other_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not waited for any longer, since a widget was removed or too slow, may still answer."""
    sent: list[Probe] = []
    send = ViewerApp._send_probe

    def note(app: ViewerApp, rounds: int) -> None:
        send(app, rounds)
        sent.append(app._probe)

    monkeypatch.setattr(ViewerApp, "_send_probe", note)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await typed(pilot, "jj")
        await until(lambda: not app._typed)
        app.post_message(sent[-1])
        await typed(pilot, "/sgd\r")
        await until(lambda: "5 of 12 runs" in text(app))


ESCAPE = "\x1b"
BEHIND: dict[str, tuple[type, str]] = {
    # in the list of runs
    f"e{ESCAPE}{ESCAPE}{ESCAPE}": (RunsScreen, ""),
    "e\r\r": (RunScreen, ""),
    f"b{ESCAPE}{ESCAPE}\r": (RunScreen, ""),
    f"?{ESCAPE}{ESCAPE}j": (RunsScreen, ""),
    f"/sgd{ESCAPE}{ESCAPE}{ESCAPE}": (RunsScreen, "12 runs"),
    "/sgd\r\r": (RunScreen, "sgd"),
    # over a run, from which Escape leads back
    f"\r{ESCAPE}{ESCAPE}{ESCAPE}": (RunsScreen, "12 runs"),
    f"\r{ESCAPE}\r2": (RunScreen, "of"),
    f"\r2:{ESCAPE}{ESCAPE}": (RunsScreen, ""),
    f"\r2e{ESCAPE}?": (HelpScreen, ""),
    # over a comparison
    f"  c{ESCAPE}{ESCAPE}": (RunsScreen, "12 runs"),
    "  c2e\r\r": (object, ""),
}


@pytest.mark.parametrize("keys", BEHIND, ids=ascii)
async def test_keys_behind_a_key_that_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    """They are for the screen that is seen then: none ends the viewer, or closes a screen that it was not meant for."""
    screen, shown = BEHIND[keys]
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await typed(pilot, keys)
        await until(lambda: isinstance(app.screen, screen) and shown in text(app))
        await pilot.pause()
        assert isinstance(app.screen, screen)
        assert any(isinstance(each, RunsScreen) for each in app.screen_stack), "it is never left"
    assert app.fault is None
    assert app.return_code in (None, 0)


async def test_the_keys_of_a_prompt_that_refuses_stay_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter, Enter and letters behind them, where the first Enter is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").touch()
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await typed(pilot, "e\r\rx\r")
        await until(lambda: isinstance(app.screen, Ask) and "end the name in" in text(app))
        assert app.screen.query_one(Input).value == "runs.csvx"


async def test_keys_typed_before_the_first_screen(tmp_path: Path) -> None:
    """They wait for it: a filter typed as the viewer starts is the filter, and no other key goes there."""
    for keys, shown, value in (("/sgd\r", "5 of 12 runs", "sgd"), ("va", "12 runs", "")):
        app = ViewerApp(SAMPLES)
        async with app.run_test(size=(160, 48)) as pilot:
            await typed(pilot, keys)
            await until(lambda app=app, shown=shown: app.screen_stack and shown in text(app))
            assert app.screen.query_one("#filter", Input).value == value


async def test_a_step_typed_before_the_table_is_read_opens_no_tab() -> None:
    """The prompt is there at once, and takes the digits."""
    app = ViewerApp(SAMPLES / "adamw-0.003-late")
    async with app.run_test(size=(140, 40)) as pilot:
        await typed(pilot, "2:312")
        await until(lambda: isinstance(app.screen, Ask))
        await until(lambda: app.screen.query_one(Input).value == "312")
        await until(lambda: app.screen_stack[-2].query_one(TableView).rows)
        await typed(pilot, "\r")
        await until(lambda: "at step 312 · row 312 of 900" in text(app))


def test_escape_and_a_letter_in_one_packet(home: Path) -> None:
    """A terminal hands them on as Alt and the letter; they are Escape and the letter."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES) as terminal:
        terminal.wait_for("12 runs")
        terminal.press("e")
        terminal.wait_for("export to")
        terminal.press(f"{ESCAPE}o")
        terminal.wait_for(lambda shown: "export to" not in shown and "space show or hide" in shown)
        terminal.press(f"{ESCAPE}q")
        assert terminal.wait() == 0
        assert terminal.is_restored


def test_a_tab_that_is_asked_for_while_the_viewer_starts(home: Path) -> None:
    """It is shown at once; the first one when it is asked for."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES / "sgd-0.1-s0") as terminal:
        terminal.press("2")
        terminal.wait_for("row 1 of 900")
        terminal.press("1")
        terminal.wait_for("5 charts")
