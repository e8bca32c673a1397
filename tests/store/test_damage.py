"""What cannot be read is named, and everything else is read."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_run import bits, numbers, same
from live_run.by_hand import Recording, flip
from msgspec.structs import replace

from neurockt import list_runs, open_run
from neurockt.errors import CorruptRun, FormatTooNew, NeurocktWarning, RunNotFound
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables.summary import summarise_parts


def empty(part: Path) -> None:
    part.write_bytes(b"")


def zero(part: Path) -> None:
    part.write_bytes(bytes(part.stat().st_size))


def cut_in_half(part: Path) -> None:
    os.truncate(part, part.stat().st_size // 2)


def cut_by_a_byte(part: Path) -> None:
    os.truncate(part, part.stat().st_size - 1)


def flip_the_footer(part: Path) -> None:
    length = int.from_bytes(part.read_bytes()[-8:-4], "little")
    flip(part, part.stat().st_size - 8 - length)


def put_other_columns(part: Path) -> None:
    pq.write_table(pa.table({"step": ["one"], "loss": [1]}), part)


def put_columns_of_other_types(part: Path) -> None:
    table = pq.read_table(part)
    pq.write_table(table.set_column(3, "loss", table["loss"].cast(pa.string())), part)


def put_rows_in_disorder(part: Path) -> None:
    pq.write_table(pq.read_table(part).sort_by([("step", "descending")]), part, row_group_size=2)


def leave_statistics_out(part: Path) -> None:
    pq.write_table(pq.read_table(part), part, write_statistics=False)


def put_a_directory(part: Path) -> None:
    part.unlink()
    part.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        empty,
        zero,
        cut_in_half,
        cut_by_a_byte,
        flip_the_footer,
        put_other_columns,
        put_columns_of_other_types,
        put_rows_in_disorder,
        leave_statistics_out,
        put_a_directory,
    ],
)
@pytest.mark.parametrize("number", [0, 1])
def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_read(
    long_run: Path, damage: Callable[[Path], None], number: int
) -> None:
    """In `damaged` and in a warning, each time and however it is read."""
    part = layout.part_path(long_run, "steps", number)
    lost = range(1, 10) if number == 0 else range(10, 13)
    rest = [step for step in range(1, 21) if step not in lost]
    damage(part)
    run = open_run(long_run)
    with pytest.warns(NeurocktWarning, match=rf"steps/{part.name}: not a readable Parquet file"):
        assert numbers(run.steps()) == rest
    assert [damage.path for damage in run.damaged] == [part]
    with pytest.warns(NeurocktWarning, match=part.name):
        assert numbers(pa.concat_tables(run.batches("steps", ["step"])[1])) == rest
    follower = open_run(long_run)
    with pytest.warns(NeurocktWarning, match=part.name):
        assert numbers(follower.follow().steps) == rest
    assert [damage.path for damage in follower.damaged] == [part]
    assert [len(table) for table in follower.follow()] == [0, 0]
    reader = run.rows("steps")
    reader.refresh()
    assert (reader.groups.total, list(reader.damaged)) == (len(rest), [part])
    assert len(run.epochs()) == 0


def test_a_damaged_row_group_does_not_take_the_others_with_it(long_run: Path) -> None:
    """The checksum of its page tells; the rows of the part's other groups are read."""
    part = layout.part_path(long_run, "steps", 0)
    chunk = pq.read_metadata(part).row_group(1).column(3)
    flip(part, chunk.data_page_offset + chunk.total_compressed_size - 3)
    run = open_run(long_run)
    with pytest.warns(NeurocktWarning, match=r"part-00000.parquet: 3 of its rows cannot be read, the others are"):
        assert numbers(run.steps()) == [1, 2, 3, *range(7, 21)]
    assert [damage.path for damage in run.damaged] == [part]
    assert numbers(run.steps(["step"])) == list(range(1, 21))
    assert run.damaged == ()


def test_rows_behind_a_damaged_row_group_are_summarised_once(recording: Recording) -> None:
    """When the run is sealed, and when it is looked at before: each row that can be read counts once."""
    recording.write(9)
    recording.seal()
    recording.write(3)
    copy = recording.dead_copy()
    part = layout.part_path(copy, "steps", 0)
    chunk = pq.read_metadata(part).row_group(0).column(3)
    flip(part, chunk.data_page_offset + chunk.total_compressed_size - 3)
    seal_run(copy)
    run = open_run(copy)
    sealed = run.info.steps
    assert (sealed.rows, sealed.last, sealed.columns["loss"].min, sealed.columns["loss"].last) == (9, 12, 4.0, 12.0)
    assert sealed.columns["loss"].count == 7
    assert run.current_info().steps == sealed
    whole = layout.part_path(copy, "steps", 1)
    empty(whole)
    with pytest.warns(NeurocktWarning, match="part-00001"):
        assert run.current_info().steps == sealed


def test_lost_rows_are_not_counted_again(long_run: Path) -> None:
    """Where a whole part is gone, the rows after it still count once."""
    empty(layout.part_path(long_run, "steps", 0))
    info = read_info(long_run)
    before = replace(info, steps=summarise_parts(long_run, "steps"))
    write_info(before)
    assert (before.steps.rows, before.steps.last) == (3, 12)
    with pytest.warns(NeurocktWarning, match="part-00000"):
        summary = open_run(long_run).current_info().steps
    assert (summary.rows, summary.last) == (11, 20)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=100)
def test_a_byte_flipped_in_the_pages_of_a_part_makes_no_wrong_row(copied_run: Path, data: st.DataObject) -> None:
    """Whatever can be read is as it was recorded; what cannot be is named."""
    whole = bits(open_run(copied_run).steps())
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(shutil.copytree(copied_run, Path(directory) / "run"))
        part = layout.part_path(copy, "steps", 0)
        footer = int.from_bytes(part.read_bytes()[-8:-4], "little")
        position = data.draw(st.integers(0, part.stat().st_size - 8 - footer - 1))
        flip(part, position, data.draw(st.integers(1, 255)))
        run = open_run(copy)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NeurocktWarning)
            rows = bits(run.steps())
        kept = np.isin(whole["step"], rows["step"])
        assert all(np.array_equal(rows[name], whole[name][kept]) for name in whole)
        assert bool(run.damaged) == (not kept.all())


def change_a_value(part: Path) -> None:
    """Flip a byte of a value so that only the checksum of its page tells."""
    before = pq.read_table(part)
    for position in range(4, part.stat().st_size):
        flip(part, position)
        with suppress(OSError, pa.ArrowException):
            if not same(pq.read_table(part), before):
                return
        flip(part, position)
    raise AssertionError("no such byte")


@pytest.mark.slow
def test_rows_go_to_a_new_part_when_the_last_one_is_damaged(recording: Recording) -> None:
    """It is not rewritten: what is wrong in it would pass for right, and more might be read from it one day."""
    recording.write(3)
    recording.seal()
    part = layout.part_path(recording.path, "steps", 0)
    change_a_value(part)
    damaged = part.read_bytes()
    recording.write(5)
    recording.seal()
    assert part.read_bytes() == damaged
    with pytest.warns(NeurocktWarning, match=r"part-00000\.parquet: 3 of its rows cannot be read"):
        assert numbers(open_run(recording.path).steps()) == [4, 5, 6, 7, 8]


@pytest.mark.slow
def test_a_damaged_journal_is_read_up_to_the_damage_and_named(crashed_run: Path) -> None:
    """By a reader who looks and by one who follows."""
    journal = layout.journal_path(crashed_run, "steps")
    flip(journal, journal.stat().st_size // 2)
    run = open_run(crashed_run)
    with pytest.warns(NeurocktWarning, match=r"steps\.journal: damaged after byte \d+; the rows before it are read"):
        rows = run.steps()
    assert 10 < len(rows) < 20
    assert numbers(rows) == list(range(1, len(rows) + 1))
    assert [damage.path for damage in run.damaged] == [journal]
    with pytest.warns(NeurocktWarning, match="damaged after byte"):
        assert same(open_run(crashed_run).follow().steps, rows)
    assert len(run.epochs()) == 3


def test_a_torn_journal_is_no_damage(crashed_run: Path) -> None:
    """A write that has not arrived looks the same; the last row is left out, silently."""
    journal = layout.journal_path(crashed_run, "steps")
    os.truncate(journal, journal.stat().st_size - 1)
    run = open_run(crashed_run)
    assert numbers(run.steps()) == list(range(1, 30))
    assert len(run.follow().steps) == 29
    assert run.damaged == ()


def test_what_comes_after_a_gap_in_the_journals_is_not_shown(recording: Recording) -> None:
    """The successor's rows are no prefix when the journal before it was cut; sealing keeps them aside."""
    recording.write(4)
    table = recording.recorder._writer.tables["steps"]
    table._switch()
    recording.write(4)
    copy = recording.dead_copy()
    journal = layout.journal_path(copy, "steps")
    os.truncate(journal, journal.stat().st_size - 1)
    assert numbers(open_run(recording.path).steps()) == list(range(1, 9))
    for read in (lambda run: run.steps(), lambda run: run.follow().steps):
        run = open_run(copy)
        with pytest.warns(NeurocktWarning, match=r"steps\.journal\.next: left out: rows .* are missing"):
            assert numbers(read(run)) == [1, 2, 3]
        assert [damage.path.name for damage in run.damaged] == ["steps.journal.next"]
    successor = layout.next_journal_path(copy, "steps").read_bytes()
    seal_run(copy)
    assert numbers(open_run(copy).steps()) == [1, 2, 3]
    assert (copy / "steps.journal.next.damaged").read_bytes() == successor


# What is no run


def test_a_directory_that_is_no_run_is_told_so(tmp_path: Path) -> None:
    """With what to do next; a file, and a path that leads nowhere, too."""
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(RunNotFound, match=r"is not a run: it has no run\.json; 'neurockt ls DIRECTORY' lists"):
            open_run(path)
    with pytest.raises(RunNotFound, match="does not exist"):
        open_run(tmp_path / "nowhere")
    assert list_runs(tmp_path) == []


def edited(run: Path, **changes: Any) -> bytes:
    return json.dumps({**json.loads((run / layout.RUN_FILE).read_bytes()), **changes}).encode()


DAMAGED_RUN_FILES: list[Callable[[Path], bytes]] = [
    lambda run: b"",
    lambda run: bytes(1000),
    lambda run: (run / layout.RUN_FILE).read_bytes()[:-20],
    lambda run: b"[]",
    lambda run: b"null",
    lambda run: b"[" * 100_000,
    lambda run: b'{"format": 1}',
    lambda run: edited(run, format="one"),
    lambda run: edited(run, format=None),
    lambda run: edited(run, id=17),
    lambda run: edited(run, created="yesterday"),
    lambda run: (run / layout.RUN_FILE).read_bytes().replace(b"tiny", b"\xff\xfe"),
]


@pytest.mark.parametrize("content", DAMAGED_RUN_FILES)
def test_a_damaged_run_file_is_told_and_passed_over(tmp_path: Path, tiny_run: Path, content: Any) -> None:
    """Opening that run says what is wrong; a list of many shows the others, and warns."""
    other = shutil.copytree(tiny_run, tiny_run.with_name("other"))
    (tiny_run / layout.RUN_FILE).write_bytes(content(tiny_run))
    with pytest.raises(CorruptRun, match=r"tiny/run\.json"):
        open_run(tiny_run)
    with pytest.warns(NeurocktWarning, match=r"tiny/run\.json"):
        assert [info.path for info in list_runs(tiny_run.parent)] == [Path(other)]


def test_a_newer_format_is_refused_with_the_way_out(tiny_run: Path) -> None:
    """Whatever else has changed in it."""
    (tiny_run / layout.RUN_FILE).write_text('{"format": 2, "runs": []}')
    with pytest.raises(FormatTooNew, match="tiny has format 2, this neurockt reads 1: pip install -U neurockt"):
        open_run(tiny_run)
    with pytest.warns(NeurocktWarning, match="format 2"):
        assert list_runs(tiny_run.parent) == []


def test_a_field_that_is_new_is_passed_over(tiny_run: Path) -> None:
    """Fields may be added without a new format."""
    (tiny_run / layout.RUN_FILE).write_bytes(edited(tiny_run, mood="sunny"))
    assert open_run(tiny_run).info.name == "tiny"
