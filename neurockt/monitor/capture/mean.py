"""Reduces the values of a block to one number per column."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from neurockt.errors import UsageError
from neurockt.monitor.capture.arrivals import Arrival, Sum
from neurockt.monitor.capture.tensors import NotNumeric, Partial, is_tensor, partial

Aggregator = Callable[[list[Any]], Any]
"""Takes the values that a block collected, returns one number: an int, a float, a bool, a 0-d tensor or array."""


def check_aggregator(name: str, aggregator: Any) -> None:
    """Raise UsageError for what cannot reduce a list: no callable, a function of torch, or a torchmetric."""
    if aggregator is None:
        return
    if not callable(aggregator):
        problem = f"{aggregator!r:.60} is not a function"
    elif _is_of_torch(aggregator):
        problem = f"torch's {getattr(aggregator, '__name__', 'function')} takes a tensor, not a list of values"
    elif (torchmetrics := sys.modules.get("torchmetrics")) and isinstance(
        aggregator, (torchmetrics.Metric, torchmetrics.MetricCollection)
    ):
        problem = f"{type(aggregator).__name__} is a torchmetric, to be recorded by a name of its own"
    else:
        return
    raise UsageError(
        f"aggregator of {name!r}: {problem}. Use neurockt.monitor.torch_mean, or a function that takes the list of the "
        "block's values and returns one number"
    )


def _is_of_torch(function: Any) -> bool:
    owner = getattr(function, "__objclass__", None) or getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or getattr(owner, "__module__", None) or type(owner).__module__
    return "torch" in sys.modules and str(module).partition(".")[0] == "torch" and not isinstance(function, type)


def torch_mean(values: Sequence[Any]) -> Any:
    """The mean over all elements of all values: numbers, arrays and tensors of any shape.

    All elements weigh the same, so a smaller last batch weighs less. Summed in float64. On an accelerator the result
    stays there, as a 0-d tensor; otherwise it is a float. Raises UsageError if a value is not numeric.
    """
    return mean([partial(value) for value in values])


def mean(values: Sequence[float | Partial | NotNumeric]) -> Any:
    total, count = summed(values)
    return total / count if count else float("nan")


def summed(values: Sequence[float | Partial | NotNumeric]) -> Partial:
    """The sum and the number of elements of values that ``partial`` has prepared. Raises UsageError if not numeric."""
    total: Any = 0.0
    count = 0
    arrivals: list[Arrival] = []
    for value in values:
        if isinstance(value, Partial):
            count += value.elements
            if isinstance(value.total, Arrival):
                arrivals.append(value.total)
                continue
            if is_tensor(total) and is_tensor(value.total) and total.device != value.total.device:
                total = total.to(value.total.device, non_blocking=True)
            total = total + value.total
        elif isinstance(value, NotNumeric):
            raise UsageError(
                f"expected numbers or tensors, got {value.description}. Return one number from the recorded function, "
                "or give an aggregator that takes the list of such values"
            )
        else:
            total += value
            count += 1
    return Partial(Sum(total, arrivals) if arrivals else total, count)
