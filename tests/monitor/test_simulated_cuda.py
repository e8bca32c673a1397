"""The whole recording path on a CUDA device that lags behind as it likes, on any machine."""

from __future__ import annotations

import tempfile
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monitor.simulated_cuda import SimulatedDevice, Synchronised, simulate

from neurockt import open_run
from neurockt.errors import NeurocktWarning
from neurockt.monitor import Recorder, torch_mean
from neurockt.monitor.capture import arrivals

pytestmark = pytest.mark.slow


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> SimulatedDevice:
    return simulate(monkeypatch)


def identity(value: Any) -> Any:
    return value


def column(recorder: Recorder, name: str) -> list[float | None]:
    values: list[float | None] = open_run(recorder.run_dir).steps()[name].to_pylist()
    return values


def test_reading_a_number_is_what_the_simulation_refuses(device: SimulatedDevice) -> None:
    """Else the other tests here would prove nothing."""
    tensor = device.tensor([1.0, 2.0])
    for wait in (tensor.sum().item, tensor.any().__bool__, tensor.cpu, lambda: torch.zeros(2).copy_(tensor)):
        with pytest.raises(Synchronised):
            wait()
    kept = tensor.detach()
    tensor.zero_()
    device.go_on(device.enqueued)
    assert kept.plain.tolist() == [0.0, 0.0]


@settings(max_examples=50)
@given(paces=st.lists(st.integers(0, 60), min_size=1, max_size=60))
def test_recording_never_waits_and_every_row_has_its_own_numbers(paces: list[int]) -> None:
    """Though each batch overwrites the buffers of the one before, and the device is behind by any number of steps."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        device = simulate(monkeypatch)
        recorder = Recorder(directory, quiet=True)
        loss = recorder.track_scalar("loss")(identity)
        batch = recorder.track_scalar("batch", torch_mean)(identity)
        own = recorder.track_scalar("own", lambda values: torch.stack(values).sum())(identity)
        scalar, many = device.tensor(0.0), device.tensor([0.0, 1.0, 2.0], torch.float16)
        stored = []
        for pace in paces:
            with recorder(train=True):
                for _ in range(2):  # batches of which the gradients are accumulated
                    scalar += 1
                    many += 1
                    loss(scalar)
                    batch(many)
                    batch(many.narrow(0, 0, 1))
                    own(scalar)
            device.go_on(device.done + pace)
            stored.append(recorder.step)
        assert device.waits == 0
        assert stored == list(range(1, len(paces) + 1))
        recorder.finish()
        assert not any(
            len(free) % arrivals._Landings.SLOTS for free in arrivals._landings._free.values()
        )  # each was given back
        steps = range(1, len(paces) + 1)
        assert column(recorder, "loss") == [2 * step - 0.5 for step in steps]
        assert column(recorder, "batch") == [2 * step + 0.25 for step in steps]
        assert column(recorder, "own") == [4.0 * step - 1 for step in steps]


def test_a_device_far_behind_is_waited_for_in_the_end(
    recorder: Recorder, device: SimulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that what is on its way takes bounded memory."""
    monkeypatch.setattr("neurockt.monitor.lifetime.row_queue.WAITING_ROWS", 5)
    loss, value = recorder.track_scalar("loss")(identity), device.tensor(0.0)
    for _ in range(12):
        value += 1
        with recorder(train=True):
            loss(value)
    assert column(recorder, "loss") == [float(step) for step in range(1, 11)]
    assert device.waits > 0


def test_a_device_that_fails_costs_what_was_on_its_way_alone(recorder: Recorder, device: SimulatedDevice) -> None:
    loss, values = recorder.track_scalar("loss")(identity), device.tensor([1.0, 2.0])
    for step in range(3):
        with recorder(train=True):
            loss(values)
            loss(4.0)
        if step < 2:
            device.go_on(device.enqueued)
    device.has_failed = True
    with pytest.warns(NeurocktWarning, match="a device has failed.*device-side assert") as warned:
        recorder.finish()
    assert len(warned) == 1
    assert open_run(recorder.run_dir).state == "finished"
    assert column(recorder, "loss") == [7 / 3, 7 / 3, None]


def test_a_captured_graph_records_what_each_replay_computed(recorder: Recorder, device: SimulatedDevice) -> None:
    """A call amid the capture has no value yet, and no event may be asked for then."""
    loss, buffer = recorder.track_scalar("loss")(identity), device.tensor(0.0)
    with recorder(train=True):
        loss(buffer)
    with recorder(train=True):
        device.capturing = True
        loss(buffer)
    device.capturing = False
    for _ in range(20):
        with recorder(train=True):
            buffer += 1  # as a replay does, into the same memory
            loss(buffer)
    assert device.waits == 0
    recorder.finish()
    assert column(recorder, "loss") == [0.0, None, *(float(step) for step in range(1, 21))]


@settings(max_examples=30)
@given(paces=st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_log_never_waits_and_every_row_has_its_own_numbers(paces: list[int]) -> None:
    """Though the tensors change in place, rows are merged, and the device is behind by any number of steps."""
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as monkeypatch:
        device = simulate(monkeypatch)
        recorder = Recorder(directory, quiet=True)
        loss, norms = device.tensor(0.0), device.tensor([0.0, 10.0], torch.float16)
        for step, pace in enumerate(paces):
            loss += 1
            norms += 1
            recorder.log({"loss": loss, "norms": norms, "lr": 0.5}, step=step)
            norms += 1
            recorder.log({"norms": norms, "plain": step}, step=step)
            recorder.log({"acc": loss}, step=step, train=False)
            device.go_on(device.done + pace)
        assert device.waits == 0
        recorder.finish()
        steps = range(len(paces))
        assert column(recorder, "loss") == [step + 1.0 for step in steps]
        assert column(recorder, "norms/1") == [2.0 * step + 12 for step in steps]
        assert column(recorder, "plain") == list(steps)
        assert open_run(recorder.run_dir).epochs()["acc"].to_pylist() == [step + 1.0 for step in steps]


def test_a_late_row_that_is_on_its_way_at_the_end_is_waited_for(recorder: Recorder, device: SimulatedDevice) -> None:
    for step in 5, 3:
        recorder.log({"loss": device.tensor(float(step))}, step=step)
    recorder.finish()
    run = open_run(recorder.run_dir)
    assert (run.steps()["loss"].to_pylist(), run.late()["loss"].to_pylist()) == ([5.0], [3.0])


def test_a_late_row_is_stored_by_the_first_call_after_its_numbers_have_arrived(
    recorder: Recorder, device: SimulatedDevice
) -> None:
    for step in 5, 3:
        recorder.log({"loss": device.tensor(float(step))}, step=step)
    device.go_on(device.enqueued)
    recorder.log({"lr": 0.5}, step=6)
    assert open_run(recorder.run_dir).late()["loss"].to_pylist() == [3.0]


def test_log_copies_the_numbers_of_a_call_at_once(
    recorder: Recorder, device: SimulatedDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []

    class Counted(arrivals._Copy):
        def __init__(self, numbers: Any) -> None:
            copied.append(numbers.numel())
            super().__init__(numbers)

    monkeypatch.setattr(arrivals, "_Copy", Counted)
    recorder.log({f"value {index}": device.tensor(float(index)) for index in range(50)} | {"plain": 1.0})
    recorder.finish()
    assert copied == [50]
    assert column(recorder, "value 49") == [49.0]


def test_what_is_logged_while_a_graph_is_captured_has_no_value(recorder: Recorder, device: SimulatedDevice) -> None:
    device.capturing = True
    recorder.log({"loss": device.tensor(1.0), "lr": 0.5})
    device.capturing = False
    recorder.finish()
    assert open_run(recorder.run_dir).steps().column_names == ["step", "epoch", "time", "lr"]
