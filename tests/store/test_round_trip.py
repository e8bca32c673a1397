"""Any sequence of blocks, sealed and looked at at any moment, reads back as it was recorded, to the bit."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neurockt
from neurockt import testing
from neurockt.monitor import Recorder
from neurockt.store.base.layout import TableName

Cells = dict[str, int | None]
"""The bits of each value of a row that is not null, and its axes."""

METRICS = ("loss", "μ/acc", 'a b,"c"', "loss'")
values = st.one_of(st.floats(), st.integers(-(2**53), 2**53), st.booleans())
block = st.dictionaries(st.sampled_from(METRICS), values, max_size=len(METRICS))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("train"), block),
        st.tuples(st.just("train"), block),
        st.tuples(st.just("validate"), block),
        st.tuples(st.just("fail"), block),
        st.tuples(st.sampled_from(["seal steps", "seal epochs", "look"]), st.just({})),
    ),
    max_size=40,
)


class Model:
    """A recorder, and what its run must hold."""

    def __init__(self, root: Path) -> None:
        self.recorder = Recorder(root, run_id="run", quiet=True)
        self.rows: dict[TableName, list[Cells]] = {"steps": [], "epochs": []}
        self.followed: dict[TableName, list[Cells]] = {"steps": [], "epochs": []}
        self._known: dict[tuple[bool, str], Any] = {}
        self._run: neurockt.Run | None = None

    def block(self, train: bool, cells: dict[str, Any], fails: bool) -> None:
        """Record a block; a metric is declared when it first has a value."""
        for name in cells:
            if (train, name) not in self._known:
                decorate = self.recorder.track_scalar if train else self.recorder.metric
                self._known[train, name] = decorate(name)(lambda value: value)
        try:
            with self.recorder(train=train):
                for name, value in cells.items():
                    self._known[train, name](value)
                if fails:
                    raise KeyError
        except KeyError:
            return
        steps, epochs = self.rows["steps"], self.rows["epochs"]
        axes = (len(steps) + 1, len(epochs) + 1) if train else (len(steps), len(epochs) + 1)
        row: Cells = {"step": axes[0], "epoch": axes[1]}
        (steps if train else epochs).append(row | {name: bits_of(float(value)) for name, value in cells.items()})

    def look(self) -> None:
        """Read the run in each way there is, and compare."""
        if self.recorder.run_dir.exists():
            run = self._run = self._run or neurockt.open_run(self.recorder.run_dir)
            new = run.follow()
            for table, rows, more in (("steps", run.steps(), new.steps), ("epochs", run.epochs(), new.epochs)):
                assert told(rows) == self.rows[table]  # type: ignore[index]
                self.followed[table] += told(more)  # type: ignore[index]
            assert self.followed == self.rows


def bits_of(value: float) -> int:
    """The 64 bits of a float."""
    (found,) = struct.unpack("<Q", struct.pack("<d", value))
    return int(found)


def told(rows: pa.Table) -> list[Cells]:
    """The rows of a table without their times, which must not fall."""
    times = rows["time"].to_pylist()
    assert times == sorted(times)
    found = []
    for row in rows.drop_columns(["time"]).to_pylist():
        metrics = {name: bits_of(value) for name, value in row.items() if isinstance(value, float)}
        found.append({"step": row["step"], "epoch": row["epoch"]} | metrics)
    return found


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations)
def test_any_sequence_of_blocks_reads_back_to_the_bit(
    small_parts: None, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    """While it is written and when it is finished, by a reader who looks and by one who follows."""
    with tempfile.TemporaryDirectory() as directory:
        model = Model(Path(directory))
        for what, cells in asked:
            if what == "look":
                model.look()
            elif what.startswith("seal"):
                testing.seal(model.recorder, what.split()[1])
            else:
                model.block(what != "validate", cells, fails=what == "fail")
        model.look()
        model.recorder.finish()
        model.look()
        if model.recorder.run_dir.exists():
            assert not list(model.recorder.run_dir.glob("*.journal*"))
