"""A loop that does nothing but record: it is amid a write whenever the background thread comes to look."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from neurockt.store.base import layout
from neurockt.store.journal.journal_file import Reading, read_named
from neurockt.store.journal.records import rows_after
from neurockt.store.writing.table_writer import TableWriter


def stored(run_dir: Path) -> list[int]:
    """The numbers of the rows in the parts, then of those in the journal."""
    parts = [
        number for part in layout.part_paths(run_dir, "steps") for number in pq.read_table(part)["step"].to_pylist()
    ]
    journal = Reading(lambda offset, size: read_named(layout.journal_path(run_dir, "steps"), offset, size))
    rows = [batch for batches in journal for batch in rows_after(batches, 0)]
    return parts + [int(number) for batch in rows for number in batch.data["number"]]


def record_while(
    table: TableWriter, action: Callable[[], None], between: Callable[[int], None] = lambda row: None
) -> int:
    """Record without a pause until ``action`` has been done by another thread; gives how many rows that were."""
    other = threading.Thread(target=action)
    other.start()
    rows = 0
    while other.is_alive():
        between(rows)
        table.append(0, rows, [float(rows)] * len(table.columns))
        rows += 1
    return rows


def test_each_sealing_finds_the_loop_a_moment_to_turn(tmp_path: Path) -> None:
    """At the first attempt, or soon: a loop that has no processor is slow. Each row is in one place."""
    table = TableWriter(tmp_path, "steps", ["loss"])
    table.append(0, 0, [0.0])
    rows, attempts = 1, 0

    def seal() -> None:
        nonlocal attempts
        before = table._sealed.last
        while table._sealed.last == before:
            attempts += 1
            table.seal()

    for _ in range(10):
        rows += record_while(table, seal)
    assert attempts <= 30
    assert stored(tmp_path) == list(range(1, rows + 1))
    table.close()
    assert pq.read_table(tmp_path / "steps")["step"].to_pylist() == list(range(1, rows + 1))


def test_columns_that_change_all_the_time_lose_no_row(tmp_path: Path) -> None:
    """Whether the sealing finds its moment or is put off."""
    table = TableWriter(tmp_path, "steps", ["loss"])
    names = [["loss"], ["loss", "acc"], ["acc"]]

    def change(row: int) -> None:
        if row % 50 == 0:
            table.set_columns(names[row // 50 % 3])

    rows = sum(record_while(table, table.seal, change) for _ in range(5))
    table.close()
    assert pq.read_table(tmp_path / "steps")["step"].to_pylist() == list(range(1, rows + 1))


WITHOUT_INPUT = """
import os, sys
from pathlib import Path
from neurockt.store.writing.table_writer import TableWriter

table = TableWriter(Path(sys.argv[1]), "steps", ["loss"])
os.close(0)
for _ in range(3):
    table.append(0, 0, [1.0])
    table.seal()
os._exit(0)
"""


def test_a_journal_may_be_the_standard_input_of_a_process_that_has_none(tmp_path: Path) -> None:
    """Descriptor 0 is one like any other."""
    subprocess.run([sys.executable, "-c", WITHOUT_INPUT, tmp_path], check=True)
    assert pq.read_table(tmp_path / "steps")["step"].to_pylist() == [1, 2, 3]
