"""Columns that suit some runs, for a list of them in whatever program."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from neurockt.query.fields import field_value, parse_field
from neurockt.run_info import RunInfo

_PLAIN: Final = re.compile(r"\w[\w./-]*")
"""A metric's name that needs no quotes, unless it is a field of every run."""


def quoted(metric: str) -> str:
    """The field that is a metric's last value, whatever its name; without quotes where none are needed."""
    if _PLAIN.fullmatch(metric) and parse_field(metric).metric == metric:
        return metric
    escaped = metric.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def usual_metrics(runs: Sequence[RunInfo], count: int) -> list[str]:
    """The fields of the metrics that most runs have: those of `epochs`, or where there are none, of `steps`."""
    for table in ("epochs", "steps"):
        if common := Counter(name for info in runs for name in getattr(info, table).columns):
            return [quoted(name) for name, _ in common.most_common(count)]
    return []


def differing(runs: Sequence[RunInfo], names: Iterable[str]) -> list[str]:
    return [name for name in names if len({field_value(info, name) for info in runs}) > 1]
