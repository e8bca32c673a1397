"""Charts written down: as a drawing and as points."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from neurockt_viewer.charts.export import free_path, to_csv, to_svg
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.series import ChartSettings, Line

HOSTILE = "<script>alert(1)</script>\x1b[2J&\x00\ufffe"
NUMBERS = [1.0, 0.1 + 0.2, float("nan"), float("inf"), 5e-324]


@pytest.mark.parametrize("settings", [ChartSettings(), ChartSettings(log_x=True, log_y=True, smoothing=0.9)])
def test_a_drawing_is_sound_xml_without_anything_active(settings: ChartSettings) -> None:
    """Whatever the lines are called."""
    lines = [Line.of(HOSTILE, np.arange(1, 100), np.linspace(1, 2, 99), index) for index in range(3)]
    root = ElementTree.fromstring(to_svg([smoothed(line, settings.smoothing) for line in lines], settings, HOSTILE))
    kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert kinds <= {"svg", "rect", "text", "path"}
    assert any("<script>" in (element.text or "") for element in root.iter())


def test_an_empty_chart_is_drawn_too() -> None:
    """Without axes."""
    assert ElementTree.fromstring(to_svg([], ChartSettings())).tag.endswith("svg")


def test_points_are_written_bit_for_bit() -> None:
    """Those within the window, with any label."""
    settings = ChartSettings(window=(2.0, 5.0))
    text = to_csv([smoothed(Line.of('a,"b"', [1, 2, 3, 4, 5], NUMBERS), 0)], settings)
    head, *rows = csv.reader(io.StringIO(text))
    assert head[:3] == ["line", "step", "value"]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        ('a,"b"', str(step), repr(value)) for step, value in zip(range(2, 6), NUMBERS[1:], strict=True)
    ]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "...", "a/b", "損失", "x" * 500, "-rf"])
def test_a_file_is_called_after_the_metric_and_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    """And a second one has another name."""
    path = free_path(tmp_path, name, ".svg")
    path.touch()
    assert path.parent == tmp_path
    assert not path.name.startswith((".", "-"))
    assert free_path(tmp_path, name, ".svg") != path
