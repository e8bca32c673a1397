"""`neurockt.torch.forward`: which tensors go in, what comes out, and the bar that a terminal shows."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from neurockt.errors import UsageError
from neurockt.progress import line
from neurockt.torch import forward

ONE = torch.ones(4, 2)


class Two(nn.Module):
    """Takes two tensors, and a third if it is given."""

    def forward(self, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        assert c is None
        return a + b


class Open(nn.Module):
    """Does not tell how many it takes."""

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


def test_wrapped_models_are_looked_through() -> None:
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
def test_a_batch_that_does_not_fit_is_told(batch: Any, message: str) -> None:
    """What was wanted and what came."""
    with pytest.raises(UsageError, match=message):
        list(forward([batch], Two()))


def test_tensors_go_to_the_models_device() -> None:
    """Targets too; the meta device stands in for an accelerator."""
    ((preds, (labels,)),) = forward([(ONE, torch.arange(4))], nn.Linear(2, 2, device="meta"))
    assert preds.device.type == labels.device.type == "meta"


SLOW_LOOP = """
import time, torch
from neurockt.torch import forward
def batches():
    for _ in range(4):
        time.sleep(0.15)
        yield torch.ones(1)
class Sized:
    def __len__(self): return 4
    def __iter__(self): return batches()
for _ in forward(Sized(), torch.nn.Identity()):
    pass
print("done")
"""


def test_a_terminal_shows_a_bar_and_keeps_nothing_of_it() -> None:
    """Drawn on stderr, erased at the end."""
    leader, follower = pty.openpty()
    done = subprocess.run([sys.executable, "-c", SLOW_LOOP], stdout=subprocess.PIPE, stderr=follower, check=True)
    os.close(follower)
    shown = os.read(leader, 100_000).decode()
    os.close(leader)
    assert done.stdout == b"done\n"
    assert "2/4 [" in shown
    assert shown.endswith("\r\x1b[2K")


def test_elsewhere_it_is_silent() -> None:
    """A log file stays clean."""
    done = subprocess.run([sys.executable, "-c", SLOW_LOOP], capture_output=True, check=True)
    assert done.stderr == b""


def test_the_bar() -> None:
    """Count, bar, rate and the time left; without a total, count and rate."""
    assert line(30, 120, 1.0) == " 30/120 [======>                 ] 30/s, 3.0s left"
    assert line(120, 120, 1.0).startswith("120/120 [========================] 120/s")
    assert line(5, None, 1.0) == "5  5/s"
