"""The charts of a run, or of several over each other: a page of them, searched, paired, one of them large, and live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import on
from textual.actions import SkipAction
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Grid
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from neurockt.formatting import clean, format_count
from neurockt_viewer import background
from neurockt_viewer.charts import grouping
from neurockt_viewer.charts.bounds import x_bounds
from neurockt_viewer.charts.lines import RunLines
from neurockt_viewer.charts.series import ChartSettings, Line
from neurockt_viewer.charts.source import Metric
from neurockt_viewer.widgets.chart import Chart
from neurockt_viewer.widgets.chart_keys import AXIS_NAMES, GRID_KEYS, OWN
from neurockt_viewer.widgets.chart_reader import ChartReader
from neurockt_viewer.widgets.line_input import LineInput
from neurockt_viewer.widgets.lines import Clear, TextLine

if TYPE_CHECKING:
    from neurockt.store import Damage

CHART_WIDTH: Final = 52
CHART_HEIGHT: Final = 12
"""Cells that a chart in a grid should have at least."""


class _Page(Clear, Grid):
    """The charts that are shown."""


class ChartGrid(Clear):
    """Every metric of a run as a chart; of several runs, each a line in it."""

    HELP = """
    Each chart is a metric, and each line in it a run. A key for x changes all charts; a key for y only the one that has
    the cursor. The line below the charts shows what is set. The mouse zooms with its wheel, and shows the values under
    it.
    """

    DEFAULT_CSS = """
    ChartGrid { layout: vertical; height: 1fr; width: 1fr; }
    ChartGrid > _Page { layout: grid; height: 1fr; grid-gutter: 1 2; padding: 0 1; }
    ChartGrid Chart:focus { background: $foreground 5%; }
    ChartGrid > .status { color: $text-muted; }
    ChartGrid > Input { height: 1; border: none; padding: 0 1; display: none; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [*GRID_KEYS]

    @dataclass
    class Known(Message):
        """There is more to draw, or an error to show."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChartGrid.Known)

    def __init__(
        self,
        *paths: Path,
        slots: Sequence[int] = (),
        groups: Sequence[str | None] = (),
        least: tuple[int, int] = (CHART_WIDTH, CHART_HEIGHT),
        **options: Any,
    ) -> None:
        """The charts of the runs at ``paths``; they are read once this is on the screen.

        Args:
            paths: one run, or several to be drawn over each other.
            slots: the slot of each of several in the palette; default the order.
            groups: the group of each of several, as the list of runs has them; None for those that are in none. Those
                of one are drawn as one on request; default are runs that differ only in the seed.
            least: cells that a chart should have at least, across and down.
            options: for ``Widget``.
        """
        super().__init__(**options)
        self._least = least
        self._reader = ChartReader(RunLines(paths, slots, groups), lambda: self.post_message(self.Known()))
        self._banded = False
        self._shared = ChartSettings()
        self._own: dict[tuple[Metric, ...], dict[str, Any]] = {}
        """The settings that only one chart has."""
        self._groups: list[tuple[Metric, ...]] = []
        self._words = ""
        self._paired = False
        self._page = 0
        self._large: tuple[Metric, ...] | None = None
        self._charts: list[Chart] = []
        self._shown: list[tuple[Metric, ...]] = []
        self._lines: list[list[Line]] = []
        """The lines of each chart that is shown."""

    def compose(self) -> ComposeResult:
        yield _Page()
        yield TextLine(classes="status")
        yield LineInput(placeholder="part of a metric's name", compact=True, disabled=True)

    def on_mount(self) -> None:
        self.run_worker(self._reader.follow, thread=True, group="charts", exit_on_error=False)

    def on_unmount(self) -> None:
        self._reader.wake.set()

    def show_runs(self, paths: Sequence[Path], slots: Sequence[int] = (), groups: Sequence[str | None] = ()) -> None:
        """Show these runs from now on; the charts change once there is something to draw."""
        if self._reader.show_runs(paths, slots, groups):
            self._draw_known()
            background.after_refresh(self, self._reader.wake.set)
        else:
            self._reader.wake.set()

    def expect(self, paths: Sequence[Path]) -> None:
        """Read these runs while there is nothing else to read: they may be shown next."""
        self._reader.expect(paths)

    @property
    def _paths(self) -> Sequence[Path]:
        return self._reader.lines.paths

    @property
    def damaged(self) -> list[Damage]:
        return self._reader.lines.damaged

    @property
    def charts(self) -> list[Chart]:
        return self._charts[: len(self._shown)]

    @property
    def focused_chart(self) -> Chart | None:
        """The chart that has the keys, or the first."""
        return next((chart for chart in self.charts if chart.has_focus), next(iter(self.charts), None))

    # What the thread posts

    @on(Known)
    def _draw_known(self) -> None:
        if self._reader.opened:
            begun = time.thread_time()
            self._regroup()
            background.after_refresh(self, partial(self._drawn, begun))
            if (ahead := self._reader.take_ahead()) is not None:
                self._draw(ahead=ahead)
        else:
            self._show_status()

    def _drawn(self, begun: float) -> None:
        self._reader.drawing = time.thread_time() - begun

    # Which charts there are

    def _regroup(self) -> None:
        found = grouping.group(self._reader.lines.metrics, paired=self._paired)
        self._groups = grouping.search(found, self._words)
        if self._large is not None and self._large not in found:
            self._large = None
        self._lay_out()

    def _lay_out(self) -> None:
        columns, rows = self._grid()
        size = columns * rows
        pages = max(1, -(-len(self._groups) // size))
        self._page = min(self._page, pages - 1)
        shown = [self._large] if self._large else self._groups[self._page * size : (self._page + 1) * size]
        grid = self.query_one(_Page)
        while len(self._charts) < len(shown):
            chart = Chart()
            self._charts.append(chart)
            grid.mount(chart)
        if self._large:
            columns, rows = 1, 1
        columns = min(columns, max(1, len(shown)))
        grid.styles.grid_size_columns = columns
        grid.styles.grid_size_rows = max(1, min(rows, -(-len(shown) // columns)))
        for index, chart in enumerate(self._charts):
            chart.display = index < len(shown)
        self._shown = shown
        background.after_refresh(self, self._keep_focus)
        self._want()
        self._draw()
        self._show_status()

    def _keep_focus(self) -> None:
        """Give a chart the keys where no other widget has them."""
        focused = self.screen.focused
        if self.charts and focused not in self.charts and (focused is None or focused in self._charts):
            self.charts[0].focus(scroll_visible=False)

    def _grid(self) -> tuple[int, int]:
        columns = max(1, min(4, self.size.width // self._least[0]))
        rows = max(1, (self.size.height - 1) // self._least[1])
        if (count := len(self._groups)) <= columns * rows:
            columns = next(n for n in range(1, columns + 1) if n == columns or n * rows >= count)
        return columns, rows

    def _want(self) -> None:
        wanted = tuple(metric for together in self._shown for metric in together) if self._reader.seen else ()
        dots = 2 * (self.size.width if self._large else self.size.width // self._grid()[0])
        view = self._shared.axis, self._shared.window, dots
        if (wanted, view) != (self._reader.wanted, self._reader.view):
            self._reader.wanted, self._reader.view = wanted, view
            background.after_refresh(self, self._reader.wake.set)

    def _draw(self, *, same_lines: bool = False, ahead: RunLines | None = None) -> None:
        """Draw the charts; ``same_lines`` if only settings have changed, ``ahead`` for runs that may be shown next."""
        shared, runs = self._shared, ahead or self._reader.lines
        lines = self._lines
        if not same_lines:
            lines = [runs.lines(each, shared.axis, banded=self._banded) for each in self._shown]
        if ahead is None:
            self._lines = lines
        if len(self._shown) > 1:
            series = [line.series for each in lines for line in each]
            shared = replace(shared, x_range=x_bounds(series, replace(shared, window=None)))
        for chart, together, each in zip(self.charts, self._shown, lines, strict=True):
            alone = len(together) == 1 and len(runs.paths) > 1
            draw = chart.show if ahead is None else chart.expect
            draw(each, replace(shared, **self._own.get(together, {})), runs.title(together[0]) if alone else "")

    def _show_status(self) -> None:
        lines = self._reader.lines
        errors = dict.fromkeys(filter(None, [self._reader.error, *lines.errors.values()]))
        notes = [clean(error, background.ERROR_LIMIT) for error in errors]
        if not self._reader.opened:
            notes += [] if notes else ["reading …"]
        elif not self._groups:
            notes.append(f"no metric's name has {clean(self._words)!r}" if self._words else "no metrics recorded yet")
        else:
            columns, rows = self._grid()
            pages = -(-len(self._groups) // (columns * rows))
            notes.append(format_count(len(self._groups), "chart"))
            if self._words:
                notes.append(f"with {clean(self._words)!r}")
            if pages > 1 and not self._large:
                notes.append(f"page {self._page + 1} of {pages}")
            notes.append(f"x: {AXIS_NAMES[self._shared.axis]}{', log' if self._shared.is_log_x else ''}")
            if self._shared.smoothing:
                notes.append(f"smoothed over {100 * self._shared.smoothing:.3g}% of x, S less")
            if self._banded:
                notes.append(f"{len(lines.settings):,} settings: mean and range")
            if self._shared.window:
                notes.append("zoomed, 0 resets")
            if len(self._groups) > 1:
                notes.append("x keys: all charts, y keys: this one")
            if damaged := lines.damaged:
                notes.insert(0, f"not all can be read: {clean(damaged[0])}")
        self.query_one(TextLine).show(Content(" · ".join(filter(None, notes))))

    # Keys and changes

    @on(Chart.Changed)
    def _share(self, message: Chart.Changed) -> None:
        """What concerns x changes all charts, what concerns y only the one whose key was pressed."""
        if message.chart in self.charts:
            own = {name: getattr(message.settings, name) for name in OWN}
            self._own[self._shown[self.charts.index(message.chart)]] = own
        self._shared = replace(message.settings, x_range=None, **{name: getattr(ChartSettings(), name) for name in OWN})
        self._want()
        self._draw(same_lines=message.settings.axis == message.before.axis)
        self._show_status()

    @on(Chart.CrossMoved)
    def _share_cross(self, message: Chart.CrossMoved) -> None:
        for chart in self._charts:
            chart.put_cross(message.place, message.named)

    @on(Chart.Unmoved)
    def _to_neighbour(self, message: Chart.Unmoved) -> None:
        self.action_focus_by(message.direction, False)

    def action_focus_by(self, direction: int, rows: bool) -> None:
        chart = self.focused_chart
        if chart is None or self._large:
            return
        at = self.charts.index(chart) + direction * (self._columns if rows else 1)
        if 0 <= at < len(self.charts):
            self.charts[at].focus()
        else:
            self.action_page(direction)

    @property
    def _columns(self) -> int:
        return min(self._grid()[0], max(1, len(self._shown)))

    def action_page(self, direction: int) -> None:
        if self._large in self._groups:
            at = self._groups.index(self._large) + direction
            self._large = self._groups[min(max(0, at), len(self._groups) - 1)]
        else:
            self._page = max(0, self._page + direction)
        self._lay_out()

    def action_large(self) -> None:
        chart = self.focused_chart
        if self._large:
            self._shrink()
        elif chart is not None:
            self._large = self._shown[self.charts.index(chart)]
            self._lay_out()
            self.charts[0].focus()

    def _shrink(self) -> None:
        large, self._large = self._large, None
        columns, rows = self._grid()
        at = self._groups.index(large) if large in self._groups else 0
        self._page = at // (columns * rows)
        self._lay_out()
        if self.charts:
            self.charts[min(at % (columns * rows), len(self.charts) - 1)].focus()

    def action_back(self) -> None:
        """Leave the crosshair, else the zoom, the enlarged chart, the search."""
        chart = self.focused_chart
        if chart is not None and chart.cross is not None:
            chart.action_cross()
        elif chart is not None and self._shared.window is not None:
            chart.action_whole()
        elif self._large:
            self._shrink()
        elif self._words:
            self.query_one(Input).value = ""
        else:
            raise SkipAction

    def action_pair(self) -> None:
        self._paired = not self._paired
        self._large = None
        self._regroup()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A band needs several runs."""
        return len(self._paths) > 1 if action == "band" else True

    def action_band(self) -> None:
        """Draw runs that differ only in the seed as one: their mean, with a band from the lowest to the highest."""
        if not self._banded and len(self._reader.lines.settings) == len(self._paths):
            self.notify("no two of these runs differ only in the seed; they are drawn apart", markup=False, timeout=4)
            return
        self._banded = not self._banded
        self._draw()
        self._show_status()

    async def action_export(self) -> None:
        from neurockt_viewer.exporting import export_chart

        chart = self.focused_chart
        if chart is not None:
            run = self._paths[0].name if len(self._paths) == 1 else "compare"
            names = [metric.name for metric in self._shown[self.charts.index(chart)]]
            await export_chart(self, run, names, chart.lines, chart.settings, chart.picture)

    def action_search(self) -> None:
        field = self.query_one(Input)
        field.disabled = False
        field.display = True  # now, not with the next style update: what is typed next is for this line
        self.screen.set_focus(field)

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        self._words, self._page, self._large = event.value, 0, None
        self._regroup()

    @on(LineInput.Left)
    def _close_search(self) -> None:
        field = self.query_one(Input)
        field.display = False
        field.disabled = True
        if self.charts:
            self.charts[0].focus()

    def on_resize(self) -> None:
        self._lay_out()

    def see(self, seen: bool) -> None:
        """Read nothing while nobody sees the charts; then go on, first with what has been recorded in the meantime."""
        self._reader.seen = seen
        self._want()
        if seen:
            background.after_refresh(self, self._reader.wake.set)

    def on_hide(self) -> None:
        self.see(False)

    def on_show(self) -> None:
        self.see(True)
