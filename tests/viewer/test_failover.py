"""A file server that fails over: the viewer says so, keeps what it has read, and goes on when the files are back."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from faulty_disk import OPEN, READ, STAT, FaultyDisk, recording
from live_run import LiveRun
from real_terminal import NEUROCKT, RealTerminal
from viewing import rows, text, until

from neurockt.monitor import Recorder
from neurockt_viewer import background
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens import watching
from neurockt_viewer.screens.compare import CompareScreen
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.table_view import TableView

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", 0.1)


def charted(app: ViewerApp) -> int:
    """Values in the first chart."""
    charts = [chart for grid in app.screen.query(ChartGrid) for chart in grid.charts]
    return len(charts[0].lines[0].series) if charts and charts[0].lines else 0


async def test_a_run_that_is_gone_for_a_while(tmp_path: Path) -> None:
    """Charts, table and state of a live run go on after its directory was away."""
    with LiveRun(tmp_path, rate=200.0) as live:
        live.wait_for(50)
        app = ViewerApp(live.path)
        async with app.run_test(size=(140, 40)) as pilot:
            await until(lambda: isinstance(app.screen, RunScreen) and "running" in text(app) and charted(app) > 20)
            await pilot.press("2")
            await until(lambda: app.screen.query(TableView) and app.screen.query_one(TableView).rows)
            table = app.screen.query_one(TableView)
            live.path.rename(tmp_path / "away")
            await until(lambda: "does not exist" in text(app))
            assert table.rows is not None
            shown, drawn = len(table.rows), charted(app)
            (tmp_path / "away").rename(live.path)
            await until(lambda: len(table.rows) > shown + 50)
            await until(lambda: not app.screen.query_one("#problem").display)
            await pilot.press("1")
            await until(lambda: charted(app) > drawn + 50)
    assert app.fault is None


async def test_the_directory_of_runs_is_gone_for_a_while(tmp_path: Path) -> None:
    """The runs stay listed under a sentence, marks included, and the sentence goes."""
    root = tmp_path / "runs"
    for name in "ab":
        recorder = Recorder(root, run_id=name, quiet=True)
        with recorder(train=True):
            recorder.track_scalar("loss")(float)(1)
        recorder.finish()
    app = ViewerApp(root)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 2)
        await pilot.press("space")
        root.rename(tmp_path / "away")
        await until(lambda: "no directory" in text(app))
        assert len(rows(app.screen, "#runs")) == 2
        (tmp_path / "away").rename(root)
        await until(lambda: "no directory" not in text(app))
        assert "1 marked" in text(app)


async def test_one_run_that_cannot_be_read_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three that are compared one is damaged: the others are drawn and compared."""
    monkeypatch.setattr(watching, "POLL_SECONDS", 3600.0)  # the list has all three until they are compared
    for name in "abc":
        recorder = Recorder(tmp_path, run_id=name, quiet=True)
        with recorder(train=True):
            recorder.track_scalar("loss")(float)(1)
        recorder.finish()
    app = ViewerApp(tmp_path)
    async with app.run_test(size=(300, 40)) as pilot:  # the error has the path of a temporary directory
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 3)
        await pilot.press("a")
        (tmp_path / "b" / "run.json").write_text("{")
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, CompareScreen))
        grid = app.screen.query_one(ChartGrid)
        await until(lambda: grid.charts and len(grid.charts[0].lines) == 2)
        await until(lambda: "run.json" in text(app))
        await until(lambda: len(rows(app.screen, "#metrics")) == 2)


async def test_a_fault_of_ours_is_reported_and_tried_again(
    tiny_run: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that nobody thought of ends no thread in silence: it is on the screen and in the log."""
    calls = []

    def fail_twice(self: object, *rest: object) -> object:
        calls.append(None)
        if len(calls) <= 2:
            raise KeyError("nobody thought of this")
        return original(self, *rest)

    from neurockt_viewer.charts.source import RunSeries

    original = RunSeries.read
    monkeypatch.setattr(RunSeries, "read", fail_twice)
    app = ViewerApp(tiny_run)
    async with app.run_test(size=(140, 40)):
        await until(lambda: isinstance(app.screen, RunScreen) and charted(app))
        await until(lambda: "the viewer failed here" not in text(app))
    assert "nobody thought of this" in (home / "state" / "neurockt" / "viewer.log").read_text()


@pytest.mark.parametrize("error", [errno.ESTALE, errno.EACCES])
def test_files_that_the_file_system_refuses(tmp_path: Path, error: int) -> None:
    """On a real terminal, by a real run: what is recorded in the meantime is shown afterwards."""
    root, plan = tmp_path / "runs", tmp_path / "plan"
    root.mkdir()
    disk = FaultyDisk(root, plan)
    with recording(root) as recorder:
        recorder.do("steps 50")
        recorder.do("settle")
        with RealTerminal(*NEUROCKT, "view", recorder.path, env=disk.environment) as terminal:
            terminal.press("2")
            terminal.wait_for("row 50 of 50")
            disk.fail(error, OPEN | READ | STAT)
            disk.make_stale()
            terminal.wait_for(lambda shown: "cannot be read" in shown or "cannot read" in shown)
            recorder.do("steps 30")
            recorder.do("settle")
            disk.heal()
            terminal.wait_for("row 80 of 80")
            terminal.wait_for(lambda shown: "cannot" not in shown)
            terminal.press("1")
            terminal.wait_for("chart")
            terminal.wait_for(lambda shown: "cannot" not in shown)
            terminal.press("q")
            assert terminal.wait() == 0
