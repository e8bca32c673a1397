"""Runs that differ only in the seed: the settings that they share, and their curves as one band."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import numpy as np

from neurockt.formatting import format_exact
from neurockt.query.fields import flat_config
from neurockt.run_info import RunInfo
from neurockt_viewer.charts import palette
from neurockt_viewer.charts.series import Floats, Line, Series

_SEED: Final = re.compile(r"(?:^|[._-])(?:random_|rng_|torch_|np_|numpy_)?(?:seed|random_state|rng)$", re.IGNORECASE)
_SEED_IN_NAME: Final = re.compile(r"[-_. /]*(?:seed|s)?[-_. =]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Setting:
    """Runs with the same config but for the seed."""

    runs: tuple[int, ...]
    """By their indices."""
    name: str
    slot: int
    """In the palette: that of one of its runs."""


def settings_of(infos: Sequence[RunInfo | None], names: Sequence[str], slots: Sequence[int]) -> list[Setting]:
    """The settings of runs, in the order of their first runs; a run without a config or a group is alone.

    A setting of several runs is called as their names begin. Where they begin alike in different settings, or not at
    all, it is called by the values of the config in which the settings differ.
    """
    groups: dict[object, list[int]] = {}
    configs = [_config(info) for info in infos]
    for index, (info, config) in enumerate(zip(infos, configs, strict=True)):
        pairs = tuple(sorted((key, repr(value)) for key, value in config.items()))
        groups.setdefault(pairs or (info and info.group) or index, []).append(index)
    shared = [_shared_name([names[at] for at in group]) for group in groups.values()]
    differing = _differing([configs[group[0]] for group in groups.values()])
    settings, taken = [], set[int]()
    for group, name in zip(groups.values(), shared, strict=True):
        slot = next((slots[at] for at in group if slots[at] % palette.COLOURS not in taken), slots[group[0]])
        taken.add(slot % palette.COLOURS)
        if len(group) > 1:
            if not name or shared.count(name) > 1:
                config = configs[group[0]]
                name = (
                    " ".join(f"{key}={format_exact(config[key])}" for key in differing if key in config)
                    or names[group[0]]
                )
            name = f"{name} ×{len(group)}"
        settings.append(Setting(tuple(group), name, slot))
    return settings


def _config(info: RunInfo | None) -> dict[str, Any]:
    return {key: value for key, value in flat_config(info.config if info else {}) if not _SEED.search(key)}


def _shared_name(names: Sequence[str]) -> str:
    """What names such as ``adam-s0`` and ``adam-s1`` share; one name as it is."""
    if len(names) == 1:
        return names[0]
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False))
    return _SEED_IN_NAME.sub("", "".join(characters[0] for characters in alike))


def _differing(configs: Sequence[dict[str, Any]]) -> list[str]:
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({repr(config.get(key)) for config in configs}) > 1]


def band(lines: Sequence[Line]) -> Line:
    """Lines as one: at each place of the longest, the mean, lowest and highest of what each had recorded by then.

    Nothing is interpolated; a line that has ended, or not begun, has no part in the mean.
    """
    places: Floats = max((line.series.x for line in lines), key=len)
    shape = len(lines), len(places)
    low, high, mean = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    for row, line in enumerate(lines):
        series = line.series
        if not len(series):
            continue
        at = np.searchsorted(series.x, places, side="right") - 1
        step = (series.x[-1] - series.x[0]) / max(1, len(series) - 1)
        there = (at >= 0) & ((places <= series.x[-1]) | (places < series.x[-1] + step))
        for target, source in ((low, series.low), (high, series.high), (mean, series.mean)):
            target[row, there] = source[at[there]]
    lowest, highest = np.fmin.reduce(low), np.fmax.reduce(high)
    counted = np.isfinite(mean)
    average = np.where(
        counted.any(axis=0), np.where(counted, mean, 0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1), np.nan
    )
    first = lines[0]
    return Line(
        first.label,
        Series(places, lowest, highest, average, average, average),
        first.colour,
        band=True,
        note=next((line.note for line in lines if line.note), ""),
        approximate=any(line.approximate for line in lines),
    )
