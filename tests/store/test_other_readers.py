"""DuckDB, Polars, pandas and Arrow read the parts, of a finished run and of one that is being written and sealed.

The live runs here replace their last part some twenty times a second, where a real one does so once a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from live_run import LiveRun, bits, check_epochs, check_steps, same, wait_until
from live_run.by_hand import Recording

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.store.base.files import temporary_path
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing

pytestmark = pytest.mark.slow

Read = Callable[[Path], pa.Table]
"""Reads the Parquet files of a table's directory."""

PATIENCE = 20
"""How often in a row a reader may have to be asked again."""


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.parquet"))


def answer(ask: Callable[[], pa.Table]) -> pa.Table:
    """A reader that opens a file twice by its name may fail when it is replaced in between: FORMAT.md section 9."""
    for _ in range(PATIENCE):
        try:
            return ask()
        except (duckdb.Error, pl.exceptions.ComputeError, pl.exceptions.PanicException, OSError) as error:
            problem = error
    raise problem


def query(sql: str) -> pa.Table:
    """What DuckDB answers. Its cache of files does not tell apart two that had one name within a second."""
    with duckdb.connect(config={"enable_external_file_cache": "false"}) as connection:
        return answer(lambda: connection.sql(sql).to_arrow_table())


def with_duckdb(directory: Path) -> pa.Table:
    return query(f"SELECT * FROM '{directory}/*.parquet'")


def with_polars(directory: Path) -> pa.Table:
    return answer(lambda: pl.read_parquet(f"{directory}/*.parquet").to_arrow())


def with_polars_on_open_files(directory: Path) -> pa.Table:
    with ExitStack() as stack:
        return pl.scan_parquet([stack.enter_context(path.open("rb")) for path in files(directory)]).collect().to_arrow()


def with_pandas(directory: Path) -> pa.Table:
    frame = answer(lambda: pd.read_parquet(directory, dtype_backend="pyarrow"))
    return pa.Table.from_pandas(frame, preserve_index=False)


def with_pandas_file_by_file(directory: Path) -> pa.Table:
    frames = [answer(lambda path=path: pd.read_parquet(path, dtype_backend="pyarrow")) for path in files(directory)]
    return pa.Table.from_pandas(pd.concat(frames), preserve_index=False)


def with_arrow(directory: Path) -> pa.Table:
    return answer(lambda: pq.read_table(directory))


READERS = [
    with_duckdb,
    with_polars,
    with_polars_on_open_files,
    with_pandas,
    with_pandas_file_by_file,
    with_arrow,
]


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,850 steps in three parts, 18 validations."""
    with LiveRun(tmp_path_factory.mktemp("runs"), rate=0, steps=1850) as run:
        assert run.wait() == 0
    return run.path


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS)
def test_a_finished_run_is_read_to_the_last_bit(finished_run: Path, read: Read) -> None:
    """The same rows, types and order as neurockt gives: null, NaN, -0.0 and the infinities included."""
    run = open_run(finished_run)
    steps, epochs = read(finished_run / "steps"), read(finished_run / "epochs")
    assert len(files(finished_run / "steps")) == 3
    moment = steps.schema.field("time").type
    assert (moment.unit, bool(moment.tz)) == ("us", True)
    assert same(steps, run.steps())
    assert same(epochs, run.epochs())
    check_steps(steps)
    check_epochs(epochs)


@pytest.mark.slow
@pytest.mark.parametrize("read", READERS)
def test_a_live_run_is_a_clean_prefix_that_grows(tmp_path: Path, read: Read) -> None:
    """Never a gap, a row twice or a wrong one, while the last part grows, is replaced, fills up and has a successor."""
    with LiveRun(tmp_path) as live:
        steps = live.path / "steps"
        wait_until(lambda: files(steps), "the first part")
        lengths = [0]
        while len(files(steps)) < 3 or len(set(lengths)) < 5:
            assert live.alive
            table = read(steps)
            check_steps(table)
            assert len(table) >= lengths[-1]
            lengths.append(len(table))
        live.kill()
    last = read(steps)
    check_steps(last)
    whole = bits(open_run(live.path).steps())
    assert lengths[-1] <= len(last) <= len(whole["step"])
    for name, column in bits(last).items():
        assert np.array_equal(column, whole[name][: len(last)])


def opened_by_polars(directory: Path) -> Callable[[], pa.Table]:
    frame = pl.scan_parquet(f"{directory}/*.parquet")
    frame.collect_schema()
    return lambda: frame.collect().to_arrow()


def opened_by_arrow(directory: Path) -> Callable[[], pa.Table]:
    fragments = list(pyarrow.dataset.dataset(directory, format="parquet").get_fragments())
    for fragment in fragments:
        fragment.ensure_complete_metadata()
    return lambda: pa.concat_tables([fragment.to_table() for fragment in fragments])


def opened_by_duckdb(directory: Path) -> Callable[[], pa.Table]:
    relation = duckdb.connect().sql(f"SELECT * FROM '{directory}/*.parquet'")
    return relation.to_arrow_table


@pytest.mark.parametrize("open_files", [opened_by_polars, opened_by_arrow, opened_by_duckdb])
def test_what_was_opened_before_a_part_was_replaced_is_read_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_files: Callable[[Path], Callable[[], pa.Table]]
) -> None:
    """A frame over a live run, made in a notebook and asked some sealings later: the rows it knew of, or all."""
    monkeypatch.setattr(timing, "default", Timing(tick=3600.0))
    recording = Recording(tmp_path)
    recording.write(1000)
    recording.seal()
    before = open_run(recording.path).steps()
    read = open_files(recording.path / "steps")
    for _ in range(3):
        recording.write(50)
        recording.seal()
        rows = read()
        assert same(rows.slice(0, 1000), before)
        assert len(rows) in (1000, recording.recorder.step)
    recording.recorder.finish()


@pytest.mark.parametrize("read", READERS)
def test_what_a_crash_leaves_half_written_is_passed_over(tmp_path: Path, finished_run: Path, read: Read) -> None:
    """By readers of a whole directory too."""
    (tmp_path / "part-00000.parquet").symlink_to(finished_run / "epochs" / "part-00000.parquet")
    temporary_path(tmp_path / "part-00000.parquet").write_bytes(b"PAR1 and not much more")
    assert same(read(tmp_path), open_run(finished_run).epochs())


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In `runs`, here: one with ``loss`` and ``lr``, one with ``loss`` and ``grad_norm``."""
    monkeypatch.chdir(tmp_path)
    for run_id, other in (("first", "lr"), ("second", "grad_norm")):
        recorder = Recorder(tmp_path / "runs", run_id=run_id, quiet=True)
        loss, scalar = recorder.track_scalar("loss")(float), recorder.track_scalar(other)(float)
        for step in (1, 2):
            with recorder(train=True):
                loss(step)
                scalar(-step)
        recorder.finish()


EXPECTED = [
    {"step": 1, "loss": 1.0, "lr": -1.0, "grad_norm": None},
    {"step": 2, "loss": 2.0, "lr": -2.0, "grad_norm": None},
    {"step": 1, "loss": 1.0, "lr": None, "grad_norm": -1.0},
    {"step": 2, "loss": 2.0, "lr": None, "grad_norm": -2.0},
]


def test_duckdb_reads_all_runs_at_once(two_runs: None) -> None:
    """In one short query; where their columns differ, by name, and each row knows its run."""
    assert query("SELECT step, loss FROM 'runs/*/steps/*.parquet'").num_rows == 4
    united = query(
        "SELECT step, loss, lr, grad_norm, filename FROM "
        "read_parquet('runs/*/steps/*.parquet', union_by_name = true, filename = true) ORDER BY filename, step"
    )
    assert united.drop_columns("filename").to_pylist() == EXPECTED
    assert [name.split("/")[1] for name in united["filename"].to_pylist()] == ["first", "first", "second", "second"]


@pytest.mark.slow
def test_duckdb_unites_a_live_run_with_a_finished_one(tmp_path: Path, two_runs: None) -> None:
    """The columns of both, while one of them grows."""
    with LiveRun(tmp_path / "runs") as live:
        wait_until(lambda: files(live.path / "steps"), "the first part")
        counts = [0]
        while len(set(counts)) < 10:
            rows = query(
                "SELECT filename LIKE '%live%' AS live, count(*), count(DISTINCT step), max(step), count(grad_norm) "
                "FROM read_parquet('runs/*/steps/*.parquet', union_by_name = true, filename = true) "
                "GROUP BY live ORDER BY live"
            )
            first, second = (list(row.values()) for row in rows.to_pylist())
            assert first == [False, 4, 2, 2, 2]
            _, count, distinct, last, _ = second
            assert count == distinct == last >= counts[-1]
            counts.append(count)


def test_polars_reads_all_runs_at_once(two_runs: None) -> None:
    """Where their columns differ, joined by name."""
    frames = [pl.scan_parquet(directory / "*.parquet") for directory in sorted(Path("runs").glob("*/steps"))]
    united = pl.concat(frames, how="diagonal").select("step", "loss", "lr", "grad_norm")
    assert united.collect().to_dicts() == EXPECTED


def test_pandas_reads_all_runs_at_once(two_runs: None) -> None:
    """Where their columns differ, joined by name."""
    frames = [pd.read_parquet(path, dtype_backend="pyarrow") for path in sorted(Path("runs").glob("*/steps"))]
    united = pd.concat(frames)[["step", "loss", "lr", "grad_norm"]]
    assert pa.Table.from_pandas(united, preserve_index=False).to_pylist() == EXPECTED
