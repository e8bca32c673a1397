"""The chart widget, by its keys and its mouse."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from neurockt_viewer.charts.series import Line
from neurockt_viewer.widgets.chart import Chart

pytestmark = pytest.mark.slow

HOSTILE = "[/x]\x1b]0;owned\x07\x1b[31m\u202e[@click=app.bell]a\r\nb[/]"
STEPS = np.arange(1, 1001)
LOSSES = np.exp(-STEPS / 300) + np.where(STEPS == 400, 2.0, 0.0)


class Screen(App[None]):
    """One chart."""

    def __init__(self, *lines: Line) -> None:
        super().__init__()
        self.chart = Chart("run", lines)
        self.changes: list[Chart.Changed] = []
        self.unmoved: list[int] = []

    def compose(self) -> ComposeResult:
        yield self.chart

    def on_mount(self) -> None:
        self.chart.focus()

    def on_chart_changed(self, message: Chart.Changed) -> None:
        self.changes.append(message)

    def on_chart_unmoved(self, message: Chart.Unmoved) -> None:
        self.unmoved.append(message.direction)


@asynccontextmanager
async def shown(*lines: Line, size: tuple[int, int] = (80, 20)) -> AsyncIterator[tuple[Pilot[None], Chart]]:
    app = Screen(*lines)
    async with app.run_test(size=size) as pilot:
        yield pilot, app.chart


def text(chart: Chart) -> str:
    return "\n".join(chart.render_line(row).text for row in range(chart.size.height))


def loss() -> Line:
    return Line.of("loss", STEPS, LOSSES)


async def test_zoom_in_and_out_again() -> None:
    """A key halves the window about the middle; its counterpart brings all back; the owner hears of both."""
    async with shown(loss()) as (pilot, chart):
        await pilot.press("plus")
        low, high = chart.settings.window or (0.0, 0.0)
        assert high - low == pytest.approx(999 / 2, rel=0.01)
        assert (low + high) / 2 == pytest.approx(500.5, rel=0.01)
        await pilot.press("minus")
        assert chart.settings.window is None
        await pilot.pause()
        assert len(pilot.app.changes) == 2


async def test_keys_leave_a_window_without_values() -> None:
    """Out of it, and to either side."""
    gap = Line.of("loss", STEPS, np.where((STEPS > 300) & (STEPS < 700), np.nan, LOSSES))
    async with shown(gap) as (pilot, chart):
        await pilot.press("plus", "plus")
        assert "nothing here" in text(chart)
        await pilot.press("right", "right", "right")
        assert "nothing here" not in text(chart)
        await pilot.press("0", "plus", "plus", "plus", "minus", "minus")
        assert "nothing here" not in text(chart)
        await pilot.press("minus")
        assert chart.settings.window is None


async def test_panning_stops_where_the_data_stops() -> None:
    """To the left as far as the first step; then, and without a window, the owner is asked."""
    async with shown(loss()) as (pilot, chart):
        await pilot.press("left")
        await pilot.press("plus", *["left"] * 9)
        assert chart.settings.window is not None
        assert chart.settings.window[0] == pytest.approx(1.0)
        await pilot.press("0")
        assert chart.settings.window is None
        assert pilot.app.unmoved == [-1]


async def test_the_crosshair_shows_exact_values() -> None:
    """It stands on recorded steps alone, moves by key, and the legend has the value in full."""
    async with shown(loss()) as (pilot, chart):
        await pilot.press("i")
        assert chart.cross == 1000
        for key in ("left", "left", "h", "right"):
            await pilot.press(key)
            assert chart.cross in STEPS
            assert f"step {int(chart.cross):,}" in text(chart)
            assert repr(float(LOSSES[int(chart.cross) - 1])) in text(chart)
        await pilot.press("i")
        assert chart.cross is None


async def test_a_click_puts_the_crosshair_on_the_nearest_value() -> None:
    """Whichever column is clicked."""
    async with shown(Line.of("acc", [1, 2, 3], [0.1, 0.5, 0.3])) as (pilot, chart):
        await pilot.click(Chart, offset=(chart.picture.left + chart.picture.width // 2 + 3, 5))
        assert chart.cross == 2
        assert "0.5" in text(chart)


async def test_the_wheel_zooms_about_the_pointer_and_a_drag_pans() -> None:
    """What is under the pointer stays there."""
    async with shown(loss()) as (pilot, chart):
        await pilot._post_mouse_events([_scroll_up()], Chart, offset=(chart.picture.left, 5))
        window = chart.settings.window
        assert window is not None
        assert window[0] == pytest.approx(1.0, abs=10)
        assert window[1] < 800
        await pilot.mouse_down(Chart, offset=(60, 5))
        await pilot.hover(Chart, offset=(40, 5))
        await pilot.mouse_up(Chart, offset=(40, 5))
        assert chart.settings.window is not None
        assert chart.settings.window[0] > window[0] + 50


def _scroll_up() -> type:
    from textual.events import MouseScrollUp

    return MouseScrollUp


async def test_what_has_no_place_is_told() -> None:
    """NaN and infinities are counted and marked; so is what a logarithmic axis refuses."""
    values = LOSSES.copy()
    values[[10, 500]], values[20], values[30], values[40] = math.nan, math.inf, -math.inf, -1.0
    async with shown(Line.of("loss", STEPS, values)) as (pilot, chart):
        assert "2 NaN, 1 inf, 1 -inf" in text(chart)
        assert {"x", "▴", "▾"} <= set(text(chart))
        await pilot.press("Y")
        assert "1 not above 0" in text(chart)


async def test_smoothing_keeps_the_raw_values_in_sight() -> None:
    """The spike is still drawn, dim, and the legend has both values."""
    async with shown(loss()) as (pilot, chart):
        before = chart.picture.y
        await pilot.press("s", "s")
        assert chart.settings.smoothing == 0.01
        assert chart.picture.y == before
        assert {piece.part for row in chart.picture.rows for piece in row} >= {"line", "dim"}
        assert " ~" in text(chart)


async def test_the_range_of_y_is_changed_by_key() -> None:
    """From all but a spike that would flatten the rest, to all, to closer; the legend has the key."""
    values = np.where(STEPS == 400, 1e9, LOSSES)
    async with shown(Line.of("loss", STEPS, values)) as (pilot, chart):
        seen = []
        assert "1 off the scale, o shows all" in text(chart)
        for _ in range(4):
            assert chart.picture.y is not None
            seen.append(chart.picture.y.high)
            await pilot.press("o")
        assert seen[0] == seen[3] == pytest.approx(LOSSES[0])
        assert seen[1] == 1e9
        assert seen[2] < seen[0]


async def test_lines_are_told_apart_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR they have letters, in the legend and on themselves."""
    monkeypatch.setenv("NO_COLOR", "1")
    async with shown(loss(), Line.of("other", STEPS, LOSSES / 2, 1)) as (_, chart):
        legend, *rest = text(chart).splitlines()
        assert "A loss" in legend
        assert "B other" in legend
        assert "A" in "".join(rest)
        assert "B" in "".join(rest)


@pytest.mark.parametrize(("colours", "lettered"), [((0, 9), False), ((1, 9), True)])
async def test_curves_of_one_colour_have_letters(colours: tuple[int, int], lettered: bool) -> None:
    """Those whose colours differ do not need them."""
    lines = [Line.of("run", STEPS, LOSSES * (at + 1), colour) for at, colour in enumerate(colours)]
    async with shown(*lines) as (_, chart):
        assert ("J" in text(chart)) == lettered


async def test_the_nearest_of_many_curves_is_named() -> None:
    """Under the pointer, and at the crosshair by key; it comes first, in full, and is drawn bright over the others."""
    many = [Line.of(f"sweep-with-a-long-name-{at}", STEPS, LOSSES * 0.1 + at, at) for at in range(60)]
    async with shown(*many, size=(80, 24)) as (pilot, chart):
        for row in (8, 18):
            await pilot.hover(Chart, offset=(40, row))
            assert chart.picture.y is not None
            dot = 4 * (chart.picture.top + chart.picture.height - row) - 2
            expected = round(float(chart.picture.y.value(dot)))
            assert chart.named is not None
            assert abs(chart.named[1] - expected) <= 2
            assert text(chart).splitlines()[0].startswith(f"▸ {chart.named[0]} ")
            bright = {
                piece.colour
                for line in chart.picture.rows[chart.picture.top :]
                for piece in line
                if piece.part == "line"
            }
            assert bright == {chart.named[1]}
        await pilot.press("i")
        names = []
        for key in ("up", "up", "down"):
            await pilot.press(key)
            assert chart.named is not None
            names.append(chart.named[1])
        assert names[0] + 1 == names[1] == names[2] + 1
        assert "◆" in text(chart)
        assert repr(float(LOSSES[-1] * 0.1 + names[2])) in text(chart).splitlines()[0]
        await pilot.press("i")
        assert chart.named is None


async def test_hostile_names_are_shown_and_do_nothing() -> None:
    """No markup is read, and no escape sequence passes, also where a curve is named."""
    lines = Line.of(HOSTILE, STEPS, LOSSES), Line.of(HOSTILE, STEPS, LOSSES, 1)
    async with shown(*lines, size=(160, 20)) as (pilot, chart):
        for _ in range(2):
            assert "[/x]" in text(chart)
            assert "[@click=app.bell]a" in text(chart)
            assert not {"\x1b", "\x07", "\u202e", "\r", "\n"} & set(text(chart).replace("\n", ""))
            await pilot.hover(Chart, offset=(40, 10))
        assert "▸ " in text(chart)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(10, 3), (1, 1), (20, 5), (40, 10), (200, 60), (24, 6)])
@pytest.mark.parametrize("keys", ["", "iYs", "XYs", "plus"])
async def test_every_size_is_drawn(size: tuple[int, int], keys: str) -> None:
    """Each row is exactly as wide as the chart."""
    async with shown(loss(), Line.of("a" * 300, [], [], 1), size=size) as (pilot, chart):
        await pilot.press(*([keys] if keys == "plus" else keys))
        for row in range(size[1]):
            assert chart.render_line(row).cell_length == size[0]


@pytest.mark.parametrize(
    "values", [[], [1.0], [math.nan], [math.inf], [0.0, 0.0], [1e308, -1e308], [5e-324, 1e-323], [1.0, 1.0 + 1e-16]]
)
async def test_odd_values_are_drawn(values: list[float]) -> None:
    """On linear and logarithmic axes, zoomed and inspected."""
    async with shown(Line.of("odd", np.arange(len(values)), values)) as (pilot, chart):
        for keys in ("Y", "X", "plus", "i", "left", "s", "Y", "X", "minus", "0"):
            await pilot.press(keys)
            assert text(chart)
