"""The list, charts and details in a real tmux of four sizes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from real_terminal import NEUROCKT
from real_tmux import Tmux

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
CURVE = re.compile("[\u2801-\u28ff]")
"""What curves are drawn with."""


def divider(screen: str) -> int:
    """The column of the line between the list and the charts; -1 where there is none."""
    return screen.splitlines()[3].find("│")


def test_one_screen_at_four_sizes(tmux: Tmux) -> None:
    """Charts are to the right of the list, below it, or alone; the keys that matter are always named."""
    tmux.start(f"{' '.join(NEUROCKT)} view {SAMPLES}", 160, 48)
    tmux.wait(lambda screen: "12 runs" in screen and CURVE.search(screen))
    tmux.press("j", "Space", "Space")
    tmux.wait(lambda screen: "2 marked runs" in screen and "1-2 of" not in screen and CURVE.search(screen))
    tmux.wait(lambda screen: divider(screen) == 72)
    tmux.wait(lambda screen: len([line for line in screen.splitlines() if re.match("[AB]  ", line)]) == 2)
    tmux.press(">")
    tmux.wait(lambda screen: divider(screen) == 80)
    tmux.drag((80, 20), (50, 20))
    tmux.wait(lambda screen: divider(screen) == 50)
    for width, height, keys in (
        (120, 30, "Open space Mark / Filter s Sort b Group c Compare f Full tab Panel o Columns"),
        (80, 24, "Open space Mark / Filter s Sort b Group c Compare f Full"),
        (40, 12, "Open space Mark"),
    ):
        tmux.resize(width, height)
        tmux.wait(lambda screen, keys=keys: keys in screen.splitlines()[-1] and "2 marked" in screen.splitlines()[0])
        beside, charts = width == 120, width > 40
        tmux.wait(lambda screen, beside=beside: (divider(screen) > 0) == beside)
        tmux.wait(lambda screen, charts=charts: bool(CURVE.search(screen)) == charts)
    tmux.press("f")
    tmux.wait(lambda screen: CURVE.search(screen) and "2 marked runs" in screen)
    tmux.press("Escape")
    tmux.wait(lambda screen: "state" in screen.splitlines()[1])
    tmux.press("q")


def test_the_title_of_a_sorted_column_has_its_arrow(tmux: Tmux) -> None:
    """As soon as the rows are in their order; the columns are redrawn where they have moved."""
    tmux.start(f"{' '.join(NEUROCKT)} view {SAMPLES / 'sgd-0.1-s0'}", 100, 30)
    tmux.wait("train_loss")
    tmux.press("2")
    tmux.wait("train_loss 2.3")  # the value under the cursor, once there are rows
    for key, title in (("s", "train_loss ▲"), ("s", "train_loss ▼"), ("S", "train_loss  ")):
        tmux.press(key)
        tmux.wait(lambda screen, title=title: f"  {title}" in screen.splitlines()[2])
