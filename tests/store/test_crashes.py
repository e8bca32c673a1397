"""Sealing, killed before any one of its operations on files: no row is lost, none is there twice, none has changed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from live_run.by_hand import Recording
from live_run.dying import die_before

from neurockt import open_run
from neurockt.store.base.layout import TABLES, part_paths
from neurockt.store.owner import liveness
from neurockt.store.recovery.sealing import seal_run

ROWS = 23
"""Rows when the sealing begins: in two full parts, a part that has room, and the journal."""


def begin(root: Path) -> Recording:
    """A run that has been sealed twice, the second time with a metric more, and has rows in its journal."""
    recording = Recording(root)
    recording.write(11)
    recording.seal()
    recording.add("lr")
    recording.write(9)
    recording.seal()
    recording.write(ROWS - 20)
    return recording


def check(path: Path, rows: int = ROWS) -> None:
    """Each row once, in order and as it was recorded; the plain Parquet is a beginning of them."""
    run = open_run(path)
    steps = run.steps().to_pydict()
    assert steps["step"] == list(range(1, rows + 1))
    for number, loss, rate in zip(steps["step"], steps["loss"], steps["lr"], strict=True):
        expected = None if number % 5 == 0 else math.nan if number % 7 == 0 else float(number)
        assert same(loss, expected)
        assert same(rate, expected if number > 11 else None)
    assert not run.damaged
    plain = [step for part in part_paths(path, "steps") for step in pq.read_table(part)["step"].to_pylist()]
    assert plain == steps["step"][: len(plain)]


def same(value: float | None, expected: float | None) -> bool:
    """Equality that takes NaN for itself, and null for null alone."""
    if value is None or expected is None:
        return value is expected
    return value == expected or (math.isnan(value) and math.isnan(expected))


def until_it_survives(root: Path, action: Callable[[Recording], object], then: Callable[[Path], object]) -> int:
    """Do something to a run of its own for each operation it has, killed before that; gives how many there were."""
    operation = 1
    while True:
        recording = begin(root / str(operation))
        died = die_before(operation, lambda recording=recording: action(recording))  # type: ignore[misc]
        check(recording.path)
        dead = recording.dead_copy()
        check(dead)
        then(dead)
        check(dead)
        if not died:
            return operation - 1
        operation += 1


def assert_sealed(path: Path) -> None:
    """Sealed by hand, the dead run is Parquet alone."""
    seal_run(path)
    assert sum(pq.read_metadata(part).num_rows for part in part_paths(path, "steps")) == ROWS
    assert not [name for table in TABLES for name in path.glob(f"{table}.journal*")]
    assert not list(path.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_a_sealing_killed_before_any_of_its_operations(tmp_path: Path) -> None:
    """Whatever it leaves reads as if nothing had happened, and 'neurockt seal' puts it in order."""

    def seal(recording: Recording) -> None:
        recording.seal()

    assert until_it_survives(tmp_path, seal, assert_sealed) >= 4


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
def test_a_seal_command_killed_before_any_of_its_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealing a dead run may be interrupted and repeated."""
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.2)  # what is waited where a claim does not tell yet whose it is
    operation, died = 1, True
    while died:
        dead = begin(tmp_path / str(operation)).dead_copy()
        died = die_before(operation, lambda dead=dead: seal_run(dead))  # type: ignore[misc]
        check(dead)
        assert_sealed(dead)
        check(dead)
        operation += 1
    assert operation >= 6
