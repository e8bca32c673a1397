"""Dots against a slow and obvious drawing of the same series."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts import raster
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import Series

WIDTH, HEIGHT = 16, 12

BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Of a Braille character, by the table in the Unicode standard."""

values = st.one_of(
    st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1e300, -1e300, 5e-324])
)
points = st.lists(st.tuples(st.floats(0.001, 100), values), min_size=1, max_size=60)


def drawn(series: Series, x: Scale, y: Scale) -> np.ndarray:
    """The dots of a series between two others, rows from the top."""
    other = Series.of([3.0, 40.0, 2000.0], [1.0, -2.0, 1e5])
    size = [-(-x.dots // 2) * 2, -(-y.dots // 4) * 4]
    grown = Scale(y.low, float(y.value(size[1] - 1)), size[1])
    codes = raster.codes(raster.columns([other, series, other], x), grown, size[0])
    assert np.array_equal(codes[0], codes[2])
    dots = codes[1][:, None, :, None] & BITS[None, :, None, :] > 0
    return dots.reshape(size[1], size[0])[size[1] - y.dots :, : x.dots]


def column_of(place: float, scale: Scale) -> int | None:
    """The last column that begins at or before a place."""
    edges = scale.edges().tolist()
    inside = [index for index in range(scale.dots) if edges[index] <= place < edges[index + 1]]
    return inside[0] if inside else None


@given(points, st.booleans())
def test_every_column_has_its_extremes_and_all_between(found: list[tuple[float, float]], log: bool) -> None:
    """Column by column, the dots from the smallest to the largest finite value are set."""
    series = Series.of([place for place, _ in found], [value for _, value in found])
    x, y = Scale(10.0, 90.0, WIDTH, log), Scale(-1e6, 1e6, HEIGHT)
    grid = drawn(series, x, y)[::-1]
    for column in range(WIDTH):
        there = [v for place, v in found if column_of(place, x) == column and math.isfinite(v) and abs(v) <= 1e6]
        if there:
            low, high = (int(np.rint(float(y.place(value)))) for value in (min(there), max(there)))
            assert grid[low : high + 1, column].all()


@given(points)
def test_nothing_is_drawn_without_joints_but_values(found: list[tuple[float, float]]) -> None:
    """With a gap before every value, a column has exactly the dots between its extremes."""
    series = Series.of(*zip(*found, strict=True), gaps=np.ones(len(found), np.bool_))
    x, y = Scale(10.0, 90.0, WIDTH), Scale(-1e6, 1e6, HEIGHT)
    expected = np.zeros((HEIGHT, WIDTH), np.bool_)
    for column in range(WIDTH):
        there = [value for place, value in found if column_of(place, x) == column and math.isfinite(value)]
        if there:
            low, high = (float(np.rint(np.clip(y.place(value), -1, HEIGHT))) for value in (min(there), max(there)))
            expected[max(0, int(low)) : int(high) + 1, column] = True
    assert np.array_equal(drawn(series, x, y)[::-1], expected)


@pytest.mark.slow
@given(st.integers(0, 999_999), st.sampled_from([-1.0, 1.0]), st.integers(8, 400))
def test_a_single_spike_among_a_million_values_is_seen(at: int, sign: float, width: int) -> None:
    """Wherever it is and however narrow the chart, its dot is set."""
    spiky = np.zeros(1_000_000)
    spiky[at] = sign
    x, y = Scale(0.0, 999_999.0, width), Scale(-1.0, 1.0, 9)
    grid = drawn(Series.of(np.arange(1_000_000.0), spiky), x, y)[::-1]
    assert grid[8 if sign > 0 else 0].sum() == 1
    assert grid[8 if sign > 0 else 0, column_of(float(at), x)]


def test_values_far_apart_are_joined_by_a_straight_line() -> None:
    """Each column on the way has dots, on the diagonal."""
    grid = drawn(Series.of([0, 7], [0, 7]), Scale(0.0, 7.0, 8), Scale(0.0, 7.0, 8))[::-1]
    assert grid.any(axis=0).all()
    assert grid.diagonal().all()
    assert grid.sum() <= 3 * 8


def test_a_nan_leaves_a_gap() -> None:
    """The line is not drawn across, and the column is marked."""
    series = Series.of(np.arange(5), [1, 1, math.nan, 1, 1])
    found = raster.columns([series], Scale(0.0, 4.0, 5))
    assert drawn(series, Scale(0.0, 4.0, 5), Scale(0.0, 2.0, 3)).any(axis=0).tolist() == [True, True, False, True, True]
    assert found.nan.tolist() == [2]


def test_infinities_are_marked_apart() -> None:
    """Each sign in its own columns."""
    found = raster.columns([Series.of(np.arange(4), [1, math.inf, -math.inf, 1])], Scale(0.0, 3.0, 4))
    assert (found.nan.tolist(), found.above.tolist(), found.below.tolist()) == ([], [1], [2])


def test_a_line_reaches_the_edges_of_the_window() -> None:
    """What lies outside leads in and out, and is not drawn itself."""
    grid = drawn(Series.of([0, 10], [0, 10]), Scale(4.0, 6.0, 8), Scale(0.0, 10.0, 11))[::-1]
    assert grid.any(axis=0).all()
    assert not grid[:3].any()
    assert not grid[8:].any()


def test_high_charts_are_drawn_as_low_ones() -> None:
    """A column of 200 dots, with all of them and with each one alone."""
    x, y = Scale(0.0, 199.0, 200), Scale(0.0, 199.0, 200)
    grid = drawn(Series.of(np.arange(200), np.arange(200), np.ones(200, np.bool_)), x, y)[::-1]
    assert np.array_equal(grid, np.eye(200, dtype=np.bool_))
    assert drawn(Series.of([3, 3], [0, 199]), x, y)[:, 3].all()
