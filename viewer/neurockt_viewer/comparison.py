"""What differs between runs: their metrics against a baseline, and their configs. Plain functions, without a screen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from neurockt.direction import smaller_is_better
from neurockt.formatting import format_number
from neurockt.query.comparing import as_text
from neurockt.query.fields import flat_config
from neurockt.query.metrics import metric_summary, metrics_by_table
from neurockt.run_info import RunInfo

MISSING: Final = "·"
"""Stands for a config key that a run lacks; ``null`` is a value."""


@dataclass(frozen=True)
class Compared:
    """A run's value of a metric, beside the baseline's."""

    value: float | None
    difference: float | None
    """None where either has no value, and for the baseline itself."""
    better: bool | None
    """Whether it is better than the baseline's, judged by the metric's name; None where it is the same or unknown."""

    def __str__(self) -> str:
        if self.difference is None:
            return format_number(self.value)
        sign = "" if self.difference < 0 or math.isnan(self.difference) else "+"
        return f"{format_number(self.value)} ({sign}{format_number(self.difference)})"


@dataclass(frozen=True)
class MetricColumn:
    """One metric's last or best value, run by run."""

    metric: str
    which: str
    values: list[Compared]


def compare_metrics(infos: Sequence[RunInfo], baseline: int) -> list[MetricColumn]:
    """Last and best value of every metric that any run has, each against the run at index ``baseline``."""
    columns = []
    for name in metrics_by_table(infos):
        smaller = smaller_is_better(name)
        best = "min" if smaller else "max"
        for which, field in (("last", "last"), ("best", best)):
            summaries = [metric_summary(info, name) for info in infos]
            values = [None if summary is None else getattr(summary, field) for summary in summaries]
            compared = [
                _compare(value, None if index == baseline else values[baseline], smaller=smaller)
                for index, value in enumerate(values)
            ]
            columns.append(MetricColumn(name, which, compared))
    return columns


def _compare(value: float | None, base: float | None, *, smaller: bool) -> Compared:
    if value is None or base is None:
        return Compared(value, None, None)
    difference = value - base
    better = None if difference == 0 or math.isnan(difference) else (difference < 0) == smaller
    return Compared(value, difference, better)


class ConfigKey(NamedTuple):
    """A key of the configs, nested ones by dots, and what each run has there."""

    name: str
    values: list[str]
    differs: bool

    def stand_out(self) -> list[bool]:
        """Which of the values are not what most of the runs have; none where no value is that frequent."""
        usual, count = Counter(self.values).most_common(1)[0]
        return [self.differs and count > len(self.values) / 2 and value != usual for value in self.values]


def compare_configs(infos: Sequence[RunInfo]) -> list[ConfigKey]:
    """Every key of any of the configs."""
    configs: list[dict[str, Any]] = [dict(flat_config(info.config)) for info in infos]
    rows = []
    for key in dict.fromkeys(key for config in configs for key in config):
        values = [_shown(config[key]) if key in config else MISSING for config in configs]
        differs = any(key not in config for config in configs) or len({repr(config[key]) for config in configs}) > 1
        rows.append(ConfigKey(key, values, differs))
    return rows


def _shown(value: Any) -> str:
    return "null" if value is None else as_text(value)
