"""Fields that runs have, and do not have."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from neurockt.errors import QueryError
from neurockt.query.fields import parse_field
from neurockt.query.known import KnownFields
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary

COLUMNS = {name: ColumnSummary(1, 0.5, 1) for name in ("val/acc", "val/loss", "odd (name)", "rate*", "\x1b[2Jacc")}
RUN = RunInfo(
    Path("r"),
    "r",
    datetime(2026, 11, 23, tzinfo=timezone.utc),
    config={"optim": {"lr": 0.1, "beta": None}, "model": {"width": 8}, "sched": {"lr": 1}},
    epochs=TableSummary(1, COLUMNS),
)
KNOWN = KnownFields([RUN])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lr", "'cfg.optim.lr' or 'cfg.sched.lr'"),
        ("cfg.lr", "'cfg.optim.lr' or 'cfg.sched.lr'"),
        ("acc", "'val/acc'"),
        ("val/los", "'val/loss'"),
        ("best(los)", "'val/loss'"),
        ("widht", "'cfg.model.width'"),
        ("stated", "'started'"),
        ("Duration", "'duration'"),
    ],
)
def test_a_field_that_no_run_has_is_named_with_what_is_near(name: str, near: str) -> None:
    """By the last part of its name, else by its spelling."""
    problem = KNOWN.problem(parse_field(name))
    assert problem is not None
    assert problem.endswith(f"; did you mean {near}?")


def test_without_anything_near_the_fields_there_are_are_named() -> None:
    """Of the same kind; harmless, whatever they are called."""
    assert KNOWN.problem(parse_field("cfg.zzz")) == (
        "no run has 'cfg.zzz'; there are cfg.optim.lr, cfg.optim.beta, cfg.model.width, cfg.sched.lr"
    )
    assert "\x1b" not in str(KNOWN.problem(parse_field("zzz")))
    assert "\x1b" not in str(KNOWN.problem(parse_field("x\x1b")))


def test_what_some_run_has_is_no_problem() -> None:
    """Also without a value, as a part of the config, and where there are no runs."""
    for name in ("val/acc", "cfg.optim.beta", "cfg.optim", "config.optim.lr", "cause", "speed", '"odd (name)"'):
        assert KNOWN.problem(parse_field(name)) is None, name
    assert KnownFields([]).problem(parse_field("zzz")) is None
    assert KnownFields([]).expand(["val/*", "zzz"]) == [parse_field("zzz")]


@pytest.mark.parametrize(
    ("names", "fields"),
    [
        (["val/*"], ["val/acc", "val/loss"]),
        (["cfg.*"], ["cfg.optim.lr", "cfg.optim.beta", "cfg.model.width", "cfg.sched.lr"]),
        (["config.optim.*"], ["cfg.optim.lr", "cfg.optim.beta"]),
        (["best(val/*)", "max(*acc)"], ["best(val/acc)", "best(val/loss)", "max(val/acc)", 'max("\x1b[2Jacc")']),
        (["name", "val/acc", "val/*"], ["name", "val/acc", "val/loss"]),
        (["odd*"], ['"odd (name)"']),
        (["rate*"], ["rate*"]),
        (["?al/acc"], ["val/acc"]),
    ],
)
def test_a_pattern_stands_for_the_fields_that_match(names: list[str], fields: list[str]) -> None:
    """Each once, in the order of the runs' columns; a metric that is called so is itself."""
    assert [field.name for field in KNOWN.expand(names)] == fields


@pytest.mark.parametrize("name", ["zzz", "val/x*", "best(x*)", "cfg.zzz", "max(zzz)"])
def test_a_column_that_no_run_has_is_an_error(name: str) -> None:
    """A misspelt one would only be empty."""
    with pytest.raises(QueryError, match=r"no run has|no field of a run matches"):
        KNOWN.expand(["name", name])
