"""What a decorated call returned, kept without its graph: numbers as floats, tensors detached.

Knows torch without importing it: a value can only be a tensor when the user has imported torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from neurockt.errors import UsageError


class Arrival(Protocol):
    """A number on its way from an accelerator."""

    def ready(self) -> bool:
        """Whether the number has arrived; never waits."""

    def wait(self) -> float:
        """The number; waits for it if it must."""


class Partial(NamedTuple):
    """Part of a mean: the sum of some elements, and how many they were."""

    total: Any
    """A float, or a 0-d tensor on an accelerator."""
    elements: int


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a ``torch.Tensor``."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def detached(value: Any) -> Any:
    """``value`` as a user's own aggregator gets it: a tensor without its graph, in storage of its own."""
    return unwrapped(value.detach()).clone() if is_tensor(value) else value


def is_on_cuda(value: Any) -> bool:
    """Whether ``value`` is a tensor on a CUDA device."""
    return is_tensor(value) and bool(value.is_cuda)


def is_capturing() -> bool:
    """Whether a CUDA graph is being captured here: what is called is only noted down, and has no value yet."""
    return bool(sys.modules["torch"].cuda.is_current_stream_capturing())


def current_stream(tensor: Any) -> Any:
    """The stream on which work on the tensor's device is enqueued now."""
    return sys.modules["torch"].cuda.current_stream(tensor.device)


def join_streams(streams: Iterable[Any], values: Iterable[Any]) -> None:
    """Let the streams that are current now wait, on the device, for those on which the values are computed."""
    cuda = sys.modules["torch"].cuda
    for stream in streams:
        current = cuda.current_stream(stream.device)
        if current != stream:
            current.wait_stream(stream)
            for value in values:
                tensor = value.total if isinstance(value, Partial) else value
                if is_on_cuda(tensor) and tensor.device == stream.device:
                    tensor.record_stream(current)  # else its memory might be given out while it is still read


def unwrapped(tensor: Any) -> Any:
    """A tensor out of what ``torch.func`` wraps it in while it transforms a function; within ``vmap``, the whole batch.

    A wrapper is good only as long as the transform runs, and ``vmap``'s has no numbers to read.
    """
    functorch = getattr(sys.modules["torch"]._C, "_functorch", None)
    while functorch is not None and functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def partial(value: Any) -> float | Partial:
    """``value`` as the built-in mean keeps it: a number as a float, several as their sum and count.

    A tensor is reduced where it is, in float64 (float32 where the device has no float64), and not waited for.
    """
    if isinstance(value, (int, float)):
        return float(value)
    if is_tensor(value):
        return _partial_of_tensor(value.detach())
    size = getattr(value, "size", None)
    if isinstance(size, int) and hasattr(value, "sum"):  # a numpy array or scalar
        return float(value) if size == 1 else Partial(float(value.sum(dtype="float64")), size)
    return value  # type: ignore[no-any-return]  # no number: named as an error when the block ends


def _partial_of_tensor(tensor: Any) -> float | Partial:
    if tensor.is_cpu:
        if tensor.numel() == 1:
            try:
                return float(tensor.item())
            except RuntimeError:
                plain = unwrapped(tensor)
                if plain is tensor:
                    raise
                return _partial_of_tensor(plain.detach())
        tensor = unwrapped(tensor)
        return Partial(float(tensor.double().sum().item()), tensor.numel())
    torch = sys.modules["torch"]
    tensor = unwrapped(tensor)
    wide = torch.float32 if tensor.device.type == "mps" else torch.float64
    return Partial(tensor.sum(dtype=wide), tensor.numel())


def number(value: Any) -> float | Arrival:
    """What an aggregator returned, as a float, or as a float on its way.

    Raises:
        UsageError: it is no single real number.
    """
    if is_tensor(value) and value.numel() == 1 and not value.is_complex():
        tensor = value.detach()
        return float(tensor.item()) if tensor.is_cpu else arrival_of(tensor)
    if isinstance(value, (str, bytes)) or value is None or getattr(value, "size", 1) != 1 or is_tensor(value):
        raise UsageError(f"one number is wanted, not {_describe(value)}")
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"one number is wanted, not {_describe(value)} ({error})") from None


def _describe(value: Any) -> str:
    shape = getattr(value, "shape", None)
    kind = type(value).__name__
    return f"a {kind} of shape {tuple(shape)}" if shape else f"{kind} {str(value)[:60]!r}"


def arrival_of(tensor: Any) -> Arrival:
    """Start copying a one-element tensor from its device, without waiting for the device."""
    if tensor.device.type == "cuda":
        return _CudaArrival(tensor)
    return _Immediate(float(tensor.item()))  # no asynchronous copy on this device: torch waits for it


class _Immediate:
    def __init__(self, value: float) -> None:
        self._value = value

    def ready(self) -> bool:
        return True

    def wait(self) -> float:
        return self._value


class _Landings:
    """Pinned memory for the numbers on their way: a float64 each, used over and over."""

    SLOTS: Final = 256
    """Slots that are made at a time; a step has a few numbers on their way."""

    def __init__(self) -> None:
        self._free: list[Any] = []

    def take(self) -> Any:
        """A slot that nothing is copied to; a 0-d tensor."""
        try:
            return self._free.pop()
        except IndexError:
            torch = sys.modules["torch"]
            slots = torch.empty(self.SLOTS, dtype=torch.float64, pin_memory=True).unbind()
            self._free.extend(slots[1:])
            return slots[0]

    def give_back(self, landing: Any) -> None:
        """The slot has been read."""
        self._free.append(landing)


_landings: Final = _Landings()


class _CudaArrival:
    """Copied into pinned memory behind the work that computes it; an event tells when."""

    def __init__(self, tensor: Any) -> None:
        cuda = sys.modules["torch"].cuda
        self._landing = _landings.take()
        self._value = 0.0
        with cuda.device(tensor.device):
            self._source = tensor.double().reshape(())  # kept until it has been copied
            self._landing.copy_(self._source, non_blocking=True)
            self._event = cuda.Event()
            self._event.record()

    def ready(self) -> bool:
        return not is_capturing() and bool(self._event.query())  # asking amid a capture would break it

    def wait(self) -> float:
        if self._landing is not None:
            self._event.synchronize()
            self._value = float(self._landing.item())
            _landings.give_back(self._landing)
            self._landing = self._source = None
        return self._value
