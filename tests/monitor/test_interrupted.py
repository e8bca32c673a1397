"""An exception strikes the recorder anywhere, as from a signal handler: later rows are their own, none is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from interrupting import interrupt_at

from neurockt import open_run
from neurockt.monitor import Recorder, RecorderHelper, torch_mean
from neurockt.monitor.capture import block, collectors
from neurockt.monitor.lifetime import interruptions, open_rows, row_queue, session
from neurockt.store.writing import appending, open_row_file, run_writer, table_writer

pytestmark = pytest.mark.slow

FILES = {module.__file__ for module in (block, collectors, interruptions, row_queue)}


def values(recorder: Recorder, table: str, column: str) -> list[float | None]:
    run = open_run(recorder.run_dir)
    rows = run.steps() if table == "steps" else run.epochs()
    found: list[float | None] = rows[column].to_pylist()
    return found


def test_the_very_first_step_may_be_interrupted_anywhere(tmp_path: Path) -> None:
    """At each instruction of its beginning and end: the loop that goes on records, and hears of no nested blocks."""
    number, more = 1, True
    while more:
        recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
        give = recorder.track_scalar("value")(float)

        def step(value: int, recorder: Recorder = recorder, give: Callable[[int], float] = give) -> None:
            with recorder(train=True):
                give(value)

        more = interrupt_at(number, FILES, lambda step=step: step(1000))  # type: ignore[misc]
        step(1)
        recorder.finish()
        assert values(recorder, "steps", "value")[-1] == 1.0
        number += 7
    assert number > 60


@pytest.mark.parametrize("calls", [1, 2])
def test_a_step_that_is_interrupted_anywhere_leaves_nothing_for_the_next(tmp_path: Path, calls: int) -> None:
    """At each instruction of a block's beginning and end: the row after it, and all later ones, are their own."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
    give = recorder.track_scalar("value")(float)
    block = recorder(train=True)

    def step(value: int) -> None:
        with block:
            for _ in range(calls):
                give(value)

    step(0)
    number, struck = 1, 1
    while interrupt_at(number, FILES, lambda: step(1000)):
        step(struck)
        number, struck = number + 1, struck + 1
    assert number > 30
    step(struck)
    recorder.finish()
    stored = [value for value in values(recorder, "steps", "value") if value is not None and value < 1000]
    assert stored == [float(value) for value in range(struck + 1)]
    assert all(value == int(value) for value in values(recorder, "steps", "value") if value is not None)


def test_a_validation_that_is_interrupted_anywhere_leaves_nothing_for_the_next(tmp_path: Path) -> None:
    """Metrics of torchmetrics, tensors and aggregators of the user's own."""
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics")
    recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
    helper = RecorderHelper(recorder)
    own = helper.metric(own=torchmetrics.MeanMetric())["own"]
    mean = helper.metric(torch_mean, mean=torch.nn.Identity())["mean"]
    last = recorder.metric("last", lambda values: values[-1])(float)

    def validate(value: float) -> None:
        with recorder(train=False):
            for each in (value - 1, value + 1):
                own.update(each)
                mean(torch.tensor([each, each]))
                last(value)

    validate(0)
    good = 1
    for number in (*range(1, 60), *range(60, 1500, 23)):
        if not interrupt_at(number, FILES, lambda: validate(1000.0)):
            break
        validate(good)
        good += 1
    recorder.finish()
    for column in ("own", "mean", "last"):
        stored = [value for value in values(recorder, "epochs", column) if value is not None]
        assert [value for value in stored if value < 900] == [float(value) for value in range(good)], column
        assert set(stored) - {1000.0} <= set(map(float, range(good))), column


def test_the_run_can_be_finished_after_an_interrupted_end(tmp_path: Path) -> None:
    """Ctrl-C within a block's end, then ``finish()``: no complaint that a block is open."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
    give = recorder.track_scalar("value")(float)

    def step() -> None:
        with recorder(train=True):
            give(1)

    step()
    assert interrupt_at(40, FILES, step)
    recorder.finish()
    assert open_run(recorder.run_dir).state == "finished"
    assert set(values(recorder, "steps", "value")) == {1.0}


def test_an_end_that_is_interrupted_anywhere_is_done_all_the_same(tmp_path: Path) -> None:
    """Ctrl-C within ``finish()``: what it had begun goes on, else the next end of the run does it."""
    files = {module.__file__ for module in (session, interruptions, row_queue, run_writer, table_writer)}
    number, more = 1, True
    while more:
        recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
        recorder.log({"loss": 1.0})
        recorder.log({"loss": 2.0})
        more = interrupt_at(number, files, recorder.finish)
        for thread in set(threading.enumerate()) - {threading.current_thread()}:
            if not thread.daemon:
                thread.join(10)
        recorder.finish()
        run = open_run(recorder.run_dir)
        assert (run.state, run.steps()["loss"].to_pylist()) == ("finished", [1.0, 2.0]), number
        number += 37
    assert number > 100


def test_a_reset_that_is_interrupted_is_done_when_the_next_block_begins(recorder: Recorder) -> None:
    """Ctrl-C between the count of updates, which torchmetrics resets first, and the states."""
    from torchmetrics.aggregation import MeanMetric

    class Interrupted(MeanMetric):
        is_interrupted = True

        def reset(self) -> None:
            if self._update_count and self.is_interrupted:
                self._update_count = 0
                self.is_interrupted = False
                raise KeyboardInterrupt
            super().reset()

    metric = RecorderHelper(recorder).metric(mean=Interrupted())["mean"]
    metric.update(100.0)  # outside of a block
    with pytest.raises(KeyboardInterrupt), recorder(train=False):
        pass
    with recorder(train=False):
        metric.update(1.0)
    assert open_run(recorder.run_dir).epochs()["mean"].to_pylist() == [1.0]


LOG_FILES = {module.__file__ for module in (open_rows, row_queue, interruptions, appending, open_row_file)}


@pytest.mark.parametrize("merged", [False, True])
def test_a_call_of_log_that_is_interrupted_anywhere_harms_no_other(tmp_path: Path, merged: bool) -> None:
    """The values of calls that returned are all there, at their step; an interrupted one is whole or gone."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
    number, more, step = 1, True, 0
    interrupted: set[int] = set()
    while more:
        recorder.log({"first": float(step), "loss": float(step)}, step=step)
        later = {"second": float(step), "third": float(step)} if merged else {"first": -1.0, "loss": -1.0}
        at = step if merged else step + 1
        more = interrupt_at(number, LOG_FILES, lambda at=at, later=later: recorder.log(later, step=at))  # type: ignore[misc]
        if more:
            interrupted.add(at)
        step, number = step + 2, number + 3
    recorder.log({"first": 1.0, "loss": 1.0}, step=step)
    recorder.finish()
    assert number > 100
    rows = {row["step"]: row for row in open_run(recorder.run_dir).steps().to_pylist()}
    assert [rows[each]["first"] for each in range(0, step, 2)] == [float(each) for each in range(0, step, 2)]
    for row in rows.values():
        assert row["first"] == row["loss"]
        if merged:
            assert row["second"] == row["third"]
            assert row["step"] in interrupted or row["step"] == step or row["second"] == row["step"]
    assert sorted(rows) == list(rows)
    if not merged:
        assert set(rows) - interrupted == {*range(0, step + 1, 2), step - 1}
