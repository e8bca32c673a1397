"""Smoothing against the loop that TensorBoard runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts.smoothing import smooth


def looped(values: list[float], weight: float) -> list[float]:
    last, count, smoothed = 0.0, 0, []
    for value in values:
        if not math.isfinite(value):
            smoothed.append(value)
            continue
        last = last * weight + (1 - weight) * value
        count += 1
        smoothed.append(last / (1 - weight**count))
    return smoothed


values = st.one_of(st.floats(-1e9, 1e9), st.sampled_from([math.nan, math.inf, -math.inf]))


@given(st.lists(values, max_size=200), st.floats(0.01, 0.999))
def test_it_is_the_debiased_average_of_tensorboard(found: list[float], weight: float) -> None:
    """Whatever is not finite is passed on and passed over."""
    scale = max((abs(value) for value in found if math.isfinite(value)), default=1.0)
    smoothed = smooth(np.array(found, np.float64), weight)
    assert smoothed.tolist() == pytest.approx(looped(found, weight), rel=1e-9, abs=1e-9 * scale, nan_ok=True)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 5)), max_size=60), st.floats(0.1, 0.99))
def test_a_mean_counts_as_often_as_the_values_it_stands_for(found: list[tuple[float, int]], weight: float) -> None:
    """An entry for five equal values is five times that value."""
    means, counts = [mean for mean, _ in found], [count for _, count in found]
    ends = np.cumsum(counts) - 1
    repeated = looped([mean for mean, count in found for _ in range(count)], weight)
    smoothed = smooth(np.array(means, np.float64), weight, np.array(counts, np.int64))
    assert smoothed.tolist() == pytest.approx([repeated[end] for end in ends], rel=1e-9, abs=1e-6)


def test_no_weight_changes_nothing() -> None:
    """Raw is raw, bit for bit."""
    found = np.array([1.0, math.nan, -0.0])
    assert smooth(found, 0.0) is found
