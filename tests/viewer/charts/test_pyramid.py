"""Stretches of values: whatever they came in as, their extremes, counts and means are those of the values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts.pyramid import ENTRIES, Pyramid, Values, stretch_for, to_series

value = st.one_of(st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 0.0]))


def values_of(found: list[float], first: int) -> Values:
    numbers = np.arange(first, first + len(found))
    return Values(numbers, numbers, numbers, numbers * 10, np.array(found, np.float64))


@pytest.mark.slow
@given(st.lists(value, max_size=120), st.lists(st.integers(1, 40), max_size=10), st.sampled_from([1, 2, 8, 32]))
def test_entries_are_those_of_the_values(found: list[float], cuts: list[int], stretch: int) -> None:
    """However they are cut as they come in."""
    pyramid, start = Pyramid(stretch, 1), 0
    for size in [*cuts, len(found)]:
        pyramid.append(values_of(found[start : start + size], start + 1))
        start = min(len(found), start + size)
    entries = pyramid.entries
    series = to_series(entries, entries["step"].astype(float))
    pieces = [found[at : at + stretch] for at in range(0, len(found), stretch)]
    assert entries["number"].tolist() == list(range(1, len(found) + 1, stretch))
    finite = [[v for v in piece if math.isfinite(v)] for piece in pieces]
    assert series.low.tolist() == pytest.approx([min(piece, default=math.nan) for piece in finite], nan_ok=True)
    assert series.high.tolist() == pytest.approx([max(piece, default=math.nan) for piece in finite], nan_ok=True)
    means = [sum(piece) / len(piece) if piece else math.nan for piece in finite]
    assert series.mean.tolist() == pytest.approx(means, nan_ok=True, abs=1e-6)
    assert series.first.tolist() == pytest.approx([piece[0] for piece in pieces], nan_ok=True)
    assert series.last.tolist() == pytest.approx([piece[-1] for piece in pieces], nan_ok=True)
    for counts, odd in ((series.nan, math.nan), (series.above, math.inf), (series.below, -math.inf)):
        wanted = sum(v == odd or (v != v and odd != odd) for v in found)
        assert (0 if counts is None else int(counts.sum())) == wanted
    assert series.refused_by_log == sum(math.isfinite(v) and v <= 0 for v in found)
    positive = [min((v for v in piece if v > 0), default=math.nan) for piece in finite]
    assert series.above_zero.low.tolist() == pytest.approx(positive, nan_ok=True)


@given(st.integers(0, 10**9))
def test_memory_is_bounded(count: int) -> None:
    """The entries are never more than the limit, and values are kept singly where they are few."""
    stretch = stretch_for(count, ENTRIES)
    assert count / stretch <= ENTRIES
    assert stretch == 1 or count / (stretch // 2) > ENTRIES


def test_what_was_read_out_stays() -> None:
    """Entries that were handed to a chart are not changed by those that come, but for an unfinished last one."""
    pyramid = Pyramid(4, 4)
    pyramid.append(values_of([1.0, 2.0, 3.0, 4.0, 5.0], 1))
    before = pyramid.entries["high"]
    pyramid.append(values_of([float(v) for v in range(6, 100)], 6))
    assert before[0] == 4.0
    assert pyramid.entries["high"][:2].tolist() == [4.0, 8.0]


def test_a_usual_distance_is_no_gap() -> None:
    """A metric of every tenth step has gaps only where tens are missing."""
    numbers = np.array([10, 20, 30, 40, 50, 120, 130, 140])
    single = Pyramid()
    single.append(Values(numbers, numbers, numbers, numbers, np.ones(8)))
    series = to_series(single.entries, numbers.astype(float))
    assert series.gaps is not None
    assert np.flatnonzero(series.gaps).tolist() == [5]


def test_numbers_that_jump_are_no_gap() -> None:
    """Where each row has a value, none is missing, however far apart their numbers are; a row without one is a gap."""
    numbers = 10 ** np.arange(12)
    whole, lacking = Pyramid(), Pyramid()
    whole.append(Values(np.arange(12), numbers, numbers, numbers, np.ones(12)))
    assert to_series(whole.entries, numbers.astype(float)).gaps is None
    there = np.array([0, 1, 2, 3, 4, 9, 10, 11])
    lacking.append(Values(there, numbers[there], numbers[there], numbers[there], np.ones(8)))
    gaps = to_series(lacking.entries, numbers[there].astype(float)).gaps
    assert gaps is not None
    assert np.flatnonzero(gaps).tolist() == [5]


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 7, 250, 5000])
def test_a_run_that_goes_on_takes_no_more_memory(pieces: int) -> None:
    """Past its limit it halves: no spike is lost, counts and means stay those of all values."""
    rng = np.random.default_rng(0)
    value = rng.normal(size=20_000)
    value[[3, 777]], value[[10, 9_000]] = np.nan, np.inf
    value[4321], value[12_345] = 1e6, -1e6
    number = np.arange(1, len(value) + 1)
    pyramid = Pyramid(limit=500)
    for start in range(0, len(value), pieces * 7):
        part = slice(start, start + pieces * 7)
        pyramid.append(Values(number[part], number[part], number[part], number[part], value[part]))
        entries = pyramid.entries
        assert len(entries["number"]) <= 502
        assert entries["number"][0] == 1
    finite = value[np.isfinite(value)]
    assert (np.nanmin(entries["low"]), np.nanmax(entries["high"])) == (-1e6, 1e6)
    assert (entries["count"].sum(), entries["nan"].sum(), entries["above"].sum()) == (len(finite), 2, 2)
    assert (entries["mean"] * entries["count"]).sum() == pytest.approx(finite.sum())
    assert np.nanmin(entries["positive"]) == finite[finite > 0].min()
    assert entries["last"][-1] == value[-1]
