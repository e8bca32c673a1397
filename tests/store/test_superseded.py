"""Moving rows out of a run, killed anywhere: one clean series at every moment, and nothing lost or kept twice."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_run.by_hand import flip, shrink
from live_run.dying import die, die_before

from neurockt import open_run, testing
from neurockt.errors import CorruptRun, NeurocktWarning
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner import liveness
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts

pytestmark = pytest.mark.slow

STEPS = 30
"""Steps of the run, in parts of nine; a validation after every fourth."""


def train(root: Path, steps: int, value: float, resume: int | None = None) -> None:
    """Record up to a step; the rows' values tell who recorded them, in which step."""
    recorder = Recorder(root, run_id="run", resume=True, quiet=True)
    loss = recorder.track_scalar("loss")(float)
    accuracy = recorder.metric("acc")(float)
    if resume is not None:
        recorder.resume(resume)
    while recorder.step < steps:
        with recorder(train=True):
            loss(value + recorder.step)
        if recorder.step % 4 == 0:
            with recorder(train=False):
                accuracy(value + recorder.step)
    recorder.finish()


@pytest.fixture(scope="module")
def long_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 30 steps of a process that was killed: some in parts, some in its journals."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)

        def record() -> Recorder:
            recorder = Recorder(root, run_id="run", quiet=True)
            losses, accuracies = list(range(100, 100 + STEPS)), list(range(104, 100 + STEPS, 4))
            testing.record(recorder, {"loss": losses[:20]}, {"acc": accuracies[:5]}, every=4)
            testing.seal(recorder, "steps")
            testing.record(recorder, {"loss": losses[20:]}, {"acc": accuracies[5:]}, every=4)
            return recorder

        die(record)
    return root / "run"


def plain(directory: Path, table: str) -> list[tuple[int, float]]:
    """The rows that the parts hold, read by Arrow alone."""
    found = []
    for part in sorted((directory / table).glob("*.parquet")):
        rows = pq.read_table(part, partitioning=None).to_pydict()
        found += list(zip(rows["step"], rows["loss" if table == "steps" else "acc"], strict=True))
    return found


def check(run_dir: Path) -> None:
    """Both tables are one clean series, to readers with and without neurockt."""
    run = open_run(run_dir)
    for table, key in (("steps", "step"), ("epochs", "epoch")):
        rows = run.steps() if table == "steps" else run.epochs()
        assert rows[key].to_pylist() == list(range(1, len(rows) + 1))
        parquet = plain(run_dir, table)
        assert parquet == pairs(rows)[: len(parquet)]
    assert not run.damaged


def pairs(rows: pa.Table) -> list[tuple[int, float]]:
    """Each row's step and value."""
    return list(zip(rows["step"].to_pylist(), rows[-1].to_pylist(), strict=True))


def everything(run_dir: Path, table: str) -> Counter[tuple[int, float]]:
    """Every row there is, superseded or not."""
    run = open_run(run_dir)
    rows = [run.steps() if table == "steps" else run.epochs()]
    rows += run.superseded("steps" if table == "steps" else "epochs").values()
    return Counter(pair for piece in rows for pair in zip(piece["step"].to_pylist(), piece[3].to_pylist(), strict=True))


def test_whatever_operation_a_kill_comes_before_nothing_is_lost_or_twice(
    long_run: Path, tmp_path: Path, small_parts: None, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    """A second attempt is killed before each third of its operations, before each one with ``--kills`` of 100 and more.

    A third attempt resumes as the second was to.

    In between the plain Parquet is one clean series, and at the end no row of the first attempt is missing or doubled.
    """
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.5)  # what is waited where a claim does not tell yet whose it is
    operation, stride = 0, 1 if kills >= 100 else 3
    while True:
        operation += stride
        root = tmp_path / str(operation)
        shutil.copytree(long_run, root / "run")
        killed = die_before(operation, lambda root=root: train(root, 16, 200, resume=13))  # type: ignore[misc]
        check(root / "run")
        if killed:
            seen = len(open_run(root / "run").steps())
            train(root, 16, 300, resume=13)
            check(root / "run")
            assert seen >= 13
        run = open_run(root / "run")
        assert run.state == "finished"
        value = 300 if killed else 200
        assert plain(run.path, "steps")[13:] == [(step, value + step - 1) for step in (14, 15, 16)]
        assert plain(run.path, "epochs") == [(4, 104), (8, 108), (12, 112), (16, value + 16)]
        assert read_info(run.path).steps.columns["loss"].max == value + 15
        for table, rows in (("steps", range(1, STEPS + 1)), ("epochs", range(4, STEPS + 1, 4))):
            of_first = {pair: n for pair, n in everything(run.path, table).items() if pair[1] < 200}
            offset = 99 if table == "steps" else 100
            assert of_first == {(step, offset + step): 1 for step in rows}
        assert not list(run.path.rglob(".*"))
        assert not list(run.path.glob("claim-*"))
        if not killed:
            break
        shutil.rmtree(root)
    assert operation > 30


def test_sealing_completes_what_was_begun(long_run: Path, tmp_path: Path, small_parts: None) -> None:
    """A run that was killed amid the move, and is never resumed, is cut where it was to be."""
    for operation in range(12, 40, 3):
        root = tmp_path / str(operation)
        path = Path(shutil.copytree(long_run, root / "run"))
        die_before(operation, lambda root=root: train(root, 16, 200, resume=13))  # type: ignore[misc]
        moving = layout.moving_paths(path)
        seal_run(path)
        check(path)
        assert not layout.moving_paths(path)
        if moving:
            assert len(plain(path, "steps")) == 13
            assert read_info(path).steps.columns["loss"].max == 112
        assert sum(everything(path, "steps").values()) >= STEPS
        assert seal_run(path).already


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(attempts=st.lists(st.tuples(st.integers(1, 12), st.none() | st.integers(0, 40)), min_size=1, max_size=5))
def test_any_row_is_in_the_series_or_superseded(
    tmp_path_factory: pytest.TempPathFactory, small_parts: None, attempts: list[tuple[int, int | None]]
) -> None:
    """Attempts of some steps each, resumed from anywhere: the series is what the last ones recorded."""
    root = tmp_path_factory.mktemp("runs")
    expected: dict[int, float] = {}
    recorded: Counter[tuple[int, float]] = Counter()
    for number, (steps, resume) in enumerate(attempts, 1):
        begin = len(expected) if resume is None else min(resume, len(expected))
        train(root, begin + steps, 100 * number, resume)
        new = {step: 100 * number + step - 1 for step in range(begin + 1, begin + steps + 1)}
        expected = {**{step: value for step, value in expected.items() if step <= begin}, **new}
        recorded.update(new.items())
    path = root / "run"
    check(path)
    assert dict(plain(path, "steps")) == expected
    assert everything(path, "steps") == recorded
    assert open_run(path).epochs()["step"].to_pylist() == list(range(4, len(expected) + 1, 4))
    summary = read_info(path).steps
    assert summary.rows == len(expected)
    column = summary.columns["loss"]
    assert (column.last, column.min, column.max) == (
        expected[len(expected)],
        min(expected.values()),
        max(expected.values()),
    )


def sealed(run: Path, root: Path) -> Path:
    path = Path(shutil.copytree(run, root / "run"))
    seal_run(path)
    return path


@pytest.mark.parametrize(("number", "left"), [(1, [*range(1, 10), 15]), (2, range(1, 16))])
def test_a_part_that_cannot_be_read_is_not_lost(
    long_run: Path, tmp_path: Path, small_parts: None, number: int, left: list[int]
) -> None:
    """Past the checkpoint it is moved as it is; where it may hold rows that stay, it is left where it is."""
    path = sealed(long_run, tmp_path)
    layout.part_path(path, "steps", number).write_bytes(b"no Parquet")
    train(tmp_path, 15, 200, resume=14)
    superseded = layout.superseded_paths(path)[1]
    moved, stayed = (layout.part_path(where, "steps", number) for where in (superseded, path))
    assert (moved if number == 2 else stayed).read_bytes() == b"no Parquet"
    with pytest.warns(NeurocktWarning, match=f"part-0000{number}") if number == 1 else nullcontext():
        assert open_run(path).steps()["step"].to_pylist() == list(left)


def test_damaged_rows_are_kept_as_they_are(long_run: Path, tmp_path: Path, small_parts: None) -> None:
    """A part that is cut in two can be read in part only: the whole file stays beside what was moved."""
    path = sealed(long_run, tmp_path)
    part = layout.part_path(path, "steps", 1)
    with parts.open_part(part, "step") as opened:
        column = opened.metadata.row_group(2).column(3)
        flip(part, column.data_page_offset + column.total_compressed_size - 1)
    data = part.read_bytes()
    with pytest.raises((pa.ArrowException, OSError)):
        pq.read_table(part)
    train(tmp_path, 13, 200, resume=12)
    run = open_run(path)
    assert run.steps()["step"].to_pylist() == list(range(1, 14))
    assert not run.damaged
    assert (path / "superseded/attempt-001/steps/part-00001.parquet.damaged").read_bytes() == data
    assert run.superseded()[1]["step"].to_pylist() == [13, 14, 15, *range(19, 31)]


def test_a_move_of_which_nothing_is_known_moves_nothing(long_run: Path, tmp_path: Path, small_parts: None) -> None:
    """It was begun, and the file that tells how far it was to go is damaged: the message names that file."""
    path = sealed(long_run, tmp_path)
    moving = layout.moving_path(path, 1)
    moving.mkdir(parents=True)
    (moving / layout.REWIND_FILE).write_text(json.dumps({"kept": []})[:-3])
    with pytest.raises(CorruptRun, match=r"rewind\.json"):
        train(tmp_path, 40, 200)
    assert len(plain(path, "steps")) == STEPS
