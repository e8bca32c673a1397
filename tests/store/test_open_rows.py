"""The open row of a table, to which ``log`` may add: it is shown as the last row, and is final when it is closed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from live_run import numbers
from live_run.by_hand import flip, shrink
from live_run.dying import die_before
from live_run.jumping import LARGE, Jumping, column

from neurockt import list_runs, open_run
from neurockt.catalogue import RunWatcher
from neurockt.query.fields import parse_field
from neurockt.store import RowReader
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner import liveness
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.recovery.takeover import Takeover
from neurockt.store.writing.table_writer import TableWriter


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of nine rows in row groups of three."""
    shrink(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Jumping]:
    """Rows 0, 10 and 20, the first in a part; row 30 is open."""
    made = Jumping(tmp_path / "run")
    made.write([0])
    made.steps.seal()
    made.write([10, 20])
    made.open("steps", 30, 1, {"loss": 30.0})
    yield made
    made.release()


def losses(reader: RowReader) -> list[float]:
    reader.refresh()
    groups = range(len(reader.groups))
    return [value for group in groups for value in reader.read(group, ["loss"])["loss"].values.tolist()]


def test_an_open_row_is_the_last_row(run: Jumping) -> None:
    """Of the table in every form, and of its summary; with the values it has now."""
    opened = open_run(run.path)
    reader = opened.rows("steps")
    run.beat()
    for loss in (30.0, 31.0):
        run.open("steps", 30, 1, {"loss": loss, "lr": 0.5})
        steps = opened.steps()
        assert numbers(steps) == [0, 10, 20, 30]
        assert column(steps, "loss") == [0.0, 10.0, 20.0, loss]
        assert column(steps, "lr") == [None, None, None, 0.5]
        assert numbers(opened.last_rows("steps", 2)) == [20, 30]
        assert opened.outline("steps").total == 4
        info = opened.current_info().steps
        assert (info.rows, info.last, info.columns["loss"].last) == (4, 30, loss)
        assert losses(reader) == [0.0, 10.0, 20.0, loss]


def test_lists_show_the_open_row_as_the_last_one(run: Jumping) -> None:
    """Of a live run, as of its latest heartbeat; and of one that is killed, until it is sealed and thereafter."""
    run.beat()
    run.open("steps", 30, 1, {"loss": -5.0, "lr": 0.5})
    run.open("epochs", 1, 30, {"acc": 0.25})
    watcher = RunWatcher(run.path.parent)
    for _ in range(3):
        list(watcher.look())
        for (info,) in (list_runs(run.path.parent), watcher.runs):
            assert (parse_field("steps").value(info), parse_field("epochs").value(info)) == (30, 1)
            assert (info.steps.rows, info.steps.columns["lr"].last, info.steps.columns["loss"].min) == (4, 0.5, -5.0)
            assert parse_field("acc").value(info) == 0.25
        if info.state == "killed":
            seal_run(run.path)
        run.die()
    assert info.ended is not None


def test_followers_wait_until_the_row_is_final(run: Jumping) -> None:
    """That is when it is in the journal, whatever the file of the open row still holds."""
    opened = open_run(run.path)
    follower = opened.follower("steps")
    assert numbers(opened.follow().steps) == numbers(follower.new_rows()) == [0, 10, 20]
    assert column(follower.open_rows, "loss") == [30.0]
    assert opened.settled("steps") == 20
    assert opened.outline("steps", final=True).total == 3
    assert numbers(opened.batches("steps", final=True)[1].__next__()) == [0]
    run.open("steps", 30, 1, {"loss": 33.0})
    run.write([30])
    assert column(opened.follow().steps, "loss") == [30.0]
    assert numbers(follower.new_rows()) == [30]
    assert len(follower.open_rows) == 0
    run.open("steps", 40, 1, {"loss": 40.0})
    assert numbers(opened.follow().steps) == []
    assert numbers(opened.steps()) == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("sealed", [False, True])
def test_the_open_row_of_a_dead_run_is_final(run: Jumping, sealed: bool) -> None:
    """Whoever follows gets it once, before or after it is sealed."""
    opened = open_run(run.path)
    assert numbers(opened.follow().steps) == [0, 10, 20]
    run.die()
    if sealed:
        seal_run(run.path)
    assert numbers(opened.follow().steps) == [30]
    seal_run(run.path)
    assert numbers(opened.follow().steps) == []
    assert opened.settled("steps") == 30
    assert numbers(opened.steps()) == [0, 10, 20, 30]


def test_an_open_row_is_not_final_while_the_state_cannot_be_read(run: Jumping) -> None:
    """As during a file server's fail-over: the run may be alive."""
    opened = open_run(run.path)
    assert numbers(opened.follow().steps) == [0, 10, 20]
    document = (run.path / "run.json").read_bytes()
    (run.path / "run.json").unlink()
    (run.path / "run.json").mkdir()  # the system refuses to read it
    assert numbers(opened.follow().steps) == []
    assert opened.settled("steps") == 20
    (run.path / "run.json").rmdir()
    (run.path / "run.json").write_bytes(document)
    run.open("steps", 30, 1, {"loss": 35.0})
    run.die()
    assert column(opened.follow().steps, "loss") == [35.0]


def test_sealing_puts_the_open_rows_into_the_parts(run: Jumping) -> None:
    """Of each table, with columns of their own; their files are removed."""
    run.open("steps", LARGE, 2, {"loss": 1.5, "lr": 0.1})
    run.open("epochs", 1, LARGE, {"acc": 0.5})
    run.die()
    assert not seal_run(run.path).already
    assert sorted(path.name for path in run.path.iterdir()) == ["epochs", "run.json", "steps"]
    assert pq.read_table(run.path / "steps").drop(["time"]).to_pylist()[-1] == {
        "step": LARGE,
        "epoch": 2,
        "loss": 1.5,
        "lr": 0.1,
    }
    assert column(pq.read_table(run.path / "epochs"), "step") == [LARGE]
    info = read_info(run.path)
    assert (info.steps.rows, info.steps.last, info.epochs.last) == (4, LARGE, 1)
    assert info.ended == open_run(run.path).epochs()["time"][-1].as_py()
    assert seal_run(run.path).already


def test_a_run_of_which_only_an_open_row_is_left_is_not_sealed(run: Jumping) -> None:
    """A sealing that was interrupted after the journals."""
    run.finish()
    run.open("steps", 50, 1, {"loss": 50.0})
    run.die()
    assert not seal_run(run.path).already
    assert numbers(pq.read_table(run.path / "steps")) == [0, 10, 20, 50]


def test_an_open_row_that_is_in_the_journal_counts_once(run: Jumping) -> None:
    """As a writer leaves it that dies between the two: the journal's counts."""
    run.write([30])
    run.open("steps", 30, 1, {"loss": -1.0})
    run.die()
    assert column(open_run(run.path).steps(), "loss") == [0.0, 10.0, 20.0, 30.0]
    seal_run(run.path)
    assert column(open_run(run.path).steps(), "loss") == [0.0, 10.0, 20.0, 30.0]


def test_a_file_without_a_sound_row_has_none(run: Jumping) -> None:
    """One that was torn when it was created: the call had not returned."""
    path = layout.open_row_path(run.path, "steps")
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert numbers(open_run(run.path).steps()) == [0, 10, 20]
    path.write_bytes(whole)
    flip(path, len(whole) - 20)
    assert numbers(open_run(run.path).steps()) == [0, 10, 20]
    run.die()
    seal_run(run.path)
    assert numbers(open_run(run.path).steps()) == [0, 10, 20]


def test_an_open_row_that_cannot_be_read_is_reported(run: Jumping) -> None:
    """The other rows are read; sealing keeps what is there."""
    path = layout.open_row_path(run.path, "steps")
    path.unlink()
    path.mkdir()
    with pytest.warns(match=r"steps\.open: cannot be read now"):
        assert numbers(open_run(run.path).steps()) == [0, 10, 20]
    run.die()
    seal_run(run.path)
    assert (run.path / "steps.open.damaged").is_dir()


def test_an_open_row_past_the_checkpoint_is_superseded(run: Jumping) -> None:
    """It is in the table before the rewind, as the other rows are; one at the checkpoint stays."""
    run.die()
    copy = Path(shutil.copytree(run.path, run.path.with_name("copy")))
    for path, step, stays, moved in ((run.path, 10, [0, 10], [20, 30]), (copy, 30, [0, 10, 20, 30], [])):
        takeover = Takeover(path)
        assert takeover.kept["steps"] == 30
        takeover.resume(step)
        takeover.begin(takeover.info, 1)
        assert takeover.finish()["steps"][0] == min(step, 30)
        opened = open_run(path)
        assert numbers(opened.steps()) == stays
        assert [number for rows in opened.superseded().values() for number in numbers(rows)] == moved
        assert not layout.open_row_path(path, "steps").exists()


def test_a_follower_that_returned_a_dead_run_s_open_row_hears_of_its_rewind(run: Jumping) -> None:
    """As of any other row."""
    opened = open_run(run.path)
    run.die()
    assert numbers(opened.follow().steps) == [0, 10, 20, 30]
    takeover = Takeover(run.path)
    takeover.resume(20)
    takeover.begin(takeover.info, 1)
    takeover.finish()
    new = opened.follow()
    assert (new.rewound, new.kept[0], numbers(new.steps)) == (True, 20, [])
    writer = TableWriter(run.path, "steps", ["loss"], last=20)
    writer.append_at(30, 1, run.now(), [3.0])
    assert column(opened.follow().steps, "loss") == [3.0]
    writer.release()


def test_rows_by_position_follow_an_open_row_as_it_changes_and_ends(run: Jumping) -> None:
    """The number of the row that changed is named, so that what was kept of it can be read again."""
    reader = open_run(run.path).rows("steps")
    assert losses(reader) == [0.0, 10.0, 20.0, 30.0]
    assert reader.changed is None
    assert not reader.refresh()
    run.open("steps", 30, 1, {"loss": 31.0})
    assert reader.refresh()
    assert (reader.changed, losses(reader)) == (30, [0.0, 10.0, 20.0, 31.0])
    run.write([30])
    assert reader.refresh()
    assert (reader.changed, reader.groups.total) == (30, 4)
    assert losses(reader) == [0.0, 10.0, 20.0, 30.0]
    run.open("steps", 50, 1, {"loss": 50.0})
    assert reader.refresh()
    assert (reader.changed, losses(reader)) == (None, [0.0, 10.0, 20.0, 30.0, 50.0])
    assert reader.number_at(4) == 50


@pytest.mark.slow
def test_no_kill_during_a_sealing_loses_an_open_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any one of the operations of sealing a dead run; then it is sealed once more."""
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.5)  # what is waited where a claim does not show yet whose it is
    operation, died = 0, True
    while died:
        operation += 1
        run = Jumping(tmp_path / str(operation))
        run.write([0, 10])
        run.steps.seal()
        run.write([20, LARGE])
        run.open("steps", LARGE + 1, 2, {"loss": float(LARGE + 1), "lr": 0.1})
        run.validate(15)
        run.open("epochs", 2, LARGE, {"acc": float(LARGE)})
        run.die()
        died = die_before(operation, lambda path=run.path: seal_run(path))  # type: ignore[misc]
        opened = open_run(run.path)
        for _ in range(2):
            steps, epochs = opened.steps(), opened.epochs()
            assert numbers(steps) == column(steps, "loss") == [0, 10, 20, LARGE, LARGE + 1]
            assert column(epochs, "acc") == column(epochs, "step") == [15, LARGE]
            seal_run(run.path)
        assert not list(run.path.glob("*.open"))
    assert operation > 8


@pytest.mark.slow
def test_no_kill_during_a_takeover_loses_an_open_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each other of its operations: the next one completes it, and every row is in the series or superseded."""
    monkeypatch.setattr(liveness, "STALE_SECONDS", 0.5)
    operation, died = -1, True

    def resume(path: Path) -> None:
        takeover = Takeover(path)
        takeover.resume(10)
        takeover.begin(takeover.info, 1)
        takeover.finish()

    while died:
        operation += 2
        run = Jumping(tmp_path / str(operation))
        run.write([0, 10])
        run.steps.seal()
        run.write([20, LARGE])
        run.open("steps", LARGE + 1, 2, {"loss": float(LARGE + 1)})
        run.validate(10)
        run.open("epochs", 2, LARGE, {"acc": float(LARGE)})
        run.die()
        died = die_before(operation, lambda path=run.path: resume(path))  # type: ignore[misc]
        resume(run.path)
        opened = open_run(run.path)
        assert (numbers(opened.steps()), column(opened.epochs(), "acc")) == ([0, 10], [10.0])
        moved = [number for rows in opened.superseded("steps").values() for number in numbers(rows)]
        assert moved == [20, LARGE, LARGE + 1]
        assert [value for rows in opened.superseded("epochs").values() for value in column(rows, "acc")] == [LARGE]
        assert not list(run.path.glob("*.open"))
    assert operation > 15
