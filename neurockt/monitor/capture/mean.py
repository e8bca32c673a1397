"""The values of a block become one number a column."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neurockt.monitor.capture.tensors import Partial, is_tensor, partial

Aggregator = Callable[[list[Any]], Any]
"""Takes the values that a block collected, gives one number: an int, a float, a bool, a 0-d tensor or array."""


def torch_mean(values: Sequence[Any]) -> Any:
    """The mean over all elements of all values: numbers, arrays and tensors of any shape.

    Elements count alike, so a last batch that is smaller weighs less. Summed in float64. On an accelerator the result
    stays there, as a 0-d tensor; else it is a float.
    """
    return mean([partial(value) for value in values])


def mean(values: Sequence[float | Partial]) -> Any:
    """The mean of what ``partial`` made of each value."""
    total, count = summed(values)
    return total / count if count else float("nan")


def summed(values: Sequence[float | Partial]) -> Partial:
    """What ``partial`` made of each value, as one."""
    total: Any = 0.0
    count = 0
    for value in values:
        if isinstance(value, Partial):
            total = _add(total, value.total)
            count += value.elements
        else:
            total += value
            count += 1
    return Partial(total, count)


def _add(total: Any, more: Any) -> Any:
    """Sums on two devices meet on the second's."""
    if is_tensor(total) and is_tensor(more) and total.device != more.device:
        total = total.to(more.device, non_blocking=True)
    return total + more
