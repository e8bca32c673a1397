"""Rows whose numbers jump and begin at 0, read in every way, at every moment, and after every death."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import accumulate
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interrupting import interrupt_at
from live_run import numbers
from live_run.by_hand import shrink
from live_run.dying import die_before
from live_run.jumping import LARGE, Jumping, column

from neurockt import open_run
from neurockt.store import RowReader
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.reading.follow import TableFollower
from neurockt.store.reading.run import Run
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.recovery.takeover import Takeover
from neurockt.store.tables.superseded import rewind
from neurockt.store.writing import appending
from neurockt.store.writing.table_writer import TableWriter

GAPS = st.one_of(st.just(1), st.integers(1, 100), st.integers(1, LARGE // 100))


@st.composite
def rising(draw: st.DrawFn, most: int = 40) -> list[int]:
    """Numbers from 0 to 10^12 and above, with gaps."""
    gaps = draw(st.lists(GAPS, min_size=1, max_size=most))
    return list(accumulate(gaps[1:], initial=draw(st.sampled_from([0, 1, gaps[0]]))))


@pytest.fixture(scope="module", autouse=True)
def small_groups() -> Iterator[None]:
    """Parts of nine rows in row groups of three."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        yield


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Jumping]:
    made = Jumping(tmp_path / "run")
    yield made
    made.release()


def check(path: Path, expected: list[int]) -> None:
    """Every way of reading agrees."""
    opened = open_run(path)
    steps = opened.steps()
    assert numbers(steps) == column(steps, "loss") == expected
    for count in (1, 2, 5, len(expected) + 1):
        assert numbers(opened.last_rows("steps", count)) == expected[-count:]
    for after, until in zip(expected, expected[2:], strict=False):
        assert numbers(opened.window("steps", after=after, until=until)) == [n for n in expected if after < n <= until]
    _, pieces = opened.batches("steps")
    assert numbers(pa.concat_tables(pieces)) == expected
    outline = opened.outline("steps")
    assert outline.total == len(expected)
    assert int(outline.axes["step"][1].max(initial=-1)) == max(expected, default=-1)
    summary = opened.current_info().steps
    assert (summary.rows, summary.last) == (len(expected), expected[-1] if expected else None)
    check_positions(opened.rows("steps"), expected)
    assert not opened.damaged


def check_positions(reader: RowReader, expected: list[int]) -> None:
    reader.refresh()
    found = [reader.read(group, ["step"])["step"].values for group in range(len(reader.groups))]
    assert np.concatenate([np.empty(0), *found]).tolist() == expected
    for position, number in enumerate(expected):
        assert reader.position_of(number) == position
        assert reader.number_at(position) == number
        assert reader.count_until(number) == position + 1
        assert reader.groups.position_of(number) in (position, None)
    if expected:
        assert reader.position_of(0) == 0
        assert reader.position_of(expected[-1] + 1) == len(expected) - 1


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=rising(), seals=st.sets(st.integers(0, 40), max_size=4), looks=st.sets(st.integers(0, 40), max_size=6))
def test_any_numbers_are_read_in_every_way(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], seals: set[int], looks: set[int]
) -> None:
    """Sealed at any points and followed at others, killed, sealed, and read again."""
    run = Jumping(tmp_path_factory.mktemp("runs") / "run")
    follower = open_run(run.path).follower("steps")
    reader = open_run(run.path).rows("steps")
    followed: list[int] = []
    for index, number in enumerate(steps):
        run.write([number])
        if index in looks:
            followed += numbers(follower.new_rows())
            assert followed == steps[: index + 1]
            check_positions(reader, followed)
        if index in seals:
            run.steps.seal()
    followed += numbers(follower.new_rows())
    assert followed == steps
    check(run.path, steps)
    run.beat()
    assert (read_info(run.path).steps.rows, read_info(run.path).steps.last) == (len(steps), steps[-1])
    run.die()
    check(run.path, steps)
    seal_run(run.path)
    check(run.path, steps)
    assert numbers(pq.read_table(run.path / "steps")) == steps
    assert numbers(follower.new_rows()) == []
    assert read_info(run.path).steps.last == steps[-1]


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=rising(), seal=st.integers(0, 40), share=st.floats(0, 1))
def test_a_journal_cut_anywhere_leaves_a_prefix(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], seal: int, share: float
) -> None:
    """Of the rows, whatever their numbers; and a later journal's rows do not follow where rows are missing."""
    run = Jumping(tmp_path_factory.mktemp("runs") / "run")
    run.write(steps[:seal])
    run.steps.seal()
    run.write(steps[seal:])
    journal = layout.journal_path(run.path, "steps")
    data = journal.read_bytes()
    cut = int(share * len(data))
    with journal.open("r+b") as file:
        file.truncate(cut)
    found = numbers(open_run(run.path).steps())
    assert found == steps[: len(found)]
    assert len(found) >= len(steps[:seal])
    assert cut < len(data) or found == steps
    run.release()


@pytest.mark.parametrize("lost", [0, 1])
def test_rows_after_a_jump_count_while_the_journal_is_being_sealed(run: Jumping, lost: int) -> None:
    """The header of the next journal shows whether rows are missing before it, not the number of its first row."""
    run.write([0, 7, 500])
    assert run.steps._switch()
    run.write([LARGE, LARGE + 5])
    journal = layout.journal_path(run.path, "steps")
    if lost:
        journal.write_bytes(journal.read_bytes()[:-1])
        with pytest.warns(match="left out: rows that came before it are missing"):
            assert numbers(open_run(run.path).steps()) == [0, 7]
    else:
        check(run.path, [0, 7, 500, LARGE, LARGE + 5])


def test_a_journal_is_exchanged_at_any_moment_of_a_jump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever journal the row is in, its header shows that none is missing before it."""
    monkeypatch.setattr(appending, "LOCK_SECONDS", 0.001)
    operation, reached = 0, True
    while reached:
        operation += 1
        with ExitStack() as stack:
            run = Jumping(tmp_path / f"run-{operation}")
            stack.callback(run.release)
            run.write([0, 7, 500])

            def exchange(run: Jumping = run) -> None:
                thread = Thread(target=run.steps._switch)  # as the background thread
                thread.start()
                thread.join()

            reached = interrupt_at(operation, {appending.__file__}, partial(run.write, [LARGE]), exchange)
            assert numbers(open_run(run.path).steps()) == [0, 7, 500, LARGE]
            run.steps.seal()
            assert numbers(open_run(run.path).steps()) == [0, 7, 500, LARGE]
    assert operation > 50


def test_a_follower_waits_for_rows_that_arrive_after_later_ones(run: Jumping) -> None:
    """The end of one journal may be seen after the next one, over a network; no row is passed over."""
    run.write([0, 7, 500])
    assert run.steps._switch()
    run.write([LARGE])
    follower = TableFollower(run.path, "steps")
    journal = layout.journal_path(run.path, "steps")
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-1])
    assert numbers(follower.new_rows()) == [0, 7]
    assert numbers(follower.new_rows()) == []
    journal.write_bytes(whole)
    assert numbers(follower.new_rows()) == [500, LARGE]
    assert numbers(follower.new_rows()) == []
    assert follower.damaged == []


def test_a_follower_of_jumping_rows_reads_no_parts(run: Jumping, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has looked for rows before those of the journal."""
    run.write([0, 10, 20])
    run.steps.seal()
    run.write([LARGE])
    follower = TableFollower(run.path, "steps", after=20)
    assert numbers(follower.new_rows()) == [LARGE]
    parts = layout.part_paths(run.path, "steps")
    for part in parts:
        part.write_bytes(b"nothing to read")
    run.write([LARGE + 10])
    assert numbers(follower.new_rows()) == [LARGE + 10]
    assert follower.damaged == []


def test_a_follower_looks_once_for_rows_before_those_of_the_journal(tmp_path: Path) -> None:
    """A table that begins with row 1 has none, and that does not change."""
    writer = TableWriter(tmp_path, "steps", ["loss"], last=0)
    follower = TableFollower(tmp_path, "steps")
    assert numbers(follower.new_rows()) == []
    layout.part_path(tmp_path, "steps", 0).write_bytes(b"nothing to read")
    writer.append_at(LARGE, 1, 0, [1.0])
    assert numbers(follower.new_rows()) == [LARGE]
    assert follower.damaged == []
    writer.release()


def test_row_0_is_a_row_of_its_own(run: Jumping) -> None:
    """In the journal and in a part; nothing is before it."""
    run.write([0])
    check(run.path, [0])
    run.steps.seal()
    check(run.path, [0])
    assert numbers(open_run(run.path).window("steps", after=0)) == []
    assert numbers(open_run(run.path).follow().steps) == [0]
    assert open_run(run.path).settled("steps") == 0


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=rising(), data=st.data())
def test_a_rewind_to_any_step_keeps_the_rows_up_to_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    """Also to a number that no row has, to 0, and to before everything."""
    run = Jumping(tmp_path_factory.mktemp("runs") / "run")
    run.write(steps)
    run.finish()
    follower = open_run(run.path).follower("steps")
    follower.new_rows()
    kept = data.draw(st.one_of(st.just(-1), st.sampled_from(steps), st.integers(0, LARGE)))
    rewind(run.path, 1, {"steps": kept})
    stays = [number for number in steps if number <= kept]
    assert numbers(open_run(run.path).steps()) == stays
    assert numbers(open_run(run.path).superseded()[1]) == steps[len(stays) :]
    assert numbers(follower.new_rows()) == []
    assert follower.rewound_to == (None if kept >= steps[-1] else kept)


def test_what_is_taken_over_goes_on_after_the_last_number(run: Jumping) -> None:
    """Or after the step of the checkpoint, whether a row has it or not."""
    run.write([0, 10, 20])
    run.validate(20)
    run.write([LARGE])
    run.validate(LARGE)
    run.die()
    assert Takeover(run.path).kept == {"steps": LARGE, "epochs": 2, "system": -1, "late": -1}
    for step, kept, epochs in ((25, 25, 1), (10, 10, -1), (0, 0, -1), (-1, -1, -1)):
        takeover = Takeover(run.path)
        takeover.resume(step)
        assert (takeover.kept["steps"], takeover.kept["epochs"]) == (kept, epochs)


def test_all_validations_from_the_first_that_is_past_the_checkpoint_go(run: Jumping) -> None:
    """One of an earlier step that came after it goes with it: a table is only cut at its end."""
    for step in (100, 300, 200):
        run.validate(step)
    run.die()
    takeover = Takeover(run.path)
    takeover.resume(250)
    assert takeover.kept["epochs"] == 1


@pytest.mark.slow
def test_no_kill_during_a_sealing_loses_a_jumping_row(tmp_path: Path) -> None:
    """Before any one of its operations."""
    steps = [0, 1, 5, 17, 10**6, 10**9, 10**9 + 1, LARGE, LARGE + 40, 2 * LARGE, 3 * LARGE]
    operation, died = 0, True
    while died:
        operation += 1
        run = Jumping(tmp_path / str(operation))
        run.write(steps[:5])
        run.steps.seal()
        run.write(steps[5:9])

        def seal_and_write(run: Jumping = run) -> None:
            run.steps._switch()
            run.write(steps[9:10])
            run.steps.seal()
            run.write(steps[10:])

        died = die_before(operation, seal_and_write)
        found = numbers(Run(run.path).steps())
        assert found == steps[: max(9, len(found))]
        assert died or found == steps
        run.die()
        copy = Path(shutil.copytree(run.path, tmp_path / f"{operation}-copy"))
        seal_run(copy)
        check(copy, found)
    assert operation > 4
