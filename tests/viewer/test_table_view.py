"""The tables of a run, driven by keys: long ones, sorted ones, live ones, and what is left of damaged ones."""

from __future__ import annotations

import csv
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from live_run import LiveRun
from live_run.by_hand import flip
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input, Static
from viewing import until

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.tables import parts
from neurockt_viewer import table_rows
from neurockt_viewer.widgets.table_view import TableView

pytestmark = pytest.mark.slow

STEPS = 3000
GROUP = 256
NANS = (700, 2900)
INFINITE = 1500
SMALLEST, LARGEST = 1234, (400, 2222)


def loss_at(step: int) -> float:
    if step in NANS:
        return math.nan
    if step in LARGEST:
        return 9.0
    return math.inf if step == INFINITE else -1.0 if step == SMALLEST else 1 / 3 + step % 97 / 100


def last(values: list[float]) -> float:
    return values[-1]


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of 3,000 steps in row groups of 256: a loss with oddities, a rate, and a value each tenth step."""
    monkeypatch.setattr(parts, "ROW_GROUP_ROWS", GROUP)
    recorder = Recorder(tmp_path / "runs", run_id="run", quiet=True)
    loss, rate, tenth = (recorder.track_scalar(name, last)(float) for name in ("loss", "lr", "tenth"))
    for step in range(1, STEPS + 1):
        with recorder(train=True):
            loss(loss_at(step))
            rate(0.0003)
            if step % 10 == 0:
                tenth(step)
    recorder.finish()
    return recorder.run_dir


class Screen(App[None]):
    """One table."""

    def __init__(self, path: Path, table: TableName, *, live: bool) -> None:
        super().__init__()
        self.view = TableView(path, table, live=live)

    def compose(self) -> ComposeResult:
        yield self.view


@asynccontextmanager
async def shown(
    path: Path, table: TableName = "steps", *, live: bool = False, size: tuple[int, int] = (120, 30)
) -> AsyncIterator[tuple[Pilot[None], TableView]]:
    app = Screen(path, table, live=live)
    async with app.run_test(size=size) as pilot:
        app.view.grid.focus()
        await until(lambda: app.view.rows is not None and not reading(app.view))
        await pilot.pause()
        yield pilot, app.view


async def press(pilot: Pilot[None], view: TableView, *keys: str) -> None:
    """Press keys, and wait for what they set going."""
    await pilot.press(*keys)
    for worker in [each for each in pilot.app.workers if each.group == "job"]:
        await worker.wait()
    await pilot.pause()
    await until(lambda: not reading(view))


def status(view: TableView) -> str:
    return str(view.query_one(".status", Static).content)


def reading(view: TableView) -> bool:
    """Whether the value under the cursor is still to be read."""
    return " … " in status(view)


def text(view: TableView) -> list[str]:
    grid = view.grid
    return [strip.text.rstrip() for strip in grid.render_lines(grid.size.region)]


async def test_values_keep_their_meaning_and_the_one_under_the_cursor_all_its_digits(run_dir: Path) -> None:
    """0.0003 is 0.0003 and not 0.00; nothing is told from NaN; the exact value, its step and its row stand below."""
    async with shown(run_dir) as (pilot, view):
        header, first = text(view)[:2]
        assert header.split() == ["step", "epoch", "time", "loss", "lr", "tenth"]
        assert first.split()[-3:] == ["0.34333", "0.0003", "-"]
        assert status(view) == f"loss {loss_at(1)!r} at step 1 · row 1 of 3,000"
        await press(pilot, view, "right", "right")
        assert status(view).startswith("tenth no value at step 1 ")
        await press(pilot, view, ":", "7", "0", "enter")
        losses = {line.split()[-3]: line for line in text(view)[1:29]}
        assert losses.keys() >= {"0.99333", "1.0033"}
        assert len({line.index(loss) + loss.index(".") for loss, line in losses.items()}) == 1, (
            "aligned on their points"
        )


@pytest.mark.slow
async def test_no_more_than_what_is_near_is_in_memory(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has been looked at: a page here, the end, the middle; and each row is the one it says."""
    room = 4 * 9 * GROUP * 5
    monkeypatch.setattr(table_rows, "MEMORY_BYTES", room)
    async with shown(run_dir) as (pilot, view):
        assert view.rows is not None
        for keys in ["pagedown"] * 30, ["G"], ["pageup"] * 5, [":", *"50%", "enter"], ["g"]:
            await press(pilot, view, *keys)
            held = sum(9 * len(span) for span, _ in view.rows._blocks.values())
            assert held <= room + 2 * 9 * GROUP * 6  # the page itself may lie in two groups
            row = view.grid.cursor_row
            assert status(view).startswith(f"loss {loss_at(row + 1)!r} at step {row + 1:,} · row {row + 1:,} ")


@pytest.mark.slow
async def test_a_step_is_gone_to_by_its_number(run_dir: Path) -> None:
    """Or by a part of the table; what is neither is told, and asked again; past the end is the end."""
    async with shown(run_dir) as (pilot, view):
        await press(pilot, view, ":", *"2,345", "enter")
        assert status(view).startswith(f"loss {loss_at(2345)!r} at step 2,345 ")
        await press(pilot, view, ":", *"25%", "enter")
        assert view.grid.cursor_row == 750
        await press(pilot, view, ":", *"abc", "enter")
        assert "write a number such as 1200, or 50%" in str(pilot.app.screen.query_one(".problem", Static).content)
        await press(pilot, view, "escape", ":", *"99999", "enter")
        assert view.grid.at_end
        await press(pilot, view, "g")
        assert view.grid.cursor_row == 0


async def test_a_step_is_found_where_numbers_were_skipped(tmp_path: Path) -> None:
    """Of a number that is not there, the next one."""
    numbers = [1, 2, 3, 10, 11, 30]
    recorder = Recorder(tmp_path, run_id="gaps", quiet=True)
    with recorder(train=True):
        recorder.track_scalar("loss", last)(float)(1.0)
    recorder.finish()
    (part,) = layout.part_paths(recorder.run_dir, "steps")
    schema = pq.read_schema(part)
    rows = {"step": numbers, "epoch": [1] * 6, "time": [0] * 6, "loss": [float(number) for number in numbers]}
    pq.write_table(pa.table(rows, schema), part)
    async with shown(recorder.run_dir) as (pilot, view):
        for wanted, found in ("10", 10), ("4", 10), ("12", 30), ("1", 1), ("31", 30):
            await press(pilot, view, ":", *wanted, "enter")
            assert status(view).startswith(f"loss {found}.0 at step {found} ")


async def test_nan_and_infinities_are_found_one_after_the_other(run_dir: Path) -> None:
    """Forwards, round the end, and backwards; where there are none, that is told."""
    async with shown(run_dir) as (pilot, view):
        for key, step in ("n", 700), ("n", INFINITE), ("n", 2900), ("n", 700), ("N", 2900), ("N", INFINITE):
            await press(pilot, view, key)
            assert status(view).startswith(f"loss {loss_at(step)!r} at step {step:,} ")
        await press(pilot, view, "right", "n")
        assert status(view).startswith("no NaN or infinity in lr")


async def test_extremes_are_found_and_so_are_their_likes(run_dir: Path) -> None:
    """The smallest; the largest, which is the infinity; without it both rows that hold the next."""
    async with shown(run_dir) as (pilot, view):
        await press(pilot, view, "m")
        assert status(view).startswith(f"loss -1.0 at step {SMALLEST:,} ")
        await press(pilot, view, "M")
        assert status(view).startswith(f"loss inf at step {INFINITE:,} ")
        await press(pilot, view, "right", "right", "M")
        assert status(view).startswith("tenth 3000.0 at step 3,000 ")


async def test_a_table_is_sorted_both_ways_and_not_at_all(run_dir: Path) -> None:
    """Each row keeps its other columns; NaN and missing values come last either way; a step is found in any order."""
    async with shown(run_dir) as (pilot, view):
        await press(pilot, view, "s")
        assert text(view)[0].split()[3:5] == ["loss", "▲"]
        assert status(view).startswith(f"loss -1.0 at step {SMALLEST:,} · row 1 of")
        await press(pilot, view, "s")
        assert status(view).startswith(f"loss inf at step {INFINITE:,} · row 1 of")
        await press(pilot, view, "down")
        assert status(view).startswith(f"loss 9.0 at step {LARGEST[0]:,} ")
        await press(pilot, view, "G")
        assert status(view).startswith(f"loss nan at step {NANS[1]:,} · row 3,000 of")
        await press(pilot, view, ":", *"1234", "enter")
        assert status(view).startswith(f"loss -1.0 at step {SMALLEST:,} · row 2,998 of")
        await press(pilot, view, "n")
        assert status(view).startswith("loss nan ")
        await press(pilot, view, "S")
        assert status(view).startswith(f"loss nan at step {NANS[0]:,} · row {NANS[0]:,} of")


async def test_a_job_tells_how_far_it_is_and_stops_when_told(run_dir: Path) -> None:
    """Escape leaves the table as it was."""
    async with shown(run_dir) as (pilot, view):
        view.action_sort()
        assert "sorting by loss 0%, esc stops" in status(view)
        view.action_stop()
        assert "sorting" not in status(view)
        await press(pilot, view)
        assert view.rows is not None
        assert view.rows.order is None


async def test_columns_are_hidden_and_frozen(run_dir: Path) -> None:
    """What is hidden is counted and comes back; what is frozen stays when the others scroll away."""
    async with shown(run_dir, size=(40, 12)) as (pilot, view):
        await press(pilot, view, "^", "right", "-", "-", "f", "$")
        assert text(view)[0].split() == ["step", "loss", "tenth"]
        assert "2 hidden, + shows them" in status(view)
        await press(pilot, view, "+", "^", "right", "right", "right", "f", "f", "$")
        assert text(view)[0].split() == ["loss", "lr", "tenth"]
        await press(pilot, view, "^", "f", "$")
        assert text(view)[0].split() == ["step", "lr", "tenth"]


@pytest.mark.slow
async def test_a_value_is_copied_in_full(run_dir: Path) -> None:
    """As it reads back."""
    async with shown(run_dir) as (pilot, view):
        await press(pilot, view, "down", "y")
        assert float(pilot.app.clipboard) == loss_at(2)


async def test_what_is_seen_is_exported(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorted, without what is hidden, as CSV and as Parquet; a file that is there is left alone."""
    monkeypatch.chdir(tmp_path)
    async with shown(run_dir) as (pilot, view):
        await press(pilot, view, "right", "-", "left", "s")

        async def export(name: str) -> None:
            await pilot.press("e")
            await until(lambda: bool(pilot.app.screen.query(Input)))
            field = pilot.app.screen.query_one(Input)
            assert field.value == "run-steps.csv"
            field.value = name
            await pilot.press("enter")

        for name in "out.csv", "out.parquet":
            await export(name)
            await until((tmp_path / name).exists)
        await export("out.csv")
        assert "out.csv exists" in str(pilot.app.screen.query_one(".problem", Static).content)
    with (tmp_path / "out.csv").open() as file:
        names, first, *rest = csv.reader(file)
    assert (names, len(rest)) == (["step", "epoch", "time", "loss", "tenth"], STEPS - 1)
    assert (first[0], first[3]) == (str(SMALLEST), "-1")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == names
    assert table["step"][0].as_py() == SMALLEST
    assert sorted(table["step"].to_pylist()) == list(range(1, STEPS + 1))


@pytest.mark.slow
async def test_a_run_that_is_written_is_followed_until_one_looks_elsewhere(tmp_path: Path) -> None:
    """A real process records: the cursor stays with the last row; one key up, and new rows are counted; G follows."""
    with LiveRun(tmp_path, rate=200.0) as live:
        live.wait_for(100)
        async with shown(live.path, live=True) as (pilot, view):
            assert view.following
            before = view.grid.cursor_row
            await until(lambda: view.grid.cursor_row > before + 50)
            assert "following" in status(view)
            await pilot.press("up")
            row = view.grid.cursor_row
            await until(lambda: "new rows, G follows" in status(view))
            assert view.grid.cursor_row == row
            assert f" at step {row + 1} " in status(view)
            await pilot.press("G")
            await until(lambda: "following" in status(view) and view.grid.cursor_row > row + 50)
            live.kill()
            ends = live.steps, live.steps + 1  # it may die between a row and its report
            await until(lambda: view.rows is not None and view.rows.total in ends)


async def test_a_killed_run_shows_every_row_it_recorded(crashed_run: Path) -> None:
    """Though none of them was ever sealed."""
    async with shown(crashed_run) as (pilot, view):
        await press(pilot, view, "G")
        assert status(view) == f"loss {1 / 30!r} at step 30 · row 30 of 30"
    async with shown(crashed_run, "epochs") as (_, view):
        assert status(view).endswith("row 1 of 3")


async def test_what_is_damaged_is_named_and_the_rest_is_shown(run_dir: Path) -> None:
    """A byte of the second row group is flipped: its values are missing, those around it are not."""
    (part,) = layout.part_paths(run_dir, "steps")
    column = pq.read_metadata(part).row_group(1).column(3)
    flip(part, column.data_page_offset + column.total_compressed_size - 3)
    async with shown(run_dir) as (pilot, view):
        assert status(view).startswith(f"loss {loss_at(1)!r} ")
        await press(pilot, view, ":", "3", "0", "0", "enter")
        assert status(view).startswith("loss no value ")
        assert f"not all can be read: {part}" in status(view)
        await press(pilot, view, ":", "6", "0", "0", "enter")
        assert status(view).startswith(f"loss {loss_at(600)!r} at step 600 ")


@pytest.mark.slow
async def test_a_table_without_rows_says_so(run_dir: Path) -> None:
    """No key does harm there."""
    async with shown(run_dir, "epochs") as (pilot, view):
        assert status(view) == "no epochs recorded yet"
        await press(pilot, view, "down", "G", "s", "n", "M", "y", ":")
        assert status(view) == "no epochs recorded yet"
    assert open_run(run_dir).info.epochs.rows == 0


def test_a_table_that_grows_keeps_one_block_of_its_last_group(tmp_path: Path) -> None:
    """However often it is looked at while rows are recorded."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True)
    loss = recorder.track_scalar("loss", last)(float)
    with recorder(train=True):
        loss(0.0)
    rows = table_rows.TableRows(open_run(recorder.run_dir).rows("steps"))
    for _ in range(50):
        with recorder(train=True):
            loss(1.0)
        rows.refresh()
        rows.update(*rows.known)
        rows.want(range(len(rows)), range(4))
        rows.load()
    recorder.finish()
    assert len(rows) == 51
    assert rows.value(50, "loss") == "1.0"
    assert len(rows._blocks) == 4
