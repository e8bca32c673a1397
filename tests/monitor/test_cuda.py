"""What a CUDA device computes: recorded without waiting for it, with the right numbers, however the training ends."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor.launching import forked_ranks
from monitor.scripts import Script

from neurockt import open_run
from neurockt.monitor import Recorder, RecorderHelper, torch_mean
from neurockt.monitor.capture import arrivals
from neurockt.monitor.context.gpus import Gpus, import_nvml

pytestmark = [pytest.mark.gpu, pytest.mark.slow, pytest.mark.usefixtures("cuda")]

LOSSES = """
import torch

ones = torch.ones(2000, 2000, device="cuda") / 2000
def steps(count):
    for step in range(count):
        value = ones
        for _ in range(10):
            value = value @ ones
        with recorder(train=True):
            loss(value.sum() / 2000 + step)
"""


@pytest.fixture
def cuda() -> Iterator[Any]:
    """torch, where there is a CUDA device."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    yield torch
    debug(torch, "default")


def debug(torch: Any, mode: str) -> None:
    """Have what waits for the device raise, with "error"."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode")  # that it does not see everything yet
        torch.cuda.set_sync_debug_mode(mode)


def test_a_cuda_tensor_is_not_waited_for(recorder: Recorder, cuda: Any) -> None:
    """No synchronisation on the recording path with the built-in mean; the numbers are right at the end."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    batch = recorder.track_scalar("batch", torch_mean)(lambda value: value)
    own = recorder.track_scalar("own", lambda values: cuda.stack(values).max())(lambda value: value)
    buffer, many = cuda.zeros((), device="cuda"), cuda.arange(10, device="cuda")
    debug(cuda, "error")
    for _ in range(1000):
        buffer += 1
        with recorder(train=True):
            loss(buffer)
            batch(many)
            batch(many[:5])
            own(buffer)
            own(buffer - 1)
    debug(cuda, "default")
    recorder.finish()
    steps = open_run(recorder.run_dir).steps()
    assert steps["loss"].to_pylist() == steps["own"].to_pylist() == [float(step) for step in range(1, 1001)]
    assert steps["batch"].to_pylist() == [55 / 15] * 1000


def test_a_cuda_tensor_that_is_logged_is_not_waited_for(recorder: Recorder, cuda: Any) -> None:
    buffer, norms = cuda.zeros((), device="cuda"), cuda.arange(3.0, device="cuda")
    debug(cuda, "error")
    for step in range(1000):
        buffer += 1
        recorder.log({"loss": buffer, "norms": norms}, step=step)
    debug(cuda, "default")
    recorder.finish()
    steps = open_run(recorder.run_dir).steps()
    assert steps["loss"].to_pylist() == [step + 1.0 for step in range(1000)]
    assert steps["norms/2"].to_pylist() == [2.0] * 1000


def test_a_decorated_criterion_on_a_device_is_not_waited_for(recorder: Recorder, cuda: Any) -> None:
    """Neither is the loss that a decorated method of a class returns."""

    class Task:
        @staticmethod
        @recorder.track_scalar("own")
        def loss(outputs: Any) -> Any:
            return outputs.mean()

    criterion = recorder.track_scalar("loss")(cuda.nn.MSELoss()).to("cuda")
    outputs, targets = cuda.zeros(10, device="cuda", requires_grad=True), cuda.zeros(10, device="cuda")
    debug(cuda, "error")
    for _ in range(100):
        targets += 1
        with recorder(train=True):
            criterion(outputs, targets).backward()
            Task.loss(targets)
    debug(cuda, "default")
    recorder.finish()
    steps = open_run(recorder.run_dir).steps()
    assert steps["loss"].to_pylist() == [float(step**2) for step in range(1, 101)]
    assert steps["own"].to_pylist() == [float(step) for step in range(1, 101)]


def test_a_number_on_its_way_lands_in_memory_that_is_used_again(recorder: Recorder, cuda: Any) -> None:
    """A thousand steps need no thousand pieces of pinned memory."""
    before = sum(map(len, arrivals._landings._free.values()))
    loss = recorder.track_scalar("loss")(lambda value: value)
    for step in range(1000):
        with recorder(train=True):
            loss(cuda.full((), step, device="cuda"))
        if step % 10 == 0:
            cuda.cuda.synchronize()
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [float(step) for step in range(1000)]
    assert sum(map(len, arrivals._landings._free.values())) - before <= 2 * arrivals._Landings.SLOTS


def test_the_output_of_a_replayed_graph_is_recorded_as_it_was(recorder: Recorder, cuda: Any) -> None:
    """A call during the capture records nothing; one after each replay records what that replay computed."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    buffer = cuda.zeros((), device="cuda")
    graph = cuda.cuda.CUDAGraph()
    with recorder(train=True), cuda.cuda.graph(graph):
        buffer += 1
        loss(buffer)
    buffer.zero_()
    for _ in range(100):
        with recorder(train=True):
            graph.replay()
            loss(buffer)
    recorder.finish()
    steps = open_run(recorder.run_dir).steps()["loss"].to_pylist()
    assert steps == [None, *(float(step) for step in range(1, 101))]


def test_a_value_of_another_stream_is_waited_for_by_the_device(recorder: Recorder, cuda: Any) -> None:
    """The call is made where the value is computed, and the block ends on the stream it began on."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    side = cuda.cuda.Stream()
    with cuda.cuda.stream(side):
        ones = cuda.ones(2000, 2000, device="cuda")
    for _ in range(50):
        with recorder(train=True), cuda.cuda.stream(side):
            loss((ones @ ones).mean())
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [2000.0] * 50


def test_values_of_several_devices_make_one_mean(recorder: Recorder, cuda: Any) -> None:
    """Of the devices there are, and of the CPU."""
    devices = ["cpu", *(f"cuda:{index}" for index in range(cuda.cuda.device_count()))]
    loss = recorder.track_scalar("loss")(lambda value: value)
    for _ in range(50):
        with recorder(train=True):
            for index, device in enumerate(devices):
                loss(cuda.full((3,), float(index), device=device))
    recorder.finish()
    mean = sum(range(len(devices))) / len(devices)
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == pytest.approx([mean] * 50)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16", "int64", "int32", "uint8", "bool"])
def test_a_number_of_any_type_is_recorded_as_it_is(recorder: Recorder, cuda: Any, dtype: str) -> None:
    loss = recorder.track_scalar("loss")(lambda value: value)
    value = cuda.ones((), device="cuda", dtype=getattr(cuda, dtype))
    for form in (value, value.reshape(1), value.reshape(1, 1)):
        with recorder(train=True):
            loss(form)
    recorder.log({"loss": value, "logged": value.reshape(1)})
    recorder.finish()
    steps = open_run(recorder.run_dir).steps()
    assert steps["loss"].to_pylist() == [1.0] * 4
    assert steps["logged"].to_pylist() == [None, None, None, 1.0]


def test_a_loss_that_has_a_graph_is_let_go_of(recorder: Recorder, cuda: Any) -> None:
    """The memory of a model's activations is free once the step is over."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    weight = cuda.ones(1000, 1000, device="cuda", requires_grad=True)
    held = []
    for step in range(20):
        with recorder(train=True):
            value = (weight * 2).exp().mean()
            loss(value)
        recorder.log({"again": value}, step=step + 1)
        del value
        cuda.cuda.synchronize()
        held.append(cuda.cuda.memory_allocated())
    assert held[-1] - held[2] < 100_000  # an activation has four megabytes


def test_a_torchmetric_on_a_device_is_recorded(recorder: Recorder, cuda: Any) -> None:
    """In the README's form, and logged as what it computes."""
    classification = pytest.importorskip("torchmetrics.classification")
    accuracy = classification.MulticlassAccuracy(num_classes=3, average="micro").to("cuda")
    evaluate = RecorderHelper(recorder).metric(accuracy=accuracy)["accuracy"]
    right, target = cuda.tensor([0, 1, 2, 0], device="cuda"), cuda.tensor([0, 1, 2, 1], device="cuda")
    for _ in range(3):
        with recorder(train=False):
            evaluate(right, target)
            evaluate(target, target)
    recorder.finish()
    assert open_run(recorder.run_dir).epochs()["accuracy"].to_pylist() == [0.875] * 3


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",  # of torch, about itself
    "ignore:The CUDA Graph is empty",
    "ignore:Guards may run slower",
)
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_a_compiled_step_whose_memory_is_used_again_is_recorded_as_it_was(
    recorder: Recorder, cuda: Any, mode: str
) -> None:
    """``reduce-overhead`` replays a CUDA graph, whose output lies where that of the step before lay."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    step = cuda.compile(lambda value: (value * 2).sum(), mode=mode)
    for number in range(20):
        with recorder(train=True):
            loss(step(cuda.full((10,), float(number), device="cuda")))
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [20.0 * number for number in range(20)]


def test_training_that_runs_out_of_memory_and_goes_on_is_recorded(recorder: Recorder, cuda: Any) -> None:
    loss = recorder.track_scalar("loss")(lambda value: value)
    for step in range(4):
        try:
            with recorder(train=True):
                loss(cuda.full((), float(step), device="cuda"))
                if step == 1:
                    cuda.empty(10**14, device="cuda")
        except cuda.OutOfMemoryError:
            pass
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [0.0, 2.0, 3.0]


def test_what_has_arrived_outlives_a_kill(script: Script) -> None:
    """A row is stored as soon as a later call finds that its number has arrived."""
    code = script.run(LOSSES + "steps(50); torch.cuda.synchronize(); steps(1); call(signal.SIGKILL)")
    assert code == -signal.SIGKILL
    assert script.losses[:50] == pytest.approx([1.0 + step for step in range(50)], rel=1e-3)


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "raise ValueError('over')", "call(signal.SIGTERM)"])
def test_what_is_on_its_way_at_the_end_arrives(script: Script, end: str) -> None:
    script.run(LOSSES + "steps(50)\n" + end)
    assert script.losses == pytest.approx([1.0 + step for step in range(50)], rel=1e-3)
    assert script.is_sealed


def test_a_device_that_fails_ends_the_run_as_failed(script: Script) -> None:
    """A kernel's assertion: every call to the device fails from then on. What had arrived stays."""
    code = script.run(
        LOSSES
        + "steps(20); torch.cuda.synchronize(); steps(1)\n"
        + "table = torch.zeros(10, device='cuda')\n"
        + "with recorder(train=True):\n"
        + "    loss(table[torch.tensor([1000], device='cuda')].sum())\n"
        + "torch.cuda.synchronize()\n"
    )
    assert code == 1
    assert "device-side assert" in script.stderr
    assert "neurockt" not in script.stderr.rpartition("Traceback")[2].partition("Error")[0]
    assert script.losses[:20] == pytest.approx([1.0 + step for step in range(20)], rel=1e-3)
    state, _, failure = script.told
    assert state == "failed"
    assert failure is not None
    assert script.is_sealed


RANKS = """
import os, sys
import torch
from torch import distributed
from neurockt.monitor import Recorder

rank = int(os.environ["RANK"])
distributed.init_process_group("gloo", rank=rank, world_size=2)
recorder = Recorder(sys.argv[1], run_id="both", reduce="mean", quiet=True)
loss = recorder.track_scalar("loss")(lambda value: value)
largest = recorder.track_scalar("largest", lambda values: torch.stack(values).max())(lambda value: value)
buffer, batch = torch.zeros((), device="cuda"), torch.arange(4.0, device="cuda")
for step in range(20):
    buffer += 1
    with recorder(train=True):
        loss(buffer + rank)
        loss(batch[: 1 + rank])
        largest(buffer)
        largest(buffer * rank)
recorder.finish()
distributed.destroy_process_group()
"""


def test_two_ranks_record_their_mean(tmp_path: Path) -> None:
    """Over a backend of the CPU, both on the first device: what is on its way there is waited for."""
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    done = forked_ranks(2, script, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    steps = open_run(tmp_path / "runs" / "both").steps()
    numbers = [float(step) for step in range(1, 21)]
    assert steps["loss"].to_pylist() == [(2 * number + 2) / 5 for number in numbers]
    assert steps["largest"].to_pylist() == numbers


def test_a_fork_leaves_what_is_on_its_way_to_its_parent(recorder: Recorder, cuda: Any) -> None:
    """A child cannot use the device, and must not try."""
    loss = recorder.track_scalar("loss")(lambda value: value)
    for step in range(100):
        with recorder(train=True):
            loss(cuda.full((), float(step), device="cuda"))
    if (child := os.fork()) == 0:
        try:
            recorder.finish()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [float(step) for step in range(100)]


def test_the_load_of_a_device_is_sampled(cuda: Any) -> None:
    """By its real driver, whose figures are as the machine's own tool gives them."""
    nvml = import_nvml()
    assert nvml is not None
    gpus = Gpus(nvml)
    held = cuda.empty(2**30, dtype=cuda.uint8, device="cuda")
    measures = dict(gpus.measures())
    assert gpus.names()[0] == cuda.cuda.get_device_name(0)
    assert 1 <= measures["gpu0_memory_gib"] <= cuda.cuda.get_device_properties(0).total_memory / 2**30
    assert 0 <= measures["gpu0_util_percent"] <= 100
    assert 10 < measures["gpu0_power_w"] < 2000
    assert 10 < measures["gpu0_temperature_c"] < 110
    del held
