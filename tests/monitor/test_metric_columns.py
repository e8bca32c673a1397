"""The columns of a torchmetric whose results are mappings, and of a collection."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("torchmetrics")

# ruff: noqa: E402
from torchmetrics import MetricCollection
from torchmetrics.aggregation import MeanMetric
from torchmetrics.classification import BinaryAccuracy

from neurockt import open_run
from neurockt.errors import InvalidName, UsageError
from neurockt.monitor import Recorder, RecorderHelper


def recorded(recorder: Recorder, table: str = "epochs") -> list[dict[str, float | None]]:
    """The metrics' values in each row."""
    rows: list[dict[str, float | None]] = getattr(open_run(recorder.run_dir), table)().to_pylist()
    return [{key: value for key, value in row.items() if key not in ("step", "epoch", "time")} for row in rows]


def test_a_key_that_appears_later_adds_a_column(recorder: Recorder) -> None:
    """And one that is missing is null."""

    class Keys(MeanMetric):
        def compute(self) -> Any:
            value = super().compute()
            return {"low": value} if value < 1 else {"low": value, "high": value, "deep": {"er": value}}

    keys = RecorderHelper(recorder).metric(m=Keys())["m"]
    for value in (None, 0.5, 2.0, 0.25):
        with recorder(train=False):
            if value is not None:
                keys(value)
    recorder.finish()
    table = open_run(recorder.run_dir).epochs().to_pydict()
    assert table["m/low"] == [None, 0.5, 2.0, 0.25]
    assert table["m/high"] == table["m/deep/er"] == [None, None, 2.0, None]


def test_a_key_that_is_another_metrics_name_is_an_error(recorder: Recorder) -> None:
    """Each keeps what is its own."""

    class Keys(MeanMetric):
        def compute(self) -> Any:
            return {"a": super().compute(), "bad\x1b": 1.0, "c": 3.0}

    recorder.metric("m/a")(lambda: 7.0)
    keys = RecorderHelper(recorder).metric(m=Keys())["m"]
    with pytest.raises(UsageError, match=r"'m' gives a value 'm/a'.*control characters"), recorder(train=False):
        keys(1.0)
    assert recorded(recorder) == [{"m/a": None, "m/c": 3.0}]


@pytest.mark.parametrize("names", [["ok", "bad\x1b[2J"], ["x" * 300]])
def test_the_names_of_a_collection_are_checked_when_it_is_declared(recorder: Recorder, names: list[str]) -> None:
    """The first one's too."""
    collection = MetricCollection({name: BinaryAccuracy() for name in names})
    with pytest.raises(InvalidName):
        RecorderHelper(recorder).metric(m=collection)
    with recorder(train=False):
        pass
    assert recorded(recorder) == [{}]
