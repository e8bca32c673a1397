"""Round numbers along an axis, and what to write at them.

Invariant: ticks rise, lie within the bounds, and are at most as many as asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_SUFFIXES: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Tick:
    value: float
    label: str


@lru_cache(maxsize=64)
def linear_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At distances of 1, 2 or 5 times a power of ten; where that gives fewer than three, also of 2.5, 3 or 4 times.

    There are two at least if ``most`` is: a single one would not tell a linear axis from a logarithmic one.
    """
    values, digits = _round_values(low, high, most)
    return [Tick(value, label) for value, label in zip(values, _number_labels(values, digits), strict=True)]


def log_ticks(low: float, high: float, most: int) -> list[Tick]:
    """At powers of ten; between them too where there are few; linear where there would be fewer than two."""
    if most < 1 or low <= 0:
        return []
    first, last = math.ceil(math.log10(low) - 1e-12), math.floor(math.log10(high) + 1e-12)
    decades = [exponent for exponent in range(first, last + 1) if low <= _power(exponent) <= high]
    if len(decades) > most:
        stride = -(-len(decades) // most)
        decades = [exponent for exponent in decades if exponent % stride == 0][:most]
    if len(decades) >= 2:
        for between in ((1, 2, 5), (1, 3)):
            values = [m * _power(e) for e in range(first - 1, last + 1) for m in between]
            values = [value for value in values if low <= value <= high]
            if len(values) <= most and len(decades) <= 3:
                return [Tick(value, _short(value)) for value in values]
        return [Tick(_power(exponent), _short(_power(exponent))) for exponent in decades]
    return linear_ticks(low, high, most)


def _round_values(low: float, high: float, most: int) -> tuple[list[float], int]:
    """Values at the smallest round distance that gives few enough, and how many decimals they have."""
    if most < 1 or not (math.isfinite(low) and math.isfinite(high)) or not high > low:
        return [], 0
    span = high / 2 - low / 2
    exponent = math.floor(math.log10(span / most * 2)) - 1 if span / most > 0 else -323
    finer: tuple[int, int] | None = None
    best: list[float] = []
    digits = 0
    for mantissas in ((1, 2, 5), (25, 4, 3)):
        for power in range(exponent, min(exponent + 4, 309)):
            for mantissa in mantissas:
                decimal = power - (mantissa > 9)
                count = len(_indices(low, high, mantissa, decimal))
                if count > most + 2:
                    continue
                values = multiples(low, high, mantissa, decimal)
                if len(values) > most:
                    finer = mantissa, decimal
                elif len(values) > len(best):
                    best, digits = values, -decimal
        if len(best) >= min(3, most):
            break
    if len(best) < min(2, most) and finer is not None:
        values, digits = multiples(low, high, *finer), -finer[1]
        best = values[:: -(-len(values) // most)]
    return best, max(0, digits)


def _indices(low: float, high: float, mantissa: int, exponent: int) -> range:
    """What ``mantissa * 10 ** exponent`` is multiplied by within the bounds, or just beyond them."""
    step = mantissa * 10.0**exponent
    if step == 0 or not math.isfinite(low / step) or not math.isfinite(high / step) or abs(high / step) > 1e15:
        return range(0)
    return range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)


def multiples(low: float, high: float, mantissa: int, exponent: int) -> list[float]:
    """The multiples of ``mantissa * 10 ** exponent`` within the bounds, each the float nearest to it; 1,000 at most."""
    values = (float(f"{index * mantissa}e{exponent}") for index in _indices(low, high, mantissa, exponent)[:1000])
    return [value for value in values if low <= value <= high]


def _number_labels(values: Sequence[float], digits: int) -> list[str]:
    """The shortest way to write all of them alike and in full."""
    largest = max(map(abs, values), default=0.0)
    if largest and (largest < 1e-4 or largest >= 1e15):
        return [_short(value) if value else "0" for value in values]
    if digits == 0 and largest >= 10_000:
        size, suffix = next((size, suffix) for size, suffix in _SUFFIXES if largest >= size)
        return [f"{value / size:.12g}{suffix}" if value else "0" for value in values]
    return [f"{value:,.{digits}f}" if value else "0" for value in values]


def _short(value: float) -> str:
    """A number of few digits: ``500``, ``20k``, ``0.01``, ``1e-05``."""
    if 10_000 <= abs(value) < 1e15:
        size, suffix = next((size, suffix) for size, suffix in _SUFFIXES if abs(value) >= size)
        return f"{value / size:.12g}{suffix}"
    return f"{value:,.12g}"


def _power(exponent: int) -> float:
    return float(f"1e{exponent}")
