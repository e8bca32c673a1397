"""Questions over a screen: what is behind them stays in sight, and what is typed is for them at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_terminal import NEUROCKT, RealTerminal
from textual.widgets import Input
from viewing import rows, text, titles, typed, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.matching import best_first
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.prompts import Ask, Choose

SAMPLES = Path(__file__).parents[2] / "sample_runs"


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("", ["cfg.lr_decay", "lr_min", "cfg.optimizer.lr", "lr", "color", "Best LR"]),
        ("lr", ["lr", "cfg.optimizer.lr", "Best LR", "lr_min", "cfg.lr_decay"]),
        ("LR", ["lr", "cfg.optimizer.lr", "Best LR", "lr_min", "cfg.lr_decay"]),
        ("de", ["cfg.lr_decay"]),
        ("optimizer.l", ["cfg.optimizer.lr"]),
        ("best l", ["Best LR"]),
        ("lo", ["color"]),
        ("nothing", []),
    ],
)
def test_the_likeliest_name_comes_first(typed: str, found: list[str]) -> None:
    """The name itself, what begins so, what has a part that is or begins so, what contains it; else as they were."""
    names = ["cfg.lr_decay", "lr_min", "cfg.optimizer.lr", "lr", "color", "Best LR"]
    assert best_first(typed, names) == found


def test_a_title_counts_as_the_name() -> None:
    assert best_first("rank 2", ["12", "1", "2"], key=lambda name: f"rank {name}") == ["2", "12"]
    assert best_first("2", ["12", "2"], key=lambda name: f"rank {name}") == ["2", "12"]


@pytest.mark.slow
@pytest.mark.parametrize("size", [(160, 48), (80, 24), (40, 12)])
async def test_the_table_stays_in_sight_and_the_best_match_is_taken(size: tuple[int, int]) -> None:
    """What is typed narrows the list, without another key before it; Enter takes the first; runs are seen meanwhile."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=size) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        screen = app.screen
        await pilot.press("o")
        await until(lambda: isinstance(app.screen, Choose))
        await typed(pilot, "width")
        await until(lambda: app.screen.query_one(Input).value == "width")
        assert rows(app.screen, "RowGrid")[0][1] == "cfg.width"
        await until(lambda: "✓ finished" in text(app))  # the list of runs, also where it had not been drawn before
        await pilot.press("enter")
        await until(lambda: app.screen is screen and "cfg.width" in titles(screen, "#runs"))
        await typed(pilot, "e")
        await until(lambda: isinstance(app.screen, Ask) and "✓ finished" in text(app))
        await typed(pilot, "mine.csv")
        assert app.screen.query_one(Input).value == "mine.csv", "typing replaces what is offered"


@pytest.mark.slow
async def test_several_are_ticked_one_after_the_other() -> None:
    """After Space the next letters look for another one; Enter takes those ticked, and no other."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(120, 30)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        screen = app.screen
        before = titles(screen, "#runs")
        await typed(pilot, "owidth batch_size ")
        await until(lambda: "✓  cfg.batch_size" in text(app))
        assert titles(screen, "#runs") == [*before, "cfg.width", "cfg.batch_size"], "the table shows them at once"
        await pilot.press("up", "down", "enter")
        await until(lambda: app.screen is screen)
        await until(lambda: titles(screen, "#runs") == [*before, "cfg.width", "cfg.batch_size"])
        await typed(pilot, "oacc ")
        await until(lambda: "acc" not in titles(screen, "#runs"))
        await pilot.press("escape")
        await until(lambda: app.screen is screen)
        await until(lambda: titles(screen, "#runs") == [*before, "cfg.width", "cfg.batch_size"])


@pytest.mark.slow
def test_in_a_real_terminal_of_any_size(home: Path) -> None:
    """The list of columns, a question and the help fit, and leave runs in sight."""
    with RealTerminal(*NEUROCKT, "view", SAMPLES, width=160, height=48) as terminal:
        terminal.wait_for("12 runs")
        for width, height in ((160, 48), (80, 24), (40, 12)):
            terminal.resize(width, height)
            terminal.press("o")
            terminal.wait_for("esc cancels")
            terminal.press("wid")
            terminal.wait_for(lambda text: "cfg.width" in text and "cfg.lr" not in text and "finished" in text)
            terminal.press("escape")
            terminal.wait_for(lambda text: "cfg.width" not in text)
            terminal.press("e")
            terminal.wait_for("export to")
            terminal.press("x.csv")
            terminal.wait_for(lambda text: "x.csv" in text and "esc cancels" in text and "finished" in text)
            terminal.press("escape")
            terminal.wait_for(lambda text: "esc cancels" not in text)
        terminal.press("?")
        terminal.wait_for("Each row is a run")
        terminal.press("escape", "q")
        assert terminal.wait() == 0
