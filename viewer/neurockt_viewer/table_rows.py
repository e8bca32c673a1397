"""A table of a run as a source of rows: what is near the cursor is in memory, the rest is read when it is looked at.

Two threads meet here. The screen's thread draws what is known and asks for what it wants. One thread of the
widget reads (``load``, ``refresh``) and fills ``_blocks`` and ``_single``, where a value never changes.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timezone
from typing import Final

import numpy as np
import numpy.typing as npt

from neurockt.formatting import clean, display_width, format_number, number_widths
from neurockt.shortening import shorten
from neurockt.store import AXES, ColumnValues, Groups, RowReader
from neurockt_viewer.columns import show_exact
from neurockt_viewer.widgets.row_source import Cell, Column

MEMORY_BYTES: Final = 24 * 2**20
"""Values of row groups that are kept."""
SINGLE_ROWS: Final = 4_096
"""Rows of a sorted table that are kept."""
TITLE_WIDTH: Final = 28
NUMBER_WIDTH: Final = 12
"""Cells of a number, at most."""
MEASURED: Final = 100
"""Rows of a group, about, that are looked at to align its numbers."""
TIME_WIDTH: Final = 19
STEP_WIDTH: Final = 9
"""Cells of a step or an epoch, at least: steps may be large."""
WAIT_SECONDS: Final = 0.03
"""How long drawing waits for rows that are not there: less than it takes to draw a second time, with dots at first."""

Order = npt.NDArray[np.int64]
Value = int | float | None


class TableRows:
    def __init__(self, reader: RowReader) -> None:
        self.on_want: Callable[[], None] = lambda: None
        """Called when other rows or columns are wanted than before."""
        self._reader = reader
        self._groups = Groups()
        self._all: tuple[str, ...] = ()
        self._step_width = STEP_WIDTH
        self.names: list[str] = []
        """The columns that are shown, in order."""
        self.hidden: set[str] = set()
        self.columns: list[Column] = []
        self.order: Order | None = None
        """Where the table is sorted: the position of each row."""
        self.sorted_by: tuple[str, bool] | None = None
        """The column by which it is sorted, and whether from the largest down."""
        self._blocks: OrderedDict[tuple[int, str], tuple[range, ColumnValues]] = OrderedDict()
        """Values by the first position of their group and their column. Only the reading thread changes this."""
        self._single: OrderedDict[int, dict[str, Value]] = OrderedDict()
        self._rewinds = 0
        self._largest_step = 0
        self.wanted: tuple[range, list[str]] = range(0), []
        """The rows and columns on the screen."""
        self.lacking = False
        """Whether some of them had not been read when they were to be drawn."""
        self._after: dict[str, int] = {}
        """Cells of each metric's numbers from the decimal point on, as far as they have been seen."""
        self.shifted = False
        """Whether numbers have been read since the columns were laid out that shift the others."""
        self._read = threading.Event()

    # The thread that draws

    def update(self, groups: Groups, columns: Sequence[str], largest_step: int) -> None:
        """Show the table as it is now."""
        self._groups = groups
        step_width = max(STEP_WIDTH, len(f"{largest_step:,}"))
        if (tuple(columns), step_width) != (self._all, self._step_width) or (self.sorted_by and self.order is None):
            self._all, self._step_width = tuple(columns), step_width
            self.sorted_by = self.sorted_by if self.order is not None else None
            self.arrange()

    def arrange(self) -> None:
        """Lay the columns out again: after a change of which there are, are shown, or are sorted by."""
        self.shifted = False
        self.names = [name for name in self._all if name not in self.hidden]
        titles = shorten([clean(name) for name in self.names], TITLE_WIDTH)
        self.columns = [self._column(name, title) for name, title in zip(self.names, titles, strict=True)]

    @property
    def first_metric(self) -> int:
        return next((at for at, name in enumerate(self.names) if name not in (self._reader.key, *AXES)), 0)

    def _column(self, name: str, title: str) -> Column:
        arrow = ""
        if self.sorted_by and self.sorted_by[0] == name:
            arrow = " ▼" if self.sorted_by[1] else " ▲"
        title += arrow
        widths = {"time": TIME_WIDTH, "step": self._step_width, "epoch": STEP_WIDTH}
        width = widths.get(name, NUMBER_WIDTH)
        return Column(name, title, max(width, display_width(title)), right=True, after=self._after.get(name, 0))

    def sort(self, name: str | None, reverse: bool, order: Order | None) -> None:
        """Show the rows in this order; None for that of the table."""
        self.sorted_by = None if name is None else (name, reverse)
        self.order = order
        self.wanted = range(0), []  # other rows are there now
        self.arrange()

    def __len__(self) -> int:
        order = self.order
        return self._groups.total if order is None else len(order)

    @property
    def total(self) -> int:
        """Rows of the table, with those recorded since it was sorted."""
        return self._groups.total

    def position(self, row: int) -> int:
        """Where in the table a row is."""
        order = self.order
        return row if order is None else int(order[row])

    def row_of(self, position: int) -> int:
        """The row at which a position of the table is shown."""
        order = self.order
        if order is None:
            return position
        found = np.flatnonzero(order == position)
        return int(found[0]) if len(found) else 0

    def row_of_number(self, number: int) -> int | None:
        """The row of that step or epoch, else of the next one; None where only reading can tell."""
        position = self._groups.position_of(number)
        return None if position is None else self.row_of(position)

    def cells(self, row: int, columns: range) -> Sequence[Cell] | None:
        """The cells of one row; a dot where the value has not been read yet."""
        position = self.position(row)
        group = self._groups.of(position)
        span = self._groups.span(group)
        single = self._single.get(position)
        cells = []
        for name in self.names[columns.start : columns.stop]:
            block = self._block(span, name)
            if block is not None:
                cells.append(_cell(name, block.at(position - span.start)))
            elif single is not None and name in single:
                cells.append(_cell(name, single[name]))
            else:
                cells.append(Cell("·", "muted"))
        return cells

    def value(self, row: int, name: str) -> str:
        """One value exactly, or why there is none."""
        position = self.position(row)
        span = self._groups.span(self._groups.of(position))
        block, single = self._block(span, name), self._single.get(position)
        if block is not None:
            value = block.at(position - span.start)
        elif single is not None and name in single:
            value = single[name]
        else:
            return "…"
        if value is None:
            return "no value"
        if name == "time":
            return show_time(int(value), exact=True)
        return f"{value:,}" if isinstance(value, int) else show_exact(value)

    def _block(self, span: range, name: str) -> ColumnValues | None:
        known = self._blocks.get((span.start, name))
        return known[1] if known is not None and known[0] == span else None

    def want(self, rows: range, columns: range) -> None:
        """Read these soon, and the column that numbers the rows."""
        names = list(dict.fromkeys([self._reader.key, *self.names[columns.start : columns.stop]]))
        if self.wanted == (rows, names):
            return
        self.wanted = rows, names
        self._read.clear()
        self.on_want()
        if self._lacks(rows, names):
            self._read.wait(WAIT_SECONDS)
            self.lacking = self._lacks(rows, names)

    def _lacks(self, rows: range, names: Sequence[str]) -> bool:
        if self.order is not None:
            known = (self._single.get(position, {}) for position in self.order[rows.start : rows.stop].tolist())
            return any(name not in values for values in known for name in names)
        ends = {self._groups.of(row) for row in (rows.start, rows.stop - 1)} if rows else set()
        return any(self._block(self._groups.span(group), name) is None for group in ends for name in names)

    # The thread that reads

    def refresh(self) -> bool:
        """See whether the table has grown, or has other rows since the run was resumed from a checkpoint."""
        changed = self._reader.refresh()
        if self._reader.rewinds != self._rewinds:
            self._rewinds = self._reader.rewinds
            self.order = None  # positions mean other rows
            self._blocks.clear()
            self._single.clear()
        elif self._reader.changed is not None:
            self._read_again(self._reader.count_until(self._reader.changed - 1))
        groups = self._reader.groups
        if changed and len(groups):
            last = groups.numbers[-1][1]
            step = last if self._reader.key == "step" else self._reader.bounds(len(groups) - 1, "step")[1]
            self._largest_step = max(self._largest_step, int(step))
        return changed

    def _read_again(self, position: int) -> None:
        """Replace what is kept of the row that was open, which lies at a position, and of its group."""
        if position >= self._reader.groups.total:
            return
        self._single.pop(position, None)
        group = self._reader.groups.of(position)
        span = self._reader.groups.span(group)
        names = [name for start, name in self._blocks if start == span.start]
        for name, block in self._reader.read(group, names).items() if names else ():
            self._blocks[span.start, name] = span, block

    @property
    def known(self) -> tuple[Groups, tuple[str, ...], int]:
        """How the table lies, its columns, and the largest step in it, as of the last look."""
        return self._reader.groups, self._reader.columns, self._largest_step

    @property
    def damaged(self) -> tuple[str, ...]:
        """What could not be read."""
        return tuple(f"{path}: {why}" for path, why in self._reader.damaged.items())

    def load(self) -> bool:
        """Read what is wanted; whether anything was missing."""
        try:
            return self._load(*self.wanted)
        finally:
            self._read.set()

    def _load(self, rows: range, names: Sequence[str]) -> bool:
        groups, order = self._reader.groups, self.order
        rows = range(rows.start, min(rows.stop, groups.total if order is None else len(order)))
        if not rows:
            return False
        if order is not None:
            return self._load_single(order[rows.start : rows.stop], names)
        found = False
        for group in range(groups.of(rows[0]), groups.of(rows[-1]) + 1):
            found |= self._load_group(group, names)
        return found

    def _load_group(self, group: int, names: Sequence[str]) -> bool:
        span = self._reader.groups.span(group)
        missing = [name for name in names if self._block(span, name) is None]
        for name, block in self._reader.read(group, missing).items() if missing else ():
            self._blocks[span.start, name] = span, block
            self._measure(name, [block.at(at) for at in range(0, len(span), max(1, len(span) // MEASURED))])
        for name in names:
            self._blocks.move_to_end((span.start, name))
        room = MEMORY_BYTES
        for key, (other, _) in reversed(list(self._blocks.items())):
            room -= 9 * len(other)
            if room < 0 and other != span:
                del self._blocks[key]
        return bool(missing)

    def _load_single(self, positions: Order, names: Sequence[str]) -> bool:
        """Rows from all over the table: only theirs of each group is kept."""
        groups = self._reader.groups
        lacking: dict[int, list[int]] = {}
        for position in positions.tolist():
            known = self._single.get(position, {})
            if any(name not in known for name in names):
                lacking.setdefault(groups.of(position), []).append(position)
        for group, there in lacking.items():
            start = groups.starts[group]
            blocks = self._reader.read(group, names)
            for position in there:
                values = {name: block.at(position - start) for name, block in blocks.items()}
                self._single[position] = {**self._single.get(position, {}), **values}
            for name in names:
                self._measure(name, [self._single[position][name] for position in there])
        while len(self._single) > SINGLE_ROWS:
            self._single.popitem(last=False)
        return bool(lacking)

    def _measure(self, name: str, values: Iterable[Value]) -> None:
        """Make room behind the decimal point for numbers such as these."""
        texts = [format_number(value, NUMBER_WIDTH) for value in values if isinstance(value, float)]
        _, after = number_widths(texts)
        if after > self._after.get(name, 0):
            self._after[name] = after
            self.shifted = True


def _cell(name: str, value: Value) -> Cell:
    if value is None:
        return Cell("-", "muted")
    if name == "time":
        return Cell(show_time(int(value)), "muted")
    if isinstance(value, int):
        return Cell(f"{value:,}")
    return Cell(format_number(value, NUMBER_WIDTH), "" if math.isfinite(value) else "bad")


def show_time(microseconds: int, *, exact: bool = False) -> str:
    """A moment by the reader's clock, from microseconds since 1970."""
    moment = datetime.fromtimestamp(microseconds / 1e6, timezone.utc).astimezone()
    return moment.isoformat(" ", "microseconds") if exact else f"{moment:%Y-%m-%d %H:%M:%S}"
