"""The table of runs: sorted, filtered, grouped, its columns chosen, followed while one looks."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from live_run import LiveRun
from textual.command import CommandPalette
from textual.pilot import Pilot
from viewing import rows, text, titles, typed, until

from neurockt_viewer.app import DARK, LIGHT, ViewerApp
from neurockt_viewer.screens.help import HelpScreen, keys_by_section
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.settings import Settings, load_settings, settings_path
from neurockt_viewer.widgets.prompts import Choose
from neurockt_viewer.widgets.row_grid import RowGrid

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"


def ids(app: ViewerApp, column: str = "name") -> list[str]:
    """What the runs on the screen have in a column."""
    at = [title.split(" ")[0] for title in titles(app.screen, "#runs")].index(column)
    return [row[at] for row in rows(app.screen, "#runs")]


async def listed(app: ViewerApp, count: int) -> RunsScreen:
    """The screen, once so many rows are there."""
    await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == count)
    assert isinstance(app.screen, RunsScreen)
    return app.screen


async def go_to(pilot: Pilot[None], column: str) -> None:
    """The cursor into a column."""
    grid = pilot.app.screen.query_one("#runs", RowGrid)
    await pilot.press("circumflex_accent")
    for _ in grid.source.columns:
        if grid.column_key == column:
            return
        await pilot.press("l")
    raise AssertionError(f"there is no column {column}")


async def test_any_column_sorts_both_ways() -> None:
    """`s` sorts by the column under the cursor, `s` again the other way; those without a value, and NaN, come last."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        assert ids(app)[-1] == "sgd-0.1-s0", "the newest comes first"
        await go_to(pilot, "valid_loss")
        await pilot.press("s")
        assert ids(app)[-1] == "sgd-diverged"
        losses = [float(value) for value in ids(app, "valid_loss")[:-1]]
        assert losses == sorted(losses)
        assert "valid_loss ▲" in titles(screen, "#runs")
        await pilot.press("s")
        assert [float(value) for value in ids(app, "valid_loss")[:-1]] == losses[::-1]
        assert ids(app)[-1] == "sgd-diverged"
        for column in ("state", "tags", "started"):
            await go_to(pilot, column)
            await pilot.press("s")
            first = ids(app)
            await pilot.press("s")
            assert set(ids(app)) == set(first)
            assert titles(screen, "#runs")[screen.query_one("#runs", RowGrid).cursor_column][-1] in "▲▼"
    again = ViewerApp(SAMPLES)
    async with again.run_test(size=(160, 48)) as pilot:
        screen = await listed(again, 12)
        assert "started ▲" in titles(screen, "#runs"), "the order is remembered"


async def test_the_filter_works_as_it_is_typed() -> None:
    """Metrics, configs, tags and states, with AND, OR and NOT; what cannot be understood is pointed at."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        await pilot.press("slash")
        await typed(pilot, "best(acc)>0.96")
        await until(lambda: len(rows(screen, "#runs")) == 7)
        await typed(pilot, " -state:finished")
        await until(lambda: set(ids(app)) == {"adam-0.03-s0", "adamw-0.003-s0"})
        assert "2 of 12 runs" in text(app)
        await pilot.press("ctrl+u")
        await typed(pilot, "(tag:baseline AND cfg.lr<=3e-3) OR NOT project:dig")
        await until(lambda: len(rows(screen, "#runs")) == 3)
        await typed(pilot, " cfg.lr>")
        await until(lambda: "^ a value is missing" in text(app))
        assert len(rows(screen, "#runs")) == 3, "what could be understood last"
        await pilot.press("backspace", "backspace", "backspace", "enter", "j")
        assert screen.query_one("#runs", RowGrid).cursor_row == 1, "the keys are the table's again"
        await pilot.press("slash", "ctrl+u")
        await typed(pilot, "zzz")
        await until(lambda: "No run matches. Esc clears the filter." in text(app))
        await pilot.press("escape")
        await until(lambda: len(rows(screen, "#runs")) == 12)


async def test_runs_are_grouped_by_a_config_key_or_a_tag() -> None:
    """A head above each group, which Enter folds, and which the details sum up; a run is under each of its tags."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        await pilot.press("b")
        await typed(pilot, "optim")
        await until(lambda: isinstance(app.screen, Choose) and "cfg.optimizer" in text(app))
        await pilot.press("enter")
        await listed(app, 15)
        heads = [row[1:3] for row in rows(screen, "#runs") if row[0] == "▾"]
        assert heads == [
            ["3 runs", "cfg.optimizer = adamw"],
            ["4 runs", "cfg.optimizer = adam"],
            ["5 runs", "cfg.optimizer = sgd"],
        ]
        assert "2 finished · 1 failed" in text(app)
        await pilot.press("enter")
        await listed(app, 12)
        await pilot.press("z")
        await listed(app, 3)
        await pilot.press("z", "g", "space")
        await listed(app, 15)
        assert [row[0] for row in rows(screen, "#runs")][:4] == ["▾", "A", "B", "C"], "a group is marked as a whole"
        await pilot.press("g", "space", "b")
        await typed(pilot, "settings\r")
        await until(lambda: [row[1] for row in rows(screen, "#runs")].count("3 runs") == 2)
        assert any(row[1] == "3 runs" and "±" in row[3] for row in rows(screen, "#runs")), "the mean of the seeds"
        await pilot.press("b")
        await typed(pilot, "tags")
        await pilot.press("enter")
        await until(lambda: any("tags = baseline" in row for row in rows(screen, "#runs")))
        assert ids(app).count("adam-0.003-s1") == 2
        await pilot.press("b")
        await typed(pilot, "no groups\r")
        await listed(app, 12)
    assert load_settings(SAMPLES).group is None


async def test_columns_are_chosen_ordered_and_remembered() -> None:
    """Space shows a column, Shift and an arrow move it, Enter applies; the next start shows the same; Ctrl-R resets."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        await pilot.press("o")
        await until(lambda: isinstance(app.screen, Choose))
        await pilot.press("down", "down", "space")
        await typed(pilot, "best(acc ")
        await pilot.press(*["shift+up"] * 20, "enter")
        await until(lambda: app.screen is screen)
        assert titles(screen, "#runs")[1:5] == ["best(acc)", "state", "name", "acc"]
        assert "valid_loss" not in titles(screen, "#runs")
        chosen = titles(screen, "#runs")
    again = ViewerApp(SAMPLES)
    async with again.run_test(size=(160, 48)) as pilot:
        screen = await listed(again, 12)
        assert titles(screen, "#runs") == chosen
        await pilot.press("o")
        await until(lambda: isinstance(again.screen, Choose))
        await pilot.press("ctrl+r")
        await until(lambda: again.screen is screen)
        assert "valid_loss" in titles(screen, "#runs")


async def test_runs_are_opened_copied_and_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enter opens and Escape comes back to the same row; `y` copies the path; `e` writes what is seen."""
    monkeypatch.chdir(tmp_path)
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        await pilot.press("j", "j", "j")
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen) and "adam-0.03-s0  ✗ killed" in text(app))
        await pilot.press("escape", "y")
        await until(lambda: app.screen is screen)
        assert app.clipboard == str(SAMPLES / "adam-0.03-s0")
        await pilot.press("slash")
        await typed(pilot, "sgd")
        await pilot.press("enter", "e", "enter")
        await until((tmp_path / "runs.csv").exists)
        with (tmp_path / "runs.csv").open() as file:
            found = list(csv.DictReader(file))
        assert [row["name"] for row in found] == ids(app)
        assert "0.17836" in {row["valid_loss"][:7] for row in found}, "to the last digit"


async def test_the_help_and_the_palette_know_what_works_here() -> None:
    """A key that does nothing now is in neither; a command of the palette does what its key does; themes last."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await listed(app, 12)
        assert ["c"] not in keys_by_section(screen)["here"].values()
        assert "c Compare" not in text(app)
        await pilot.press("space", "space")
        await until(lambda: "c Compare" in text(app))
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen) and "│  c            " in text(app))
        assert "Focus Next" not in text(app)
        await pilot.press("escape", "ctrl+p")
        await until(lambda: isinstance(app.screen, CommandPalette))
        await typed(pilot, "Light or")
        await until(lambda: "key T" in text(app))
        await pilot.press("enter")
        await until(lambda: app.theme == LIGHT.name)
        assert load_settings(SAMPLES).theme == "light"
        await pilot.press("T")
        assert app.theme == DARK.name


def test_what_is_remembered_may_be_broken(home: Path) -> None:
    """A file that is no JSON, or has values of other kinds, counts for as much as it is understood."""
    assert load_settings() == Settings()
    path = settings_path()
    assert home in path.parents
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert load_settings() == Settings()
    stored = {"columns": ["name", 3], "sort": "acc", "reverse": "yes", "unknown": 1, "list_share": 7.0}
    path.write_text(json.dumps({"directories": {"": stored, "/x": 3}, "panels": [], "theme": 4}))
    assert load_settings() == Settings(sort="acc")
    path.chmod(0o400)
    Settings(columns=["name", 'best("val/acc")']).save()
    assert load_settings().columns == ["name", 'best("val/acc")']


def test_each_directory_of_runs_has_its_own_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns, order and groups are those of the directory, by whatever path; the oldest of too many are forgotten."""
    monkeypatch.setattr("neurockt_viewer.settings.MOST_DIRECTORIES", 5)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Settings(tmp_path / name, sort=name, theme="light").save()
    assert load_settings(tmp_path / "link").sort == "a"
    assert load_settings(tmp_path / "b").sort == "b"
    assert load_settings(tmp_path) == Settings(tmp_path, theme="light")
    for number in range(4):
        Settings(tmp_path / str(number)).save()
    assert load_settings(tmp_path / "a").sort is None
    assert load_settings(tmp_path / "b").sort == "b"


async def test_runs_come_grow_and_die_while_one_looks(tmp_path: Path, tiny_run: Path) -> None:
    """An empty directory says so; a run that a process writes appears, grows, and is told dead when it was killed."""
    root = tmp_path / "new"
    root.mkdir()
    app = ViewerApp(root)
    async with app.run_test(size=(160, 24)) as pilot:
        await until(lambda: "No runs in" in text(app) and "A run appears here when it starts" in text(app))
        with LiveRun(root, rate=500) as live:
            screen = await listed(app, 1)
            assert rows(screen, "#runs")[0][1:3] == ["● running", "live"]
            assert "1 running" in text(app)
            steps = int(ids(app, "steps")[0].replace(",", ""))
            await until(lambda: int(ids(app, "steps")[0].replace(",", "")) > steps)
            shutil.copytree(tiny_run, root / "zz")
            await listed(app, 2)
            await pilot.press("G", "space")
            under = ids(app)[screen.query_one("#runs", RowGrid).cursor_row]
            (root / "zz").rename(root / "yy")
            await until(lambda: "1 marked" not in text(app) or under == "live")
            live.kill()
            await until(lambda: any("killed" in row[1] for row in rows(screen, "#runs")))
        shutil.rmtree(root)
        await until(lambda: "no directory" in text(app))
        await pilot.press("q")
    assert app.return_code == 0


async def test_what_cannot_be_read_is_counted_and_told(tmp_path: Path, tiny_run: Path) -> None:
    """A damaged run hides no other, and `!` tells the reason."""
    root = tiny_run.parent
    for name in ("broken", "later"):
        shutil.copytree(tiny_run, root / name)
    (root / "broken" / "run.json").write_text("{")
    later = json.loads((root / "later" / "run.json").read_text())
    (root / "later" / "run.json").write_text(json.dumps({**later, "format": 99}))
    app = ViewerApp(root)
    async with app.run_test(size=(160, 24)) as pilot:
        screen = await listed(app, 1)
        await until(lambda: "2 cannot be read (! shows why)" in text(app))
        await pilot.press("exclamation_mark")
        await until(lambda: "cannot be read ─" in text(app) and "format 99" in text(app))
        await pilot.press("escape")
        assert app.screen is screen
        shutil.rmtree(tiny_run)
        await until(lambda: "can be read; " in text(app))


async def test_the_mouse_does_what_keys_do() -> None:
    """A click on a title sorts, on a row puts the cursor there, a second one opens; so do the keys below."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 30)) as pilot:
        screen = await listed(app, 12)
        header = text(app).splitlines()[1]
        await pilot.click(RowGrid, offset=(header.index(" acc") + 2, 0))
        assert "acc ▲" in titles(screen, "#runs")
        await pilot.click(RowGrid, offset=(20, 4))
        assert screen.query_one("#runs", RowGrid).cursor_row == 3
        keys = text(app).splitlines()[-1]
        await pilot.click("KeyLine", offset=(keys.index("Help"), 0))
        await until(lambda: isinstance(app.screen, HelpScreen))
        await pilot.press("escape")
        await pilot.click(RowGrid, offset=(20, 2), times=2)
        await until(lambda: isinstance(app.screen, RunScreen))
