"""How far a run is that is running, in the list and in the first line of its screen, as rows come."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from viewing import lines, rows, text, titles, until

from neurockt import progress
from neurockt.formatting import utc_now
from neurockt.monitor import Recorder
from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen

pytestmark = pytest.mark.slow


async def test_the_share_done_grows_and_the_seconds_since_the_last_row_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the list and in the run; a job that ends too soon is told; what has ended has neither."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", f"{utc_now().timestamp() + 3600:.0f}")
    recorder = Recorder(tmp_path / "runs", run_id="r", quiet=True, total_steps=10**9, system_seconds=None)
    loss = recorder.track_scalar("loss")(float)

    def train(blocks: int) -> None:
        for _ in range(blocks):
            with recorder(train=True):
                loss(1.0)

    train(2)
    recorder.total_steps = 8
    app = ViewerApp(tmp_path / "runs")
    async with app.run_test(size=(160, 40)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and "25.0%" in text(app))
        assert "progress" in titles(app.screen, "#runs")
        await until(lambda: "job ends in 59m" in " ".join(text(app).split()))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, RunScreen) and "25.0% of 8 steps" in lines(app)[0])
        train(2)
        await until(lambda: "50.0% of 8 steps" in lines(app)[0])
        monkeypatch.setattr(progress, "utc_now", lambda: utc_now() + timedelta(minutes=3))
        await until(lambda: "last row 3m" in lines(app)[0])
        recorder.finish()
        await until(lambda: "finished" in lines(app)[0] and "last row" not in lines(app)[0])
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen) and "finished" in str(rows(app.screen, "#runs")))
        await until(lambda: "progress" not in titles(app.screen, "#runs"))
