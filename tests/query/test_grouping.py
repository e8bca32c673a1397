"""Groups of runs, and the mean and spread of what their runs measured."""

from __future__ import annotations

import math
import statistics
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurockt.query.fields import parse_field
from neurockt.query.grouping import Group, Spread, group_runs, sort_groups, spread
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary


def run(name: str, config: dict[str, Any], acc: float | None = None, tags: tuple[str, ...] = ()) -> RunInfo:
    columns = {} if acc is None else {"acc": ColumnSummary(1, acc, 1, acc, 1, acc, 1)}
    created = datetime(2026, 11, 23, tzinfo=timezone.utc)
    return RunInfo(Path(name), name, created, config=config, tags=tags, epochs=TableSummary(1, columns))


RUNS = [
    run("a0", {"lr": 0.1, "seed": 0, "opt": "adam"}, 0.5),
    run("b0", {"lr": 1.0, "seed": 0, "opt": "adam"}, 0.7),
    run("a1", {"lr": 0.1, "seed": 1, "opt": "adam"}, 0.6),
    run("b1", {"lr": 1.0, "seed": 1, "opt": "sgd"}, math.nan),
    run("c0", {"seed": 0}),
]
LR, OPT, SEED, ACC = map(parse_field, ("cfg.lr", "cfg.opt", "cfg.seed", "acc"))


def grouped(*names: str, runs: list[RunInfo] = RUNS) -> list[tuple[str, list[str]]]:
    groups = group_runs(runs, [parse_field(name) for name in names])
    return [(group.label, [info.id for info in group.runs]) for group in groups]


def test_runs_are_grouped_by_any_fields() -> None:
    """Numbers that are equal are one value; runs that lack a key say so."""
    assert grouped("cfg.lr") == [("cfg.lr = 0.1", ["a0", "a1"]), ("cfg.lr = 1.0", ["b0", "b1"]), ("no cfg.lr", ["c0"])]
    assert grouped("cfg.lr", "cfg.opt")[1:] == [
        ("cfg.lr = 1.0, cfg.opt = adam", ["b0"]),
        ("cfg.lr = 1.0, cfg.opt = sgd", ["b1"]),
        ("no cfg.lr, no cfg.opt", ["c0"]),
    ]


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([1, True, "1", 1.0], 3),  # 1 and 1.0 are one number
        ([[1, 2], [1, 2], [2, 1]], 2),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], 1),
        ([math.nan, math.nan], 1),
        ([0.1, 0.1 + 1e-9], 2),
    ],
)
def test_values_are_the_same_where_a_config_means_the_same(values: list[Any], groups: int) -> None:
    """True is not 1, a text is not a number, and what looks the same to five digits is not."""
    assert len(grouped("cfg.x", runs=[run(str(at), {"x": value}) for at, value in enumerate(values)])) == groups


def test_a_run_with_several_tags_is_in_several_groups() -> None:
    """One without is in that of the runs without."""
    runs = [run("a", {}, tags=("x", "y")), run("b", {}, tags=("y",)), run("c", {})]
    assert grouped("tags", runs=runs) == [("tags = x", ["a"]), ("tags = y", ["a", "b"]), ("no tags", ["c"])]


def test_a_group_has_the_spread_of_its_metrics_and_the_values_its_runs_share() -> None:
    """What differs and was not measured has no summary, such as a seed."""
    first, second, third = group_runs(RUNS, [LR])
    assert first.summary(ACC).text() == "0.55 ± 0.071"
    assert second.summary(ACC).text() == "0.7 (1 of 2)", "a diverged run does not enter the mean, and is counted"
    assert third.summary(ACC) is None
    assert [group.summary(OPT) for group in (first, second, third)] == ["adam", None, None]
    assert (first.summary(SEED), first.summary(LR)) == (None, 0.1)


def test_groups_are_sorted_by_what_groups_them_or_by_a_mean() -> None:
    """Those without a value come last in both directions."""

    def labels(groups: list[Group]) -> list[str]:
        return [group.label for group in groups]

    groups = group_runs(reversed(RUNS), [LR])
    assert labels(sort_groups(groups)) == ["cfg.lr = 0.1", "cfg.lr = 1.0", "no cfg.lr"]
    assert labels(sort_groups(groups, ACC)) == ["cfg.lr = 0.1", "cfg.lr = 1.0", "no cfg.lr"]
    assert labels(sort_groups(groups, ACC, reverse=True)) == ["cfg.lr = 1.0", "cfg.lr = 0.1", "no cfg.lr"]
    assert labels(sort_groups(group_runs(RUNS, [LR, OPT]), reverse=True))[0] == "cfg.lr = 1.0, cfg.opt = sgd"


@given(st.lists(st.floats(-1e100, 1e100, allow_subnormal=False), min_size=2))
def test_the_spread_is_that_of_a_sample(values: list[float]) -> None:
    """As the standard library computes it."""
    found = spread(values)
    assert found is not None
    assert found.std is not None
    scale = max(map(abs, values))
    assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-9, abs=scale * 1e-12)
    assert found.std == pytest.approx(statistics.stdev(values), rel=1e-9, abs=scale * 1e-12)


def test_no_value_is_too_large_for_a_spread() -> None:
    """Nor are a run's infinity, a missing value, or one value alone."""
    assert spread([1.7e308, 1.7e308]) == Spread(2, 2, 1.7e308, 0.0)
    assert spread([1.7e308, 1.7e308, -1.7e308, math.inf]) == Spread(4, 3, pytest.approx(5.667e307, 1e-3), math.inf)
    assert spread([2.0]) == Spread(1, 1, 2.0, None)
    assert spread([None, None]) is None
    diverged = spread([math.nan, None])
    assert diverged is not None
    assert diverged.text() == "nan (0 of 2)"
    assert Spread(3, 3, 12_345.678, 1234.5).text() == "12,346 ± 1,200"
    assert Spread(2, 2, 90.0, 1.5).text("duration") == "1m 30s ± 1.5s"


def test_the_label_of_a_group_is_harmless() -> None:
    """Its values come from the runs' configs; numbers have all their digits, since they tell groups apart."""
    assert grouped("cfg.x", runs=[run("a", {"x": 0.1234567})])[0][0] == "cfg.x = 0.1234567"
    assert grouped("cfg.x", runs=[run("a", {"x": "\x1b]0;owned\x07"})])[0][0].isprintable()
