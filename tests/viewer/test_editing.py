"""Runs are tagged, annotated, renamed and archived in their list: the marked ones, else the one under the cursor."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from viewing import rows, text, titles, typed, until

import neurockt
from neurockt.store import Edit, edit_run
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.runs import RunsScreen

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
HOSTILE = "a\x1b]0;owned\x07\x1b[2Jb\u202ec\r\nd[/bold][@click=app.bell]"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("adam-0.003-s0", "adam-0.003-s1", "sgd-0.1-s0"):
        shutil.copytree(SAMPLES / name, tmp_path / "runs" / name)
    return tmp_path / "runs"


def info(root: Path, name: str) -> neurockt.store.RunInfo:  # type: ignore[name-defined]
    return neurockt.open_run(root / name).info


def names(app: ViewerApp) -> list[str]:
    at = [title.split(" ")[0] for title in titles(app.screen, "#runs")].index("name")
    return [row[at] for row in rows(app.screen, "#runs")]


async def listed(app: ViewerApp, count: int) -> None:
    await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == count)


async def test_the_run_under_the_cursor_and_the_marked_ones_are_edited(root: Path) -> None:
    """What is typed at once counts, Tab completes a tag, and the list follows."""
    app = ViewerApp(root)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await listed(app, 3)
        first = names(app)[0]
        await typed(pilot, "tpaper, -sweep,-none\r")
        await until(lambda: info(root, first).tags == ("baseline", "paper"))
        await typed(pilot, "t'a,b'\r")
        await until(lambda: "a,b" in info(root, first).tags)
        await typed(pilot, "t-a")
        await pilot.press("tab", "enter")
        await until(lambda: info(root, first).tags == ("baseline", "paper"))
        await typed(pilot, "nthe one in table 2\r")
        await until(lambda: info(root, first).notes == "the one in table 2")
        await typed(pilot, "Nbest\r")
        await until(lambda: names(app)[0] == "best")
        await pilot.press("a")
        await pilot.press("t")
        await until(lambda: "tags of 3 runs" in text(app) and "now sweep, baseline, paper; " in text(app))
        await typed(pilot, "-pa")
        await pilot.press("tab")
        await typed(pilot, ' "two words"\r')
        await until(lambda: all("two words" in each.tags for each in neurockt.list_runs(root)))
        await until(lambda: info(root, first).tags == ("baseline", "two words"))
        await pilot.press("N")
        await until(lambda: "a name is for one" in text(app))
        await pilot.press("n", "escape")
        assert info(root, first).notes == "the one in table 2"


async def test_archived_runs_are_hidden_until_they_are_asked_for(root: Path) -> None:
    """`x` archives, and takes back what is archived; one that is hidden is not marked any more."""
    app = ViewerApp(root)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await listed(app, 3)
        first = names(app)[0]
        await pilot.press("space")
        await pilot.press("x")
        await listed(app, 2)
        assert info(root, first).archived
        await until(lambda: "2 runs · 1 archived" in text(app) and f"{first} archived; X shows" in text(app))
        assert "marked" not in text(app).splitlines()[0]
        await typed(pilot, "/archived=true\r")
        await listed(app, 1)
        await pilot.press("escape", "X")
        await listed(app, 3)
        await pilot.press("g", "x")
        await until(lambda: not info(root, first).archived)
        await pilot.press("X")
        await listed(app, 3)
        await pilot.press("a", "x")
        await listed(app, 0)
        await until(lambda: "All runs here are archived. X shows them." in text(app))


async def test_what_cannot_be_edited_is_named_and_hostile_text_is_harmless(root: Path) -> None:
    """A note of several lines is not flattened by looking at it."""
    (root / "sgd-0.1-s0" / "edits.json").write_text("{")
    hostile = root / "adam-0.003-s0"
    edit_run(hostile, Edit({"name": HOSTILE, "notes": HOSTILE}, {HOSTILE: True}))
    app = ViewerApp(root)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await listed(app, 3)
        await pilot.press("down")
        for key, title in (("t", "tags of a"), ("n", "note of a"), ("N", "name of a")):
            await pilot.press(key)
            await until(lambda title=title: title in text(app))
            assert not {"\x1b", "\x07", "\u202e"} & set(text(app))
            assert "[/bold]" in text(app)
            await pilot.press("escape")
        assert info(root, "adam-0.003-s0").notes == HOSTILE
        await pilot.press("a")
        await typed(pilot, "tx\r")
        await until(lambda: "1 could not be edited" in text(app))
        assert "x" in info(root, "adam-0.003-s0").tags
