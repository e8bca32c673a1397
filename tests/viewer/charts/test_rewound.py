"""A run that is resumed from a checkpoint while it is looked at: curves and table show its rows, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from live_run.rewound import dead_run as dead_run
from live_run.rewound import train

from neurockt import open_run
from neurockt.cli import main
from neurockt_viewer.charts import source
from neurockt_viewer.charts.picture import Drawer
from neurockt_viewer.charts.pieces import smoothed
from neurockt_viewer.charts.series import ChartSettings
from neurockt_viewer.charts.source import Metric, RunSeries
from neurockt_viewer.table_rows import TableRows
from neurockt_viewer.widgets.info import info_lines

LOSS, ACC = Metric("steps", "loss"), Metric("epochs", "acc")


def curve(series: RunSeries, metric: Metric) -> tuple[list[float], list[float]]:
    drawn = series.line(metric, "step").series
    return drawn.x.tolist(), drawn.last.tolist()


@pytest.mark.parametrize("outlined", [False, True])
def test_curves_are_drawn_anew(dead_run: Path, monkeypatch: pytest.MonkeyPatch, outlined: bool) -> None:
    """No value of the superseded rows is left, in either table, and the curve goes on to grow."""
    if outlined:
        monkeypatch.setattr(source, "OUTLINE_ROWS", 20)
    series = RunSeries(dead_run)
    series.outline()
    series.read([LOSS, ACC])
    series.poll()
    assert curve(series, LOSS) == (list(range(1, 51)), [1.0] * 50)
    recorder = train(dead_run.parent, 6, 2.0, resume=35)
    series.poll()
    assert series.read([LOSS, ACC])
    assert curve(series, LOSS) == (list(range(1, 42)), [1.0] * 35 + [2.0] * 6)
    assert curve(series, ACC) == ([10, 20, 30, 40], [1.0, 1.0, 1.0, 2.0])
    with recorder(train=True):
        pass
    recorder.finish()
    series.poll()
    assert not series.read([LOSS, ACC])
    assert curve(series, LOSS) == (list(range(1, 42)), [1.0] * 35 + [2.0] * 6)


def test_a_table_that_was_sorted_shows_the_rows_there_are(dead_run: Path) -> None:
    """In their own order again: the places it was sorted by are those of other rows."""
    rows = TableRows(open_run(dead_run).rows("steps"))
    rows.refresh()
    rows.update(*rows.known)
    rows.sort("loss", True, np.arange(50)[::-1])
    rows.want(range(50), range(4))
    rows.load()
    recorder = train(dead_run.parent, 2, 2.0, resume=35)
    assert rows.refresh()
    rows.update(*rows.known)
    rows.want(range(37), range(4))
    rows.load()
    assert (len(rows), rows.total, rows.sorted_by, rows.order) == (37, 37, None, None)
    assert rows.columns[3].title == "loss"
    assert [rows.value(row, "loss") for row in (34, 35, 36)] == ["1.0", "2.0", "2.0"]
    recorder.finish()


def test_the_curve_is_marked_where_an_attempt_began(dead_run: Path) -> None:
    """A thin line from top to bottom behind the curve; none for an attempt of which no row is left."""
    train(dead_run.parent, 10, 2.0, resume=35).finish()
    train(dead_run.parent, 20, 1.0, resume=30).finish()
    series = RunSeries(dead_run)
    series.read([LOSS])
    line = series.line(LOSS, "step")
    assert line.begins == (31.0,)
    assert series.line(LOSS, "epoch").begins == pytest.approx((3.1,))
    attempts = open_run(dead_run).info.attempts
    assert series.line(LOSS, "wall").begins == pytest.approx((attempts[2].started.timestamp(),))
    picture = Drawer().draw([smoothed(line, 0)], ChartSettings(), 60, 12)
    assert picture.x is not None
    texts = ["".join(piece.text for piece in row) for row in picture.rows[picture.top : picture.top + picture.height]]
    cells = {text.index("┊") - picture.left for text in texts if "┊" in text}
    assert cells == {round(float(picture.x.place(31))) // 2}
    assert sum("┊" in text for text in texts) >= picture.height - 2
    plain = Drawer().draw([smoothed(line, 0)], ChartSettings(plain=True), 60, 12)
    assert any(":" in piece.text for row in plain.rows for piece in row if piece.part == "axis")


def test_attempts_are_listed(dead_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In Info and by ``neurockt show``: where each began, and why it ended."""
    train(dead_run.parent, 10, 2.0, resume=35).finish()
    lines = [line.plain for line in info_lines(open_run(dead_run).info)]
    attempts = lines[lines.index("attempts") + 1 :]
    assert attempts[0].startswith("1  ")
    assert attempts[0].endswith(", killed")
    assert ", from step 36" in attempts[1]
    assert main(["show", str(dead_run)]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    listed = shown[shown.index("attempts") + 1 :][:2]
    assert [line.partition(", ")[2].partition(", ")[0] for line in listed] == [
        line.partition(", ")[2].partition(", ")[0] for line in attempts[:2]
    ]
    assert listed[0].endswith(", killed")
    assert ", from step 36" in listed[1]
