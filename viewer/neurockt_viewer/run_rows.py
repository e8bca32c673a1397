"""The table of runs as a source of rows: filtered, sorted, grouped and marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from neurockt.formatting import clean
from neurockt.query.fields import Field, parse_field, sort_runs
from neurockt.query.filter import Query
from neurockt.run_info import RunInfo
from neurockt_viewer.charts import palette
from neurockt_viewer.columns import RunCells, show_value, understood
from neurockt_viewer.marks import Marks
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.row_source import Cell, Column

MARK_COLUMN: Final = Column("", "", 1)


@dataclass(frozen=True)
class Head:
    value: str
    count: int


class RunRows:
    """The rows of the table of runs; a row is a run or the head of a group."""

    def __init__(
        self, runs: Sequence[RunInfo], query: Query, settings: Settings, marks: Marks, cells: RunCells | None = None
    ) -> None:
        """Arrange the runs.

        Args:
            runs: all there are, oldest first.
            query: which to show.
            settings: the columns, the order and the grouping.
            marks: which are marked; looked at as they are drawn.
            cells: those made for earlier rows.
        """
        self._cells = cells or RunCells()
        self._marks = marks
        self.folded: set[str] = set()
        """Groups that show only their head."""
        self.shown: list[RunInfo] = [info for info in runs if query.matches(info)]
        if settings.sort and (sorting := understood([settings.sort])):
            self.shown = sort_runs(self.shown, sorting[0].name, reverse=settings.reverse)
        elif settings.reverse:
            self.shown.reverse()
        self.fields = understood(settings.columns) if settings.columns else []
        if not self.fields:
            self.fields = self._cells.default_fields(runs)
        grouping = understood([settings.group]) if settings.group else []
        self._groups = _grouped(self.shown, grouping[0]) if grouping else None
        self._grouping = grouping[0] if grouping else None
        titles = [clean(field.label) + _arrow(field, settings) for field in self.fields]
        self.columns: list[Column] = [MARK_COLUMN, *self._cells.columns(self.fields, self.shown, titles)]
        self._rows: list[RunInfo | Head] = []
        self.fold(set())

    def fold(self, folded: set[str]) -> None:
        """Show only the heads of these groups."""
        self.folded = folded
        self._rows = list(self.shown)
        if self._groups is not None:
            self._rows = []
            for head, runs in self._groups:
                self._rows.append(head)
                if head.value not in folded:
                    self._rows += runs
        self._numbers = {_key(row): at for at, row in reversed(list(enumerate(self._rows)))}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> RunInfo | Head | None:
        """The run or head in that row; None past the end."""
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def number_of(self, row: RunInfo | Head) -> int | None:
        """The number of the first row of that run, or of that group."""
        return self._numbers.get(_key(row))

    def members(self, head: Head) -> list[RunInfo]:
        return next((runs for other, runs in self._groups or [] if other.value == head.value), [])

    def cells(self, row: int, columns: range) -> Sequence[Cell]:
        found = self._rows[row]
        if isinstance(found, Head):
            return [self._head_cell(found, column) for column in columns]
        return [self._cells.cell(found, self.fields[column - 1]) if column else self._mark(found) for column in columns]

    def _mark(self, info: RunInfo) -> Cell:
        """A marked run's letter, in the colour that its curves will have."""
        slot = self._marks.get(info.path)
        return Cell("") if slot is None else Cell(palette.letter(slot), colour=slot)

    def _head_cell(self, head: Head, column: int) -> Cell:
        if column == 0:
            return Cell("▸" if head.value in self.folded else "▾", "mark")
        if column == 1:
            return Cell(f"{head.count} run{'s' * (head.count != 1)}", "muted")
        if column == 2 and self._grouping is not None:
            return Cell(self.title_of(head), "mark")
        return Cell("")

    def title_of(self, head: Head) -> str:
        return f"{clean(self._grouping.label)} = {head.value}" if self._grouping else head.value

    def want(self, rows: range, columns: range) -> None:
        """All is here."""

    def table(self) -> tuple[list[str], list[list[object]]]:
        """What is seen, for a file: the columns' names and each run's values."""
        names = [field.label for field in self.fields]
        return names, [[field.value(info) for field in self.fields] for info in self.shown]


def _key(row: RunInfo | Head) -> object:
    return row.path if isinstance(row, RunInfo) else row.value


def _arrow(field: Field, settings: Settings) -> str:
    if field.name != (settings.sort or "started"):
        return ""
    return " ▼" if settings.reverse else " ▲"


def _grouped(runs: Iterable[RunInfo], field: Field) -> list[tuple[Head, list[RunInfo]]]:
    """The runs by a field's value, in the order in which the values come; a run with several tags is in each group."""
    groups: dict[str, list[RunInfo]] = {}
    for info in runs:
        value = field.value(info)
        for one in value if isinstance(value, (tuple, list)) and value else [value]:
            groups.setdefault(show_value(one, field.kind), []).append(info)
    return [(Head(value, len(found)), found) for value, found in groups.items()]


def group_fields(runs: Sequence[RunInfo], possible: Sequence[str]) -> list[str]:
    """The fields by which it makes sense to group: words of the user's, not numbers that are measured."""
    own = ["project", "group", "tags", "state", "name", "host"]
    return own + [name for name in possible if name.startswith("cfg.") and parse_field(name).name == name]
