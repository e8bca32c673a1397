"""The table of runs: filter, sort, group, choose columns, mark, open. It follows the directory."""

from __future__ import annotations

import time
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Static

from neurockt.formatting import format_count
from neurockt.query.fields import parse_field
from neurockt.query.filter import Query, parse
from neurockt.query.grouping import Group
from neurockt.run_info import RunInfo
from neurockt_viewer import background
from neurockt_viewer.columns import RunCells
from neurockt_viewer.marks import Marks
from neurockt_viewer.run_rows import RunRows, read_from_rows
from neurockt_viewer.screens import list_texts
from neurockt_viewer.screens.list_questions import ask_columns, ask_group
from neurockt_viewer.screens.runs_keys import RUNS_KEYS
from neurockt_viewer.screens.watching import DirectoryWatch, Listing
from neurockt_viewer.settings import Settings
from neurockt_viewer.text import full_path
from neurockt_viewer.widgets.filter_line import FilterLine
from neurockt_viewer.widgets.key_line import KeyLine
from neurockt_viewer.widgets.lines import Ground, TextLine
from neurockt_viewer.widgets.panels import Panels
from neurockt_viewer.widgets.prompts import Show
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.run_charts import Drawn, RunCharts

TICK_SECONDS: Final = 1.0
STILL_TICKS: Final = 5
"""How often it is looked whether times such as `3 min ago` have changed; where nothing runs, after so many ticks."""
RESIZE_STEP: Final = 0.05
"""How much of the screen a key gives to a panel."""


class RunsScreen(Screen[None], inherit_bindings=False):
    HELP = """
    Each row is a run, the newest first. The charts beside it are of the marked runs, or of the run under the cursor
    while none is marked. A filter has words of the name, state:running, tag:x, cfg.lr>=1e-3, best(acc)>0.95 and the
    like, joined by and, or, not and parentheses. Columns, order, groups and panels are remembered for each directory.
    """
    AUTO_FOCUS = ""  # Textual would give the first keys to the line of the filter
    BINDINGS: ClassVar[list[BindingType]] = [*RUNS_KEYS]

    @dataclass
    class Listed(Message):
        listing: Listing

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, RunsScreen.Listed)

    def __init__(self, root: Path, settings: Settings) -> None:
        super().__init__()
        self._root = root
        self._watch = DirectoryWatch(
            root,
            lambda listing: self.post_message(self.Listed(listing)),
            lambda why: self.call_later(self._show_error, why),
        )
        self._settings = settings
        self._save = background.Later(self, settings.save)
        """Once they have had their effect on the screen: a home may be slow to write to."""
        self._runs: list[RunInfo] = []
        self._listing: Listing | None = None
        self._error = ""
        self._query: Query = parse("")
        self._applied = self._query
        """The latest query that has been applied: all its fields have been read."""
        self._unread: set[str] = set()
        """The fields in use that are still being read from tables."""
        self._marks = Marks()
        self._cells = RunCells()
        self._rows = RunRows([], self._query, settings, self._marks, self._cells)
        self._folded: set[Hashable] = set()
        self._ticks = 0
        self._archived = False
        """Whether archived runs are shown."""
        self._marked: Drawn | None = None
        """The marked runs for the charts; None where there are none."""

    def compose(self) -> ComposeResult:
        yield TextLine(id="title")
        yield FilterLine(lambda: self._runs)
        yield Static(id="problem")
        yield Panels(self._settings)
        yield Static(id="empty")
        yield KeyLine()

    def on_mount(self) -> None:
        self._grid.focus()
        self._grid.first_column = 1
        self._grid.on_move = self._show_beside
        self._show_title()
        follow = partial(self.run_worker, self._watch.follow, thread=True, group="look", exit_on_error=False)
        background.after_refresh(self, follow)
        self.set_interval(TICK_SECONDS, self._tick)

    def on_unmount(self) -> None:
        self._watch.wake.set()
        self._save.now()

    def on_screen_suspend(self) -> None:
        self._watch.hidden = True
        self._see_charts(False)

    def on_screen_resume(self) -> None:
        self._watch.hidden = False
        self._watch.look_now()
        self._see_charts(True)

    def _see_charts(self, seen: bool) -> None:
        for charts in self.query(RunCharts):  # none once the screen is being closed
            charts.read_on(seen)

    @property
    def _panels(self) -> Panels:
        return self.query_one(Panels)

    @property
    def _grid(self) -> RowGrid:
        return self._panels.list

    def render_lines(self, crop: Region) -> list[Strip]:
        """What is behind the panels: lines that are all the same."""
        return [Ground.of(self).line([], crop.width)] * crop.height

    # What is found

    @on(Listed)
    def _show_listing(self, message: Listed) -> None:
        self._listing = listing = message.listing
        self._hide_archived()
        if listing.whole and self._marks:
            self._marks.keep({*(info.path for info in self._runs), *listing.problems})
            self._marks_changed()
        begun = time.thread_time()
        self._arrange()
        background.after_refresh(self, partial(self._watch.drew, begun))

    def _hide_archived(self) -> None:
        """Leave archived runs out, unless they are shown or the filter asks for them."""
        shown = self._archived or any(field.name == "archived" for field in self._query.fields)
        self._runs = [info for info in self._listing.runs if shown or not info.archived] if self._listing else []

    def _show_error(self, why: str) -> None:
        self._error = why
        self._show_title()

    # Arranging

    def _arrange(self) -> None:
        """Show the runs as they are now; the cursor stays on its run, or in the first row."""
        grid = self._grid
        under = self._rows.row(grid.cursor_row)
        fields = read_from_rows(self._settings, self._query)
        self._watch.read_fields(fields)
        self._unread = {field.name for field in fields} - (self._listing.valued if self._listing else set())
        if not self._unread & {field.name for field in self._query.fields}:
            self._applied = self._query
        self._rows = RunRows(self._runs, self._applied, self._settings, self._marks, self._cells, self._unread)
        self._rows.fold(self._folded)
        row = self._rows.number_of(under) if under is not None and grid.cursor_row else None
        grid.frozen = 3 if len(self._rows.columns) > 3 and self._rows.columns[2].key == "name" else 1
        grid.show(self._rows, row=row, column=grid.cursor_column)
        self._show_title()

    def _show_title(self) -> None:
        read, shown, group = self._listing, len(self._rows.shown), self._settings.group or ""
        title = list_texts.title(self._root, read, self._runs, shown, len(self._marks), group, sorted(self._unread))
        self.query_one("#title", TextLine).show(title)
        list_texts.put(self.query_one("#problem", Static), self._error)
        empty = list_texts.reason_for_none(self._root, read, self._runs) if read is not None and not shown else ""
        list_texts.put(self.query_one("#empty", Static), empty)

    def _show_beside(self) -> None:
        """The details of what is under the cursor, and the charts."""
        row = self._rows.row(self._grid.cursor_row)
        if isinstance(row, Group):
            self._panels.details.show_group(row.label, row.runs)
        else:
            self._panels.details.show(row)
        self._show_charts()

    def _show_charts(self) -> None:
        """Those of the marked runs, else of what is under the cursor."""
        row = self._rows.row(self._grid.cursor_row)
        if self._marked is not None:
            drawn = self._marked
        elif isinstance(row, Group):
            paths = tuple(info.path for info in row.runs)
            drawn = Drawn(row.label, paths, groups=self._rows.groups_of(paths))
        else:
            drawn = Drawn(row.label, (row.path,)) if row else Drawn("", ())
        self._panels.charts.show(drawn, at_once=self._marked is not None)
        if self._marked is not None and isinstance(row, RunInfo) and row.path not in self._marks:
            self._panels.charts.expect([*self._marked.paths, row.path])

    def _tick(self) -> None:
        self._ticks += 1
        if self._ticks % STILL_TICKS == 0 or any(info.state == "running" for info in self._rows.shown):
            self._grid.redraw_changed()
            self._panels.details.redraw()

    # Filtering

    def action_filter(self) -> None:
        self.query_one(FilterLine).open()

    @on(FilterLine.Changed)
    def _filter(self, message: FilterLine.Changed) -> None:
        self._query = message.query
        self._hide_archived()
        self._arrange()

    @on(FilterLine.Left)
    def _leave_filter(self) -> None:
        self.set_focus(self._grid)

    @property
    def way_out(self) -> str:
        """Where Escape leads, from the charts."""
        return "List" if self.is_mounted and self._panels.charts.has_keys else ""

    def action_back(self) -> None:
        """From the charts to the list; else clear the filter, else the marks."""
        line = self.query_one(FilterLine)
        if not self._grid.has_focus:
            self.action_other_panel()
        elif line.value:
            line.clear()
        elif self._marks:
            self._marks.keep([])
            self._redraw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the filter is typed, letters are letters; comparing takes two."""
        problems = self._listing and self._listing.problems
        needed = {"compare": len(self._marks) > 1, "fold_all": self._rows.groups, "problems": problems}
        return bool(needed.get(action, True)) and not self.query_one(FilterLine).is_typed

    # What is done with runs

    @on(RowGrid.Opened)
    def action_open(self) -> None:
        """Open the run under the cursor; fold or unfold a group."""
        row = self._rows.row(self._grid.cursor_row)
        if isinstance(row, RunInfo):
            from neurockt_viewer.screens.run import RunScreen

            self.app.push_screen(RunScreen(row.path))
        elif isinstance(row, Group):
            self._fold(self._folded ^ {row.key})

    def action_fold_all(self) -> None:
        """Fold all groups; if they are folded already, unfold them."""
        everything = {group.key for group in self._rows.groups or ()}
        self._fold(everything if everything - self._folded else set())

    def _fold(self, folded: set[Hashable]) -> None:
        under = self._rows.row(self._grid.cursor_row)
        if isinstance(under, RunInfo):
            under = next((group for group in self._rows.groups or () if under in group.runs), under)
        self._folded = folded
        self._rows.fold(folded)
        self._grid.show(self._rows, row=self._rows.number_of(under) if under is not None else None)

    def action_mark(self) -> None:
        """Mark the run under the cursor, or all runs of the group; what is marked already is unmarked."""
        row = self._rows.row(self._grid.cursor_row)
        if isinstance(row, RunInfo):
            self._marks.toggle(row.path)
        elif row is not None:
            self._marks.toggle_all([info.path for info in row.runs])
        self._redraw()
        self._grid.action_move(1)

    def action_mark_all(self) -> None:
        """Mark all shown runs; if they are marked already, unmark them."""
        self._marks.toggle_all([info.path for info in self._rows.shown])
        self._redraw()

    def _redraw(self) -> None:
        self._marks_changed()
        self._grid.redraw_changed()
        self._show_title()

    def _marks_changed(self) -> None:
        paths = tuple(self._marks.in_order())
        if (len(paths) > 1) != (self._marked is not None and len(self._marked.paths) > 1):
            self.refresh_bindings()  # comparing takes two
        what, slots = format_count(len(paths), "marked run"), tuple(self._marks[path] for path in paths)
        self._marked = Drawn(what, paths, slots, self._rows.groups_of(paths)) if paths else None
        self._show_charts()

    def action_compare(self) -> None:
        from neurockt_viewer.screens.compare import CompareScreen

        marks = self._marks.in_order()
        self.app.push_screen(CompareScreen(marks, self._rows.groups_of(list(marks))))

    async def action_edit(self, what: str) -> None:
        """Edit the marked runs, else what is under the cursor."""
        from neurockt_viewer.editing import edit

        row = self._rows.row(self._grid.cursor_row)
        runs = [info for info in self._runs if info.path in self._marks]
        if not runs and row is not None:
            runs = row.runs if isinstance(row, Group) else [row]
        await edit(self, what, runs, self._runs, self._watch.look_now)

    def action_archived(self) -> None:
        self._archived = not self._archived
        if self._listing is not None:
            self._show_listing(self.Listed(self._listing))

    def action_problems(self) -> None:
        problems = self._listing.problems if self._listing else {}
        self.app.push_screen(Show("cannot be read", list_texts.problem_lines(problems)))

    def action_refresh(self) -> None:
        self._watch.look_now()

    @on(RowGrid.HeaderClicked)
    def action_sort(self) -> None:
        """Sort by the column under the cursor; again, in reverse order."""
        key = self._grid.column_key
        if not key:
            return
        settings = self._settings
        current = settings.sort or "started"
        settings.reverse = not settings.reverse if key == current else parse_field(key).kind == "time"
        settings.sort = None if key == "started" else key
        self._save()
        self._arrange()

    async def action_columns(self) -> None:
        await ask_columns(self, self._runs, self._rows.fields, self._settings, self._arrange, self._save)

    async def action_group(self) -> None:
        await ask_group(self, self._runs, self._settings, self._regroup)

    def _regroup(self) -> None:
        self._folded = set()
        self._save()
        self._arrange()
        self._marks_changed()
        self.refresh_bindings()  # groups can be folded

    # Panels

    def action_panel(self, name: str) -> None:
        """Show a panel, or hide it."""
        self._panels.toggle(name)
        self._save()

    def action_resize(self, panel: str, steps: int) -> None:
        self._panels.resize(panel, steps * RESIZE_STEP)
        self._save()

    def action_full(self) -> None:
        """Give the charts all of the screen, or the list its place again."""
        self._panels.full = not self._panels.full
        self._panels.divide()
        self.set_focus(self._panels.charts.first if self._panels.full else self._grid)

    def action_other_panel(self) -> None:
        charts = self._panels.charts
        if self._panels.full:
            self.action_full()
        else:
            self.set_focus(charts.first if self._grid.has_focus and charts.display else self._grid)

    def action_copy(self) -> None:
        row = self._rows.row(self._grid.cursor_row)
        if isinstance(row, RunInfo):
            self.app.copy_to_clipboard(full_path(row.path))

    async def action_export(self) -> None:
        """Write the table, as it is shown, to a file."""
        from neurockt_viewer.exporting import as_arrow, export

        names, rows = self._rows.table()
        what = f"{format_count(len(rows), 'run')}, {format_count(len(names), 'column')}"
        await export(self, what, "runs", lambda: as_arrow(names, rows))
