"""A user's mistake that shows after the first block costs a null, or a row, and one warning; it never ends the job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monitor.scripts import Script

from neurockt import open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder


def steps(recorder: Recorder, column: str) -> list[Any]:
    values: list[Any] = open_run(recorder.run_dir).steps()[column].to_pylist()
    return values


def identity(value: Any) -> Any:
    return value


def test_a_metric_that_begins_to_give_something_else_costs_nulls(recorder: Recorder) -> None:
    """The warning names the metric; the other columns are stored, and so are later numbers."""
    good = recorder.track_scalar("good")(float)
    last = recorder.track_scalar("last", lambda values: values[-1])(identity)
    plain = recorder.track_scalar("plain")(identity)

    def step(value: Any) -> None:
        with recorder(train=True):
            good(1)
            last(value)
            plain(value)

    step(1.0)
    with pytest.warns(NeurocktWarning) as caught:
        step({"a": 2.0})
    messages = sorted(str(warning.message) for warning in caught)
    assert len(messages) == 2
    assert all(name in message for name, message in zip(("'last'", "'plain'"), messages, strict=True))
    for value in ("three", None, 4.0):
        step(value)
    assert steps(recorder, "good") == [1.0] * 5
    for name in ("last", "plain"):
        assert steps(recorder, name) == [1.0, None, None, None, 4.0]


def test_a_metric_declared_late_raises_in_its_own_first_row(recorder: Recorder) -> None:
    """There its author is looking."""
    with recorder(train=True):
        pass
    late = recorder.track_scalar("late", lambda values: "text")(float)
    with pytest.raises(UsageError, match="'late'"), recorder(train=True):
        late(1)
    assert steps(recorder, "late") == [None, None]


def test_blocks_of_both_kinds_that_nest_late_are_both_recorded(recorder: Recorder) -> None:
    """A validation inside a training step, every so many steps: a warning, and both rows, with their own values."""
    loss = recorder.track_scalar("loss")(float)
    valid = recorder.metric("valid")(float)
    for step in (1, 2):
        with recorder(train=True):
            loss(step)
    with pytest.warns(NeurocktWarning, match="do not nest: .* inside a training block"), recorder(train=True):  # noqa: PT031
        loss(3)
        with recorder(train=False):
            valid(7)
            loss(100)
        loss(4)
    with recorder(train=True):
        loss(5)
        with recorder(train=False):
            valid(8)
    with recorder(train=True):
        loss(6)
    assert steps(recorder, "loss") == [1.0, 2.0, 3.5, 5.0, 6.0]
    assert steps(recorder, "epoch") == [1, 1, 2, 3, 3]
    assert open_run(recorder.run_dir).epochs()["valid"].to_pylist() == [7.0, 8.0]
    assert recorder.step == 5


def test_blocks_of_one_kind_that_nest_late_are_one_row(recorder: Recorder) -> None:
    """The inner one's, with a warning."""
    loss = recorder.track_scalar("loss")(float)
    with recorder(train=True):
        loss(1)
    with pytest.warns(NeurocktWarning, match="do not nest"), recorder(train=True):  # noqa: PT031
        loss(2)
        with recorder(train=True):
            loss(3)
        loss(4)
    with recorder(train=True):
        loss(5)
    assert steps(recorder, "loss") == [1.0, 3.0, 5.0]


def test_finish_inside_a_late_block_ends_the_run(recorder: Recorder) -> None:
    """Without the row of that block, which the warning says."""
    loss = recorder.track_scalar("loss")(float)
    with recorder(train=True):
        loss(1)
    with recorder(train=True):
        loss(2)
        with pytest.warns(NeurocktWarning, match="inside a block"):
            recorder.finish()
    assert steps(recorder, "loss") == [1.0]
    assert open_run(recorder.run_dir).state == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["sys.stderr", "None", "closed"])
def test_warnings_that_are_errors_or_cannot_be_printed_do_not_end_the_job(script: Script, stream: str) -> None:
    """``-W error``, and a stderr that is missing or closed."""
    text = f"""
import warnings
closed = open(os.devnull, "w"); closed.close()
real, sys.stderr = sys.stderr, {stream}
{"warnings.simplefilter('error')" if stream == "sys.stderr" else ""}
last = recorder.track_scalar("last", lambda values: values[-1])(lambda value: value)
for value in (1.0, "two", 3.0):
    with recorder(train=True): last(value)
sys.stderr = real
"""
    assert script.run(text) == 0, script.stderr
    assert ("'last'" in script.stderr) == (stream == "sys.stderr")
    assert open_run(Path(script._root) / "run").steps()["last"].to_pylist() == [1.0, None, 3.0]
