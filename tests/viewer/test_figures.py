"""Figures for papers: they have every extreme, whatever the length of a run, and text from runs is only text."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

pytest.importorskip("matplotlib")

from neurockt.errors import UsageError
from neurockt_viewer.charts.pyramid import Pyramid, Values, to_series
from neurockt_viewer.charts.series import ChartSettings, Line, Series
from neurockt_viewer.figures import ENDINGS, Chart, Look, _draw, reduced, save

HOSTILE = "$\\frac{1}{$ \x1b]0;x\x07 </text><script>alert(1)</script> 日本"


def line(size: int = 50, label: str = "a", colour: int = 0) -> Line:
    return Line.of(label, np.arange(size), np.sin(np.arange(size) / 5), colour)


@pytest.mark.slow
@pytest.mark.parametrize(("ending", "axis"), zip(ENDINGS, ("step", "relative", "wall"), strict=True))
def test_every_format_and_axis(tmp_path: Path, ending: str, axis: str) -> None:
    x = np.arange(1.7e9, 1.7e9 + 50)
    lines = [Line.of("a", x, np.cos(x)), Line.of("b", x, np.full(50, np.nan))]
    target = tmp_path / f"figure{ending}"
    save(
        target,
        [Chart("loss", lines), Chart("acc", [line(1)])],
        Look(ChartSettings(axis, log_y=True, smoothing=0.1), title="t"),
    )  # type: ignore[arg-type]
    head = target.read_bytes()[:300]
    assert head.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])
    assert [entry.name for entry in tmp_path.iterdir()] == [target.name]


@pytest.mark.slow
def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        save(tmp_path / name, [Chart("loss", [line()])], Look())
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_text_of_runs_is_text(tmp_path: Path) -> None:
    """No formula, no markup, no escape sequence."""
    save(
        tmp_path / "x.svg",
        [Chart(HOSTILE, [line(label=HOSTILE), line(label="b")])],
        Look(title=HOSTILE, labels=(HOSTILE,)),
    )
    content = (tmp_path / "x.svg").read_text()
    assert "<script" not in content
    assert "\x1b" not in content


values = some.lists(some.floats(allow_infinity=True, width=32), min_size=1, max_size=400)


@settings(max_examples=60, deadline=None)
@given(values, some.integers(1, 50), some.sampled_from([1, 4]))
def test_no_extreme_is_lost(numbers: list[float], columns: int, stretch: int) -> None:
    """Also of stretches of values: the finite extremes, and the mean of all."""
    value = np.array(numbers, float)
    index = np.arange(len(value))
    pyramid = Pyramid(stretch)
    pyramid.append(Values(index.astype(np.int32), index, index, index, value))
    series = to_series(pyramid.entries, pyramid.entries["number"].astype(float))
    found = reduced(series, columns)
    finite = value[np.isfinite(value)]
    assert len(found) <= max(columns, 1)
    assert np.nanmin(found.low, initial=np.inf) == np.min(finite, initial=np.inf)
    assert np.nanmax(found.high, initial=-np.inf) == np.max(finite, initial=-np.inf)
    assert np.all(np.diff(found.x) > 0)


def test_what_is_drawn_reaches_the_extremes() -> None:
    """Of a run with a spike in a million values."""
    value = np.zeros(1_000_000)
    value[777_777], value[3] = 5.0, -4.0
    figure = _draw([Chart("x", [Line("a", Series.of(np.arange(len(value)), value))])], Look(size=(3, 2)))
    (curve,) = figure.axes[0].get_lines()
    drawn = np.asarray(curve.get_ydata())
    assert (drawn.min(), drawn.max()) == (-4.0, 5.0)
    assert len(drawn) < 20_000


def test_epochs_have_whole_numbers() -> None:
    figure = _draw([Chart("loss", [line(10)])], Look(ChartSettings("epoch"), size=(6, 2)))
    figure.draw_without_rendering()
    assert all(tick == int(tick) for tick in figure.axes[0].get_xticks())


@pytest.mark.parametrize(
    "seconds", [2, 60, 3600, 7 * 3600, 86_400 * 3, 86_400 * 30, 86_400 * 89, 86_400 * 1000, 86_400 * 9000]
)
def test_dates_do_not_overlap(seconds: int) -> None:
    x = np.linspace(1.7e9, 1.7e9 + seconds, 50)
    figure = _draw([Chart("loss", [Line.of("a", x, x)])], Look(ChartSettings("wall")))
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels() if label.get_text()]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_window_of_time_is_in_the_units_of_its_axis() -> None:
    """The part of x that the viewer shows is in seconds, whatever the ticks are in."""
    x = np.linspace(0.0, 7_000.0, 50)
    figure = _draw([Chart("loss", [Line.of("a", x, x)])], Look(ChartSettings("relative", window=(600.0, 1200.0))))
    assert (figure.axes[0].get_xlim(), figure.axes[0].get_xlabel()) == ((10.0, 20.0), "time (minutes)")
    moments = ChartSettings("wall", window=(1.7e9, 1.7e9 + 43_200))
    figure = _draw([Chart("loss", [Line.of("a", x + 1.7e9, x)])], Look(moments))
    begin, end = figure.axes[0].get_xlim()
    assert end - begin == pytest.approx(0.5)  # days, as matplotlib counts


def test_few_points_and_many_are_smoothed_alike() -> None:
    """Over the same part of all of x, whatever part of it each of them has."""
    few, many = np.linspace(200.0, 1000.0, 9), np.linspace(0.0, 1000.0, 8001)
    lines = [Line.of(f"{len(x)}", x, np.abs(x - 600)) for x in (few, many)]
    figure = _draw([Chart("x", lines)], Look(ChartSettings(smoothing=0.02)))
    drawn = [
        np.asarray(curve.get_xydata()) for curve in figure.axes[0].get_lines() if curve.get_label() in ("9", "8001")
    ]
    assert np.interp(few[2:], *drawn[1].T) == pytest.approx(drawn[0][2:, 1], abs=2.0)


@pytest.mark.parametrize("look", [Look(style="nope"), Look(style="/nowhere/x.mplstyle")])
def test_a_style_that_there_is_not(tmp_path: Path, look: Look) -> None:
    with pytest.raises(UsageError, match="no style"):
        save(tmp_path / "x.png", [Chart("loss", [line()])], look)
    with pytest.raises(UsageError, match="end the name"):
        save(tmp_path / "x.jpg", [Chart("loss", [line()])], Look())


@pytest.mark.slow
def test_figures_load_no_user_interface() -> None:
    code = "import sys, neurockt_viewer.figures, neurockt_viewer.charts.lines; print('textual' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_size_of_font_that_is_wanted_counts_more_than_the_style(tmp_path: Path) -> None:
    style = tmp_path / "small.mplstyle"
    style.write_text("font.size: 5\n")
    for size, scale in ((None, "scale(0.05 "), (20.0, "scale(0.2 ")):
        save(tmp_path / "x.svg", [Chart("loss", [line()])], Look(style=str(style), font_size=size))
        assert scale in (tmp_path / "x.svg").read_text()
