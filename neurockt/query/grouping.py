"""Runs in groups by fields, such as the seeds of each setting, and the mean and spread of what they measured."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from neurockt.formatting import clean, format_exact, format_value
from neurockt.query.fields import Field, Kind, sort_key
from neurockt.run_info import RunInfo

_NAME_PARTS: Final = re.compile(r"[./]")


@dataclass(frozen=True)
class Spread:
    """The mean and the standard deviation of a number over the runs of a group."""

    runs: int
    """How many runs the group has."""
    count: int
    """How many of them have a finite value; the others do not enter the mean."""
    mean: float
    """Where no value is finite, one of them."""
    std: float | None
    """Of a sample, with ``count - 1`` degrees of freedom; None for one value."""

    def text(self, kind: Kind = "number") -> str:
        """``0.96667 ± 0.0012``, and how many runs it is of where some have no value: ``0.96667 ± 0.0012 (2 of 3)``."""
        std = "" if self.std is None else f" ± {format_value(float(f'{self.std:.2g}'), kind)}"
        some = f" ({self.count} of {self.runs})" if self.count < self.runs else ""
        return f"{format_value(self.mean, kind)}{std}{some}"


@dataclass(frozen=True)
class Group:
    """Runs that have the same values of some fields."""

    fields: tuple[Field, ...]
    values: tuple[Any, ...]
    """Their value of each field; None where they have none."""
    runs: list[RunInfo]

    @property
    def key(self) -> Hashable:
        """The same for groups of the same values, also after the runs have been read again."""
        return tuple(map(_key, self.values))

    @property
    def label(self) -> str:
        """The values in words, with the fields' names: ``cfg.lr = 0.1, cfg.width = 64``, ``no cfg.lr``. Clean text."""
        return ", ".join(self._part(field, value) for field, value in zip(self.fields, self.values, strict=True))

    @property
    def short_label(self) -> str:
        """The same with the last parts of the names where there are several: ``lr=0.1 width=64``, ``no lr``."""
        if len(self.fields) < 2:
            return self.label
        names = [clean(_NAME_PARTS.split(field.label)[-1]) for field in self.fields]
        pairs = zip(names, self.values, strict=True)
        return " ".join(f"no {name}" if value is None else f"{name}={format_exact(value)}" for name, value in pairs)

    @staticmethod
    def _part(field: Field, value: Any) -> str:
        name = clean(field.label)
        return f"no {name}" if value is None else f"{name} = {format_exact(value)}"

    def summary(self, field: Field) -> Any:
        """What its runs have in that field: a ``Spread`` of what was measured, else the value that all of them have.

        None where they have none, or different ones.
        """
        if field in self.fields:
            return self.values[self.fields.index(field)]
        values = [field.value(info) for info in self.runs]
        if field.is_measured:
            return spread(values)
        return values[0] if len({_key(value) for value in values}) == 1 else None


def spread(values: Sequence[float | None]) -> Spread | None:
    """The mean and spread of the values of a group's runs, one each; None where there are none."""
    known = [float(value) for value in values if value is not None]
    finite = [value for value in known if math.isfinite(value)]
    count = len(finite)
    if not count:
        return Spread(len(values), 0, known[0], None) if known else None
    if min(finite) == max(finite):
        return Spread(len(values), count, finite[0], 0.0 if count > 1 else None)
    largest = max(map(abs, finite))  # so that no sum and no square is too large for a float
    scaled = [value / largest for value in finite]
    mean = math.fsum(scaled) / count
    std = math.sqrt(math.fsum((value - mean) ** 2 for value in scaled) / (count - 1))
    return Spread(len(values), count, largest * mean, largest * std)


def group_runs(runs: Iterable[RunInfo], fields: Sequence[Field]) -> list[Group]:
    """The runs by the values of fields, in the order of the runs; a run with several tags is in several groups."""
    groups: dict[Hashable, Group] = {}
    for info in runs:
        for values in _combinations([field.value(info) for field in fields]):
            group = Group(tuple(fields), values, [])
            groups.setdefault(group.key, group).runs.append(info)
    return list(groups.values())


def sort_groups(groups: Iterable[Group], field: Field | None = None, *, reverse: bool = False) -> list[Group]:
    """The groups by their mean, or common value, of a field; by default by what they are grouped by.

    Groups without a value come last in both directions.
    """
    there: list[tuple[Any, Group]] = []
    lacking: list[Group] = []
    for group in groups:
        keys = _order(group.values) if field is None else _order([group.summary(field)])
        if keys is None:
            lacking.append(group)
        else:
            there.append((keys, group))
    there.sort(key=lambda pair: pair[0], reverse=reverse)
    return [*(group for _, group in there), *lacking]


def _order(values: Iterable[Any]) -> list[tuple[int, float, str]] | None:
    keys = [sort_key(value.mean if isinstance(value, Spread) else value) for value in values]
    known = [key if key is not None else (2, 0.0, "") for key in keys]
    return known if any(key is not None for key in keys) else None


def _combinations(values: Sequence[Any]) -> Iterable[tuple[Any, ...]]:
    """One of each value, where a run has several, as with tags; nothing counts as None."""
    combined: list[tuple[Any, ...]] = [()]
    for value in values:
        each = value if isinstance(value, tuple) and value else [None if value in ((), "") else value]
        combined = [(*before, one) for before in combined for one in each]
    return combined


def _key(value: Any) -> Hashable:
    """What is equal for equal values of a config: 1 and 1.0 are, 1 and true are not, lists are by their items."""
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True, default=str)
    return (type(value) is bool, "nan" if value != value else value)
