"""Whole charts, drawn without a screen: which curve is seen where they meet."""

from __future__ import annotations

import numpy as np
import pytest

from neurockt_viewer.charts.picture import Picture, draw
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.series import ChartSettings, Line

NOISE = np.random.default_rng(7).normal(0.0, 0.3, 20_000)
DENSE = Line.of("train", np.arange(20_000), NOISE, 0)
SPARSE = Line.of("valid", np.arange(0, 20_000, 1000), 0.2 * np.sin(np.arange(20)), 1)

BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])


def drawn(*lines: Line, smoothing: float = 0.0) -> Picture:
    return draw([smoothed(line, 20_000 * smoothing) for line in lines], ChartSettings(smoothing=smoothing), 80, 24)


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
    alone = draw([smoothed(SPARSE, 0.0)], ChartSettings(y_window=(-1.3, 1.3)), 80, 24)
    picture = drawn(*lines, smoothing=smoothing)
    assert cells_of(picture, 1) >= 0.9 * cells_of(alone, 1)
    own = [text[cell] for text, colours in plot(picture) for cell in np.flatnonzero(colours == 1)]
    assert np.mean([character == "\u28ff" for character in own]) < 0.1


def test_no_extreme_of_the_dense_curve_is_lost_under_the_sparse_one() -> None:
    """The outermost dots of each column are those that it has alone."""
    spiky = Line.of("valid", np.arange(0, 20_000, 1000), np.where(np.arange(20) % 2, 1.0, -1.0), 1)
    both, alone = dots(drawn(DENSE, spiky)), dots(drawn(DENSE))
    for column in range(alone.shape[1]):
        there = np.flatnonzero(alone[:, column])
        assert both[[there[0], there[-1]], column].all()
