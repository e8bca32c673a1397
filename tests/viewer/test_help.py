"""The help: what is seen, and what keys do, in words and in as many columns as there is room for."""

from __future__ import annotations

from pathlib import Path

import pytest
from viewing import lines, rows, text, until

from neurockt_viewer.app import ViewerApp
from neurockt_viewer.screens.help import HelpScreen, help_lines, keys_by_section
from neurockt_viewer.screens.run import RunScreen
from neurockt_viewer.screens.runs import RunsScreen
from neurockt_viewer.widgets.row_grid import RowGrid

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[2] / "sample_runs"
KEYS = {
    "here": {f"does the thing number {number} in a sentence that goes on": [chr(97 + number)] for number in range(12)},
    "moving": {"to the end": ["end", "G", "shift+ctrl+end"]},
}


@pytest.mark.parametrize("width", [20, 40, 58, 75, 119, 150, 190])
def test_every_word_is_there_at_any_width(width: int) -> None:
    """No line is too wide; the wider it is, the fewer lines there are; a title is never the last of its column."""
    shown = [line.plain for line in help_lines(["A screen of things."], KEYS, width)]
    assert all(len(line.rstrip()) <= max(width, 30) for line in shown)
    words = " ".join(" ".join(shown).split())
    assert "A screen of things." in words
    for number in range(12):
        assert f"number {number}" in words or width < 58
    narrower = list(help_lines([], KEYS, 58))
    assert width < 119 or len(shown) - 2 <= len(narrower) / 2 + 2
    assert not shown[-1].strip().endswith("moving")


def beside(app: ViewerApp, words: str) -> str:
    """What the help has to the right of the first of these words."""
    line = next(line for line in lines(app) if words in line)
    return line.split(words)[1].split("│")[0].strip()


async def test_the_help_is_about_what_has_the_keys() -> None:
    """It says what the screen is for, and explains each key; with the cursor elsewhere it says something else."""
    app = ViewerApp(SAMPLES)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: isinstance(app.screen, RunsScreen) and len(rows(app.screen, "#runs")) == 12)
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen) and "Each row is a run" in text(app))
        assert beside(app, "in full size, and back"), "two columns"
        await pilot.resize_terminal(80, 24)
        await until(lambda: "in full size, and back" in text(app) and not beside(app, "in full size, and back"))
        await pilot.press("escape", "enter", "2")
        await until(lambda: isinstance(app.screen, RunScreen) and isinstance(app.focused, RowGrid))
        await pilot.press("question_mark")
        await until(lambda: "all digits of the value under the cursor" in " ".join(text(app).replace("│", "").split()))
        asked = app.screen_stack[-2]
        assert keys_by_section(asked)["here"]["to the smallest value of this column"] == ["m"]
        assert keys_by_section(asked)["everywhere"]["quit"] == ["^c", "^q", "q"]
