"""Numbers that arrive late: rows stay in order, and nothing waits that need not."""

from __future__ import annotations

from typing import Any

import pytest

from neurockt import open_run
from neurockt.monitor import Recorder


class SlowNumber:
    """A number on its way; arrives when told, or when waited for."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.arrived = False
        self.waited_for = False

    def ready(self) -> bool:
        return self.arrived

    def wait(self) -> float:
        self.waited_for = not self.arrived
        self.arrived = True
        return self.value


class SlowCollector:
    """Stands in for a tensor on an accelerator: its cell is a ``SlowNumber``."""

    columns = ("slow",)

    def __init__(self) -> None:
        self.sent: list[SlowNumber] = []

    def begin(self) -> None:
        pass

    def keep(self, value: Any) -> None:
        pass

    def take(self, row: list[Any]) -> None:
        self.sent.append(SlowNumber(float(len(self.sent))))
        row.append(self.sent[-1])


@pytest.fixture
def collector(recorder: Recorder) -> SlowCollector:
    collector = SlowCollector()
    recorder.declare(recorder(train=True), "slow", collector)
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


def test_what_waits_is_bounded(recorder: Recorder, collector: SlowCollector, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that falls far behind is waited for in the end."""
    monkeypatch.setattr("neurockt.monitor._block.WAITING_ROWS", 5)
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


@pytest.mark.gpu
def test_a_cuda_tensor_is_not_waited_for(recorder: Recorder) -> None:
    """No synchronisation on the recording path with the built-in mean; the numbers are right at the end."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

    @recorder.track_scalar("loss")
    def loss(value: Any) -> Any:
        return value

    buffer = torch.zeros((), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(100):
            buffer += 1
            with recorder(train=True):
                loss(buffer)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [float(step) for step in range(1, 101)]
