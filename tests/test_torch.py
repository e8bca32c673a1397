"""`neurockt.torch.forward`: which tensors the model gets, what is yielded, and the bar that a terminal shows."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from neurockt.errors import UsageError
from neurockt.torch import forward

pytestmark = pytest.mark.slow

ONE = torch.ones(4, 2)


class Two(nn.Module):
    """Takes two tensors, and a third if it is given."""

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        assert c is None
        return a + b


class Open(nn.Module):
    """Takes any number."""

    def forward(self, *tensors: torch.Tensor) -> int:
        return len(tensors)


def test_as_many_leading_tensors_as_forward_takes_go_in() -> None:
    """The rest comes out as a list; a parameter with a default is not filled from the batch."""
    ((preds, targets),) = forward([(ONE, ONE, ONE * 3, ONE * 4)], Two())
    assert torch.equal(preds, ONE * 2)
    assert [target.mean().item() for target in targets] == [3.0, 4.0]


def test_a_data_loader_and_a_sequential_model() -> None:
    """The usual case: images in, labels out, gradients as they are outside."""
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    batches = list(forward(DataLoader(TensorDataset(ONE, torch.arange(4)), batch_size=2), model))
    assert [preds.shape for preds, _ in batches] == [(2, 3), (2, 3)]
    assert [labels.tolist() for _, (labels,) in batches] == [[0, 1], [2, 3]]
    assert batches[0][0].requires_grad
    with torch.inference_mode():
        assert not any(preds.requires_grad for preds, _ in forward([(ONE, ONE)], model))


def test_a_batch_that_is_one_tensor_goes_in_whole() -> None:
    """No targets then."""
    ((preds, targets),) = forward([ONE], nn.Identity())
    assert torch.equal(preds, ONE)
    assert targets == []


def test_wrapped_models_run() -> None:
    """Data parallelism, and compilation."""
    compiled = nn.Module()
    compiled._orig_mod = Two()
    compiled.forward = compiled._orig_mod.forward  # type: ignore[method-assign]
    for model in (nn.DataParallel(Two()), compiled):
        ((_, targets),) = forward([(ONE, ONE, ONE)], model)
        assert len(targets) == 1


def test_a_forward_that_takes_anything_gets_all_but_the_last() -> None:
    """At least one."""
    assert [preds for preds, _ in forward([(ONE, ONE, ONE), (ONE,)], Open())] == [2, 1]


@pytest.mark.parametrize(
    ("batch", "message"),
    [({"x": ONE}, "not a dict"), ((ONE, "label"), "not a tuple of Tensor, str"), ((ONE,), "takes 2 tensors")],
)
def test_a_batch_that_does_not_fit_is_an_error(batch: Any, message: str) -> None:
    """The message names what was expected and what was given."""
    with pytest.raises(UsageError, match=message):
        list(forward([batch], Two()))


def test_tensors_go_to_the_models_device() -> None:
    """Targets too; the meta device stands in for an accelerator."""
    ((preds, (labels,)),) = forward([(ONE, torch.arange(4))], nn.Linear(2, 2, device="meta"))
    assert preds.device.type == labels.device.type == "meta"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_and_traced_models_run() -> None:
    """Neither has a Python signature; both still declare how many tensors they take."""
    for model in (torch.jit.script(nn.Linear(2, 3)), torch.jit.trace(nn.Linear(2, 3), ONE)):
        ((preds, targets),) = forward([(ONE, ONE, ONE)], model)
        assert preds.shape == (4, 3)
        assert len(targets) == 2


class Sized:
    """Two batches, with the given ``len()``."""

    def __init__(self, length: Callable[[], Any] = lambda: 2, seconds: float = 0.0) -> None:
        self._length = length
        self._seconds = seconds

    def __len__(self) -> Any:
        return self._length()

    def __iter__(self) -> Iterator[torch.Tensor]:
        for _ in range(2):
            time.sleep(self._seconds)
            yield ONE


def shown_by_terminal(
    monkeypatch: pytest.MonkeyPatch, length: Callable[[], Any] = lambda: 2, encoding: str = "utf-8"
) -> str:
    """What a terminal shows as stderr during a loop over two batches."""
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding=encoding) as terminal, os.fdopen(leader, "rb", buffering=0) as screen:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert len(list(forward(Sized(length, 0.11), nn.Identity()))) == 2  # drawn ten times a second at most
        assert [thread for thread in threading.enumerate() if type(thread).__module__.startswith("tqdm")] == []
        os.write(follower, b"end")
        shown = b""
        while not shown.endswith(b"end"):
            shown += screen.read(100_000)
        return shown.decode().removesuffix("end")


@pytest.mark.slow
def test_a_terminal_shows_a_bar_and_keeps_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn on stderr with the number of batches, erased at the end; stale COLUMNS do not make it wrap."""
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.setenv("LINES", "2")
    shown = shown_by_terminal(monkeypatch)
    assert "1/2 [" in shown
    assert shown.endswith(" \r")
    assert max(map(len, shown.split("\r"))) < 80


@pytest.mark.parametrize("length", [lambda: 1 / 0, list, lambda: -1, lambda: 10**30, lambda: 0, lambda: 1, lambda: 9])
def test_a_length_that_raises_or_is_wrong_costs_only_the_total(
    monkeypatch: pytest.MonkeyPatch, length: Callable[[], Any]
) -> None:
    """All batches run, whatever ``len()`` does."""
    assert shown_by_terminal(monkeypatch, length)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_the_bar_is_plain_ascii(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Any locale can show it."""
    assert "%|##" in shown_by_terminal(monkeypatch, encoding=encoding)


class Tee:
    """Has ``write`` and nothing else."""

    def write(self, text: str) -> None:
        raise AssertionError("nothing is drawn where it is not a terminal")


class Notebook(Tee):
    """Claims to be a terminal, but has no file descriptor."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("make", [lambda: None, Tee, Notebook, io.StringIO])
@pytest.mark.parametrize("closed", [False, True])
def test_training_runs_whatever_stderr_is(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], closed: bool
) -> None:
    """Missing, closed, or replaced by an object that lacks methods: no bar, but all batches."""
    stream = make()
    if closed and hasattr(stream, "close"):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(list(forward(Sized(), nn.Identity()))) == 2


def test_a_terminal_that_goes_away_does_not_end_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar is lost, the batches are not."""
    leader, follower = pty.openpty()
    terminal = os.fdopen(follower, "w")
    monkeypatch.setattr(sys, "stderr", terminal)
    batches = forward(Sized(), nn.Identity())
    next(batches)
    os.close(leader)
    assert len(list(batches)) == 1
    monkeypatch.undo()
    with contextlib.suppress(OSError):
        terminal.close()


@pytest.mark.slow
def test_elsewhere_it_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    """A log file stays clean."""
    assert len(list(forward(Sized(), nn.Identity()))) == 2
    assert capfd.readouterr().err == ""
