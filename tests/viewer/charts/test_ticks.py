"""Ticks: few, rising, within bounds, round, and written in full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts import ticks, time_ticks
from neurockt_viewer.charts.bounds import x_bounds
from neurockt_viewer.charts.picture import x_labels, x_ticks
from neurockt_viewer.charts.scale import Scale
from neurockt_viewer.charts.series import AXES, Axis, ChartSettings, Series

MAKERS = [
    *(ticks.linear_ticks, ticks.log_ticks),
    *(time_ticks.duration_ticks, time_ticks.log_duration_ticks, time_ticks.clock_ticks),
]
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
    """Their distance is a round one, they are not too few, and no digit is lost."""
    found = ticks.linear_ticks(low, low + span, most)
    assert len(found) >= 2, "one alone would not tell a linear axis from a logarithmic one"
    step = found[1].value - found[0].value
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-3)
    assert most == 2 or min(abs(mantissa - round_one) for round_one in (1, 2, 2.5, 3, 4, 5)) < 1e-3
    assert len(found) >= most // 3
    for tick in found:
        size = _SUFFIX.get(tick.label[-1], 1.0)
        assert float(tick.label.rstrip("kMGT").replace(",", "")) * size == pytest.approx(tick.value, abs=step * 1e-6)


def test_a_logarithmic_axis_has_decades() -> None:
    """Written short."""
    assert [tick.label for tick in ticks.log_ticks(1e-6, 20_000, 12)] == [
        *("1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1", "10", "100", "1,000", "10k"),
    ]


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (0, 7200, 5, "0 30m 1h 1h30m 2h"),
        (0, 1.2, 4, "0 0.5s 1s"),
        (97_210, 97_390, 4, "1d3h1m 1d3h2m 1d3h3m"),
        (0, 40 * 86_400, 5, "0 10d 20d 30d 40d"),
    ],
)
def test_durations_are_round_and_written_down_to_their_step(low: float, high: float, most: int, labels: str) -> None:
    """From parts of a second to days."""
    assert [tick.label for tick in time_ticks.duration_ticks(low, high, most)] == labels.split(" ")


def test_a_logarithmic_axis_of_durations_has_units() -> None:
    """Seconds, minutes, hours and days, not thousands of seconds."""
    found = time_ticks.log_duration_ticks(0.5, 30 * 86_400, 9)
    assert [tick.label for tick in found] == "1s 10s 1m 10m 1h 10h 1d 10d".split(" ")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A place whose clocks are put back at 3 o'clock of 25 October 2026."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("begin", "span", "labels"),
    [
        ("2026-11-25 10:46:40", 1, "10:46:40.0 10:46:40.2 10:46:40.4 10:46:40.6 10:46:40.8 10:46:41.0"),
        ("2026-11-25 10:46:40", 20, "10:46:40 10:46:45 10:46:50 10:46:55 10:47:00"),
        ("2026-11-25 23:50:00", 1800, "23:50|23:55|Nov 26|00:05|00:10|00:15|00:20"),
        ("2026-10-24 20:00:00", 36 * 3600, "Oct 25|06:00|12:00|18:00|Oct 26|06:00"),
        ("2026-11-25 10:00:00", 10 * 86_400, "Nov 27|Nov 29|Dec 01|Dec 03|Dec 05"),
        ("2026-11-25 10:00:00", 365 * 86_400, "2027-01 2027-03 2027-05 2027-07 2027-09 2027-11"),
        ("2026-11-25 10:00:00", 5 * 365 * 86_400, "2027 2028 2029 2030 2031"),
    ],
)
def test_the_time_of_day_has_round_ticks_from_a_second_to_years(begin: str, span: float, labels: str) -> None:
    """Whole hours stay whole when the clocks change, and months begin on their first day."""
    low = datetime.fromisoformat(begin).timestamp()
    found = time_ticks.clock_ticks(low, low + span, 7)
    assert [tick.label for tick in found] == labels.split("|" if "|" in labels else " ")


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [(0, 1, "0 1"), (1, 4, "1 2 3 4"), (-1, 1, "0 1"), (2.2, 2.4, "2.20 2.25 2.30 2.35 2.40")],
)
@pytest.mark.parametrize("axis", ["step", "epoch"])
def test_steps_are_whole(axis: Axis, low: float, high: float, labels: str) -> None:
    """And none is below 0; between two of them there is something, too."""
    assert [tick.label for tick in x_ticks(Scale(low, high, 200), ChartSettings(axis), 5)] == labels.split()


def test_the_time_of_day_of_a_single_moment_is_shown_in_seconds() -> None:
    moment = 1.8e9
    bounds = x_bounds([Series.of(np.array([moment]), np.array([0.5]))], ChartSettings("wall"))
    assert bounds == (moment - 1, moment + 1)


def test_the_time_of_day_has_no_logarithmic_form() -> None:
    """Whatever the settings."""
    settings, scale = ChartSettings(axis="wall", log_x=True), Scale(1.79e9, 1.79e9 + 7200, 160)
    assert not settings.is_log_x
    assert len(x_ticks(scale, settings, 8)) >= 4


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
