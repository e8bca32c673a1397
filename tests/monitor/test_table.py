"""The printed table, exactly as documented."""

from __future__ import annotations

import math
from typing import Any

import pytest

from neurockt.formatting import clean, table_header, table_row


def test_the_documented_table() -> None:
    """A tab and a space, columns 14 wide, four decimals."""
    assert table_header(["valid_loss", "acc"]) == "\t valid_loss    acc"
    assert table_row(["valid_loss", "acc"], [0.0812, 0.9753]) == "\t 0.0812        0.9753"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0000"),
        (0.0003, "0.0003"),
        (0.00001, "1.0000e-05"),
        (-0.00004, "-4.0000e-05"),
        (53599.3223, "53599.3223"),
        (123456.5, "123456.5000"),
        (1e300, "1.0000e+300"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (None, "-"),
    ],
)
def test_no_number_loses_its_meaning(value: float | None, text: str) -> None:
    """Scientific where four decimals would show 0.0000 or burst the column."""
    assert table_row(["loss"], [value]) == f"\t {text}"


def test_long_and_wide_names_widen_their_own_column() -> None:
    """Values stay below their name, also when its characters are two cells wide."""
    header = table_header(["a_rather_long_metric_name", "損失損失損失損失", "b"])
    row = table_row(["a_rather_long_metric_name", "損失損失損失損失", "b"], [1.0, 2.0, 3.0])
    assert header.index("損") == row.index("2.0000")
    assert row.endswith("3.0000")


def test_the_header_comes_once_and_again_when_the_columns_change(
    make_recorder: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A metric that is declared amid the run makes a new header; a metric that was not called shows a dash."""
    recorder = make_recorder()
    first = recorder.metric("first")(lambda value: value)
    for value in (1.0, 2.0):
        with recorder(train=False):
            first(value)
    recorder.metric("second")(lambda value: value)
    with recorder(train=False):
        first(3.0)
    assert capsys.readouterr().out.splitlines() == [
        "\t first",
        "\t 1.0000",
        "\t 2.0000",
        "\t first         second",
        "\t 3.0000        -",
    ]


def test_quiet_prints_nothing(recorder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """``quiet=True``."""
    with recorder(train=False):
        pass
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("hostile", ["\x1b]0;owned\x07", "a\nb", "\u202eevil", "\x9b31m", "\ud800", "\x00", "a\u2066b"])
def test_foreign_text_cannot_reach_the_terminal_as_a_command(hostile: str) -> None:
    """Control, bidi and surrogate characters are replaced by a visible mark."""
    shown = clean(hostile)
    assert "\N{REPLACEMENT CHARACTER}" in shown
    assert shown.encode()
    assert all(character.isprintable() for character in shown)
