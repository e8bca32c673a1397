"""A CUDA device that is not there: work is enqueued, and done when the device is told to go on.

Its tensors are torch's own kind for such a purpose (a wrapper subclass), so every operation that the recorder asks of
one arrives here. What would make the program wait for the device raises ``Synchronised``, as
``torch.cuda.set_sync_debug_mode("error")`` does. Each operation computes on the CPU, but in its turn: whoever keeps a
buffer instead of a copy of it reads what a later operation has put there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves, tree_map_only

from neurockt.monitor.capture import arrivals

DEVICE = torch.device("cuda", 0)


class Synchronised(Exception):
    """The program would have waited for the device."""


@dataclass(frozen=True)
class Stream:
    """Where work is enqueued; there is one."""

    device: torch.device


class SimulatedDevice:
    """What is enqueued, and how far the device has come."""

    def __init__(self) -> None:
        self.enqueued = 0
        self.done = 0
        self.waits = 0
        """How often an event was waited for that had not come."""
        self.capturing = False
        self.has_failed = False
        """Whether every question about its work is answered with an error, as after a failed assertion in a kernel."""
        self._queue: deque[Callable[[], None]] = deque()

    def enqueue(self, work: Callable[[], None]) -> None:
        self._queue.append(work)
        self.enqueued += 1

    def go_on(self, until: int) -> None:
        """Do what is enqueued, as far as the piece of that number."""
        while self.done < min(until, self.enqueued):
            self._queue.popleft()()
            self.done += 1

    def tensor(self, value: Any, dtype: torch.dtype = torch.float32) -> SimulatedTensor:
        """A tensor on the device."""
        plain = torch.tensor(value, dtype=dtype)
        made = SimulatedTensor(plain, self)
        made.plain = plain
        return made


class SimulatedTensor(torch.Tensor):
    """A tensor on a simulated device; ``plain`` is what it holds once the work that computes it is done."""

    plain: torch.Tensor
    on: SimulatedDevice

    @staticmethod
    def __new__(cls, like: torch.Tensor, on: SimulatedDevice) -> SimulatedTensor:
        made: SimulatedTensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, like.size(), dtype=like.dtype, device=DEVICE
        )
        made.on = on
        return made

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"SimulatedTensor(shape={tuple(self.shape)}, dtype={self.dtype})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        on = next(value.on for value in tree_leaves((args, kwargs)) if isinstance(value, SimulatedTensor))
        if func is torch.ops.aten.copy_.default and not isinstance(args[0], SimulatedTensor):
            if not (kwargs.get("non_blocking") or (len(args) > 2 and args[2])):
                raise Synchronised(func)
            landing, source = args[0], args[1]
            on.enqueue(lambda: void(landing.copy_(source.plain)))
            return landing
        if func is torch.ops.aten._local_scalar_dense.default or str(kwargs.get("device", DEVICE)) == "cpu":
            raise Synchronised(func)
        kwargs = {name: value for name, value in kwargs.items() if name != "device"}
        result = func(*_mapped(args, _meta), **_mapped(kwargs, _meta))
        made = args[0] if func._schema.is_mutable else SimulatedTensor(result, on)

        def work() -> None:
            found = func(*_mapped(args, _plain), **_mapped(kwargs, _plain))
            if not func._schema.is_mutable:
                made.plain = found

        on.enqueue(work)
        return made


def void(result: object) -> None:
    """Nothing, whatever was done."""


def _mapped(values: Any, change: Callable[[SimulatedTensor], torch.Tensor]) -> Any:
    return tree_map_only(SimulatedTensor, change, values)


def _meta(tensor: SimulatedTensor) -> torch.Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")


def _plain(tensor: SimulatedTensor) -> torch.Tensor:
    return tensor.plain


def simulate(monkeypatch: pytest.MonkeyPatch) -> SimulatedDevice:
    """Have ``torch.cuda`` speak of a simulated device: its streams, its events, its pinned memory."""
    device = SimulatedDevice()

    class Event:
        def record(self, stream: Stream) -> None:
            self.at = device.enqueued

        def query(self) -> bool:
            assert not device.capturing, "asking for an event breaks a capture"
            if device.has_failed:
                raise RuntimeError("CUDA error: device-side assert triggered")
            return device.done >= self.at

        def synchronize(self) -> None:
            device.waits += not self.query()
            device.go_on(self.at)

    stream, empty = Stream(DEVICE), torch.empty
    monkeypatch.setattr(arrivals, "_landings", arrivals._Landings())  # nothing of another device's pinned memory
    monkeypatch.setattr(torch.cuda, "current_stream", lambda of: stream)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: device.capturing)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch, "empty", lambda *sizes, pin_memory=False, **options: empty(*sizes, **options))
    return device
