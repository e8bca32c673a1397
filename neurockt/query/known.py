"""The fields that runs really have: a misspelt one is named with what is near, and a pattern stands for several."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

from neurockt.errors import QueryError
from neurockt.formatting import clean, listed, nearest
from neurockt.query.fields import AGGREGATES, FIELD_NAMES, Field, flat_config, glob, parse_field, quoted
from neurockt.query.metrics import AXES
from neurockt.run_info import RunInfo

SUGGESTED: Final = 3
"""The nearest fields that are named where one is not known."""

_PATTERN: Final = re.compile(rf'(?:({"|".join(AGGREGATES)})\()?([^"()]*[*?][^"()]*)\)?')
_LAST_PART: Final = re.compile(r"[./]")


class KnownFields:
    """The metrics and config keys of some runs; collected where they are asked for."""

    def __init__(self, runs: Sequence[RunInfo]) -> None:
        self._runs = runs

    @cached_property
    def metrics(self) -> dict[str, None]:
        return dict.fromkeys(name for info in self._runs for name in info.metrics)

    @cached_property
    def keys(self) -> dict[str, None]:
        return dict.fromkeys(f"cfg.{key}" for info in self._runs for key, _ in flat_config(info.config))

    def problem(self, field: Field) -> str | None:
        """What is wrong with a field that no run has, and what is near; None for one that some run has."""
        if not self._runs or field.name in FIELD_NAMES or any(field.value(info) is not None for info in self._runs):
            return None
        named = [name for name in (field.where, field.metric) if name] or [field.name]
        there = {*self.metrics, *self.keys, *(AXES if field.where else ())}
        wanted = next((name for name in named if name not in there), None)
        if wanted is None:
            return None  # it is there, without a value
        near = self._near(wanted)
        if near:
            hint = f"; did you mean {_either(near)}?"
        else:
            others = self.keys if field.kind == "any" else self.metrics
            hint = f"; there are {listed(map(clean, others))}" if others else ""
        return f"no run has {clean(wanted)!r}{hint}"

    def check(self, field: Field) -> Field:
        """The field; ``QueryError`` where no run has it."""
        if problem := self.problem(field):
            raise QueryError(problem, clean(field.name), 0)
        return field

    def expand(self, names: Iterable[str]) -> list[Field]:
        """The fields of these names; ``val/*``, ``cfg.model.*`` and ``best(*acc)`` stand for all that match.

        Raises:
            QueryError: no run has a field, or none matches.
        """
        fields: dict[Field, None] = {}
        for name in names:
            found = _PATTERN.fullmatch(name.strip())
            if found is None or name.strip() in self.metrics:
                fields[self.check(parse_field(name))] = None
                continue
            which, pattern = found.groups()
            matches = glob(pattern.replace("config.", "cfg.", 1))
            there = [] if which else [key for key in self.keys if matches.match(key)]
            metrics = (quoted(metric) for metric in self.metrics if matches.match(metric))
            there += [f"{which}({metric})" if which else metric for metric in metrics]
            if not there and self._runs:
                raise QueryError(f"no field of a run matches {clean(name)}", clean(name), 0)
            fields |= dict.fromkeys(map(parse_field, there))
        return list(fields)

    def _near(self, wanted: str) -> list[str]:
        """The fields that were probably meant: those with the same last part, else the one that is spelt most alike."""
        bare = wanted.removeprefix("config.").removeprefix("cfg.").casefold()
        names = [*FIELD_NAMES, *self.metrics, *self.keys]
        same = [name for name in names if _LAST_PART.split(name.casefold())[-1] == bare]
        if not same:
            last = {_LAST_PART.split(name.casefold())[-1]: name for name in reversed(names)}
            spelt = last | {name.removeprefix("cfg.").casefold(): name for name in reversed(names)}
            same = [spelt[found] for found in filter(None, [nearest(bare, spelt)])]
        return [clean(name) for name in same[:SUGGESTED]]


def _either(names: Sequence[str]) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last
