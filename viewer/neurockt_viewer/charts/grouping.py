"""Which metrics share a chart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from neurockt_viewer.charts.source import Metric

_SPLIT: Final = re.compile(
    r"(?:^|(?<=[_/.\-: ]))(?:train(?:ing)?|valid(?:ation)?|val|dev|eval|test)(?:$|(?=[_/.\-: ]))"
)
_SEPARATORS: Final = "_/.-: "


def subject(name: str) -> str:
    """What a metric is about, whichever data it was computed on: of ``train_loss`` and ``valid_loss`` it is ``loss``."""
    bare, count = _SPLIT.subn("", name, count=1)
    if not count:
        return name
    bare = re.sub(r"([_/.\-: ])[_/.\-: ]+", r"\1", bare).strip(_SEPARATORS)
    return bare or name


def group(metrics: Sequence[Metric], *, paired: bool) -> list[tuple[Metric, ...]]:
    """The metrics of each chart: one, or ``paired`` those that are about the same."""
    if not paired:
        return [(metric,) for metric in metrics]
    groups: dict[str, list[Metric]] = {}
    for metric in metrics:
        groups.setdefault(subject(metric.name), []).append(metric)
    return [tuple(together) for together in groups.values()]


def search(groups: Sequence[tuple[Metric, ...]], words: str) -> list[tuple[Metric, ...]]:
    """The charts in the names of which all words occur."""
    wanted = words.casefold().split()
    return [each for each in groups if all(word in " ".join(m.name for m in each).casefold() for word in wanted)]
