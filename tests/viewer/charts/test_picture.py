"""Whole charts, drawn without a screen: which curve is seen where they meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt_viewer.charts.bounds import smoothing_scale
from neurockt_viewer.charts.picture import Drawer, Picture
from neurockt_viewer.charts.pieces import Smoothed, smoothed
from neurockt_viewer.charts.series import AXES, Y_RANGES, Axis, ChartSettings, Line, YRange

NOISE = np.random.default_rng(7).normal(0.0, 0.3, 20_000)
DENSE = Line.of("train", np.arange(20_000), NOISE, 0)
SPARSE = Line.of("valid", np.arange(0, 20_000, 1000), 0.2 * np.sin(np.arange(20)), 1)

BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def drawn(*lines: Line, smoothing: float = 0.0) -> Picture:
    return Drawer().draw(
        [smoothed(line, 20_000 * smoothing) for line in lines], ChartSettings(smoothing=smoothing), 80, 24
    )


def plot(picture: Picture) -> list[tuple[str, np.ndarray]]:
    """The characters of each row of the plot, and the colour of each."""
    rows = picture.rows[picture.top : picture.top + picture.height]
    texts = ["".join(piece.text for piece in row)[picture.left :] for row in rows]
    colours = [np.repeat([p.colour for p in row], [len(p.text) for p in row])[picture.left :] for row in rows]
    return list(zip(texts, colours, strict=True))


def cells_of(picture: Picture, colour: int) -> int:
    return sum(int(np.count_nonzero(colours == colour)) for _, colours in plot(picture))


def dots(picture: Picture) -> np.ndarray:
    """The dots of the plot, rows from the top."""
    codes = np.array([[ord(c) - 0x2800 if c >= "\u2800" else 0 for c in text] for text, _ in plot(picture)])
    return (codes[:, None, :, None] & BITS[None, :, None, :] > 0).reshape(4 * len(codes), -1)


@pytest.mark.parametrize("lines", [(DENSE, SPARSE), (SPARSE, DENSE)], ids=["after", "before"])
@pytest.mark.parametrize("smoothing", [0.0, 0.02])
def test_a_sparse_curve_is_seen_over_a_dense_one(lines: tuple[Line, Line], smoothing: float) -> None:
    """In every cell that it passes, whichever of them comes first, and not as a block of dots."""
    alone = Drawer().draw([smoothed(SPARSE, 0.0)], ChartSettings(y_window=(-1.3, 1.3)), 80, 24)
    picture = drawn(*lines, smoothing=smoothing)
    assert cells_of(picture, 1) >= 0.9 * cells_of(alone, 1)
    own = [text[cell] for text, colours in plot(picture) for cell in np.flatnonzero(colours == 1)]
    assert np.mean([character == "\u28ff" for character in own]) < 0.1


@pytest.mark.parametrize(
    ("x", "y", "settings", "note"),
    [
        (1.0, np.nan, ChartSettings(), "no finite values"),
        (1.0, -1.0, ChartSettings(log_y=True), "nothing above 0; Y leaves the logarithm"),
        (0.0, 1.0, ChartSettings(log_x=True), "nothing above 0; X leaves the logarithm"),
        (1.0, 1.0, ChartSettings(window=(5, 6)), "nothing here; 0 resets the zoom"),
    ],
)
def test_a_chart_without_a_curve_says_why(x: float, y: float, settings: ChartSettings, note: str) -> None:
    line = smoothed(Line.of("a", np.array([x]), np.array([y]), 0), 0.0)
    picture = Drawer().draw([line], settings, 60, 12)
    assert note in "".join(piece.text for row in picture.rows for piece in row)


def test_no_extreme_of_the_dense_curve_is_lost_under_the_sparse_one() -> None:
    """The outermost dots of each column are those that it has alone."""
    spiky = Line.of("valid", np.arange(0, 20_000, 1000), np.where(np.arange(20) % 2, 1.0, -1.0), 1)
    both, alone = dots(drawn(DENSE, spiky)), dots(drawn(DENSE))
    for column in range(alone.shape[1]):
        there = np.flatnonzero(alone[:, column])
        assert both[[there[0], there[-1]], column].all()


def test_a_named_line_is_drawn_over_all_others() -> None:
    """Also a dense one over a sparse one, and letters on the others are left out."""
    lines, settings = [smoothed(line, 0.0) for line in (DENSE, SPARSE)], ChartSettings(letters=True)
    picture, alone = Drawer().draw(lines, settings, 80, 24, named=0), Drawer().draw(lines[:1], ChartSettings(), 80, 24)
    assert cells_of(picture, 0) == cells_of(alone, 0)
    assert not any(set("AB") & set(text) for text, _ in plot(picture))


def test_how_many_lines_have_no_place_in_the_legend_is_said_within_its_width() -> None:
    """Also after a name that is too long."""
    lines = [Line.of("x" * 90, [0, 1], [at, 1], at) for at in range(9)]
    picture = Drawer().draw([smoothed(line, 0.0) for line in lines], ChartSettings(), 40, 8, named=3)
    legend = "".join(piece.text for piece in picture.rows[0])
    assert len(legend) <= 40
    assert legend.endswith("  +8")


odd = st.one_of(
    st.floats(-10, 10), st.floats(), st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7e308, -1.7e308, 1e9, 1e9 + 1e-6])
)
curves = st.lists(st.lists(st.tuples(st.floats(-1e3, 1e10), odd), max_size=30), max_size=4)


@pytest.mark.slow
@given(curves, st.sampled_from(AXES), st.sampled_from(Y_RANGES), st.booleans(), st.booleans(), st.booleans())
def test_whatever_was_recorded_is_drawn(
    found: list[list[tuple[float, float]]], axis: Axis, y_range: YRange, log_x: bool, log_y: bool, letters: bool
) -> None:
    """Without a warning, and no row is wider than the chart."""
    settings = ChartSettings(axis, log_x=log_x, log_y=log_y, y_range=y_range, letters=letters, smoothing=0.01)
    columns = [tuple(zip(*points, strict=True)) or ([], []) for points in found]
    lines = [Line.of(f"run{at}", x, y, at) for at, (x, y) in enumerate(columns)]
    scale = smoothing_scale([line.series for line in lines], settings)
    drawn = [smoothed(line, scale, log_x=settings.is_log_x) for line in lines]
    cross = next((float(line.series.x[0]) for line in lines if len(line.series)), None)
    for place, named in ((None, None), (cross, 0 if lines else None)):
        for row in Drawer().draw(drawn, settings, 60, 12, cross=place, named=named).rows:
            assert sum(len(piece.text) for piece in row) <= 60


def test_what_is_drawn_ahead_is_kept_beside_what_is_seen() -> None:
    """Until something else is drawn."""
    drawer, settings = Drawer(), ChartSettings()
    seen, following, other = ([Smoothed(Line.of(name, [0, 1], [0, 1]), None)] for name in "abc")
    first = drawer.draw(seen, settings, 60, 12)
    ahead = drawer.draw(following, settings, 60, 12, ahead=True)
    assert drawer.draw(seen, settings, 60, 12) is first
    assert drawer.draw(following, settings, 60, 12) is ahead
    assert drawer.draw(following, settings, 60, 12, title="b") is not ahead
    drawer.draw(other, settings, 60, 12)
    assert drawer.draw(seen, settings, 60, 12) is not first
