"""What PyTorch does with a model whose parts are decorated: copies, pickles, compiles and transforms it."""

from __future__ import annotations

import copy
import io
import pickle
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import preloaded
import pytest

from neurockt import open_run
from neurockt.monitor import Recorder, RecorderHelper
from neurockt.monitor.capture.block import Block

torch = pytest.importorskip("torch")
nn = torch.nn


def column(recorder: Recorder, name: str) -> list[float | None]:
    """What has been recorded under a name."""
    recorder.finish()
    values: list[float | None] = open_run(recorder.run_dir).steps()[name].to_pylist()
    return values


def make_model(recorder: Recorder, aggregator: Any = None) -> Any:
    """A module whose ``forward`` is decorated: the mean of what it was given, times its one weight, which is 2."""

    class Scale(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        @recorder.track_scalar("loss", aggregator)
        def forward(self, inputs: Any) -> Any:
            return (self.weight * inputs).mean()

    return Scale()


# Copies and pickles


def test_a_copied_model_records_to_the_same_column(recorder: Recorder) -> None:
    """``copy.deepcopy`` of a module with a decorated ``forward``, and of one that the helper records."""
    model = make_model(recorder)
    criterion = RecorderHelper(recorder).track_scalar(mse=nn.MSELoss())["mse"]
    twin, other = copy.deepcopy(model), copy.deepcopy(criterion)
    assert copy.copy(recorder) is copy.deepcopy(recorder) is recorder
    with recorder(train=True):
        twin(torch.tensor([1.0, 2.0]))
        other(torch.tensor([3.0]), torch.tensor([1.0]))
    assert column(recorder, "loss") == [3.0]
    assert column(recorder, "mse") == [4.0]


def test_a_module_pickled_and_loaded_where_the_run_is_recorded_goes_on(recorder: Recorder) -> None:
    """``torch.save`` of a whole module that the helper records, and of one that holds the recorder."""
    criterion = RecorderHelper(recorder).track_scalar(mse=nn.MSELoss())["mse"]
    criterion.recorder = recorder
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert loaded.recorder is recorder
    with recorder(train=True):
        loaded(torch.tensor([3.0]), torch.tensor([1.0]))
    assert column(recorder, "mse") == [4.0]


@pytest.mark.slow
def test_a_module_loaded_in_another_process_computes_and_records_nothing(recorder: Recorder, tmp_path: Path) -> None:
    """The recorder that comes with it opens blocks in vain, and the run's files stay as they are."""
    criterion = RecorderHelper(recorder).track_scalar(mse=nn.MSELoss())["mse"]
    criterion.recorder = recorder
    with recorder(train=True):
        criterion(torch.tensor([3.0]), torch.tensor([1.0]))
    (tmp_path / "module").write_bytes(pickle.dumps(criterion))
    (tmp_path / "script.py").write_text("""
import pickle, sys, torch
module = pickle.load(open(sys.argv[1], "rb"))
with module.recorder(train=True):
    print(module(torch.tensor([3.0]), torch.tensor([1.0])).item(), module.recorder.run_dir)
module.recorder.finish()
""")
    done = preloaded.run([sys.executable, tmp_path / "script.py", tmp_path / "module"], preload="torch")
    assert (done.stdout, done.stderr) == (f"4.0 {recorder.run_dir}\n", "")
    assert column(recorder, "mse") == [4.0]
    assert [path.name for path in recorder.run_dir.parent.iterdir()] == [recorder.run_dir.name]


def test_a_checkpoint_is_what_it_was_without_recording(recorder: Recorder) -> None:
    """``state_dict()`` has the module's own entries, and loads into a module that is not recorded."""
    model = nn.Sequential(nn.Linear(2, 2), make_model(recorder))
    plain = list(model.state_dict())
    RecorderHelper(recorder).track_scalar(hidden=model[0])
    assert list(model.state_dict()) == plain == ["0.weight", "0.bias", "1.weight"]
    nn.Linear(2, 2).load_state_dict(model[0].state_dict())


# Compiled

compiles = pytest.mark.filterwarnings(
    "ignore:The .grad attribute:UserWarning",  # the compiler looks, and hides the warning
    "ignore::DeprecationWarning",  # of torch, about itself
    "ignore:Guards may run slower",
)


def graph_breaks(recorder: Recorder, function: Any, steps: int = 12) -> tuple[int, int]:
    """How often ``torch.compile`` broke the function's graph and how many graphs it made, trained for some steps."""
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    compiled = torch.compile(function, backend="eager")
    for step in range(steps):
        with recorder(train=True):
            for _ in range(1 + step % 3):
                compiled(torch.ones(4) * step)
        with recorder(train=False):
            compiled(torch.ones(4))
    compiled(torch.ones(4))
    return sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"]


@pytest.mark.slow
@compiles
@pytest.mark.parametrize("aggregator", [None, lambda values: sum(values) / len(values)])
def test_a_compiled_model_whose_loss_is_decorated_breaks_its_graph_once(recorder: Recorder, aggregator: Any) -> None:
    """However many steps it trains, and whichever block is open; nothing is compiled again after the first steps."""
    model = make_model(recorder, aggregator)
    assert graph_breaks(recorder, nn.Identity())[0] == 0
    breaks, graphs = graph_breaks(recorder, model)
    assert breaks == 1
    assert graph_breaks(recorder, model, steps=24) == (1, graphs)
    assert column(recorder, "loss")[12:24] == [step * 2.0 for step in range(12)]


@pytest.mark.slow
@compiles
def test_a_compiled_caller_of_a_decorated_module_breaks_its_graph_too(recorder: Recorder) -> None:
    """One break a function from the compiled one down to the decorated one, or to the helper's forward hook."""
    model = make_model(recorder)
    criterion = RecorderHelper(recorder).track_scalar(mse=nn.MSELoss())["mse"]
    assert graph_breaks(recorder, lambda inputs: model(inputs * 3) + 1)[0] == 2
    assert graph_breaks(recorder, lambda inputs: criterion(inputs * 2, inputs) + 1)[0] == 2
    assert column(recorder, "loss")[:12] == [step * 6.0 for step in range(12)]
    assert column(recorder, "mse")[12:] == [float(step * step) for step in range(12)]


# Transformed


@pytest.mark.parametrize("aggregator", [None, lambda values: torch.stack(values).mean()])
def test_functional_transforms_record_plain_numbers(recorder: Recorder, aggregator: Any) -> None:
    """``functional_call``, ``grad``, ``vmap``: what is kept outlives the transform; vmap gives its batch's mean."""
    from torch import func

    model = make_model(recorder, aggregator)
    parameters = dict(model.named_parameters())
    batch = torch.tensor([[1.0, 2.0], [3.0, 6.0]])

    def loss(parameters: Any, inputs: Any) -> Any:
        return func.functional_call(model, parameters, (inputs,))

    with recorder(train=True):
        gradient = func.grad(loss)(parameters, batch)
    with recorder(train=True):
        per_sample = func.vmap(func.grad(loss), (None, 0))(parameters, batch)
    with recorder(train=True):
        values = func.vmap(model)(batch)
    assert gradient["weight"].item() == 3.0
    assert per_sample["weight"].tolist() == [1.5, 4.5]
    assert values.tolist() == [3.0, 9.0]
    assert column(recorder, "loss") == [6.0, 6.0, 6.0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_values_are_summed_in_float64(recorder: Recorder, dtype: Any) -> None:
    """The mean of many values is no rounder than the values are."""
    linear = nn.Linear(1, 1, bias=False)
    linear.weight.data.fill_(1.0)
    seen: list[float] = []

    @recorder.track_scalar("loss")
    def loss(inputs: Any) -> Any:
        value = linear(inputs).reshape(())
        assert value.dtype == dtype
        seen.append(value.item())
        return value

    with recorder(train=True), torch.autocast("cpu", dtype):
        for number in range(1, 100):
            loss(torch.tensor([[1 / number]]))
    assert column(recorder, "loss") == [sum(seen) / 99]


def test_accumulated_micro_batches_are_one_row(recorder: Recorder) -> None:
    """A block is a step of the optimizer: its row is the mean over the micro-batches, and their gradients add up."""
    model = make_model(recorder)
    with recorder(train=True):
        for number in (1.0, 2.0, 6.0):
            (model(torch.tensor([number])) / 3).backward()
    assert model.weight.grad.item() == 3.0
    assert column(recorder, "loss") == [6.0]


# Threads


def test_values_of_all_threads_are_collected(recorder: Recorder) -> None:
    """As DataParallel calls replicas: each value counts once, whichever thread's came first."""
    seen: list[list[float]] = []

    def keep(values: list[float]) -> float:
        seen.append(list(values))
        return 0.0

    @recorder.track_scalar("tensor", keep)
    def tensor(number: float) -> Any:
        return torch.tensor(number)

    @recorder.track_scalar("number", keep)
    def number(value: float) -> float:
        return value

    @recorder.track_scalar("mean")
    def mean(value: float) -> float:
        return value

    def call(value: float) -> None:
        number(value)
        tensor(value)
        mean(value)

    rounds, calls = 200, 24
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            for _ in range(rounds):
                with recorder(train=True):
                    list(pool.map(call, map(float, range(calls))))
    finally:
        sys.setswitchinterval(before)
    everything = [float(value) for value in range(calls)]
    assert len(seen) == 2 * rounds
    assert all(sorted(map(float, values)) == everything for values in seen)
    assert column(recorder, "mean") == [sum(everything) / calls] * rounds


def test_threads_that_meet_within_the_recorder_lose_and_double_no_value(recorder: Recorder) -> None:
    """Each is made to wait at every line of ``keep``, so that all are amid it at once."""
    threads = 6
    loss = recorder.track_scalar("loss")(lambda value: value)
    keep = Block.keep.__code__

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is not keep:
            return None
        time.sleep(0.002)
        return trace

    threading.settrace(trace)
    try:
        begin = threading.Barrier(threads)
        for _ in range(5):
            workers = [
                threading.Thread(target=lambda value=value: (begin.wait(), loss(value)))  # type: ignore[misc]
                for value in map(float, range(threads))
            ]
            with recorder(train=True):
                for worker in workers:
                    worker.start()
                for worker in workers:
                    worker.join()
    finally:
        threading.settrace(None)  # type: ignore[arg-type]
    assert column(recorder, "loss") == [sum(range(threads)) / threads] * 5


def test_replicas_of_a_module_record(recorder: Recorder) -> None:
    """DataParallel's own replicas, called from threads of their own by its own ``parallel_apply``."""
    criterion = RecorderHelper(recorder).track_scalar(mse=nn.MSELoss())["mse"]
    model = make_model(recorder)
    with recorder(train=True):
        replicas = [model._replicate_for_data_parallel() for _ in range(4)]
        for replica in replicas:
            replica.weight = model.weight
        losses = [criterion._replicate_for_data_parallel() for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda replica, value: replica(torch.tensor(value)), replicas, [1.0, 2.0, 3.0, 4.0]))
            targets = torch.tensor(0.0)
            list(pool.map(lambda loss, value: loss(torch.tensor(value), targets), losses, [1.0, 1.0, 1.0, 5.0]))
    assert column(recorder, "loss") == [5.0]
    assert column(recorder, "mse") == [7.0]
