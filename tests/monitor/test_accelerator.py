"""Numbers that arrive late: rows stay in order, and nothing waits that need not."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt import open_run
from neurockt.errors import NeurocktWarning
from neurockt.monitor import Recorder
from neurockt.monitor.capture.tensors import detached
from neurockt.store.journal.records import NULL


class SlowNumber:
    """A number on its way; arrives when told, or when waited for."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.arrived = False
        self.waited_for = False
        self.error: Exception | None = None

    def ready(self) -> bool:
        return self.arrived

    def wait(self) -> float:
        self.waited_for = not self.arrived
        self.arrived = True
        return self.value


class SlowCollector:
    """Stands in for a tensor on an accelerator: its cell is a ``SlowNumber``."""

    columns = ("slow",)
    has_values = False

    def __init__(self) -> None:
        self.sent: list[SlowNumber] = []
        self.handles: list[Any] = []

    def begin(self) -> None:
        pass

    end = begin

    def keep(self, value: Any) -> None:
        pass

    def take(self, row: list[Any]) -> None:
        self.sent.append(SlowNumber(float(len(self.sent))))
        row.append(self.sent[-1])


@pytest.fixture
def collector(recorder: Recorder) -> SlowCollector:
    collector = SlowCollector()
    recorder(train=True).declare("slow", collector)
    return collector


def rows(recorder: Recorder) -> list[float]:
    values: list[float] = open_run(recorder.run_dir).steps()["slow"].to_pylist()
    return values


def train(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        with recorder(train=True):
            pass


def test_rows_are_stored_in_order_as_their_numbers_arrive(recorder: Recorder, collector: SlowCollector) -> None:
    """A later number that is there already waits for an earlier one; nobody waits for either."""
    train(recorder, 1)
    collector.sent[0].arrived = True
    train(recorder, 2)
    assert rows(recorder) == [0.0]
    collector.sent[2].arrived = True
    train(recorder, 1)
    assert rows(recorder) == [0.0]
    collector.sent[1].arrived = True
    train(recorder, 1)
    assert rows(recorder) == [0.0, 1.0, 2.0]
    assert recorder.step == 5
    assert not any(number.waited_for for number in collector.sent)


def test_everything_has_arrived_at_finish(recorder: Recorder, collector: SlowCollector) -> None:
    """``finish()`` waits for what is on its way."""
    train(recorder, 3)
    recorder.finish()
    assert rows(recorder) == [0.0, 1.0, 2.0]


def test_a_run_begins_with_its_first_row(recorder: Recorder, collector: SlowCollector) -> None:
    """Also when its number is still on the way: who exits now has a run, and waits for the number then."""
    train(recorder, 1)
    assert open_run(recorder.run_dir).state == "running"
    assert len(open_run(recorder.run_dir).steps()) == 0
    recorder.finish()
    assert rows(recorder) == [0.0]


def test_what_waits_is_bounded(recorder: Recorder, collector: SlowCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that falls far behind is waited for in the end."""
    monkeypatch.setattr("neurockt.monitor.lifetime.row_queue.WAITING_ROWS", 5)
    train(recorder, 6)
    assert len(rows(recorder)) == 5


def test_a_row_tells_the_epoch_it_ended_in(recorder: Recorder, collector: SlowCollector) -> None:
    """Also when it is stored after the next validation."""
    train(recorder, 1)
    with recorder(train=False):
        pass
    train(recorder, 1)
    recorder.finish()
    run = open_run(recorder.run_dir)
    assert run.steps()["epoch"].to_pylist() == [1, 2]
    assert run.epochs()["step"].to_pylist() == [1]


def test_a_device_that_fails_costs_its_own_numbers_alone(recorder: Recorder, collector: SlowCollector) -> None:
    """The rows stay, with nulls for what did not arrive, and one warning says so."""
    train(recorder, 2)
    collector.sent[0].arrived = True
    collector.sent[1].value, collector.sent[1].error = NULL, RuntimeError("CUDA error: device-side assert triggered")
    with pytest.warns(NeurocktWarning, match="a device has failed.*device-side assert") as told:
        recorder.finish()
    assert len(told) == 1
    assert rows(recorder) == [0.0, None]


@pytest.mark.slow
@given(delays=st.lists(st.integers(0, 12), min_size=1, max_size=40), bound=st.integers(1, 8))
def test_numbers_that_arrive_in_any_order_are_stored_in_order(delays: list[int], bound: int) -> None:
    """However late each is: every row has its own value, in order, and no more wait than may."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("neurockt.monitor.lifetime.row_queue.WAITING_ROWS", bound)
        recorder = Recorder(directory, quiet=True)
        collector = SlowCollector()
        block = recorder(train=True)
        block.declare("slow", collector)
        for step in range(len(delays)):
            for sent, number in enumerate(collector.sent):
                number.arrived = number.arrived or sent + delays[sent] <= step
            train(recorder, 1)
            assert len(block.rows._waiting) <= bound
            assert recorder.step == step + 1
        recorder.finish()
        assert rows(recorder) == [float(step) for step in range(len(delays))]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bool"])
def test_what_is_kept_of_a_tensor_is_a_copy(dtype: str) -> None:
    """Also of one element and in the width it has already: the next step may overwrite it."""
    torch = pytest.importorskip("torch")
    tensor = torch.ones(1, dtype=getattr(torch, dtype))
    kept = tensor.sum(dtype=torch.float64), detached(tensor)  # the first as on an accelerator
    tensor.zero_()
    assert [float(value) for value in kept] == [1.0, 1.0]
