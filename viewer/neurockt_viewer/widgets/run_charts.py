"""The charts beside the list of runs: of the marked runs, else of the run or the group under the cursor.

Nothing is loaded for them before the list has been painted.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from textual import work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.timer import Timer
from textual.widget import Widget

from neurockt_viewer.text import label
from neurockt_viewer.widgets.lines import Clear, TextLine

if TYPE_CHECKING:
    from neurockt_viewer.widgets.chart_grid import ChartGrid

REST_SECONDS: Final = 0.25
"""How long the cursor has to stay on a run before it is read."""
LEAST_CHART: Final = 40, 11
"""Cells that a chart has at least, across and down."""
AHEAD_SECONDS: Final = 0.05
"""How long the cursor has to stay on a run before it is read for the case that it is marked next."""
MOST_DRAWN: Final = 100
"""Runs that are drawn over each other; reading more takes longer than a look at a list should."""


class Drawn(NamedTuple):
    """Which runs to draw."""

    title: str
    paths: tuple[Path, ...]
    slots: tuple[int, ...] = ()
    """The slot of each in the palette."""
    groups: tuple[str | None, ...] = ()
    """The group of each in the list; empty where it has no groups."""

    def first(self, most: int) -> Drawn:
        """The first of the runs."""
        return Drawn(self.title, self.paths[:most], self.slots[:most], self.groups[:most])


class RunCharts(Clear, Vertical):
    DEFAULT_CSS = """
    RunCharts { width: 1fr; height: 1fr; }
    RunCharts > TextLine { text-style: bold; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.grid: ChartGrid | None = None
        """The charts; None before the first run is drawn."""
        self._wanted = self._drawn = Drawn("", ())
        self._rest: Timer | None = None
        self._ahead: Timer | None = None
        self._loading = False

    def compose(self) -> ComposeResult:
        yield TextLine()

    @property
    def first(self) -> Widget | None:
        """The first chart, to be given the keys; without it, the first one that comes takes them."""
        return next(iter(self.grid.charts), None) if self.grid else None

    @property
    def has_keys(self) -> bool:
        return self.grid is not None and self.screen.focused in self.grid.charts

    def read_on(self, seen: bool) -> None:
        """Read what live runs record, or not while the charts are behind another screen."""
        if self.grid is not None and self.display:
            self.grid.see(seen)

    def show(self, wanted: Drawn, *, at_once: bool) -> None:
        """Draw other runs: at once, or when no others are asked for a moment later."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if self._rest is not None:
            self._rest.stop()
            self._rest = None
        if at_once:
            self._draw()
        else:
            self._rest = self.set_timer(REST_SECONDS, self._draw)

    def on_show(self) -> None:
        if self._drawn != self._wanted:
            self._draw()

    def expect(self, paths: Sequence[Path]) -> None:
        """Read these runs, if no others are expected a moment later: they may be shown next."""
        if self._ahead is not None:
            self._ahead.stop()
        if self.grid is not None and self.display and len(paths) <= MOST_DRAWN:
            self._ahead = self.set_timer(AHEAD_SECONDS, partial(self.grid.expect, paths))

    def _draw(self) -> None:
        """Draw what is wanted, or nothing while the charts are hidden."""
        if not self.display:
            return
        self._drawn = self._wanted
        title, paths, slots, groups = self._wanted.first(MOST_DRAWN)
        if len(paths) < len(self._wanted.paths):
            title = f"{title}, {MOST_DRAWN} of them drawn"
        self.query_children(TextLine).only_one().show(label(title))
        grid = self.grid
        if grid is not None:
            if grid.display != bool(paths):  # setting what it is already has the screen laid out
                grid.display = bool(paths)
            if paths:
                grid.show_runs(paths, slots, groups)
        elif paths and not self._loading:
            self._loading = True
            self._load()

    @work(thread=True, group="charts", exit_on_error=False)
    def _load(self) -> None:
        from neurockt_viewer.widgets import chart_grid

        self.call_later(self._mount_grid, chart_grid.ChartGrid)

    def _mount_grid(self, kind: type[ChartGrid]) -> None:
        _, paths, slots, groups = self._wanted.first(MOST_DRAWN)
        self._loading = bool(paths)
        if paths:
            self.grid = kind(*paths, slots=slots, groups=groups, least=LEAST_CHART)
            self.mount(self.grid)
