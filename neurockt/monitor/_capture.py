"""What a decorated call returned, kept without its graph: numbers as floats, tensors detached.

Knows torch without importing it: a value can only be a tensor when the user has imported torch.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, Protocol

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


class _CudaArrival:
    """Copied into pinned memory behind the work that computes it; an event tells when."""

    def __init__(self, tensor: Any) -> None:
        torch = sys.modules["torch"]
        self._landing = torch.empty((), dtype=torch.float64, pin_memory=True)
        self._source = tensor.double().reshape(())  # kept until it has been copied
        with torch.cuda.device(tensor.device):
            self._landing.copy_(self._source, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def ready(self) -> bool:
        return bool(self._event.query())

    def wait(self) -> float:
        self._event.synchronize()
        return float(self._landing.item())
