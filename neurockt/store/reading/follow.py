"""New rows of a table since the last call, at the price of the new rows.

A run that is resumed from a checkpoint is rewound: rows that were returned are superseded, and others follow in their
place. The follower reports it, and goes on from the last row that is still valid. A file that the file system refuses,
as during a file server's fail-over, is waited for. The open row of a live run may still change, and is kept apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from itertools import pairwise
from pathlib import Path
from typing import Final

import pyarrow as pa

from neurockt.errors import CorruptRun
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import JournalDecoder, Rows, header_size, rows_after
from neurockt.store.reading.table_reader import Damage, TableReader, open_row, unreachable
from neurockt.store.tables import arrays, parts
from neurockt.store.tables.superseded import read_kept

HEADER_BYTES: Final = 64
"""The start of a journal identifies it among those of its table: it contains the number of its first row."""
PATIENCE_SECONDS: Final = 120.0
"""How long to wait for a file that the file system refuses, before the rows after its own are returned."""


class TableFollower:
    """Reads a table's new rows: from the journal where it stopped, from the parts when the journal has been sealed."""

    def __init__(
        self, run_dir: Path, table: TableName, *, after: int = -1, is_live: Callable[[], bool] = lambda: True
    ) -> None:
        """With ``after``, the number of the last row that is known. The open row of a run that is not live is final."""
        self.last = after
        self.rewound_to: int | None = None
        """Last valid row, if the last call found returned rows superseded."""
        self.damaged: list[Damage] = []
        """What could not be read when the last call looked further than the journal's new rows."""
        self._refused_since: float | None = None
        self._run_dir = run_dir
        self._table = table
        self._key = layout.KEY[table]
        self._is_live = is_live
        self._open_row: list[Rows] = []
        self._decoders: dict[bytes, JournalDecoder] = {}
        self._followed: set[bytes] = set()
        """The headers of journals before whose rows none is missing from what was returned."""
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

    @property
    def open_rows(self) -> pa.Table:
        """The row that ``log`` may still add to, as the last call found it; one without rows where there is none."""
        return parts.rows_to_table(rows_after(self._open_row, self.last), self._key)

    @property
    def open_content(self) -> Hashable:
        """Differs where ``open_rows`` does."""
        return tuple(row.data.tobytes() for row in rows_after(self._open_row, self.last))

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
        self._decoders, self._parts, self._followed = {}, None, set()
        for directory in layout.superseded_paths(self._run_dir).values():
            if directory.name not in before:
                try:
                    kept = read_kept(directory).get(self._table, self.last)
                except CorruptRun:
                    kept = -1
                if kept < self.last:
                    self.last = self.rewound_to = kept

    def _new_rows(self) -> pa.Table:
        known, self._decoders = self._decoders, {}
        refused = False
        final = self._final_open_row()  # before the journals, to which it moves
        batches: list[Rows] = []
        journals: dict[bytes, JournalDecoder] = {}
        followed: set[bytes] = set()
        active = layout.next_journal_path(self._run_dir, self._table)
        for path in (active, layout.journal_path(self._run_dir, self._table)):
            try:
                header, decoder, found = self._replay(path, known)
            except FileNotFoundError:
                pass
            except OSError:
                refused = True
            else:
                batches += found
                if decoder.first is not None:
                    journals = {header: decoder, **journals}
                    # until the active journal has a row, the one before it may get more, unseen by the next call
                    followed |= {header} if decoder.rows or path != active else set()
        batches.sort(key=lambda batch: int(batch.data["number"][0]))
        rows = rows_after([*batches, *final], self.last)
        complete = next(iter(journals)) in self._followed if journals else not self._parts_changed()
        complete &= all((later.first or 0) <= journal.next for journal, later in pairwise(journals.values()))
        if complete and not refused and not any(decoder.damaged for decoder in self._decoders.values()):
            lasting = (damage for damage in self.damaged if not damage.passing)
            self.damaged = [damage for damage in lasting if damage.path.suffix == ".parquet"]  # the journals are sound
            self._followed = followed
            return parts.rows_to_table(rows, self._key)
        reader = TableReader(self._run_dir, self._table, final=True)
        table = self._with(final, reader.read(after=self.last))
        self.damaged = reader.damaged
        if not any(damage.passing for damage in reader.damaged):
            self._refused_since = None
            self._followed = followed
            if reader.damaged:
                self._decoders = {}  # they may be past rows that it left out
            return table
        self._decoders, self._parts = {}, None
        self._refused_since = self._refused_since or time.monotonic()
        return table if time.monotonic() - self._refused_since >= PATIENCE_SECONDS else table.slice(0, 0)

    def _with(self, final: list[Rows], table: pa.Table) -> pa.Table:
        last = int(arrays.numbers(table[self._key])[-1]) if len(table) else self.last
        row = parts.rows_to_table(rows_after(final, last), self._key)
        return pa.concat_tables([table, row], promote_options="default") if len(row) else table

    def _final_open_row(self) -> list[Rows]:
        """The open row where the run has ended, so that it is a row as the others are."""
        path = layout.open_row_path(self._run_dir, self._table)
        try:
            self._open_row = open_row(path)
            if not rows_after(self._open_row, self.last) or self._is_live():
                return []
            final = open_row(path)  # the run may have ended since
        except OSError:
            return []  # as long as it cannot be read, it waits
        self._open_row = []
        return final

    def _replay(self, path: Path, known: dict[bytes, JournalDecoder]) -> tuple[bytes, JournalDecoder, list[Rows]]:
        with path.open("rb") as file:
            header = file.read(HEADER_BYTES)
            header = header[: header_size(header)]  # without rows, which may come later
            decoder = self._decoders.setdefault(header, known.get(header) or JournalDecoder())
            file.seek(decoder.offset)
            return header, decoder, decoder.feed(file.read())

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
