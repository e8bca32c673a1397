"""What a block stores, and what it refuses: the contract of ``with recorder(...)``."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from neurockt import open_run
from neurockt.errors import InvalidName, UsageError
from neurockt.monitor import Recorder, RecorderHelper


def track(recorder: Recorder, name: str = "value", aggregator: Any = None) -> Callable[[Any], Any]:
    """A recorded function that returns its argument."""

    @recorder.track_scalar(name, aggregator)
    def give(value: Any) -> Any:
        return value

    return give


def steps(recorder: Recorder, column: str = "value") -> list[Any]:
    values: list[Any] = open_run(recorder.run_dir).steps()[column].to_pylist()
    return values


def test_nothing_is_on_disk_before_the_first_row(recorder: Recorder) -> None:
    """Making a recorder, decorating, even opening a block that raises leaves no directory."""
    give = track(recorder)
    give(1.0)
    with pytest.raises(RuntimeError), recorder(train=True):
        raise RuntimeError
    assert not recorder.run_dir.parent.exists()
    with recorder(train=True):
        give(1.0)
    assert recorder.run_dir.is_dir()


def test_nan_infinities_ints_and_bools_are_kept_exactly(recorder: Recorder) -> None:
    """Every float64 comes back as it went in; ints and bools as floats; a block without a call as null."""
    give = track(recorder)
    for value in (math.nan, math.inf, -math.inf, 5e-324, -0.0, 7, True):
        with recorder(train=True):
            give(value)
    with recorder(train=True):
        pass
    values = steps(recorder)
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, 5e-324, 0.0, 7.0, 1.0, None]
    assert math.copysign(1, values[4]) == -1.0


@pytest.mark.slow
def test_a_thousand_columns_with_names_in_any_script(recorder: Recorder) -> None:
    """A wide row keeps its columns apart and in order."""
    names = [f"损失/{index} é😀" for index in range(1000)]
    functions = [track(recorder, name) for name in names]
    with recorder(train=True):
        for index, give in enumerate(functions):
            give(float(index))
    recorder.finish()
    table = open_run(recorder.run_dir).steps()
    assert table.column_names[3:] == names
    assert [table[name][0].as_py() for name in names] == [float(index) for index in range(1000)]


def test_a_metric_that_appears_amid_the_run_adds_a_column(recorder: Recorder) -> None:
    """Rows before it read as null, in the journal and in the parts alike."""
    early = track(recorder, "early")
    with recorder(train=True):
        early(1.0)
    late = track(recorder, "late")
    with recorder(train=True):
        late(2.0)
    for _ in ("journal", "parts"):
        assert steps(recorder, "early") == [1.0, None]
        assert steps(recorder, "late") == [None, 2.0]
        recorder.finish()


def test_a_block_left_by_an_exception_records_nothing(recorder: Recorder) -> None:
    """No row, no step counted, and its values do not leak into the next block."""
    give = track(recorder)
    with recorder(train=True):
        give(1.0)
    with pytest.raises(KeyError), recorder(train=True):
        give(100.0)
        give(200.0)
        raise KeyError
    with recorder(train=True):
        give(2.0)
        give(4.0)
    assert steps(recorder) == [1.0, 3.0]
    assert recorder.step == 2


def test_blocks_do_not_nest(recorder: Recorder) -> None:
    """A clear error at the caller's line; the recorder goes on."""
    give = track(recorder)
    with (
        pytest.raises(UsageError, match="blocks do not nest: a training block is open") as caught,
        recorder(train=True),
        recorder(train=False),
    ):
        pass
    assert __file__ in {frame.filename for frame in traceback.extract_tb(caught.tb)}
    with recorder(train=True):
        give(1.0)
    assert steps(recorder) == [1.0]


@pytest.mark.parametrize("name", ["step", "epoch", "time", "", "x" * 201, "a\nb", "\x1b[31m", "\ud800", 3, None])
def test_names_that_cannot_be_columns_are_refused_when_declared(recorder: Recorder, name: Any) -> None:
    """The recorder's own columns, empty, too long, control characters, no text."""
    with pytest.raises(InvalidName):
        recorder.track_scalar(name)
    with pytest.raises(InvalidName):
        recorder.metric(name)


@pytest.mark.parametrize("name", ["x" * 200, "loss[train]", "a.b", "損失", "Step", " ", "'; DROP TABLE", "a/b"])
def test_any_other_name_is_a_column(recorder: Recorder, name: str) -> None:
    """Up to 200 characters of any script, punctuation included, also after sealing."""
    give = track(recorder, name)
    with recorder(train=True):
        give(1.5)
    recorder.finish()
    assert steps(recorder, name) == [1.5]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("text", "aggregating 'value': expected one number, got str 'text'"),
        ([1.0, 2.0], "expected one number, got list"),
        (None, "expected one number, got None"),
        (1j, "expected one number, got complex"),
        (10**400, "expected one number, got an int of 1329 bits"),
    ],
)
def test_an_aggregator_that_gives_no_number_is_told_and_the_row_is_kept(
    recorder: Recorder, result: Any, message: str
) -> None:
    """The error names the metric; the row's other columns are stored, its own is null."""
    good = track(recorder, "good")
    bad = track(recorder, "value", lambda values: result)
    with pytest.raises(UsageError, match=message.replace("(", r"\(")), recorder(train=True):
        good(1.0)
        bad(2.0)
    assert steps(recorder, "good") == [1.0]
    assert steps(recorder, "value") == [None]


def test_an_aggregator_that_gives_a_vector_is_told_with_its_shape(recorder: Recorder) -> None:
    """Tensors and arrays of one element are numbers; longer ones are not."""
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    for result, shape in ((torch.zeros(3), "Tensor of shape (3,)"), (numpy.zeros((2, 2)), "ndarray of shape (2, 2)")):
        bad = track(recorder, "value", lambda values, result=result: result)
        with pytest.raises(UsageError) as caught, recorder(train=True):
            bad(1.0)
        assert shape in str(caught.value)
    for result in (torch.tensor([[2.0]]), numpy.float32(2.0), numpy.array([2])):
        good = track(recorder, "value", lambda values, result=result: result)
        with recorder(train=True):
            good(1.0)
    assert steps(recorder) == [None, None, 2.0, 2.0, 2.0]


def test_an_aggregator_that_raises_is_told_with_its_error(recorder: Recorder) -> None:
    """The cause is chained, the row is kept."""

    def broken(values: list[Any]) -> float:
        raise ZeroDivisionError("no batches")

    bad = track(recorder, "value", broken)
    message = "aggregating 'value' failed: ZeroDivisionError: no batches"
    with pytest.raises(UsageError, match=message) as caught, recorder(train=True):
        bad(1.0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert steps(recorder) == [None]


def test_a_function_that_returns_no_number_is_told_when_its_block_ends(recorder: Recorder) -> None:
    """The default mean names the metric and what came."""
    give = track(recorder)
    message = "aggregating 'value': expected numbers or tensors, got str 'text'"
    with pytest.raises(UsageError, match=message), recorder(train=True):
        assert give("text") == "text"
    assert steps(recorder) == [None]


async def _coroutine() -> float:
    return 1.0


def _generator() -> Iterator[float]:
    yield 1.0


async def _asynchronous_generator() -> AsyncIterator[float]:
    yield 1.0


class _AsynchronousObject:
    async def __call__(self) -> float:
        return 1.0


@pytest.mark.parametrize(
    "function",
    [
        _coroutine,
        _generator,
        _asynchronous_generator,
        _AsynchronousObject(),
        partial(_coroutine),
        staticmethod(_coroutine),
    ],
)
def test_a_function_whose_call_computes_nothing_is_refused_when_it_is_declared(
    recorder: Recorder, function: Any
) -> None:
    """A coroutine or a generator has no number yet when the call returns."""
    message = "^'value' cannot record .*: a call returns before anything is computed"
    with pytest.raises(UsageError, match=message):
        recorder.track_scalar("value")(function)
    with pytest.raises(UsageError, match=message):
        RecorderHelper(recorder).metric(value=function)


def test_finish_twice_does_nothing_and_a_record_after_it_is_refused(recorder: Recorder) -> None:
    """The second ``finish()`` is silent; a block after it is an error that says what to do; nothing changes on disk."""
    give = track(recorder)
    with recorder(train=True):
        give(1.0)
    recorder.finish()
    recorder.finish()
    with pytest.raises(UsageError, match="has finished; make a new Recorder"), recorder(train=True):
        give(2.0)
    assert give(3.0) == 3.0
    assert steps(recorder) == [1.0]
    assert open_run(recorder.run_dir).state == "finished"


def test_finish_inside_a_block_is_refused(recorder: Recorder) -> None:
    """The row that is being collected would be lost."""
    give = track(recorder)
    with recorder(train=True):
        with pytest.raises(UsageError, match="inside a block"):
            recorder.finish()
        give(1.0)
    assert steps(recorder) == [1.0]


@pytest.mark.parametrize("arguments", [{}, {"train": None}, {"train": True, "training": True}])
def test_which_block_must_be_said_once(recorder: Recorder, arguments: dict[str, Any]) -> None:
    """Neither and both are errors."""
    with pytest.raises(UsageError):
        recorder(**arguments)


def test_the_same_name_again_feeds_the_same_column(recorder: Recorder) -> None:
    """A notebook cell that is run again; the later aggregator counts."""
    first = track(recorder)
    second = track(recorder, "value", max)
    with recorder(train=True):
        first(1.0)
        second(5.0)
    assert steps(recorder) == [5.0]


def test_a_step_row_tells_its_epoch_and_an_epoch_row_its_step(recorder: Recorder) -> None:
    """Both tables share both axes; a validation before training has step 0."""
    for train in (False, True, True, False, True):
        with recorder(train=train):
            pass
    run = open_run(recorder.run_dir)
    assert run.epochs().select(["step", "epoch"]).to_pydict() == {"step": [0, 2], "epoch": [1, 2]}
    assert run.steps().select(["step", "epoch"]).to_pydict() == {"step": [1, 2, 3], "epoch": [2, 2, 3]}


def test_a_forked_child_records_nothing(recorder: Recorder) -> None:
    """The run stays the parent's: the child's blocks, finish and exit leave the files alone."""
    give = track(recorder)
    with recorder(train=True):
        give(1.0)
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            with recorder(train=True):
                give(100.0)
            recorder.finish()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with recorder(train=True):
        give(2.0)
    assert steps(recorder) == [1.0, 2.0]
    assert open_run(recorder.run_dir).state == "running"
