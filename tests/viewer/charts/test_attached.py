"""The metrics of what is attached to a run, among the charts of the run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from written import Written, attached

from neurockt_viewer.charts.lines import RunLines
from neurockt_viewer.charts.series import Axis
from neurockt_viewer.charts.source import Metric

LOSS, ACC = Metric("steps", "loss"), Metric("epochs", "acc")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Written]:
    """A live run with an end of an epoch at step 20."""
    made = Written(tmp_path / "run")
    for step in (10, 20, 30):
        made.add("steps", step, {"loss": float(step)}, epoch=1 + (step > 20))
    made.add("epochs", 20, {"valid_loss": 0.5})
    made.publish()
    yield made
    made.finish()


def opened(*paths: Path) -> RunLines:
    lines = RunLines(paths)
    lines.open()
    lines.outline()
    lines.read(lines.metrics, lambda: True)
    return lines


def drawn(lines: RunLines, metric: Metric = ACC, axis: Axis = "step") -> dict[str, list[tuple[float, float]]]:
    found = lines.lines([metric], axis)
    return {each.label: list(zip(each.series.x.tolist(), each.series.last.tolist(), strict=True)) for each in found}


def test_it_is_a_chart_with_the_others_by_step(run: Written) -> None:
    """And on the run's other axes: where its step lies among the run's epochs, and since the run began."""
    attached(run.path, "mmlu", {20: {"acc": 0.5}, 10: {"acc": 0.25}}).finish()
    lines = opened(run.path)
    assert lines.metrics == [LOSS, Metric("epochs", "valid_loss"), ACC]
    assert drawn(lines) == {"acc": [(10, 0.25), (20, 0.5)]}
    assert drawn(lines, ACC, "epoch") == {"acc": [(0.5, 0.25), (1.0, 0.5)]}
    assert all(x >= 0 for x, _ in drawn(lines, ACC, "relative")["acc"])


def test_names_that_several_have_are_qualified(run: Written) -> None:
    for name in ("a", "b"):
        attached(run.path, name, {10: {"acc": 0.25, "valid_loss": 1.0}})
    lines = opened(run.path)
    names = {metric.name for metric in lines.metrics}
    assert names == {"loss", "valid_loss", "a/acc", "b/acc", "a/valid_loss", "b/valid_loss"}
    assert drawn(lines, Metric("epochs", "b/acc")) == {"b/acc": [(10, 0.25)]}


def test_what_comes_while_one_looks_is_drawn(run: Written) -> None:
    """Of a run that has finished, too: a new evaluator, and new values of one."""
    run.finish()
    lines = opened(run.path)
    assert not lines.live()
    assert not lines.open()
    evaluator = attached(run.path, "mmlu", {10: {"acc": 0.25}})
    assert lines.open()
    lines.outline()
    assert lines.live()
    lines.read(lines.metrics, lambda: True)
    lines.poll()
    evaluator.add("epochs", 20, {"acc": 0.5, "f1": 0.75})
    evaluator.add("epochs", 30, {"acc": 0.75})
    assert lines.poll()
    assert drawn(lines) == {"acc": [(10, 0.25), (20, 0.5), (30, 0.75)]}
    assert Metric("epochs", "f1") in lines.metrics


def test_runs_are_compared_by_the_names_that_are_shown(run: Written, tmp_path: Path) -> None:
    """What one run has of its own and another of what is attached is one chart."""
    attached(run.path, "mmlu", {20: {"acc": 0.5}})
    other = Written(tmp_path / "other")
    other.add("epochs", 20, {"acc": 0.75})
    other.publish()
    lines = opened(run.path, other.path)
    assert drawn(lines) == {"run": [(20, 0.5)], "other": [(20, 0.75)]}
    other.finish()


@pytest.mark.filterwarnings("ignore::neurockt.errors.NeurocktWarning")
def test_one_that_cannot_be_read_hides_nothing(run: Written) -> None:
    """It is named, and tried again."""
    attached(run.path, "good", {20: {"acc": 0.5}})
    bad = attached(run.path, "bad", {20: {"f1": 0.5}}).path
    shutil.move(bad / "run.json", bad / "kept")
    (bad / "run.json").write_text("{")
    lines = opened(run.path)
    assert drawn(lines) == {"acc": [(20, 0.5)]}
    assert list(lines.errors) == [bad]
    shutil.move(bad / "kept", bad / "run.json")
    assert lines.open()
    assert not lines.errors
