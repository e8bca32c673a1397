"""Runs that differ only in the seed, as settings and as bands."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurockt.run_info import RunInfo
from neurockt_viewer.charts import palette
from neurockt_viewer.charts.seeds import band, settings_of
from neurockt_viewer.charts.series import Line


def info(config: dict[str, Any], group: str | None = None) -> RunInfo:
    return RunInfo(Path("x"), "x", datetime(2026, 11, 23, tzinfo=timezone.utc), config=config, group=group)


def test_settings_are_named_by_what_their_runs_share() -> None:
    """A run that has no other seeds keeps its name."""
    configs = [{"opt": {"lr": lr}, "seed": seed} for lr in (0.1, 0.2) for seed in range(3)]
    names = [f"{name}-s{seed}" for name in ("adam", "sgd") for seed in range(3)]
    found = settings_of([*map(info, configs), info({"opt": {"lr": 1}})], [*names, "other"], range(7))
    assert [(each.name, each.runs) for each in found] == [
        ("adam ×3", (0, 1, 2)),
        ("sgd ×3", (3, 4, 5)),
        ("other", (6,)),
    ]


def test_settings_whose_runs_have_names_of_chance_are_named_by_their_configs() -> None:
    """By the keys that differ between them, with all digits."""
    configs = [{"lr": lr, "width": 64, "random_state": seed} for lr in (0.1234567, 3e-4) for seed in range(2)]
    names = ["brave-otter", "calm-heron", "brave-lynx", "odd-newt"]
    assert [each.name for each in settings_of([*map(info, configs)], names, range(4))] == [
        "lr=0.1234567 ×2",
        "lr=0.0003 ×2",
    ]


def test_runs_without_a_config_are_of_one_setting_if_they_are_of_one_group() -> None:
    """Else each is alone."""
    infos = [info({}, "big"), info({}, None), info({}, "big"), info({}), None]
    names = ["big-a", "c", "big-b", "d", "e"]
    assert [each.runs for each in settings_of(infos, names, range(5))] == [(0, 2), (1,), (3,), (4,)]


def test_groups_of_the_list_come_before_configs() -> None:
    """By their names; a run that is in none is alone."""
    infos = [info({"lr": at}) for at in range(4)]
    found = settings_of(infos, ["a", "b", "c", "d"], range(4), ["opt = adam", None, "opt = adam", "opt = sgd"])
    assert [(each.name, each.runs) for each in found] == [("opt = adam ×2", (0, 2)), ("b", (1,)), ("d", (3,))]


def test_settings_of_eight_seeds_have_different_colours() -> None:
    """Each that of one of its runs, as in the list of runs."""
    infos = [info({"lr": at // 8, "seed": at % 8}) for at in range(64)]
    found = settings_of(infos, [f"run{at}" for at in range(64)], range(64))
    assert len({each.slot % palette.COLOURS for each in found}) == 8
    assert all(each.slot in each.runs for each in found)


def test_a_setting_of_one_run_whose_colour_is_taken_gets_a_free_one() -> None:
    infos = [info({"lr": min(at, 1)}) for at in range(palette.COLOURS + 1)]  # the last has the colour of the first
    groups = ["first", *["second"] * (palette.COLOURS - 1), "third"]
    found = settings_of(infos, [f"run{at}" for at in range(len(infos))], range(len(infos)), groups)
    assert len({each.slot % palette.COLOURS for each in found}) == 3


def test_a_band_has_the_mean_and_the_range_of_what_each_had_recorded_by_then() -> None:
    """Also of the largest numbers, and where one has no value."""
    lines = [Line.of("a", [1, 2, 3, 4], [1.0, np.nan, 1.7e308, 4.0]), Line.of("b", [1, 3, 4], [3.0, 1.7e308, -2.0])]
    found = band(lines).series
    assert found.mean.tolist() == pytest.approx([2.0, 3.0, 1.7e308, 1.0])
    assert found.low.tolist() == [1.0, 3.0, 1.7e308, -2.0]
    assert found.high.tolist() == [3.0, 3.0, 1.7e308, 4.0]
