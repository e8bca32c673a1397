"""Which metrics share a chart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from neurockt_viewer.charts.source import Metric

_DATA: Final = "train(?:ing)?|valid(?:ation)?|val|dev|eval|test"
"""Words for what a metric was computed on."""
_SPLIT: Final = re.compile(rf"(?:^|(?<=[_/.\-: ]))(?:{_DATA})(?:$|(?=[_/.\-: ]))")
_SEPARATORS: Final = "_/.-: "


def subject(name: str) -> str:
    """What a metric is about, whatever data it was computed on: ``loss`` for ``train_loss`` and ``valid_loss``."""
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
    """The charts whose names contain all words."""
    wanted = words.casefold().split()
    return [each for each in groups if all(word in " ".join(m.name for m in each).casefold() for word in wanted)]
