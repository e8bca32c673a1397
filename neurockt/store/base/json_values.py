"""Any value of Python as strict JSON: what a config or a note holds, in types that every language reads back."""

from __future__ import annotations

import dataclasses
import enum
import math
import numbers
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from datetime import date
from itertools import islice
from typing import Any, Final

from neurockt.errors import UsageError

TEXT_LIMIT: Final = 10_000
"""Characters kept of a value that has no JSON type of its own."""
ARRAY_LIMIT: Final = 1_000
"""Numbers of an array that is kept as numbers; a longer array is kept as its text."""
DEPTH_LIMIT: Final = 64
"""Levels of a nested value. ``ELLIPSIS`` replaces what is deeper, and a value that contains itself."""
SIZE_LIMIT: Final = 100_000
"""Values in one value, each 100 characters of text counted as one. ``ELLIPSIS`` replaces the rest."""
INTEGER_BITS: Final = 2048
"""A longer integer is kept as hexadecimal text: Python reads no number of more than 4,300 digits."""
ELLIPSIS: Final = "…"

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_CONTAINERS: Final = (dict, list, tuple)
"""The types of most containers; these are not examined."""
_TEXTS: Final = (str, bytes, bytearray, memoryview, range)
_NAMED: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def plain(value: Any) -> Any:
    """``value`` in JSON types; never raises. Numbers, mappings, sequences and objects with fields keep their structure.

    Objects with fields are dataclasses, named tuples, namespaces, and the models of attrs, msgspec, pydantic and
    OmegaConf. An enum becomes its name, a class or function its dotted name, a date ISO 8601, everything else its text.
    NaN and the infinities become the strings ``NaN``, ``Infinity`` and ``-Infinity``: JSON has no such numbers.
    """
    return _Plain().convert(value, ())


class _Plain:
    """One conversion: counts what it has converted, so that no value takes for ever or fills the disk."""

    def __init__(self) -> None:
        self._left = SIZE_LIMIT

    def convert(self, value: Any, within: tuple[int, ...]) -> Any:
        """``value`` in JSON types; ``within`` has the identities of the values that contain it."""
        self._left -= 1
        if self._left < 0:
            return ELLIPSIS
        kind = type(value)
        if value is None or kind is bool:  # what nearly all values are comes first
            return value
        if kind is str:
            return self._text(value)
        if kind is float:
            return number(value)
        if kind is int and value.bit_length() <= INTEGER_BITS:
            return value
        try:
            return self._nested(value, within) if kind in _CONTAINERS else self._convert(value, within)
        except Exception as error:  # a user's class may do anything
            return self._text(_refusal(value, error), TEXT_LIMIT)

    def _convert(self, value: Any, within: tuple[int, ...]) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, (int, numbers.Integral)):
            whole = int(value)
            return whole if whole.bit_length() <= INTEGER_BITS else self._text(hex(whole), TEXT_LIMIT)
        if isinstance(value, (float, numbers.Real)) and (real := _as_float(value)) is not None:
            return number(real)
        return self._nested(value, within)

    def _nested(self, value: Any, within: tuple[int, ...]) -> Any:
        if id(value) in within or len(within) >= DEPTH_LIMIT:
            return ELLIPSIS
        parts = value if type(value) in _CONTAINERS else _parts(value)
        inside = (*within, id(value))
        if isinstance(parts, Mapping):
            return {name: self.convert(item, inside) for name, item in self._first(_with_text_keys(parts))}
        if isinstance(parts, str):
            return self._text(parts, TEXT_LIMIT)
        if isinstance(parts, Sequence) and not isinstance(parts, _TEXTS):
            return [self.convert(item, inside) for item in self._first(parts)]
        return self.convert(parts, inside)

    def _first(self, items: Iterable[Any]) -> Iterator[Any]:
        """The items, until the limit is reached; one more, so that the end shows."""
        for item in items:
            yield item
            if self._left < 0:
                return

    def _text(self, text: str, limit: int | None = None) -> str:
        sound = _sound(text)
        limit = 100 * self._left + TEXT_LIMIT if limit is None else limit
        self._left -= min(len(sound), limit) // 100
        return sound[:limit]


def _refusal(value: Any, error: Exception) -> str:
    try:
        return _ADDRESS.sub("", f"{type(value).__qualname__} that cannot be read: {error!r}")
    except Exception:
        return f"value that cannot be read: {type(error).__name__}"


def _as_float(value: Any) -> float | None:
    with suppress(OverflowError):
        found = float(value)
        if isinstance(value, float) or not math.isinf(found) or value == found:
            return found
    return None


def _sound(text: str) -> str:
    """The text as UTF-8 can hold it, a plain ``str``."""
    if type(text) is str and text.isascii():
        return text
    return str.encode(text, "utf-8", "replace").decode()


def _with_text_keys(mapping: Mapping[Any, Any]) -> Iterable[tuple[str, Any]]:
    """Keys as text; where several have one text, the later ones are numbered."""
    is_small = type(mapping) is dict and len(mapping) <= SIZE_LIMIT
    if is_small and all(type(key) is str and key.isascii() and len(key) <= TEXT_LIMIT for key in mapping):
        return mapping.items()
    return _with_distinct_keys(mapping)


def _with_distinct_keys(mapping: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    counts: dict[str, int] = {}
    for key, item in mapping.items():
        name = text = _sound(_key_text(key)[:TEXT_LIMIT])
        while name in counts:
            counts[text] += 1
            name = f"{text} ({counts[text]})"
        counts[name] = 1
        yield name, item


def _key_text(key: Any) -> str:
    try:
        return key.name if isinstance(key, enum.Enum) and not isinstance(key, str) else str(key)
    except Exception as error:  # one bad key must not hide the others
        return _refusal(key, error)


def _parts(value: Any) -> Any:
    if isinstance(value, _NAMED):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, date):
        return value.isoformat()
    fields = _fields(value)
    if fields is not None:
        return fields
    if isinstance(value, Set):
        return sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        return value
    with suppress(Exception):  # a tensor may refuse to give its numbers, but not its text
        return _numbers(value)
    return _ADDRESS.sub("", str(value))


def _numbers(value: Any) -> Any:
    """The content of an array or tensor that is not too large; raises TypeError for another kind of value."""
    if getattr(getattr(value, "dtype", None), "kind", "") in ("m", "M"):
        value = value.astype(str)  # as integers, moments would mean nothing
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        item = value.item()
        return str(value) if isinstance(item, type(value)) else item
    if hasattr(value, "tolist") and 0 < math.prod(getattr(value, "shape", (0,))) <= ARRAY_LIMIT:
        return value.tolist()
    raise TypeError


def text_of(value: Any) -> str | None:
    found = plain(value)
    return found if found is None or isinstance(found, str) else str(found)


def texts_of(value: Any) -> tuple[str, ...]:
    found = plain(list(value) if isinstance(value, Iterator) else value)
    items = found if isinstance(found, (list, dict)) else [found]
    return tuple(str(item) for item in items if item is not None)


def _fields(value: Any) -> Mapping[Any, Any] | list[Any] | None:
    """The content of a mapping or of what has fields, and of OmegaConf's lists; None for everything else."""
    if (container := _omegaconf(value)) is not None:
        return container
    kind = type(value)
    if isinstance(value, Mapping):
        return value
    names: Any = None
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
    elif hasattr(kind, "__struct_fields__"):
        names = kind.__struct_fields__
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        names = kind._fields
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    elif hasattr(kind, "__pydantic_fields__"):
        names = [*kind.__pydantic_fields__, *(value.__pydantic_extra__ or ())]
    elif isinstance(value, types.SimpleNamespace) or _is_from("argparse", "Namespace", value):
        names = [name for name in vars(value) if not name.startswith("_")]
    elif all(hasattr(value, name) for name in ("keys", "items", "__getitem__")) and not hasattr(value, "shape"):
        return {key: value[key] for key in value.keys()}  # noqa: SIM118  (such as ml_collections.ConfigDict)
    return None if names is None else {name: getattr(value, name, None) for name in names}


def _is_from(module: str, name: str, value: Any) -> bool:
    """Whether a value is of a class in a module, which is not loaded for this."""
    return isinstance(value, _loaded(module, name) or ())


def _loaded(module: str, name: str) -> Any:
    """A class of a module; None where that is not loaded, or is being loaded by another thread."""
    return getattr(sys.modules.get(module), name, None)


def _omegaconf(value: Any) -> dict[Any, Any] | list[Any] | None:
    omegaconf = _loaded("omegaconf", "OmegaConf")
    if omegaconf is None or not omegaconf.is_config(value):
        return None
    try:
        found = omegaconf.to_container(value, resolve=True)
    except Exception:  # one that needs what is not there yet
        found = omegaconf.to_container(value, resolve=False)
    return found if isinstance(found, (dict, list)) else {}


def number(value: float | None) -> float | str | None:
    """A float as JSON holds it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def mapping_of(config: Any) -> dict[str, Any]:
    """A config as a dict: from a mapping, or from an object with fields or attributes; else raises UsageError."""
    if config is None:
        return {}
    try:
        fields = None if isinstance(config, type) else _fields(config)
        if fields is None and not isinstance(config, (*_TEXTS, Set, Sequence)) and hasattr(config, "__dict__"):
            fields = {key: item for key, item in vars(config).items() if not str(key).startswith("_")}
        if isinstance(fields, Mapping):
            return dict(islice(_with_text_keys(fields), SIZE_LIMIT))
    except Exception as error:
        raise UsageError(f"the config cannot be read: {_refusal(config, error)}") from error
    known = "a mapping, a dataclass, an argparse.Namespace or an object with attributes"
    raise UsageError(f"config must be {known}, not {type(config).__name__} {text_of(config)!r:.60}")
