"""New rows of a table since the last call, at the price of the new rows.

A run that is resumed from a checkpoint is rewound: rows that were returned are superseded, and others follow in their
place. The follower reports it, and goes on from the last row that is still valid. A file that the file system refuses,
as during a file server's fail-over, is waited for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pyarrow as pa

from neurockt.errors import CorruptRun
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import JournalDecoder, Rows, rows_after
from neurockt.store.reading.table_reader import Damage, TableReader, unreachable
from neurockt.store.tables import arrays, parts
from neurockt.store.tables.superseded import read_kept

HEADER_BYTES: Final = 64
"""The start of a journal identifies it among those of its table: it contains the number of its first row."""
PATIENCE_SECONDS: Final = 120.0
"""How long to wait for a file that the file system refuses, before the rows after its own are returned."""


class TableFollower:
    """Reads a table's new rows: from the journal where it stopped, from the parts when the journal has been sealed."""

    def __init__(self, run_dir: Path, table: TableName, *, after: int = 0) -> None:
        self.last = after
        self.rewound_to: int | None = None
        """Last valid row, if the last call found returned rows superseded."""
        self.damaged: list[Damage] = []
        """What could not be read when the last call looked further than the journal's new rows."""
        self._refused_since: float | None = None
        self._run_dir = run_dir
        self._table = table
        self._key = layout.KEY[table]
        self._decoders: dict[bytes, JournalDecoder] = {}
        self._parts: tuple[str, int, int, int] | None = None
        self._superseded: frozenset[str] | None = None

    def new_rows(self) -> pa.Table:
        """The rows after the last one returned; empty when there are none, or while the file system refuses to read.

        Where the run was rewound past that one, ``rewound_to`` is set, and they are those after the last valid row.
        """
        self.rewound_to = None
        try:
            table = self._consistent_rows()
        except OSError as error:
            self.damaged = [Damage(self._run_dir, unreachable(error), passing=True)]
            self._decoders = {}  # they may be past rows that have not been returned
            return parts.empty_table(parts.table_schema((), self._key))
        if len(table):
            self.last = int(arrays.numbers(table[self._key])[-1])
        return table

    def _consistent_rows(self) -> pa.Table:
        while True:
            superseded = layout.superseded_names(self._run_dir)
            self._go_back(superseded)
            table = self._new_rows()
            if layout.superseded_names(self._run_dir) == superseded:
                return table

    def _go_back(self, superseded: frozenset[str]) -> None:
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
        refused = False
        batches: list[Rows] = []
        for path in (
            layout.next_journal_path(self._run_dir, self._table),
            layout.journal_path(self._run_dir, self._table),
        ):
            try:
                batches += self._replay(path, known)
            except FileNotFoundError:
                pass
            except OSError:
                refused = True
        rows = rows_after(sorted(batches, key=lambda batch: int(batch.data["number"][0])), self.last)
        if rows:  # where a number is missing after the last row returned, the parts have to be read
            first, last = int(rows[0].data["number"][0]), int(rows[-1].data["number"][-1])
            contiguous = first == self.last + 1 and last == self.last + sum(map(len, rows))
        else:
            contiguous = not self._parts_changed()
        if contiguous and not refused and not any(decoder.damaged for decoder in self._decoders.values()):
            self.damaged = [damage for damage in self.damaged if not damage.passing]
            return parts.rows_to_table(rows, self._key)
        reader = TableReader(self._run_dir, self._table)
        table = reader.read(after=self.last)
        self.damaged = reader.damaged
        if not any(damage.passing for damage in reader.damaged):
            self._refused_since = None
            return table
        self._decoders, self._parts = {}, None
        self._refused_since = self._refused_since or time.monotonic()
        return table if time.monotonic() - self._refused_since >= PATIENCE_SECONDS else table.slice(0, 0)

    def _replay(self, path: Path, known: dict[bytes, JournalDecoder]) -> list[Rows]:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            decoder = self._decoders.setdefault(header, known.get(header) or JournalDecoder())
            file.seek(decoder.offset)
            return decoder.feed(file.read())

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
