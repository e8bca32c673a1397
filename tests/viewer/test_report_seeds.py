"""The page of ``neurockt report``: runs that differ only in the seed as a mean with a band, and restarts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from chromium import Chromium, command, opened_report

from neurockt.monitor import Recorder
from neurockt_viewer.charts.seeds import band
from neurockt_viewer.charts.series import Line

pytestmark = pytest.mark.slow

LOSSES = [[4.0, 2.0, 1.0, 0.5], [5.0, float("nan"), 3.0], [9.0, 8.0, 7.0, 6.0]]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """Two seeds of one setting, the first of which was restarted at step 2, and a run of another setting."""
    command()
    place = tmp_path_factory.mktemp("seeds")
    for run, losses in enumerate(LOSSES):
        config = {"lr": 0.1 * (run == 2), "seed": run}
        for attempt, steps in enumerate([losses[:2], losses[2:]] if run == 0 else [losses]):
            again = True if attempt else None
            with Recorder(place / "runs", quiet=True, config=config, run_id=f"a-s{run}", resume=again) as recorder:
                for step, loss in enumerate(steps, 2 * attempt):
                    recorder.log({"loss": loss}, step=step)
    with opened_report(place) as browser:
        yield browser


def test_seeds_are_a_mean_with_a_band_as_in_the_viewer(page: Chromium) -> None:
    page.run("id('seeds').click()")
    try:
        drawn = json.loads(page.run("JSON.stringify(charts[0].drawn.map(({ curve, s }) => [label(curve), s]))"))
        assert [label for label, _ in drawn] == ["a ×2", "a-s2"]
        want = band([Line.of("", np.arange(len(losses)), np.array(losses)) for losses in LOSSES[:2]]).series
        (_, found), _ = drawn
        for name in ("low", "mean", "high"):
            assert found[name] == getattr(want, name).tolist()
        assert page.run("charts[0].plot.data.filter((trace) => trace.fill === 'toself').length") == 1
    finally:
        page.run("id('seeds').click()")
    assert page.run("charts[0].drawn.length") == 3


def test_a_restart_is_a_dotted_line(page: Chromium) -> None:
    shapes = json.loads(
        page.run("JSON.stringify(charts[0].plot.layout.shapes.map(({ x0, line }) => [x0, line.color]))")
    )
    assert shapes == [[2, page.run("colour(0)")]]
    assert "dotted: restarts" in page.run("charts[0].note.textContent")
    assert page.complaints == []
