"""What is new in a table since last asked, at the price of what is new.

A run that is resumed from a checkpoint is rewound: rows that were given out are superseded, and others come in their
place. The follower says so, and goes on from the last row that stays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from neurockt.errors import CorruptRun
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import JournalDecoder, Rows, rows_after
from neurockt.store.reading.table_reader import Damage, TableReader
from neurockt.store.tables.parts import rows_to_table
from neurockt.store.tables.superseded import read_kept

HEADER_BYTES: Final = 64
"""The start of a journal tells it from every other of its table: it holds the number of its first row."""


class TableFollower:
    """Reads a table's new rows: from the journal where it left off, from the parts when the journal has moved on."""

    def __init__(self, run_dir: Path, table: TableName, *, after: int = 0) -> None:
        self.last = after
        """Number of the last row given out."""
        self.rewound_to: int | None = None
        """Where rows that had been given out were superseded when last asked: the number of the last one that stays."""
        self.damaged: list[Damage] = []
        """What could not be read, when more than the journal's new rows was last looked at."""
        self._run_dir = run_dir
        self._table = table
        self._key = layout.KEY[table]
        self._decoders: dict[bytes, JournalDecoder] = {}
        self._parts: tuple[str, int, int, int] | None = None
        self._superseded: frozenset[str] | None = None

    def new_rows(self) -> pa.Table:
        """The rows after the last one given out; empty when there are none.

        Where the run was rewound past that one, ``rewound_to`` is set, and they are those after the last that stays.
        """
        self.rewound_to = None
        while True:
            superseded = layout.superseded_names(self._run_dir)
            self._go_back(superseded)
            table = self._new_rows()
            if layout.superseded_names(self._run_dir) == superseded:
                break
        if len(table):
            self.last = table[self._key][-1].as_py()
        return table

    def _go_back(self, superseded: frozenset[str]) -> None:
        """Forget the rows that have been superseded since ``superseded`` was last looked at."""
        before, self._superseded = self._superseded, superseded
        if before is None or before == superseded:
            return
        self._decoders, self._parts = {}, None
        for directory in layout.superseded_paths(self._run_dir).values():
            if directory.name not in before:
                try:
                    kept = read_kept(directory).get(self._table, self.last)
                except CorruptRun:
                    kept = 0
                if kept < self.last:
                    self.last = self.rewound_to = kept

    def _new_rows(self) -> pa.Table:
        known, self._decoders = self._decoders, {}
        batches = [
            *self._replay(layout.next_journal_path(self._run_dir, self._table), known),
            *self._replay(layout.journal_path(self._run_dir, self._table), known),
        ]
        rows = rows_after(sorted(batches, key=lambda batch: int(batch.data["number"][0])), self.last)
        contiguous = self._follow_each_other(rows) if rows else not self._parts_changed()
        if contiguous and not any(decoder.damaged for decoder in self._decoders.values()):
            table = rows_to_table(rows, self._key)
        else:
            reader = TableReader(self._run_dir, self._table)
            table = reader.read(after=self.last)
            self.damaged = reader.damaged
        return table

    def _follow_each_other(self, rows: list[Rows]) -> bool:
        """Whether no number is left out after the last row given out; else only the parts can tell why."""
        first, last = int(rows[0].data["number"][0]), int(rows[-1].data["number"][-1])
        return first == self.last + 1 and last == self.last + sum(map(len, rows))

    def _replay(self, path: Path, known: dict[bytes, JournalDecoder]) -> list[Rows]:
        """The rows that have come to a journal since it was last looked at, under whichever name it had then."""
        try:
            with path.open("rb") as file:
                header = file.read(HEADER_BYTES)
                decoder = self._decoders.setdefault(header, known.get(header) or JournalDecoder())
                file.seek(decoder.offset)
                return decoder.feed(file.read())
        except FileNotFoundError:
            return []

    def _parts_changed(self) -> bool:
        existing = layout.part_paths(self._run_dir, self._table)
        if not existing:
            return False
        try:
            status = existing[-1].stat()
        except FileNotFoundError:
            return True
        parts_now = (existing[-1].name, status.st_ino, status.st_size, status.st_mtime_ns)
        changed = parts_now != self._parts
        self._parts = parts_now
        return changed
