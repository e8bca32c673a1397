"""Returned values without their graph: numbers as floats, tensors detached.

Does not import torch: a value can only be a tensor if the user has imported torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from neurockt.errors import UsageError
from neurockt.formatting import clean
from neurockt.monitor.capture.arrivals import Arrival, arrivals

NUMERIC_KINDS: Final = "biuf"
"""Of numpy's kinds of types, those of real numbers."""
BIG: Final = 10**18


class Partial(NamedTuple):
    """Part of a mean: the sum of some elements, and their number."""

    total: Any
    """A float, one on its way, or a 0-d tensor on an accelerator."""
    elements: int


class NotNumeric(NamedTuple):
    description: str


def is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    try:
        return torch is not None and isinstance(value, torch.Tensor)
    except Exception:  # of a proxy whose object is gone
        return False


def detached(value: Any) -> Any:
    """``value`` as a user's own aggregator gets it: a tensor without its graph, in storage of its own."""
    return unwrapped(value.detach()).clone() if is_tensor(value) else value


def is_on_cuda(value: Any) -> bool:
    return is_tensor(value) and bool(value.is_cuda)


def join_streams(streams: Iterable[Any], values: Iterable[Any]) -> None:
    """Have the current streams wait, on the device, for those on which the values are computed."""
    cuda = sys.modules["torch"].cuda
    for stream in streams:
        current = cuda.current_stream(stream.device)
        if current != stream:
            current.wait_stream(stream)
            for value in values:
                tensor = value.total if isinstance(value, Partial) else value
                if is_on_cuda(tensor) and tensor.device == stream.device:
                    tensor.record_stream(current)  # else its memory could be reused while it is still read


def unwrapped(tensor: Any) -> Any:
    """The tensor inside the wrappers of ``torch.func``; under ``vmap``, the whole batch.

    A wrapper is valid only while its transform runs, and the numbers of ``vmap``'s cannot be read.
    """
    functorch = getattr(sys.modules["torch"]._C, "_functorch", None)
    while functorch is not None and functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def captured(value: Any) -> float | Partial | NotNumeric:
    """``partial`` of a value that may change in place: what a CUDA device has computed is on its way. Never raises."""
    part: float | Partial | NotNumeric
    if not is_on_cuda(value):
        return partial(value)
    try:
        if (one := single(value)) is not None:
            return Partial(arrivals([one])[0], 1)
        part = partial(value)
        return Partial(arrivals([part.total])[0], part.elements) if isinstance(part, Partial) else part
    except Exception as error:
        return NotNumeric(_unreadable(value, error))


def single(tensor: Any) -> Any:
    """A tensor of one real number without its graph, 0-d; None for any other."""
    tensor = unwrapped(tensor.detach())
    if tensor.is_nested or tensor.is_complex() or tensor.is_quantized or tensor.numel() != 1:
        return None
    return tensor.reshape(()) if tensor.dim() else tensor


def partial(value: Any) -> float | Partial | NotNumeric:
    """``value`` as the built-in mean keeps it: a number as a float, several as their sum and count.

    A tensor is reduced where it is, in float64 (float32 on MPS), and not waited for. Never raises: the call that is
    recorded must not fail. What is not numeric is reported when the block ends.
    """
    try:
        if isinstance(value, (int, float)):
            return float(value)
        if is_tensor(value):
            return _partial_of_tensor(value.detach())
        size = getattr(value, "size", None)
        if isinstance(size, int) and hasattr(value, "dtype"):  # a numpy array or scalar
            if getattr(value.dtype, "kind", "") in NUMERIC_KINDS:
                if hasattr(value, "compressed"):  # masked elements are no values
                    value = value.compressed()
                    size = value.size
                return float(value.item()) if size == 1 else Partial(float(value.sum(dtype="float64")), size)
        elif hasattr(value, "__float__"):
            return float(value)
    except Exception as error:
        return NotNumeric(_unreadable(value, error))
    return NotNumeric(describe(value))


def _partial_of_tensor(tensor: Any) -> float | Partial | NotNumeric:
    if tensor.is_cpu and tensor.numel() == 1:
        try:
            return float(tensor.item())
        except (RuntimeError, TypeError):
            pass  # wrapped by torch.func, complex or nested
    tensor = unwrapped(tensor).detach()
    if tensor.is_nested or tensor.is_complex():
        return NotNumeric(describe(tensor))
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.is_cpu:
        elements = tensor.numel()
        return float(tensor.item()) if elements == 1 else Partial(float(tensor.double().sum().item()), elements)
    torch = sys.modules["torch"]
    wide = torch.float32 if tensor.device.type == "mps" else torch.float64
    return Partial(tensor.sum(dtype=wide), tensor.numel())


def number(value: Any) -> float | Arrival:
    """A result as a float, or as one on its way. Raises UsageError if it is not one real number."""
    if isinstance(value, Arrival):
        return value
    if is_on_cuda(value) and (one := single(value)) is not None:
        return arrivals([one])[0]
    part = partial(value)
    if isinstance(part, NotNumeric):
        raise UsageError(f"expected one number, got {part.description}")
    if not isinstance(part, Partial):
        return part
    if part.elements != 1:
        raise UsageError(f"expected one number, got {describe(value)}; reduce it, with .mean() for example")
    return float(part.total)  # other devices have no asynchronous copy: torch waits for them


def problem(value: Any, error: Exception) -> str:
    """Why a value is not recorded: it was refused, or raised this when it was read."""
    return str(error) if isinstance(error, UsageError) else f"expected one number, got {_unreadable(value, error)}"


def _unreadable(value: Any, error: Exception) -> str:
    return f"{describe(value)} ({error_line(error)})"


def describe(value: Any) -> str:
    """A value in a few words. Never raises."""
    kind = type(value).__name__
    try:
        if value is None:
            return "None"
        if is_tensor(value) and (value.is_nested or not value.dim()):
            return f"a nested {kind}" if value.is_nested else f"a {kind} of type {value.dtype}"
        if shape := getattr(value, "shape", None):
            return f"a {kind} of shape {tuple(shape)}, type {getattr(value, 'dtype', '?')}"
        if isinstance(value, int) and not -BIG < value < BIG:  # its text may be too long to make
            return f"an int of {value.bit_length()} bits"
        return f"{kind} {clean(repr(value), 60)}"
    except Exception:
        return f"a {kind}"


def error_line(error: Exception) -> str:
    """Type and first line of an error; those of torch have dozens."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
