"""Names cut to a width."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.formatting import display_width
from neurockt.shortening import shorten

SWEEP = [f"imagenet-resnet50-lr{lr}-s{seed}-final" for lr in (0.1, 0.01) for seed in (0, 1)]


@pytest.mark.parametrize(
    ("names", "width", "shown"),
    [
        (SWEEP, 40, SWEEP),
        (SWEEP, 16, ["…lr0.1-s0-final", "…lr0.1-s1-final", "…lr0.01-s0-final", "…lr0.01-s1-final"]),
        (SWEEP, 12, ["…lr0.1-s0…", "…lr0.1-s1…", "…lr0.01-s0…", "…lr0.01-s1…"]),
        (["20261126-101500-brave-otter", "20261126-101501-deft-yak"], 16, ["…brave-otter", "…deft-yak"]),
        (["20261126-101500-deft-yak", "20261126-101501-deft-yak"], 12, ["…101500…", "…101501…"]),
        (["20261126-101500-brave-otter"], 27, ["20261126-101500-brave-otter"]),
        (["lr1e-4", "lr1e-5"], 5, ["lr…-4", "lr…-5"]),
        (["model.encoder.width", "model.encoder.depth"], 10, ["…width", "…depth"]),
        (["train/loss", "train/loss/aux"], 9, ["…loss", "…loss/aux"]),
        (["baseline", "a-very-long-name-of-a-run"], 12, ["baseline", "a-very…a-run"]),
        (["x" * 20, "x" * 20], 9, ["xxxx…xxxx"] * 2),
        (["損失" * 6 + "a", "損失" * 6 + "b"], 9, ["損失…失a", "損失…失b"]),
        (["", "-"], 1, ["", "-"]),
        ([], 3, []),
    ],
)
def test_what_names_share_is_elided_and_then_the_middle(names: list[str], width: int, shown: list[str]) -> None:
    """Between words, and only where some name does not fit."""
    assert shorten(names, width) == shown


def test_each_name_can_have_its_own_width() -> None:
    """As the columns of a table have."""
    assert shorten(["val/mmlu/stem", "val/mmlu/other", "lr"], [6, 8, 8]) == ["…stem", "…other", "lr"]


@given(st.lists(st.text("ab-/1損", max_size=20), max_size=8), st.integers(6, 20))
def test_different_names_stay_different_and_fit(names: list[str], width: int) -> None:
    """And names that are the same stay the same."""
    shown = shorten(names, width)
    assert all(display_width(text) <= width for text in shown)
    assert len(set(zip(names, shown, strict=True))) == len(set(names)) == len(set(shown))
    assert any(display_width(name) > width for name in names) or shown == names


@given(st.lists(st.text(max_size=9), max_size=5), st.integers(1, 5))
def test_no_width_is_too_small(names: list[str], width: int) -> None:
    """Where there is no room to keep names apart, they are cut all the same."""
    assert all(display_width(text) <= width for text in shorten(names, width))


def test_ten_thousand_names_are_shortened_at_once() -> None:
    """Also where hardly any can be told apart."""
    names = [f"{at % 7}-sweep-{at:05}-of-a-very-long-name-{at % 3}" for at in range(10_000)]
    began = time.process_time()
    assert len(set(shorten(names, 20))) == 10_000
    shorten(names, 4)
    assert time.process_time() - began < 3
