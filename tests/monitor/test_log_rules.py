"""Any sequence of calls, blocks, kills and resumptions gives the rows that the rules of ``log`` give."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from live_run.dying import die, live
from monitor.log_rules import Block, Logged, Operation, Rows

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.tables import parts

pytestmark = pytest.mark.slow

values = st.dictionaries(st.sampled_from(["loss", "lr", "val/acc"]), st.floats(allow_nan=False), min_size=1, max_size=3)
steps = st.one_of(st.none(), st.integers(0, 6), st.sampled_from([10**6, 10**12]))
logged = st.builds(Logged, values, steps, st.booleans())
blocks = st.builds(Block, st.booleans(), st.lists(st.floats(-10, 10), max_size=3).map(tuple))
attempts = st.lists(st.lists(st.one_of(logged, logged, blocks), min_size=1, max_size=8), min_size=1, max_size=3)


def play(root: Path, operations: list[Operation], *, finish: bool) -> Recorder:
    recorder = Recorder(root, run_id="run", quiet=True, system_seconds=None)
    for operation in operations:
        if isinstance(operation, Block):
            with recorder(train=operation.train):
                for value in operation.values:
                    recorder.log({"tokens": value})
        else:
            recorder.log(operation.values, operation.step, train=operation.train)
    if finish:
        recorder.finish()
    return recorder


def table(rows: pa.Table, *axes: str) -> list[tuple[Any, ...]]:
    """The axes of each row, then its values by name, without nulls."""
    metrics = parts.metric_columns(rows.schema)
    return [
        (*(row[axis] for axis in axes), {name: row[name] for name in metrics if row[name] is not None})
        for row in rows.to_pylist()
    ]


def check(path: Path, expected: Rows) -> None:
    run = open_run(path)
    assert table(run.steps(), "step", "epoch") == [(number, *row) for number, row in expected.steps.items()]
    assert table(run.epochs(), "epoch", "step") == [(number, *row) for number, row in expected.epochs.items()]
    assert table(run.late(), "step", "epoch") == expected.late
    assert not run.damaged


@settings(max_examples=30, deadline=None)
@given(attempts)
@example([[Logged({"loss": 0.0}, 2, True)], [Logged({"loss": 0.0}, 2, False), Logged({"loss": 1.0}, None, True)]])
def test_the_rows_are_those_of_the_rules(attempts: list[list[Operation]]) -> None:
    """Each attempt but the last is killed; its open rows count, as they were when the last call returned."""
    expected = Rows()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for number, operations in enumerate(attempts, 1):
            expected.begin_attempt(operations)
            for operation in operations:
                expected.add(operation)
            is_last = number == len(attempts)
            (live if is_last else die)(lambda o=operations, f=is_last: play(root, o, finish=f))  # type: ignore[misc]
            check(root / "run", expected)
