"""What ``log`` is given, as the cells of a row: nested names joined, vectors spread, numbers as floats."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final

from neurockt.errors import InvalidName, UsageError
from neurockt.monitor.capture.arrivals import arrivals, is_capturing
from neurockt.monitor.capture.collectors import Cell
from neurockt.monitor.capture.tensors import describe, is_on_cuda, is_tensor, number, problem, single
from neurockt.monitor.names import check_metric_name
from neurockt.store.base.layout import AXES, KEY

SEPARATOR: Final = "/"
VECTOR_LIMIT: Final = 100
"""Most elements of a vector that are recorded, each as a column of its own."""
DEPTH_LIMIT: Final = 16
"""How deep mappings may be nested."""
RESERVED: Final = frozenset({*AXES, *KEY.values()})
"""Columns of the tables themselves: a value of that name gets ``trainer/`` before it."""

Warn = Callable[[str, str], None]
"""Called with a name, and why its value is left out."""


def cells(values: Mapping[Any, Any], known: Container[str], warn: Warn) -> dict[str, Cell]:
    """The numbers in ``values`` by the name of their column; what is not a number is left out with a warning.

    Names that are not ``known`` are checked. Numbers on a CUDA device are not waited for: those of each device
    and type are copied together.
    """
    found: dict[str, Cell] = {}
    on_device: dict[str, Any] = {}
    for name, value in leaves(values, known, warn):
        try:
            is_here = not is_on_cuda(value)
            if not is_here and is_capturing():
                continue  # a captured graph computes its values when it is replayed
            found.pop(name, None)
            on_device.pop(name, None)
            if is_here or (one := single(value)) is None:
                found[name] = number(value)
            else:
                on_device[name] = one
        except Exception as error:
            warn(name, problem(value, error))
    if on_device:
        found.update(zip(on_device, arrivals(list(on_device.values())), strict=True))
    return found


def leaves(values: Mapping[Any, Any], known: Container[str], warn: Warn) -> Iterator[tuple[str, Any]]:
    """What may be a number, by the name of its column: nested names joined, vectors spread, None left out."""
    for name, value in _spread(values, "", warn):
        if value is None:
            continue
        try:
            if name not in known:
                check_metric_name(name)
        except InvalidName as error:
            warn(name, str(error))
        else:
            yield name, value


def _spread(values: Mapping[Any, Any], prefix: str, warn: Warn, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Any of the objects may raise when it is read."""
    try:
        items = list(values.items())
    except Exception as error:
        warn(prefix[: -len(SEPARATOR)] or "values", problem(values, error))
        return
    for key, value in items:
        name = prefix
        try:
            name = f"{prefix}{key}"
            if name in RESERVED:
                name = f"trainer{SEPARATOR}{name}"
            is_mapping = isinstance(value, Mapping)
            if is_mapping and depth >= DEPTH_LIMIT:
                raise UsageError(f"expected one number, got mappings more than {DEPTH_LIMIT} deep")
            elements = None if is_mapping else _elements(value)
        except Exception as error:
            warn(name, problem(value, error))
            continue
        if is_mapping:
            yield from _spread(value, f"{name}{SEPARATOR}", warn, depth + 1)
        elif elements is None:
            yield name, value
        else:
            yield from ((f"{name}{SEPARATOR}{index}", element) for index, element in enumerate(elements))


def _vector_size(value: Any) -> int | None:
    """The number of elements of a vector; None for any other value. An array of one element is that number."""
    if isinstance(value, (list, tuple)):
        return len(value)
    shape = () if is_tensor(value) and value.is_nested else getattr(value, "shape", ())
    if not isinstance(shape, tuple) or len(shape) != 1 or not hasattr(value, "dtype"):
        return None
    return int(shape[0]) if shape[0] != 1 else None


def _elements(value: Any) -> list[Any] | None:
    """Those of a vector, None for any other value. Raises UsageError for a long vector."""
    size = _vector_size(value)
    if size is None:
        return None
    if size > VECTOR_LIMIT:
        raise UsageError(f"expected a number, or a vector of up to {VECTOR_LIMIT} of them, got {describe(value)}")
    if is_on_cuda(value):
        return [value.detach().select(0, index) for index in range(size)]
    value = value.detach() if is_tensor(value) else value
    return list(value.tolist() if hasattr(value, "tolist") else value)
