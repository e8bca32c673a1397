"""Smoothing against a loop, and alike for a curve however many of its points there are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts.bounds import smoothing_scale
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.series import ChartSettings, Line, Series
from neurockt_viewer.charts.smoothing import smooth


def looped(places: list[float], values: list[float], scale: float) -> list[float]:
    """The average of straight lines between the values, step by step."""
    total, begun, last, found = 0.0, None, (0.0, 0.0), []
    for place, value in zip(places, values, strict=True):
        if not math.isfinite(value):
            found.append(value)
            continue
        if begun is None:
            begun = place
        elif place > last[0]:
            distance = (place - last[0]) / scale
            decay, mean = math.exp(-distance), -math.expm1(-distance) / distance
            total = total * decay + (mean - decay) * last[1] + (1 - mean) * value
        weight = -math.expm1((begun - place) / scale)
        found.append(total / weight if weight else value)
        last = place, value
    return found


values = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]))
points = st.lists(st.tuples(st.one_of(st.just(0.0), st.floats(0.01, 50)), values), max_size=200)


@given(points, st.floats(0.5, 100))
def test_it_is_what_a_loop_gives(found: list[tuple[float, float]], scale: float) -> None:
    """Whatever is not finite is passed on and passed over."""
    places, ys = np.cumsum([step for step, _ in found]), [value for _, value in found]
    expected = looped(places.tolist(), ys, scale)
    assert smooth(places, np.array(ys, np.float64), scale).tolist() == pytest.approx(
        expected, rel=1e-9, abs=1e-3, nan_ok=True
    )


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=20), st.floats(0.001, 0.5), st.booleans())
def test_a_curve_of_a_few_points_is_smoothed_as_the_same_curve_of_many(
    found: list[float], part: float, log_x: bool
) -> None:
    """Where both have a point, they have the same value."""
    settings = ChartSettings(smoothing=part, log_x=log_x)
    ends = np.linspace(0.0, 3.0, len(found))
    few = 10**ends if log_x else ends
    many = np.unique(np.concatenate([ends, np.linspace(0.0, 3.0, 5000)]))
    lines = [Line.of("few", few, found), Line.of("many", 10**many if log_x else many, np.interp(many, ends, found))]
    scale = smoothing_scale([line.series for line in lines], settings)
    bright = [smoothed(line, scale, log_x=log_x).bright for line in lines]
    assert bright[0] is not None
    assert bright[1] is not None
    assert bright[1].mean[np.searchsorted(many, ends)] == pytest.approx(bright[0].mean, abs=1e-6)


def test_noise_is_averaged_over_a_part_of_x() -> None:
    """Of 20,000 values over a hundredth of x what is left of their spread is that of an average of 400."""
    noise = np.random.default_rng(1).normal(size=20_000)
    line = smoothed(Line.of("loss", np.arange(20_000), noise), 200.0)
    assert line.bright is not None
    assert float(line.bright.mean[2000:].std()) == pytest.approx(1 / math.sqrt(400), rel=0.2)


def test_the_scale_does_not_change_with_the_zoom() -> None:
    """Nor does it depend on how many values there are."""
    series = [Series.of([0, 1000], [1, 2]), Series.of(np.arange(500), np.zeros(500))]
    for settings in (ChartSettings(smoothing=0.1), ChartSettings(smoothing=0.1, window=(3.0, 4.0))):
        assert smoothing_scale(series, settings) == 100.0


def test_no_smoothing_changes_nothing() -> None:
    """Raw is raw, bit for bit."""
    found = np.array([1.0, math.nan, -0.0])
    assert smooth(np.arange(3.0), found, 0.0) is found
