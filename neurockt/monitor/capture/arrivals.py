"""Numbers on their way from a CUDA device, which the training loop does not wait for.

Each is copied into pinned memory of its own, in its own type, on the stream that is current where it is given. Does not
import torch, as ``tensors`` does not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from neurockt.store.journal.records import NULL


def is_capturing() -> bool:
    """Whether a CUDA graph is being captured: calls are only noted down, and have no values yet."""
    return bool(sys.modules["torch"].cuda.is_current_stream_capturing())


def current_stream(tensor: Any) -> Any:
    return sys.modules["torch"].cuda.current_stream(tensor.get_device())  # by its number, which is looked up faster


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
