"""`open_run`: parts and journal read as one table, whatever state they are in, and nothing is written."""

from __future__ import annotations

import itertools
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_run import joined, numbers, same
from live_run.by_hand import PART, Recording, flip, shrink

from neurockt import list_runs, open_run, testing
from neurockt.errors import ColumnNotFound, NeurocktWarning, UsageError
from neurockt.monitor import Recorder
from neurockt.store.base import layout
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts

# One table


def test_parts_and_journal_are_one_table(long_run: Path) -> None:
    """Each row once and in order; null and NaN are kept apart."""
    steps = open_run(long_run).steps()
    assert [path.name for path in layout.part_paths(long_run, "steps")] == ["part-00000.parquet", "part-00001.parquet"]
    assert steps.schema == parts.table_schema(["loss"])
    assert numbers(steps) == list(range(1, 21))
    loss = steps["loss"].to_pylist()
    assert [number for number, value in enumerate(loss, 1) if value is None] == [5, 10, 15, 20]
    assert [number for number, value in enumerate(loss, 1) if value is not None and math.isnan(value)] == [7, 14]
    assert all(value == number for number, value in enumerate(loss, 1) if value == value and value is not None)


def test_a_column_that_came_later_is_null_before(recording: Recording) -> None:
    """In older parts, in newer ones and in the journal."""
    recording.write(10)
    recording.seal()
    recording.add("lr")
    recording.write(3)
    recording.seal()
    recording.add("aux")
    recording.write(1)
    steps = open_run(recording.path).steps()
    assert steps.column_names == ["step", "epoch", "time", "loss", "lr", "aux"]
    assert steps["lr"].null_count == 10
    assert steps["aux"].null_count == 13


def test_only_the_columns_asked_for_come_and_in_that_order(long_run: Path) -> None:
    """The recorder's own columns are no exception."""
    steps = open_run(long_run).steps(["loss", "step"])
    assert steps.column_names == ["loss", "step"]
    assert numbers(steps) == list(range(1, 21))
    assert open_run(long_run).steps(columns=["time"]).column_names == ["time"]


def test_a_column_that_is_not_there_is_told_with_one_that_is_near(long_run: Path) -> None:
    """The message names the run, what was asked for and what was perhaps meant."""
    with pytest.raises(ColumnNotFound, match=r"no column 'los' in steps of .*run; did you mean 'loss'\?"):
        open_run(long_run).steps(["step", "los"])
    with pytest.raises(ColumnNotFound, match="there are step, epoch, time, loss"):
        open_run(long_run).steps(["zebra"])


@pytest.mark.parametrize("table", ["steps", "system"])
def test_one_name_is_not_taken_for_a_list_of_letters(long_run: Path, table: str) -> None:
    """Also of a table without rows, which has whatever columns are asked for."""
    with pytest.raises(UsageError, match=r"columns is a list of names, such as \['loss'\]"):
        getattr(open_run(long_run), table)("loss")


def test_a_table_without_rows_has_whatever_columns_are_asked_for(recording: Recording) -> None:
    """A script that plots a young run need not wait for its first validation."""
    recording.write(1)
    epochs = open_run(recording.path).epochs(["epoch", "acc"])
    assert (epochs.column_names, len(epochs)) == (["epoch", "acc"], 0)
    assert open_run(recording.path).epochs().column_names == ["step", "epoch", "time"]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 12, 19, 20, 1000])
def test_the_last_rows_are_the_end_of_the_table(long_run: Path, count: int) -> None:
    """Wherever they lie: in the journal, in a part, in both; all there are where there are fewer."""
    assert numbers(open_run(long_run).last_rows("steps", count)) == list(range(1, 21))[max(0, 20 - count) :]


@given(after=st.integers(0, 25), until=st.integers(0, 25))
@settings(max_examples=60)
def test_a_window_holds_the_rows_between_two_numbers(copied_run: Path, after: int, until: int) -> None:
    """It ends where it is told to, across row groups, parts and journal."""
    rows = open_run(copied_run).window("steps", ["step"], after=after, until=until)
    assert numbers(rows) == [number for number in range(1, 21) if after < number <= until]


# In bounded memory


def test_batches_are_the_table_in_pieces_of_a_row_group(long_run: Path) -> None:
    """Each has the schema that was told before; the journal's rows come last."""
    run = open_run(long_run)
    schema, pieces = run.batches("steps", ["loss", "step"], after=2)
    tables = list(pieces)
    assert all(table.schema == schema for table in tables)
    assert [len(table) for table in tables] == [1, 3, 3, 3, 8]
    assert same(pa.concat_tables(tables), run.window("steps", ["loss", "step"], after=2))


def test_batches_take_the_memory_of_a_row_group(tmp_path: Path, tiny_run: Path) -> None:
    """However long the table is: here 16 row groups, of which never more than three are held."""
    rows = 16 * parts.ROW_GROUP_ROWS - 5
    values = np.random.default_rng(0).normal(size=rows)
    count = np.arange(6, rows + 6)
    table = pa.table([count, count, count.astype("datetime64[us]"), values], ["step", "epoch", "time", "loss"])
    parts.append(tiny_run, "steps", table.cast(parts.table_schema(["loss"])))
    before, most, total = pa.total_allocated_bytes(), 0, 0
    for piece in open_run(tiny_run).batches("steps")[1]:
        most = max(most, pa.total_allocated_bytes() - before)
        total += len(piece)
    assert total == rows + 5
    assert most < 3 * parts.ROW_GROUP_ROWS * 40


# What is new


def test_following_gives_what_is_new_since_last_asked(recording: Recording) -> None:
    """At first all there is; then nothing, until something comes, in either table."""
    recording.write(4)
    recording.seal()
    recording.write(2)
    run = open_run(recording.path)
    assert [numbers(table) for table in run.follow()] == [[1, 2, 3, 4, 5, 6], []]
    assert [numbers(table) for table in run.follow()] == [[], []]
    recording.validate()
    recording.write(1)
    assert [numbers(table) for table in run.follow()] == [[7], [6]]
    recording.seal()
    assert [numbers(table) for table in run.follow()] == [[], []]


@pytest.mark.slow
@given(
    st.lists(st.sampled_from(["write", "write", "burst", "seal", "seal", "column", "look"]), max_size=30),
    st.lists(st.booleans(), min_size=1, max_size=7),
)
@settings(max_examples=60)
def test_a_follower_is_given_each_row_once(actions: list[str], curious: list[bool]) -> None:
    """However often it asks, and also between any two renames of a sealing, while parts grow, fill and are replaced."""
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory() as directory:
        shrink(monkeypatch)
        recording = Recording(Path(directory))
        recording.write(1)
        run = open_run(recording.path)
        followed = [run.follow().steps]
        looks = itertools.cycle(curious)
        rename = os.replace

        def look_and_rename(*paths: Any) -> None:
            if next(looks):
                followed.append(run.follow().steps)
            rename(*paths)
            if next(looks):
                followed.append(run.follow().steps)

        monkeypatch.setattr(os, "replace", look_and_rename)
        for action in actions:
            if action == "write":
                recording.write(1)
            elif action == "burst":
                recording.write(PART + 2)
            elif action == "seal":
                recording.seal()
            elif action == "column":
                recording.add(f"metric {len(followed)}")
            else:
                followed.append(run.follow().steps)
        recording.recorder.finish()
        followed.append(run.follow().steps)
        assert same(joined(followed), run.steps())
        assert numbers(run.steps()) == list(range(1, recording.recorder.step + 1))


@pytest.mark.slow
def test_a_reader_sees_every_row_at_every_moment_of_sealing_a_dead_run(
    crashed_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each file that is put in place or taken away."""
    before = open_run(crashed_run).steps()
    looks = []

    def looking(action: Callable[..., None]) -> Callable[..., None]:
        def look_and_act(*arguments: Any, **options: Any) -> None:
            looks.append(same(open_run(crashed_run).steps(), before))
            action(*arguments, **options)
            looks.append(same(open_run(crashed_run).steps(), before))

        return look_and_act

    monkeypatch.setattr(os, "replace", looking(os.replace))
    monkeypatch.setattr(Path, "unlink", looking(Path.unlink))
    seal_run(crashed_run)
    assert len(looks) >= 2 * 5
    assert all(looks)


# Reading writes nothing


def read_in_every_way(path: Path) -> None:
    """All that a reader can ask."""
    run = open_run(path)
    run.info, run.config, run.state, run.current_info()
    run.follow(), run.follow()
    for table in layout.TABLES:
        run.last_rows(table, 3), run.window(table, after=1, until=3), run.outline(table)
        run.rows(table).refresh()
        list(run.batches(table)[1])
    run.steps(), run.epochs()
    list_runs(path.parent)


def snapshot(root: Path) -> dict[Path, tuple[int, ...]]:
    """Everything there is, and when it was last changed."""
    found = {}
    for path in (root, *root.rglob("*")):
        status = path.stat()
        found[path] = (status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


@pytest.mark.slow
def test_reading_changes_nothing(tiny_run: Path, crashed_run: Path, long_run: Path) -> None:
    """A finished run, one that was killed, and one that is being written."""
    before = snapshot(tiny_run.parent)
    for path in (tiny_run, crashed_run, long_run):
        read_in_every_way(path)
    assert snapshot(tiny_run.parent) == before


def test_reading_damage_changes_nothing(long_run: Path) -> None:
    """No repair, no mark."""
    flip(layout.part_path(long_run, "steps", 1), -1)
    flip(layout.journal_path(long_run, "steps"), -10)
    (long_run / ".run.json.tmp").write_bytes(b"half")
    before = snapshot(long_run.parent)
    with pytest.warns(NeurocktWarning):
        read_in_every_way(long_run)
    assert snapshot(long_run.parent) == before


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.slow
def test_a_run_that_may_only_be_read_is_read(tiny_run: Path, crashed_run: Path) -> None:
    """As on a file system that is mounted so, or in somebody else's directory."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for run in (tiny_run, crashed_run):
            shutil.copytree(run, root / run.name)
            read_in_every_way(root / run.name)  # loads what it needs, which may be out of a stranger's reach
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = snapshot(root)
        with unprivileged():
            with pytest.raises(PermissionError):
                (root / "tiny" / "new").touch()
            for run in (tiny_run, crashed_run):
                read_in_every_way(root / run.name)
        assert snapshot(root) == before
        for path in (root, *root.iterdir()):
            path.chmod(0o755)


def test_a_journal_that_takes_the_place_of_the_other_between_two_looks_counts_once(recording: Recording) -> None:
    """A reader that saw it as the next journal, and then under the journal's own name."""
    recording.write(3)
    journal = layout.journal_path(recording.path, "steps")
    shutil.copy(journal, layout.next_journal_path(recording.path, "steps"))
    run = open_run(recording.path)
    assert numbers(run.steps()) == [1, 2, 3]
    assert run.damaged == ()


READ_BY_MANY = """
import sys, threading, time
from pathlib import Path
from neurockt.store import read_info

def pause(frame, event, argument):
    if event == "call" and "msgspec" in frame.f_code.co_filename:
        time.sleep(0.002)  # let the other threads go on from here

threading.setprofile(pause)
threads = [threading.Thread(target=read_info, args=[Path(sys.argv[1])]) for _ in range(20)]
for thread in threads:
    thread.start()
    time.sleep(0.002)
for thread in threads:
    thread.join()
"""


def test_several_threads_can_be_the_first_to_read_a_run() -> None:
    with testing.temporary_recorder() as recorder:
        testing.record(recorder, {"loss": [1.0]})
        command = [sys.executable, "-c", READ_BY_MANY, str(recorder.run_dir)]
        assert subprocess.run(command, check=False).returncode == 0


def test_an_underscore_stands_for_a_slash_where_one_column_alone_can_be_meant(tmp_path: Path) -> None:
    """Not every tool takes names with a slash. The column that is really called so comes first."""
    with Recorder(tmp_path, run_id="run", quiet=True) as recorder:
        recorder.log({"val/acc": 1.0, "val/top/1": 2.0, "a/b_c": 3.0, "a_b/c": 4.0, "x/y": 5.0, "x_y": 6.0})
    run = open_run(tmp_path / "run")
    assert run.steps(["val_acc", "val_top_1", "x_y"]).to_pylist() == [{"val_acc": 1.0, "val_top_1": 2.0, "x_y": 6.0}]
    with pytest.raises(ColumnNotFound):
        run.steps(["a_b_c"])
