"""Returned values without their graph: numbers as floats, tensors detached.

Does not import torch: a value can only be a tensor if the user has imported torch.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from neurockt.errors import UsageError
from neurockt.formatting import clean
from neurockt.store.journal.records import NULL

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
    return torch is not None and isinstance(value, torch.Tensor)


def detached(value: Any) -> Any:
    """``value`` as a user's own aggregator gets it: a tensor without its graph, in storage of its own."""
    return unwrapped(value.detach()).clone() if is_tensor(value) else value


def is_on_cuda(value: Any) -> bool:
    return is_tensor(value) and bool(value.is_cuda)


def is_capturing() -> bool:
    """Whether a CUDA graph is being captured: calls are only noted down, and have no values yet."""
    return bool(sys.modules["torch"].cuda.is_current_stream_capturing())


def current_stream(tensor: Any) -> Any:
    return sys.modules["torch"].cuda.current_stream(tensor.get_device())  # by its number, which is looked up faster


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
        return NotNumeric(f"{describe(value)} ({error_line(error)})")


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
                return float(value.item()) if size == 1 else Partial(float(value.sum(dtype="float64")), size)
        elif hasattr(value, "__float__"):
            return float(value)
    except Exception as error:
        return NotNumeric(f"{describe(value)} ({error_line(error)})")
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


def describe(value: Any) -> str:
    kind = type(value).__name__
    if value is None:
        return "None"
    if is_tensor(value) and (value.is_nested or not value.dim()):
        return f"a nested {kind}" if value.is_nested else f"a {kind} of type {value.dtype}"
    if shape := getattr(value, "shape", None):
        return f"a {kind} of shape {tuple(shape)}, type {getattr(value, 'dtype', '?')}"
    if isinstance(value, int) and not -BIG < value < BIG:  # its text may be too long to make
        return f"an int of {value.bit_length()} bits"
    try:
        return f"{kind} {clean(repr(value), 60)}"
    except Exception:
        return f"a {kind}"


def error_line(error: Exception) -> str:
    """Type and first line of an error; those of torch have dozens."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


class _Landing(NamedTuple):
    """Pinned memory for one number, and the event of its arrival."""

    target: Any
    event: Any


class _Landings:
    """Landings that are reused: of each device, and for numbers of each type."""

    SLOTS: Final = 256
    """Number of landings to make at once; a step needs a few."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, Any], list[_Landing]] = {}

    def take(self, device: int, dtype: Any) -> _Landing:
        try:
            return self._free[device, dtype].pop()
        except LookupError:
            torch = sys.modules["torch"]
            targets = torch.empty(self.SLOTS, dtype=dtype, pin_memory=True).unbind()
            made = [_Landing(target, torch.cuda.Event()) for target in targets]
            self._free[device, dtype] = made[1:]
            return made[0]

    def give_back(self, device: int, landing: _Landing) -> None:
        self._free[device, landing.target.dtype].append(landing)


_landings: Final = _Landings()


class Arrival:
    """A number on its way from a CUDA device."""

    @property
    def error(self) -> Exception | None:
        """Why the number is lost, where the device has failed."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it has arrived; never waits."""
        raise NotImplementedError

    def wait(self) -> float:
        """The number; ``NULL`` where it is lost."""
        raise NotImplementedError


class _Copy:
    """Numbers of one CUDA device, copied into pinned memory together, after the work that computes them."""

    def __init__(self, numbers: Any) -> None:
        """``numbers`` is a 0-d tensor, or a vector that nobody changes."""
        self._device = numbers.get_device()
        if numbers.dim():
            torch = sys.modules["torch"]
            target = torch.empty(len(numbers), dtype=numbers.dtype, pin_memory=True)
            self._landing: _Landing | None = _Landing(target, torch.cuda.Event())
        else:
            self._landing = _landings.take(self._device, numbers.dtype)
        self._values: list[float] = []
        self.error: Exception | None = None
        self._landing.target.copy_(numbers, non_blocking=True)
        self._landing.event.record(current_stream(numbers))

    def is_done(self) -> bool:
        if self._landing is None:
            return True
        try:
            return not is_capturing() and bool(self._landing.event.query())  # a query would break the capture
        except RuntimeError:
            return True  # the device has failed, and nothing will arrive any more

    def wait(self) -> list[float]:
        if (landing := self._landing) is not None:
            target = landing.target
            try:
                landing.event.synchronize()
                self._values = [float(number) for number in (target.tolist() if target.dim() else [target.item()])]
                if not target.dim():
                    _landings.give_back(self._device, landing)
            except RuntimeError as error:
                self._values = [NULL] * target.numel()
                self.error = error
            self._landing = None
        return self._values


class _Copied(Arrival):
    def __init__(self, copy: _Copy, index: int = 0) -> None:
        self._copy = copy
        self._index = index

    @property
    def error(self) -> Exception | None:
        return self._copy.error

    def ready(self) -> bool:
        return self._copy.is_done()

    def wait(self) -> float:
        return self._copy.wait()[self._index]


class Sum(Arrival):
    """The sum of a number and of some that are on their way, or a fraction of it."""

    def __init__(self, number: Any, arrivals: Sequence[Arrival], divisor: int = 1) -> None:
        self._number = number
        self._arrivals = arrivals
        self._divisor = divisor

    def __truediv__(self, divisor: int) -> Sum:
        return Sum(self._number, self._arrivals, self._divisor * divisor)

    @property
    def error(self) -> Exception | None:
        return next((each.error for each in self._arrivals if each.error is not None), None)

    def ready(self) -> bool:
        return all(each.ready() for each in self._arrivals)

    def wait(self) -> float:
        total = float(self._number) + sum(each.wait() for each in self._arrivals)
        return NULL if self.error is not None else total / self._divisor


def arrivals(numbers: Sequence[Any]) -> list[Arrival]:
    """The numbers of 0-d tensors on CUDA devices, on their way in one copy for each device and type."""
    if len(numbers) == 1:
        return [_Copied(_Copy(numbers[0]))]
    groups: dict[tuple[Any, Any], list[int]] = {}
    for position, number in enumerate(numbers):
        groups.setdefault((number.device, number.dtype), []).append(position)
    found: dict[int, Arrival] = {}
    for positions in groups.values():
        copy = _Copy(sys.modules["torch"].stack([numbers[position] for position in positions]))
        found.update((position, _Copied(copy, index)) for index, position in enumerate(positions))
    return [found[position] for position in range(len(numbers))]
