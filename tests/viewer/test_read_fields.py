"""Columns, filters and orders whose values are in no ``run.json``: the tables are read beside the list."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from viewing import held_up, rows, text, titles, typed, until

from neurockt.monitor import Recorder
from neurockt.store import layout
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.settings import Settings

pytestmark = pytest.mark.slow

FIELD = "acc@max(loss)"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three runs, whose loss is largest in the middle."""
    directory = tmp_path / "runs"
    for name, middle in (("a", 0.25), ("b", 0.5), ("c", 0.75)):
        with Recorder(directory, run_id=name, quiet=True) as recorder:
            for step, (loss, acc) in enumerate(((1.0, 0.0), (2.0, middle), (1.5, 1.0)), 1):
                recorder.log({"loss": loss, "acc": acc}, step, train=False)
    return directory


def release(pipe: Path) -> bool:
    """Let whoever waits for the pipe go on, which is empty; False, as there may be more to come."""
    with suppress(OSError):  # nobody waits
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    return False


def shown(app: ViewerApp) -> list[list[str]]:
    return [row[1:] for row in rows(app.screen, "#runs")]


async def test_a_column_that_has_to_be_read_appears_once_it_has_been(root: Path) -> None:
    """The list is there and answers keys while a file server does not."""
    part = layout.part_path(root / "b", "epochs", 0)
    part.unlink()
    os.mkfifo(part)
    app = ViewerApp(root, Settings(root, columns=["name", FIELD], charts=False))
    try:
        with held_up("look", "charts"):
            async with app.run_test(size=(120, 24)) as pilot:
                await until(lambda: len(rows(app.screen, "#runs")) == 3)
                assert shown(app) == [["c"], ["b"], ["a"]]
                assert f"reading {FIELD} …" in text(app)
                await pilot.press("j", "space")
                assert "1 marked" in text(app)
                await until(lambda: release(part) or FIELD in titles(app.screen, "#runs"))
                assert shown(app) == [["c", "0.75"], ["b", "-"], ["a", "0.25"]]
                await until(lambda: "reading" not in text(app))
    finally:
        writing = os.open(part, os.O_RDWR | os.O_NONBLOCK)  # lets go whoever waits, also if it has just begun
        part.unlink()
        os.close(writing)


async def test_runs_are_sorted_grouped_and_filtered_by_what_has_to_be_read(root: Path) -> None:
    """A run that comes later is read too."""
    app = ViewerApp(root, Settings(root, columns=["name", FIELD], sort=FIELD, reverse=True, charts=False))
    async with app.run_test(size=(120, 24)) as pilot:
        await until(lambda: f"{FIELD} ▼" in titles(app.screen, "#runs"))
        assert shown(app) == [["c", "0.75"], ["b", "0.5"], ["a", "0.25"]]
        await pilot.press("slash")
        await typed(pilot, "acc@max(loss)<0.6 loss@max(acc)>1\r")
        await until(lambda: shown(app) == [["b", "0.5"], ["a", "0.25"]])
        with Recorder(root, run_id="d", quiet=True) as recorder:
            recorder.log({"loss": 9.0, "acc": 0.3}, 1, train=False)
        await pilot.press("r")
        await until(lambda: shown(app) == [["b", "0.5"], ["d", "0.3"], ["a", "0.25"]])
    app = ViewerApp(root, Settings(root, columns=["name"], group=FIELD, charts=False))
    async with app.run_test(size=(120, 24)):
        await until(lambda: f"{FIELD} = 0.75 · 1 run" in text(app))
