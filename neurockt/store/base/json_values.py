"""Values as strict JSON: what a config or a note holds, in types any language can read back."""

from __future__ import annotations

import dataclasses
import enum
import math
import numbers
import re
import sys
import types
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from neurockt.errors import UsageError

TEXT_LIMIT: Final = 10_000
"""Characters kept of a value that has no JSON type of its own."""
ARRAY_LIMIT: Final = 1_000
"""Numbers of an array that is kept as such; a longer one is kept as its text."""
DEPTH_LIMIT: Final = 64
"""Levels of a nested value; deeper, and where a value holds itself, stands ``ELLIPSIS``."""
ELLIPSIS: Final = "…"

_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")
_TEXTS: Final = (str, bytes, bytearray, memoryview, range)
_NAMED: Final = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def plain(value: Any) -> Any:
    """``value`` in JSON types: numbers, mappings, sequences and what has fields as such, everything else as its text.

    What has fields are dataclasses, named tuples, namespaces, and the models of attrs, pydantic and OmegaConf. An enum
    is its name, a class or function its dotted name. NaN and the infinities become the strings ``NaN``, ``Infinity``
    and ``-Infinity``, since JSON has no such numbers.
    """
    return _plain(value, ())


def _plain(value: Any, within: tuple[int, ...]) -> Any:
    """``value``, which the values of these identities hold."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, (int, numbers.Integral)):
        return int(value)
    if isinstance(value, (float, numbers.Real)):
        return number(float(value))
    if id(value) in within or len(within) >= DEPTH_LIMIT:
        return ELLIPSIS
    try:
        parts = _parts(value)
    except Exception as error:  # a class of the user's own may do anything
        return _encodable(f"{type(value).__qualname__} that cannot be read: {error!r}"[:TEXT_LIMIT])
    inside = (*within, id(value))
    if isinstance(parts, dict):
        return {_encodable(_key(key)): _plain(item, inside) for key, item in parts.items()}
    if isinstance(parts, list):
        return [_plain(item, inside) for item in parts]
    return _plain(parts, inside)


def _key(key: Any) -> str:
    return key.name if isinstance(key, enum.Enum) and not isinstance(key, str) else str(key)


def _parts(value: Any) -> dict[Any, Any] | list[Any] | str | float | bool | None:
    """What a value consists of, or the one thing that it comes to; everything else by its text."""
    if isinstance(value, _NAMED):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, enum.Enum):
        return value.name
    fields = _fields(value)
    if fields is not None:
        return fields
    if isinstance(value, Set):
        return sorted(value, key=str)
    if isinstance(value, Sequence) and not isinstance(value, _TEXTS):
        return list(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        item = value.item()
        return str(value) if isinstance(item, type(value)) else item
    if hasattr(value, "tolist") and 0 < math.prod(getattr(value, "shape", (0,))) <= ARRAY_LIMIT:
        return value.tolist()  # type: ignore[no-any-return]
    return _ADDRESS.sub("", str(value)[:TEXT_LIMIT])


def _fields(value: Any) -> dict[Any, Any] | list[Any] | None:
    """The content of a mapping or of what has fields, and of OmegaConf's lists; None for everything else."""
    if (container := _omegaconf(value)) is not None:
        return container
    kind = type(value)
    if isinstance(value, Mapping):
        return dict(value.items())
    names: Any = None
    if dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)]
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
    return module in sys.modules and isinstance(value, getattr(sys.modules[module], name))


def _omegaconf(value: Any) -> dict[Any, Any] | list[Any] | None:
    """An OmegaConf container as dicts and lists, its interpolations resolved where all of them can be."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not omegaconf.OmegaConf.is_config(value):
        return None
    try:
        found = omegaconf.OmegaConf.to_container(value, resolve=True)
    except Exception:  # one that needs what is not there yet
        found = omegaconf.OmegaConf.to_container(value, resolve=False)
    return found if isinstance(found, (dict, list)) else {}


def number(value: float | None) -> float | str | None:
    """A float as JSON holds it."""
    if value is None or math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def from_number(value: float | str | None) -> float | None:
    """A float back from JSON."""
    if isinstance(value, str):
        return _SPECIAL[value]
    return None if value is None else float(value)


def _encodable(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def mapping_of(config: Any) -> dict[str, Any]:
    """A config as a dict: from a mapping, from what has fields as ``plain`` knows them, from anything with attributes.

    Raises:
        UsageError: it has none.
    """
    if config is None:
        return {}
    fields = None if isinstance(config, type) else _fields(config)
    if fields is None and not isinstance(config, (*_TEXTS, Set, Sequence)) and hasattr(config, "__dict__"):
        fields = {key: item for key, item in vars(config).items() if not str(key).startswith("_")}
    if not isinstance(fields, dict):
        known = "a mapping, a dataclass, an argparse.Namespace or an object with attributes"
        raise UsageError(f"config is {known}, not {type(config).__name__} {config!r:.60}")
    return {_key(key): item for key, item in fields.items()}
