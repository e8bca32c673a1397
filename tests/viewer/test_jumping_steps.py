"""The table of a run whose steps jump up to 10^12, and whose last row is open."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_run.jumping import LARGE, Jumping
from viewing import until

from .test_table_view import press, shown, status, text

pytestmark = pytest.mark.slow


async def test_large_steps_are_shown_whole_and_gone_to(tmp_path: Path) -> None:
    """In the table of the steps and in that of the epochs."""
    run = Jumping(tmp_path / "run")
    run.write([0, 5, LARGE])
    run.validate(LARGE)
    run.finish()
    async with shown(run.path) as (pilot, view):
        assert [line.split()[0] for line in text(view)[1:4]] == ["0", "5", f"{LARGE:,}"]
        for wanted, found in (("1", 5), ("6", LARGE), ("0", 0), (str(LARGE), LARGE), (str(2 * LARGE), LARGE)):
            await press(pilot, view, ":", *wanted, "enter")
            assert status(view).startswith(f"loss {float(found)!r} at step {found:,} ")
        assert status(view).endswith("row 3 of 3")
    async with shown(run.path, "epochs") as (_, view):
        assert text(view)[1].split()[:2] == [f"{LARGE:,}", "1"]


async def test_the_open_row_is_shown_as_it_changes(tmp_path: Path) -> None:
    """Its values, and then those that the journal has of it."""
    run = Jumping(tmp_path / "run")
    run.write([0])
    run.open("steps", 10, 1, {"loss": 1.5})
    try:
        async with shown(run.path, live=True) as (_, view):
            assert text(view)[2].split()[0] == "10"
            for values in ({"loss": 2.5}, {"loss": 3.5, "lr": 0.25}):
                run.open("steps", 10, 1, values)
                await until(lambda values=values: f"{values['loss']}" in text(view)[2])
            assert text(view)[2].split()[-1] == "0.25"
            run.write([10])
            await until(lambda: text(view)[2].split()[-1] == "10")
            assert "row 2 of 2" in status(view)
    finally:
        run.release()
