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
    """Runs that differ only in the seed, or that somebody has put together."""

    runs: tuple[int, ...]
    """By their indices."""
    name: str
    slot: int
    """In the palette: that of one of its runs."""


def settings_of(
    infos: Sequence[RunInfo | None], names: Sequence[str], slots: Sequence[int], groups: Sequence[str | None] = ()
) -> list[Setting]:
    """The settings of runs, in the order of their first runs.

    Args:
        infos: the runs; None where one cannot be read.
        names: what each is called.
        slots: of each in the palette.
        groups: the group that somebody has put each of them in, None for those that are in none. Without any, runs
            with the same config but for a seed are in one, and runs without a config that have the same ``group``.
    """
    configs = [_config(info) for info in infos]
    members: dict[object, list[int]] = {}
    for index, (info, config) in enumerate(zip(infos, configs, strict=True)):
        pairs = tuple(sorted((key, repr(value)) for key, value in config.items())) or (info and info.group)
        key = groups[index] if groups else pairs
        members.setdefault(key or index, []).append(index)
    several = [each for each in members.values() if len(each) > 1]
    titles = [groups[each[0]] or "" for each in several] if groups else _titles(several, names, configs)
    titled = {each[0]: f"{title} ×{len(each)}" for each, title in zip(several, titles, strict=True)}
    settings, taken = [], set[int]()
    for each in members.values():
        own = [slots[at] for at in each]
        slot = next((slot for slot in (*own, *range(palette.COLOURS)) if slot % palette.COLOURS not in taken), own[0])
        taken.add(slot % palette.COLOURS)
        settings.append(Setting(tuple(each), titled.get(each[0], names[each[0]]), slot))
    return settings


def _titles(settings: Sequence[list[int]], names: Sequence[str], configs: Sequence[dict[str, Any]]) -> list[str]:
    """What settings of several runs are called: as the names of their runs begin.

    Where these begin alike in different settings, or not at all, it is the values of the config that differ between
    the settings.
    """
    shared = [_shared_name([names[at] for at in each]) for each in settings]
    firsts = [configs[each[0]] for each in settings]
    keys = dict.fromkeys(key for config in firsts for key in config)
    differing = [key for key in keys if len({repr(config.get(key)) for config in firsts}) > 1]
    titles = []
    for each, name, config in zip(settings, shared, firsts, strict=True):
        values = [f"{key}={format_exact(config[key])}" for key in differing if key in config]
        titles.append(name if name and shared.count(name) == 1 else " ".join(values) or names[each[0]])
    return titles


def _config(info: RunInfo | None) -> dict[str, Any]:
    return {key: value for key, value in flat_config(info.config if info else {}) if not _SEED.search(key)}


def _shared_name(names: Sequence[str]) -> str:
    """What names such as ``adam-s0`` and ``adam-s1`` share."""
    alike = takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False))
    return _SEED_IN_NAME.sub("", "".join(characters[0] for characters in alike))


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
    number = counted.sum(axis=0)
    shares = np.where(counted, mean, 0) / np.maximum(number, 1)  # before the sum, which might be too large for a float
    average = np.where(number > 0, shares.sum(axis=0), np.nan)
    first = lines[0]
    return Line(
        first.label,
        Series(places, lowest, highest, average, average, average),
        first.colour,
        band=True,
        note=next((line.note for line in lines if line.note), ""),
        approximate=any(line.approximate for line in lines),
    )
