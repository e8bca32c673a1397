"""Text for the terminal: foreign text made harmless, and numbers and times that keep their meaning."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.formatting import (
    clean,
    clean_block,
    clip,
    display_width,
    format_ago,
    format_duration,
    format_number,
    format_value,
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
        (0.04, "0.0s"),
        (9.94, "9.9s"),
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
def test_recent_moments_are_told_by_their_distance(before: float, shown: str) -> None:
    """Within a day."""
    assert format_ago(NOW - timedelta(seconds=before), NOW) == shown


@pytest.mark.parametrize("before", [86_400, 10_000_000, -30])
def test_other_moments_are_dates(before: float) -> None:
    """Of the reader's calendar; a clock that is ahead makes no negative distance."""
    moment = NOW - timedelta(seconds=before)
    assert format_ago(moment, NOW) == f"{moment.astimezone():%Y-%m-%d %H:%M}"
    assert format_ago(None, NOW) == "-"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0812, "0.0812"),
        (0.0, "0.0000"),
        (1e-7, "1.0000e-07"),
        (-0.00004, "-4.0000e-05"),
        (123456789.0, "1.2346e+08"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (None, "-"),
    ],
)
def test_numbers_have_four_decimals_or_are_scientific(value: float | None, shown: str) -> None:
    """A value that is not zero never looks like it."""
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, "any", "-"),
        ((), "text", "-"),
        (("a", "b"), "text", "a, b"),
        (True, "any", "true"),
        (1234, "number", "1,234"),
        (1234, "any", "1234"),
        (0.5, "number", "0.5000"),
        (0.5, "any", "0.5"),
        (90.0, "duration", "1m 30s"),
        ({"a": [1, "é"]}, "any", '{"a": [1, "é"]}'),
        ("x\x1b[2J", "text", "x\N{REPLACEMENT CHARACTER}[2J"),
        ("abcdef", "text", "abcd…"),
    ],
)
def test_values_of_any_kind(value: object, kind: str, shown: str) -> None:
    """As the commands and the viewer show them."""
    assert format_value(value, kind, 5 if value == "abcdef" else 100) == shown
