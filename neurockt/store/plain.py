"""Values as strict JSON: what a config or a note holds, in types any language can read back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

TEXT_LIMIT: Final = 10_000
"""Characters kept of a value that has no JSON type of its own."""

_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def plain(value: Any) -> Any:
    """``value`` in JSON types: mappings, sequences and numbers as such, everything else as its text.

    NaN and the infinities become the strings ``NaN``, ``Infinity`` and ``-Infinity``, since JSON has no such numbers.
    """
    if value is None or isinstance(value, (bool, str)):
        return _encodable(value) if isinstance(value, str) else value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return number(float(value))
    if isinstance(value, Mapping):
        return {_encodable(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item())
    return _encodable(str(value)[:TEXT_LIMIT])


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
    """A config as a dict: from a mapping, a dataclass, an ``argparse.Namespace``, or anything with attributes."""
    if config is None:
        return {}
    if isinstance(config, Mapping) or hasattr(config, "keys"):
        return {str(key): config[key] for key in config.keys()}  # noqa: SIM118  (OmegaConf has keys, yet is no Mapping)
    return {str(key): item for key, item in vars(config).items() if not str(key).startswith("_")}
