"""Text for the terminal: foreign text made harmless, and numbers and times that keep their meaning."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.formatting import (
    align_numbers,
    alternatives,
    clean,
    clean_block,
    clip,
    display_width,
    format_ago,
    format_bytes,
    format_duration,
    format_elapsed,
    format_number,
    format_value,
    listed,
)

NOW = datetime(2026, 11, 23, 10, 15, tzinfo=timezone.utc)


@given(st.text())
def test_cleaned_text_is_one_line_without_controls(text: str) -> None:
    """Whatever a run directory holds."""
    cleaned = clean(text)
    assert len(cleaned) <= 200
    assert len(cleaned.splitlines()) <= 1
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned)
    assert clean(cleaned) == cleaned


@given(st.text())
def test_a_cleaned_block_has_no_control_but_its_line_ends(text: str) -> None:
    """Notes and tracebacks keep their lines."""
    assert not any(unicodedata.category(character) == "Cc" for character in clean_block(text).replace("\n", ""))


@given(st.text(), st.integers(1, 30))
def test_clipped_text_fits(text: str, width: int) -> None:
    """In cells, wide characters counted twice; what fits is left as it is."""
    assert display_width(clip(text, width)) <= width
    assert display_width(text) > width or clip(text, width) == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0, "0s"),
        (0.04, "0.04s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (-75, "-1m 15s"),
        (45, "45s"),
        (60, "1m 0s"),
        (3599.7, "1h 0m"),
        (11_520, "3h 12m"),
        (90_000, "1d 1h"),
        (float("nan"), "-"),
        (float("inf"), "-"),
    ],
)
def test_durations_are_two_units(seconds: float | None, shown: str) -> None:
    """The largest that are not nothing."""
    assert format_duration(seconds) == shown


@pytest.mark.parametrize(
    ("before", "shown"),
    [(5, "just now"), (59.9, "just now"), (60, "1 min ago"), (7300, "2 h ago"), (86_399, "23 h ago")],
)
def test_a_moment_of_today_has_its_distance_and_its_time(before: float, shown: str) -> None:
    """Within a day; the time by the reader's clock."""
    moment = NOW - timedelta(seconds=before)
    assert format_ago(moment, NOW) == f"{shown}, {moment.astimezone():%H:%M}"
    assert format_elapsed(moment, NOW) == shown


def test_older_moments_have_their_date() -> None:
    """Without the year while it is clear; a clock that is ahead makes no negative distance."""
    recent, old, ahead = (NOW - timedelta(days=days) for days in (3.5, 800, -1))
    assert format_ago(recent, NOW) == f"3 d ago, {recent.astimezone():%b %d %H:%M}"
    assert format_ago(old, NOW) == f"800 d ago, {old.astimezone():%Y-%m-%d}"
    assert format_ago(ahead, NOW) == f"{ahead.astimezone():%Y-%m-%d %H:%M}"
    assert format_ago(None, NOW) == "-"


NUMBERS = [
    (0.0812, "0.0812"),
    (0.98331234, "0.98331"),
    (float(np.float32(0.1)), "0.1"),
    (6e-05, "6e-05"),
    (0.00025, "0.00025"),
    (0.0001, "0.0001"),
    (1e-7, "1e-07"),
    (-0.00004, "-4e-05"),
    (1.23456789e-5, "1.2346e-05"),
    (0.0, "0"),
    (-0.0, "0"),
    (2.0, "2"),
    (12.5, "12.5"),
    (9999.96, "10,000"),
    (9999.5, "9,999.5"),
    (53599.3223, "53,599"),
    (99999.7, "100,000"),
    (123456.4, "123,456"),
    (123456789.0, "123,456,789"),
    (-123456789.0, "-123,456,789"),
    (26_214_400_000.0, "26,214,400,000"),
    (999_999_999_999.9, "1e+12"),
    (3.14159265e18, "3.1416e+18"),
    (1e36, "1e+36"),
    (float("nan"), "nan"),
    (float("-inf"), "-inf"),
    (None, "-"),
    (10**18, "1,000,000,000,000,000,000"),
]


@pytest.mark.parametrize(("value", "shown"), NUMBERS)
def test_numbers_have_five_significant_digits(value: float | None, shown: str) -> None:
    """All digits of the integer part while they fit; scientific where the number is very small or very long."""
    assert format_number(value) == shown


@given(st.floats(-1e308, 1e308), st.integers(8, 30))
def test_no_number_loses_its_meaning(value: float, width: int) -> None:
    """What is read back is the value to five digits, and is no longer than asked for or than the scientific form."""
    shown = format_number(value, width)
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=5.01e-5, abs=0)
    assert len(shown) <= max(width, len(f"{value:.5g}"))
    assert (value < 0) == shown.startswith("-")


def test_numbers_are_aligned_on_their_decimal_points() -> None:
    """Exponents follow the digits; what is no number ends where integers do."""
    assert align_numbers(["0.00025", "6e-05", "53,599", "-", "-1.5", "nan", "0.9 ± 0.01"]) == [
        "     0.00025   ",
        "     6e-05     ",
        "53,599         ",
        "     -         ",
        "    -1.5       ",
        "   nan         ",
        "     0.9 ± 0.01",
    ]
    assert align_numbers(["3h 12m", "45s"]) == ["3h 12m", "   45s"]
    assert align_numbers([]) == []


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_950, "1 MB"), (3_072_000_000, "3.07 GB"), (5e18, "5,000 PB")],
)
def test_sizes_have_a_unit(count: float, shown: str) -> None:
    """Three significant digits."""
    assert format_bytes(count) == shown


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, "any", "-"),
        ((), "text", "-"),
        (("a", "b"), "text", "a, b"),
        (True, "any", "true"),
        (1234, "number", "1,234"),
        (1234, "any", "1234"),
        (0.5, "number", "0.5"),
        (0.30000000000000004, "any", "0.3"),
        (90.0, "duration", "1m 30s"),
        ({"a": [1, "é"]}, "any", '{"a": [1, "é"]}'),
        ("x\x1b[2J", "text", "x\N{REPLACEMENT CHARACTER}[2J"),
        ("abcdef", "text", "abcd…"),
    ],
)
def test_values_of_any_kind(value: object, kind: str, shown: str) -> None:
    """As the commands and the viewer show them."""
    assert format_value(value, kind, 5 if value == "abcdef" else 100) == shown


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], "none"),
        (["a"], "a"),
        (["a", "b"], "a, b"),
        ([*"abcd"], "a, b, c and 1 more"),
        (["n"] * 2003, "n, n, n and 2,000 more"),
    ],
)
def test_a_message_lists_the_first_names(names: list[str], text: str) -> None:
    assert listed(names, 3) == text


def test_a_name_that_is_not_known() -> None:
    """The one it is most like, else what there is, however much that is."""
    assert alternatives("los", ["acc", "loss"]) == "did you mean 'loss'?"
    assert alternatives("x", ["acc", "loss", "acc"]) == "there are acc, loss"
    assert len(alternatives("x", (f"metric {index}" for index in range(5000)))) < 200
