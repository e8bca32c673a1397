"""Ticks: few, rising, within bounds, round, and written in full."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neurockt_viewer.charts import ticks
from neurockt_viewer.charts.picture import x_labels
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import AXES, ChartSettings

MAKERS = [ticks.linear_ticks, ticks.log_ticks, ticks.duration_ticks, ticks.clock_ticks]
_SUFFIX = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@given(st.sampled_from(MAKERS), st.floats(1e-9, 1e12), st.floats(1e-6, 1e9), st.integers(1, 30))
def test_ticks_are_few_and_rise_within_the_bounds(
    make: Callable[[float, float, int], list[ticks.Tick]], low: float, factor: float, most: int
) -> None:
    """Of every kind."""
    high = low * (1 + factor)
    places = [tick.value for tick in make(low, high, most)]
    assert len(places) <= most
    assert all(low <= place <= high for place in places)
    assert all(a < b for a, b in pairwise(places))


@given(st.floats(-1e6, 1e6), st.floats(1e-2, 1e9), st.integers(2, 30))
def test_linear_ticks_are_round_and_say_what_they_are(low: float, span: float, most: int) -> None:
    """Their distance is 1, 2 or 5 times a power of ten, they are not too few, and no digit is lost."""
    found = ticks.linear_ticks(low, low + span, most)
    assume(len(found) > 1)
    step = found[1].value - found[0].value
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-3)
    assert min(abs(mantissa - round_one) for round_one in (1, 2, 5)) < 1e-3
    assert len(found) >= most // 3
    for tick in found:
        size = _SUFFIX.get(tick.label[-1], 1.0)
        assert float(tick.label.rstrip("kMGT")) * size == pytest.approx(tick.value, abs=step * 1e-6)


def test_a_logarithmic_axis_has_decades() -> None:
    """Written short."""
    assert [tick.label for tick in ticks.log_ticks(1e-6, 20_000, 12)] == [
        *("1e-6", "1e-5", "0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1000", "10k"),
    ]


def test_a_time_axis_has_round_clock_times() -> None:
    """Half hours rather than thousands of seconds."""
    assert [tick.label for tick in ticks.duration_ticks(0, 7200, 5)] == ["0", "30m", "1h", "1h30m", "2h"]


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (2.0, 1.0)])
def test_where_there_is_no_range_there_are_no_linear_ticks(low: float, high: float) -> None:
    """And no endless search for them."""
    assert ticks.linear_ticks(low, high, 5) == []


@given(st.sampled_from(AXES), st.booleans(), st.floats(1e-3, 2e9), st.floats(1e-6, 1e6), st.integers(1, 200))
def test_labels_never_overlap(axis: str, log: bool, low: float, factor: float, width: int) -> None:
    """Each begins at least two cells after the one before, and ends within the chart."""
    settings = ChartSettings(axis=axis, log_x=log)
    scale = Scale(low, low * (1 + factor), 2 * width, log)
    placed = x_labels(scale, settings, width)
    assert all(begin >= 0 and begin + len(label) <= width for _, begin, label in placed)
    assert all(begin + len(label) + 2 <= following for (_, begin, label), (_, following, _) in pairwise(placed))
    assert np.all(np.diff([cell for cell, _, _ in placed]) > 0)
