"""The table of runs as a source of rows: filtered, sorted, grouped and marked."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import Any, Final

from neurockt.errors import QueryError
from neurockt.formatting import format_count
from neurockt.query.fields import Field, differing_keys, parse_field, sort_runs, split_names
from neurockt.query.filter import Query
from neurockt.query.grouping import Group, Spread, group_runs, sort_groups
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt_viewer.charts import palette
from neurockt_viewer.columns import WIDEST, WIDEST_OTHERS, RunCells, show_value, understood
from neurockt_viewer.marks import Marks
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.row_source import Cell, Column

MARK_COLUMN: Final = Column("", "", 1)
HEADS_MEASURED: Final = 200
"""Heads of groups that are looked at to find out how wide a column is."""


class RunRows:
    """The rows of the table of runs; a row is a run or the head of a group."""

    def __init__(
        self,
        runs: Sequence[RunInfo],
        query: Query,
        settings: Settings,
        marks: Marks,
        cells: RunCells | None = None,
        unread: Collection[str] = (),
    ) -> None:
        """Arrange the runs.

        Args:
            runs: all there are, oldest first.
            query: which to show.
            settings: the columns, the order and the grouping.
            marks: which are marked; looked at as they are drawn.
            cells: those made for earlier rows.
            unread: the fields that cannot be shown yet, as ``read_from_rows`` has them.
        """
        self._cells = cells or RunCells()
        self._marks = marks
        self.folded: set[Hashable] = set()
        """Groups that show only their head, by their keys."""
        self.shown: list[RunInfo] = [info for info in runs if query.matches(info)]
        sorting = understood([settings.sort], unread) if settings.sort else []
        if sorting:
            self.shown = sort_runs(self.shown, sorting[0].name, reverse=settings.reverse)
        elif settings.reverse:
            self.shown.reverse()
        self.fields = understood(settings.columns or (), unread)
        if not self.fields:
            self.fields = self._cells.default_fields(runs)
        self._summaries: dict[tuple[Hashable, int], Any] = {}
        grouping = (
            [] if {*unread} & {field.name for field in grouped_by(settings.group)} else grouped_by(settings.group)
        )
        self.groups = group_runs(self.shown, grouping) if grouping else None
        if self.groups is not None and sorting:
            self.groups = sort_groups(self.groups, sorting[0], reverse=settings.reverse)
        names = [field.name for field in self.fields]
        self._label_at = names.index("name") + 1 if "name" in names else 1
        self._count_at = names.index("state") + 1 if "state" in names else self._label_at
        self._labels: dict[Hashable, str] = {}
        self._short: list[dict[str, str]] = []
        self.columns = self._columns(runs, settings)
        self._labels = self._short_labels()
        self._rows: list[RunInfo | Group] = []
        self.fold(set())

    def _columns(self, runs: Sequence[RunInfo], settings: Settings) -> list[Column]:
        named = zip(self._cells.titles(self.fields, runs), self.fields, strict=True)
        columns = self._cells.columns(
            self.fields, self.shown, [title + _arrow(field, settings) for title, field in named]
        )
        for at, field in enumerate(self.fields):
            columns[at], short = self._cells.shortened(field, columns[at], runs)
            self._short.append(short)
        heads = (self.groups or [])[:HEADS_MEASURED]
        for at, column in enumerate(columns if heads else ()):
            widest = WIDEST.get(column.key, WIDEST_OTHERS)
            columns[at] = column.widened([self._head_cell(group, at + 1).text for group in heads], widest)
        return [MARK_COLUMN, *columns]

    def _short_labels(self) -> dict[Hashable, str]:
        """The labels of the groups, as far as they fit their column."""
        groups = self.groups or []
        room = self.columns[self._label_at].width if groups else 0
        if self._count_at == self._label_at:
            room -= max((len(f" · {format_count(len(group.runs), 'run')}") for group in groups), default=0)
        labels = shorten([group.short_label for group in groups], max(1, room))
        return {group.key: label for group, label in zip(groups, labels, strict=True)}

    def fold(self, folded: Collection[Hashable]) -> None:
        """Show only the heads of these groups."""
        self.folded = set(folded)
        self._rows = list(self.shown)
        if self.groups is not None:
            self._rows = []
            for group in self.groups:
                self._rows.append(group)
                if group.key not in self.folded:
                    self._rows += group.runs
        self._numbers = {_key(row): at for at, row in reversed(list(enumerate(self._rows)))}

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> RunInfo | Group | None:
        """The run or the group in that row; None past the end."""
        return self._rows[at] if 0 <= at < len(self._rows) else None

    def number_of(self, row: RunInfo | Group) -> int | None:
        """The number of the first row of that run, or of that group."""
        return self._numbers.get(_key(row))

    def groups_of(self, paths: Sequence[Path]) -> tuple[str | None, ...]:
        """The group of each run, by its label; nothing where there are no groups."""
        if self.groups is None:
            return ()
        labels = {info.path: group.short_label for group in reversed(self.groups) for info in group.runs}
        return tuple(labels.get(path) for path in paths)

    def cells(self, row: int, columns: range) -> Sequence[Cell]:
        found = self._rows[row]
        if isinstance(found, Group):
            return [self._head_cell(found, column) for column in columns]
        return [self._cell(found, column) if column else self._mark(found) for column in columns]

    def _cell(self, info: RunInfo, column: int) -> Cell:
        cell = self._cells.cell(info, self.fields[column - 1])
        short = self._short[column - 1].get(cell.text)
        return cell if short is None else cell._replace(text=short)

    def _mark(self, info: RunInfo) -> Cell:
        """A marked run's letter, in the colour that its curves will have."""
        slot = self._marks.get(info.path)
        return Cell("") if slot is None else Cell(palette.letter(slot), colour=slot)

    def _head_cell(self, group: Group, column: int) -> Cell:
        """What a group is, how many runs it has, the mean and spread of what they measured, and what they share."""
        count = format_count(len(group.runs), "run")
        if column == 0:
            return Cell("▸" if group.key in self.folded else "▾", "mark")
        if column == self._label_at:
            label = self._labels.get(group.key, group.short_label)
            return Cell(label if self._count_at != column else f"{label} · {count}", "mark")
        if column == self._count_at:
            return Cell(count, "muted")
        field = self.fields[column - 1]
        key = group.key, column
        if key not in self._summaries:
            self._summaries[key] = group.summary(field)
        value = self._summaries[key]
        if isinstance(value, Spread):
            return Cell(value.text(field.kind), "strong")
        return Cell("" if value is None else show_value(value, field.kind), "strong")

    def want(self, rows: range, columns: range) -> None:
        """All is here."""

    def table(self) -> tuple[list[str], list[list[object]]]:
        """What is seen, for a file: the columns' names and each run's values."""
        names = [field.label for field in self.fields]
        return names, [[field.value(info) for field in self.fields] for info in self.shown]


def _key(row: RunInfo | Group) -> Hashable:
    return row.path if isinstance(row, RunInfo) else row.key


def _arrow(field: Field, settings: Settings) -> str:
    if field.name != (settings.sort or "started"):
        return ""
    return " ▼" if settings.reverse else " ▲"


def grouped_by(names: str | None) -> list[Field]:
    """The fields of ``cfg.lr,cfg.width``; none where one of them is not understood."""
    try:
        return [parse_field(name) for name in split_names(names)] if names else []
    except QueryError:
        return []


def read_from_rows(settings: Settings, query: Query) -> list[Field]:
    """The fields in use, such as ``acc@best(loss)``, for which the tables of the runs may have to be read."""
    named = understood([*(settings.columns or ()), *filter(None, [settings.sort])])
    return [field for field in (*named, *grouped_by(settings.group), *query.fields) if field.where]


def group_fields(runs: Sequence[RunInfo], possible: Sequence[str]) -> list[str]:
    """The fields by which it makes sense to group: words of the user's and config keys, not what was measured."""
    own = ["project", "group", "tags", "state", "name", "host"]
    return own + [name for name in possible if name.startswith("cfg.") and parse_field(name).name == name]


def setting_fields(runs: Sequence[RunInfo]) -> str | None:
    """The config keys that differ, without seeds, if there are several: together they group the seeds of a setting."""
    keys = [key for key in differing_keys(runs) if "seed" not in key.lower()]
    return ",".join(keys) if len(keys) > 1 else None
