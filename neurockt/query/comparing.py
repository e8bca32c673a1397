"""Comparisons of a run's value with the text of a filter."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

Matcher = Callable[[str], bool]

Comparison = Callable[[Any, Any], bool]

COMPARISONS: Final[dict[str, Comparison]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "!=": operator.ne,
    "==": operator.eq,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}

_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_number(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None


def parse_duration(written: str) -> float | None:
    """Seconds, from ``90``, ``2h`` or ``1h30m``."""
    if not _DURATION.fullmatch(written):
        return parse_number(written)
    return sum(float(part) * _UNIT_SECONDS[unit] for part, unit in re.findall(r"([\d.]+)([smhdw])", written))


def parse_share(written: str) -> float | None:
    """A share, from ``0.5`` or ``50%``."""
    found = parse_number(written.removesuffix("%"))
    return found / 100 if found is not None and written.endswith("%") else found


PARSERS: Final[dict[str, Callable[[str], float | None]]] = {
    "number": parse_number,
    "share": parse_share,
    "duration": parse_duration,
}
"""How a value is read that a field of this kind is compared with; None where it is not one."""


def as_text(value: Any) -> str:
    """A config's value as a user writes it: true and false as in JSON."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_texts(value: Any) -> list[str]:
    return [as_text(item) for item in _items(value) if item is not None]


def numbers_compare(compare: Comparison, value: float | None, wanted: float) -> bool:
    """Compare a metric with a number; NaN equals NaN, so that diverged runs can be found."""
    if value is None:
        return False
    if wanted != wanted and value != value:
        return compare is operator.eq
    return bool(compare(value, wanted))


def values_compare(compare: Comparison, value: Any, text: str, number: float | None, matches: Matcher) -> bool:
    """Compare a config's value with a text, which ``number`` gives as a number, and ``matches`` finds equal."""
    if compare in (operator.eq, operator.ne):
        if value is None:
            return compare is operator.eq and text.casefold() in ("null", "none")
        same = any(_is_same(item, number, matches) for item in [*_items(value), value])
        return same is (compare is operator.eq)
    return any(_is_ordered(compare, item, text, number) for item in _items(value))


def _is_same(value: Any, number: float | None, matches: Matcher) -> bool:
    if number is not None:
        found = _number_of(value)
        if found is not None and (found == number or (math.isnan(found) and math.isnan(number))):
            return True
    return matches(as_text(value))


def _is_ordered(compare: Comparison, value: Any, text: str, number: float | None) -> bool:
    if number is not None:
        found = _number_of(value)
        return found is not None and bool(compare(found, number))
    return isinstance(value, str) and bool(compare(value.casefold(), text.casefold()))


def _items(value: Any) -> Iterable[Any]:
    return value if isinstance(value, (list, tuple)) else (value,)


def _number_of(value: Any) -> float | None:
    """A config's value as a number; a text that can be read as one counts, since YAML reads ``1e-3`` as a text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
