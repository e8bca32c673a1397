"""What part of y a chart shows, and what it says of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts.bounds import OffScale, off_scale
from neurockt_viewer.charts.picture import Drawer, Picture
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.pyramid import Pyramid, Values, to_series
from neurockt_viewer.charts.raster import columns
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import ChartSettings, Line, Series, YRange

STEPS = np.arange(1, 1001)
LOSS = 2 * np.exp(-STEPS / 300) + 0.1
DIVERGED = np.minimum(2 * 1.2 ** np.maximum(0, STEPS - 100), 1e36)


def drawn(*values: np.ndarray, y_range: YRange = "usual", log_y: bool = False, width: int = 80) -> Picture:
    lines = [Line.of(f"run{at}", np.arange(1, len(each) + 1), each, at) for at, each in enumerate(values)]
    settings = ChartSettings(y_range=y_range, log_y=log_y)
    return Drawer().draw([smoothed(line, 0.0) for line in lines], settings, width, 20)


def high(picture: Picture) -> float:
    assert picture.y is not None
    return picture.y.high


def legend(picture: Picture) -> str:
    return " ".join("".join(piece.text for piece in row) for row in picture.rows[: picture.top])


def test_a_run_that_diverges_does_not_flatten_the_others() -> None:
    """The others fill the chart; how many values are off the scale is said of the chart and of the run."""
    picture = drawn(LOSS, LOSS + 0.2, DIVERGED)
    assert high(picture) < 3 * LOSS.max()
    off = int(np.count_nonzero(high(picture) < DIVERGED))
    assert legend(picture).startswith(f"{off} off the scale")
    assert legend(picture).count(f"{off} off the scale") == 2
    assert any(piece.text == "▴" for row in picture.rows for piece in row)


@pytest.mark.parametrize(
    "values",
    [
        LOSS,
        10.0 ** (-STEPS / 100),  # falls fast
        np.minimum(STEPS / 50, 1) * 3e-4,  # a warm-up
        np.where(STEPS < 50, 0.0, 0.999),
        STEPS * 4096.0,  # counts
        np.concatenate([np.full(400, 1e-7), np.full(600, 20.0)]),  # is turned on late
        np.array([1e-3, 1e-3, 1e-3, 1.0, 5.0]),
    ],
)
def test_values_of_runs_that_did_not_diverge_are_all_seen(values: np.ndarray) -> None:
    picture = drawn(values)
    assert picture.y is not None
    assert (picture.y.low, picture.y.high) == (values.min(), values.max())
    assert "off the scale" not in legend(picture)


def test_the_range_of_y_is_chosen_by_key() -> None:
    """All of it, or closer than usual; a logarithmic axis shows all."""
    values = np.where(STEPS == 400, 1e9, LOSS)
    assert high(drawn(values)) == pytest.approx(LOSS.max())
    assert high(drawn(values, y_range="all")) == 1e9
    assert high(drawn(values, y_range="close")) < LOSS.max()
    assert high(drawn(values, log_y=True)) == 1e9
    assert "1 off the scale" in legend(drawn(values))


@pytest.mark.parametrize("largest", [1e36, -1e300, 1.7e308])
def test_values_as_far_off_the_scale_as_floats_go_are_drawn(largest: float) -> None:
    """The curve leads out of the chart, and the rest is seen."""
    picture = drawn(np.where((STEPS > 400) & (STEPS < 600), largest, 1e-300 * LOSS))
    assert high(picture) == pytest.approx(1e-300 * LOSS.max())
    assert "199 off the scale" in legend(picture)


def test_runs_of_different_scales_are_all_seen() -> None:
    """As learning rates of a sweep over four decades, each with a warm-up."""
    picture = drawn(*(np.minimum(STEPS / 500, 1) * 10.0**power for power in range(-4, 1)))
    assert high(picture) == 1.0
    assert "off the scale" not in legend(picture)


def test_spikes_in_many_runs_leave_the_rest_in_sight() -> None:
    """Large ones and small ones."""
    spiky = [np.where(STEPS == 123, 0.3 * 4.0**at, 1 + 0.1 * np.sin(STEPS)) for at in range(10)]
    assert high(drawn(*spiky)) < 12


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=200), st.integers(1, 5))
def test_values_off_the_scale_are_counted(values: list[float], power: int) -> None:
    """Exactly where single values are known; else at least those that are proved, and a sign that there may be more."""
    x, y = Scale(0.0, float(len(values)), 40), Scale(-3.0, 3.0, 12)
    count = sum(abs(value) > 3 for value in values)
    single = Series.of(np.arange(len(values)), values)
    assert off_scale([single], columns([single], x), y) == [OffScale(count)]

    pyramid, index = Pyramid(2**power, len(values)), np.arange(len(values))
    pyramid.append(Values(index, index, index, index, np.array(values)))
    folded = to_series(pyramid.entries, pyramid.entries["step"].astype(float))
    (found,) = off_scale([folded], columns([folded], x), y)
    assert found.count == count if found.exact else 0 < found.count <= count
