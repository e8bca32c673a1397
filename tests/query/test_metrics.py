"""Where a metric is, and its value where another one is best."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
from msgspec.structs import replace

from neurockt import open_run
from neurockt.catalogue import list_runs
from neurockt.errors import NeurocktWarning
from neurockt.monitor import Recorder
from neurockt.query.fields import parse_field, titles
from neurockt.query.filter import parse
from neurockt.query.metrics import shown_of_epochs
from neurockt.run_info import RunInfo

VALIDATIONS = [(10, 0.9, 0.5), (20, 0.4, 0.7), (30, 0.6, 0.8), (40, math.nan, 0.75)]
"""The steps, valid_loss and acc."""


@pytest.fixture
def run(tmp_path: Path) -> RunInfo:
    """Steps with a loss, and validations with a loss of the same name; the best ones are in different rows."""
    with Recorder(tmp_path / "runs", run_id="run", quiet=True) as recorder:
        for step, loss, acc in VALIDATIONS:
            recorder.log({"lr": 1 / step}, step - 5)
            recorder.log({"loss": 2 * loss + 1}, step)
            recorder.log({"valid_loss": loss, "loss": loss, "acc": acc}, step, train=False)
    return list_runs(recorder.run_dir)[0]


FIELDS = {
    "acc@best(valid_loss)": 0.7,
    "valid_loss@best(acc)": 0.6,
    "acc@min(acc)": 0.5,
    "acc@max(valid_loss)": 0.5,
    "acc@last(valid_loss)": 0.75,
    "epoch@best(valid_loss)": 2,
    "step@best(valid_loss)": 20,
    "epoch@max(loss@steps)": 1,
    "lr@best(valid_loss)": 1 / 20,
    "lr@best(loss@steps)": 1 / 20,  # the last one before it
    "loss@steps@best(valid_loss)": 1.8,
    "acc@best(loss@steps)": 0.7,
    '"acc"@best("valid_loss")': 0.7,
    "loss@steps": math.nan,
    "min(loss@steps)": 1.8,
    "best(loss@epochs)": 0.4,
    "best(loss)": 0.4,
    "acc@best(nothing)": None,
    "nothing@best(acc)": None,
}


@pytest.mark.parametrize(("name", "value"), FIELDS.items())
def test_the_value_of_one_metric_where_another_is_best(run: RunInfo, name: str, value: float | None) -> None:
    """As a field, whatever table they are in; NaN is never best."""
    found = parse_field(name).value(run)
    assert found == (pytest.approx(value, nan_ok=True) if value is not None else None)
    if value is not None and value == value:
        assert parse(f"{name}>={value - 1e-9} {name}<={value + 1e-9}").matches(run)


def test_few_metrics_need_no_rows(run: RunInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    """run.json has the rows of the best values; a run whose rows are gone is as good."""
    gone = replace(run, path=run.path / "gone")
    assert parse_field("acc@best(valid_loss)").value(gone) == 0.7
    assert parse_field("valid_loss@best(acc)").value(gone) == 0.6
    assert parse_field("valid_loss@epochs@best(acc)").value(gone) == 0.6
    assert parse_field("acc@max(valid_loss)").value(gone) == 0.5, "its smallest one is in that row"
    with pytest.warns(NeurocktWarning, match="gone"):
        assert parse_field("lr@best(acc)").value(gone) is None


def test_a_table_of_many_metrics_has_its_rows_read(tmp_path: Path) -> None:
    """And run.json does not grow with the square of their number."""
    random.seed(0)
    rows = [{f"m{at}": random.random() for at in range(30)} for _ in range(20)]
    with Recorder(tmp_path, run_id="wide", quiet=True) as recorder:
        for step, row in enumerate(rows):
            recorder.log(row, step, train=False)
    (info,) = list_runs(tmp_path)
    assert not info.epochs.best
    best = max(rows, key=lambda row: row["m7"])
    assert [parse_field(f"m{at}@best(m7)").value(info) for at in range(30)] == [best[f"m{at}"] for at in range(30)]


def test_the_rows_of_the_best_values_are_the_same_live_and_finished(tmp_path: Path) -> None:
    """Whoever summarises them; where a row has no value of a metric, there is none."""
    recorder = Recorder(tmp_path, run_id="live", quiet=True)
    for step, loss in enumerate((3.0, 1.0, 2.0)):
        recorder.log({"loss": loss, **({"odd": loss} if step != 1 else {})}, step, train=False)
    best = {"loss": {"loss": 1.0}, "odd": {"loss": 3.0, "odd": 3.0}}
    assert open_run(tmp_path / "live").current_info().epochs.best == best
    recorder.log({"acc": 5.0, "loss": 0.5}, 3, train=False)
    best = {"loss": {"loss": 0.5, "acc": 5.0}, "odd": {"loss": 3.0, "odd": 3.0}, "acc": {"loss": 0.5, "acc": 5.0}}
    recorder.finish()
    assert list_runs(tmp_path)[0].epochs.best == best
    path = tmp_path / "live" / "run.json"
    document = json.loads(path.read_text())
    assert document["epochs"]["best"] == best


def test_a_rewind_takes_the_best_row_with_it(tmp_path: Path) -> None:
    """What was superseded is best no longer."""
    with Recorder(tmp_path, run_id="run", quiet=True) as recorder:
        for step, loss in ((1, 0.5), (2, 0.1)):
            recorder.log({"loss": loss, "acc": 1 - loss}, step, train=False)
    with Recorder(tmp_path, run_id="run", quiet=True, resume=True) as recorder:
        recorder.log({"loss": 0.3, "acc": 0.6}, 2, train=False)
    (info,) = list_runs(tmp_path)
    assert info.epochs.best["loss"] == {"loss": 0.3, "acc": 0.6}


def test_what_is_attached_has_best_rows_too(tmp_path: Path) -> None:
    """By the names that its metrics are shown under."""
    import neurockt

    with Recorder(tmp_path, run_id="run", quiet=True) as recorder:
        recorder.log({"acc": 0.1}, 1, train=False)
    with neurockt.attach(recorder.run_dir, "mmlu") as evaluation:
        evaluation.log({"acc": 0.7, "brier": 0.2}, step=1)
        evaluation.log({"acc": 0.6, "brier": 0.3}, step=2)
    (info,) = list_runs(tmp_path)
    assert parse_field("brier@best(mmlu/acc)").value(info) == 0.2
    assert parse_field("mmlu/acc@max(brier)").value(info) == 0.6


def test_a_metric_of_both_tables_says_which_one_is_shown(run: RunInfo) -> None:
    """In the titles of columns."""
    fields = [parse_field(name) for name in ("loss", "best(loss)", "loss@steps", "acc", "acc@best(loss)")]
    assert titles(fields, shown_of_epochs([run])) == [
        "loss@epochs",
        "best(loss@epochs)",
        "loss@steps",
        "acc",
        "acc@best(loss)",
    ]
    assert titles(map(parse_field, ("best(s)", 'max("a b")', "s")), {"s", "a b"}) == [
        *("best(s@epochs)", 'max("a b@epochs")', "s@epochs"),
    ]
    assert titles(fields, ()) == ["loss", "best(loss)", "loss@steps", "acc", "acc@best(loss)"]


def test_a_title_names_no_table_where_the_values_are_of_both(run: RunInfo) -> None:
    """Of a run that has the metric in `steps` alone, the column shows that one."""
    with Recorder(run.path.parent, run_id="other", quiet=True) as recorder:
        recorder.log({"loss": 0.5, "lr": 0.1}, 1)
        recorder.log({"acc": 0.5}, 1, train=False)
    loss, best = map(parse_field, ("loss", "best(loss)"))
    runs = list_runs(run.path.parent)
    assert [best.value(each) for each in runs] == [0.4, 0.5]
    assert titles([loss, best], shown_of_epochs(runs)) == ["loss", "best(loss)"]
