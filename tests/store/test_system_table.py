"""The table `system`: numbered by its samples, with step, epoch and time as axes; absent where nothing was sampled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from live_run import same
from msgspec.structs import replace

from neurockt import Run, open_run
from neurockt.errors import ColumnNotFound
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.run_file import write_info
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts
from neurockt.store.writing.table_writer import TableWriter

AXES = ["sample", "step", "epoch", "time"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run of which only ``run.json`` is there."""
    path = tmp_path / "sampled"
    path.mkdir()
    write_info(RunInfo(path, "sampled", datetime.now(timezone.utc), state="killed"))
    return path


@pytest.fixture
def table(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TableWriter]:
    """Its table `system`, in row groups of three rows."""
    monkeypatch.setattr(parts, "row_group_rows", lambda columns: 3)
    return TableWriter(path, "system", ["epoch", "cpu_percent"])


def sample(table: TableWriter, count: int) -> None:
    """Samples at the steps 10, 20, ..., each in an epoch of its own."""
    for _ in range(count):
        number = table.last + 1
        table.append(10 * number, number * 10**9, [number + 1, *[number / 2] * (len(table.columns) - 1)])


def test_a_sample_keeps_its_step_and_epoch(path: Path, table: TableWriter) -> None:
    """From the journal and from the parts; a measure that comes later is null before."""
    sample(table, 4)
    table.seal()
    table.set_columns(["epoch", "cpu_percent", "memory_gib"])
    sample(table, 2)
    rows = open_run(path).system()
    assert rows.column_names == [*AXES, "cpu_percent", "memory_gib"]
    assert rows["sample"].to_pylist() == [1, 2, 3, 4, 5, 6]
    assert rows["step"].to_pylist() == [10, 20, 30, 40, 50, 60]
    assert rows["epoch"].to_pylist() == [2, 3, 4, 5, 6, 7]
    assert rows["time"].cast(pa.int64()).to_pylist() == [number * 10**6 for number in range(1, 7)]
    assert rows["cpu_percent"].to_pylist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert rows["memory_gib"].to_pylist() == [None] * 4 + [2.5, 3.0]
    table.close()
    assert same(rows, open_run(path).system())
    plain = pq.read_table(path / "system")
    assert same(rows, plain)
    assert [plain.schema.field(name).type for name in AXES[:3]] == [pa.int64()] * 3


def test_every_way_of_reading_takes_it(path: Path, table: TableWriter) -> None:
    """Windows, outlines, batches, last rows, followers and rows by their place agree, journal rows included."""
    run = open_run(path)
    follower = run.follower("system", after=2)
    sample(table, 4)
    table.seal()
    sample(table, 2)
    rows = run.system()
    assert same(follower.new_rows(), rows.slice(2))
    assert same(run.window("system", after=2, until=5), rows.slice(2, 3))
    assert same(run.last_rows("system", 2), rows.slice(4))
    schema, pieces = run.batches("system", ["step", "sample", "cpu_percent"])
    assert same(pa.concat_tables(pieces), rows.select(["step", "sample", "cpu_percent"]))
    assert schema.names == ["step", "sample", "cpu_percent"]
    outline = run.outline("system")
    assert (outline.total, list(outline.axes), list(outline.metrics)) == (6, AXES, ["cpu_percent"])
    assert [int(outline.axes[name][1].max()) for name in AXES] == [6, 60, 7, 6 * 10**6]
    by_place = run.rows("system")
    by_place.refresh()
    assert by_place.columns == (*AXES, "cpu_percent")
    assert by_place.position_of(5) == 4
    with pytest.raises(ColumnNotFound, match="did you mean 'sample'"):
        run.system(["sampel"])


def test_what_a_dead_process_sampled_is_sealed(path: Path, table: TableWriter) -> None:
    """With a summary that leaves the axes out."""
    sample(table, 4)
    sealed = seal_run(path)
    assert (sealed.steps, sealed.epochs, sealed.system) == (0, 0, 4)
    info = open_run(path).info
    assert (info.system.rows, list(info.system.columns)) == (4, ["cpu_percent"])
    assert (info.system.columns["cpu_percent"].max, info.system.columns["cpu_percent"].max_at) == (2.0, 4)
    assert sorted(entry.name for entry in path.iterdir()) == ["run.json", "system"]
    assert open_run(path).current_info() == info


def test_a_run_that_was_not_sampled_has_no_such_table(tiny_run: Path) -> None:
    """Neither file nor field; reading it gives no rows."""
    run = open_run(tiny_run)
    assert run.system().column_names == AXES
    assert len(run.system()) == 0
    assert run.info.system == TableSummary()
    assert '"system"' not in (tiny_run / layout.RUN_FILE).read_text()


def test_a_metric_may_be_called_sample(tmp_path: Path) -> None:
    """It is an axis of `system` alone."""
    table = TableWriter(tmp_path, "steps", ["sample"])
    table.append(1, 10**9, [math.pi])
    table.close()
    assert Run(tmp_path).steps().column_names == ["step", "epoch", "time", "sample"]


def test_a_summary_survives_run_json(path: Path, table: TableWriter) -> None:
    """As those of the other tables do."""
    sample(table, 3)
    info = replace(open_run(path).info, system=table.summary())
    write_info(info)
    assert open_run(path).info == info
