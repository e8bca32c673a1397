"""Several runs side by side: their curves over each other, the values of their metrics, and their configs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from neurockt import open_run
from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt.store import Run
from neurockt_viewer import background
from neurockt_viewer.charts import palette
from neurockt_viewer.comparison import Compared, MetricColumn, compare_metrics
from neurockt_viewer.keys import key
from neurockt_viewer.text import styled
from neurockt_viewer.widgets.chart_grid import ChartGrid
from neurockt_viewer.widgets.config_table import ConfigTable
from neurockt_viewer.widgets.key_line import KeyLine
from neurockt_viewer.widgets.lines import TextLine
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows
from neurockt_viewer.widgets.tab_bar import TabBar

INFO_SECONDS: Final = 1.0
"""How often the summaries of live runs are read."""
LABEL_WIDTH: Final = 24
"""Cells of a run's or a metric's name."""
TABS: Final = ("Charts", "Metrics", "Config")
CHARTS, METRICS, CONFIG = range(len(TABS))


class CompareScreen(Screen[None]):
    HELP = """
    Several runs: their curves over each other, their last and best values against those of one of them, the baseline,
    and what differs in their configs.
    """
    DEFAULT_CSS = """
    CompareScreen #tab > Vertical { height: 1fr; display: none; }
    CompareScreen .note { height: 1; padding: 0 1; color: $text-muted; }
    """

    AUTO_FOCUS = ""  # before there are charts, Textual would give the keys to a table of a tab that is not shown
    BINDINGS: ClassVar[list[BindingType]] = [
        key("1", "tab(0)", "Charts", "the curves of the runs over each other", show=False),
        key("2", "tab(1)", "Metrics", "last and best values, each against the baseline", show=False),
        key("3", "tab(2)", "Config", "the config keys that differ", show=False),
        key("tab", "next_tab(1)", "Next tab", "the next of these", show=False, priority=True),
        key("shift+tab", "next_tab(-1)", "Previous tab", "the one before", show=False, priority=True),
        key("enter", "baseline", "Baseline", "compare with the run under the cursor"),
        key("e", "export", "Export", "write this table to a CSV or Parquet file"),
        key("y", "copy", "Copy cell", "copy what the cell shows", show=False),
        key("escape,backspace", "back", "Runs", "back to the list of runs", show=False),
    ]
    way_out: Final = "Runs"
    """Where Escape leads."""

    def __init__(self, slots: Mapping[Path, int], groups: Sequence[str | None] = ()) -> None:
        """Compare.

        Args:
            slots: the runs, each with its slot in the palette; the first is the baseline until another is chosen.
            groups: the group of each in the list of runs; empty where it has no groups.
        """
        super().__init__()
        self._slots = dict(slots)
        self._groups = groups
        self._infos: list[RunInfo] = []
        self._labels: dict[Path, str] = {}
        self._baseline = next(iter(slots))
        self._current = CHARTS
        self._columns: list[MetricColumn] = []
        self._wake = threading.Event()
        self._runs: dict[Path, Run] = {}
        self._latest: dict[Path, RunInfo] = {}

    def compose(self) -> ComposeResult:
        yield TextLine(id="title")
        yield TabBar(TABS)
        with Container(id="tab"):
            with Vertical():
                yield ChartGrid(*self._slots, slots=tuple(self._slots.values()), groups=self._groups)
            with Vertical():
                yield RowGrid(id="metrics")
                yield Static(id="metrics-note", classes="note")
            with Vertical():
                yield ConfigTable()
        yield KeyLine()

    def on_mount(self) -> None:
        self._show_title()
        self.action_tab(CHARTS)
        self.run_worker(self._follow, thread=True, group="infos", exit_on_error=False)

    def on_unmount(self) -> None:
        self._wake.set()

    def _follow(self) -> None:
        """Read what the runs are, again and again while one of them is live or cannot be read."""
        background.repeat(self._read, self._wake, lambda why: None)

    def _read(self) -> float | None:
        infos = dict(self._latest)
        failed = False
        for path in self._slots:
            try:
                run = self._runs[path] = self._runs.get(path) or open_run(path)
                infos[path] = run.current_info()
            except (NeurocktError, OSError):  # the charts show why
                failed = True
        if infos != self._latest:
            self._latest = infos
            self.call_later(self._show_infos, [infos[path] for path in self._slots if path in infos])
        return INFO_SECONDS if failed or any(info.state == "running" for info in infos.values()) else None

    def _show_infos(self, infos: list[RunInfo]) -> None:
        self._infos = infos
        labels = shorten([clean(info.label) for info in infos], LABEL_WIDTH)
        self._labels = dict(zip([info.path for info in infos], labels, strict=True))
        self._show_title()
        self._fill_metrics()
        self.query_one(ConfigTable).show(infos, [self._name_cell(info) for info in infos])

    def _show_title(self) -> None:
        dark = self.app.current_theme.dark
        pieces = [styled("neurockt", "bold $primary"), Content(f"  {len(self._slots)} runs")]
        for path, slot in self._slots.items():
            name = f"{palette.letter(slot)} {self._labels.get(path) or clean(path.name, LABEL_WIDTH)}"
            pieces.append(Content.styled(f"  {name}", palette.colour(slot, dark=dark)))
        self.query_one("#title", TextLine).show(Content("").join(pieces))

    # Metrics

    def _fill_metrics(self) -> None:
        paths = [info.path for info in self._infos]
        baseline = paths.index(self._baseline) if self._baseline in paths else 0
        self._columns = compare_metrics(self._infos, baseline) if paths else []
        rows = [
            [self._name_cell(info), *(_value_cell(column.values[at]) for column in self._columns)]
            for at, info in enumerate(self._infos)
        ]
        names = shorten([clean(column.metric) for column in self._columns], LABEL_WIDTH)
        titles = ["run", *(f"{name} {column.which}" for name, column in zip(names, self._columns, strict=True))]
        _show(self.query_one("#metrics", RowGrid), CellRows(titles, rows, right=range(1, len(titles))))
        base = self._title_of(self._infos[baseline]) if paths else ""
        note = f"✓ better, ✗ worse by the metric's name; differences are to {base}"
        self.query_one("#metrics-note", Static).update(Content(note))

    def _title_of(self, info: RunInfo) -> str:
        return f"{palette.letter(self._slots[info.path])} {self._labels[info.path]}"

    def _name_cell(self, info: RunInfo) -> Cell:
        return Cell(self._title_of(info), colour=self._slots[info.path])

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What a key does depends on the tab; the charts have their own ones."""
        needed = {
            "baseline": (METRICS,),
            "export": (METRICS,),
            "copy": (METRICS,),
        }
        return self._current in needed.get(action, range(len(TABS)))

    def action_tab(self, index: int) -> None:
        self._current = index
        self.query_one(TabBar).pick(index)
        for at, tab in enumerate(self.query_one("#tab").children):
            tab.display = at == index
        shown = self.query_one("#tab").children[index]
        self.set_focus(next((widget for widget in shown.query("Chart, RowGrid") if widget.focusable), None))
        self.refresh_bindings()

    def action_next_tab(self, direction: int) -> None:
        self.action_tab((self._current + direction) % len(TABS))

    @on(TabBar.Picked)
    def _pick(self, message: TabBar.Picked) -> None:
        self.action_tab(message.index)

    def action_baseline(self) -> None:
        row = self.query_one("#metrics", RowGrid).cursor_row
        if row < len(self._infos):
            self._baseline = self._infos[row].path
            self._fill_metrics()

    @on(RowGrid.Opened, "#metrics")
    def _opened(self) -> None:
        self.action_baseline()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self.query_one("#metrics", RowGrid).cell_text)

    async def action_export(self) -> None:
        """Write the values and the differences to a file, in full."""
        from neurockt_viewer.exporting import as_arrow, export

        names, rows = ["run", "id"], list[list[object]]()
        for column in self._columns:
            names += [f"{column.metric} {column.which}", f"{column.metric} {column.which} difference"]
        for at, info in enumerate(self._infos):
            compared = [column.values[at] for column in self._columns]
            rows.append([info.label, info.id, *(v for each in compared for v in (each.value, each.difference))])
        await export(self, f"the metrics of {len(self._infos):,} runs", "metrics", lambda: as_arrow(names, rows))

    def action_back(self) -> None:
        self.dismiss(None)


def _show(grid: RowGrid, source: CellRows) -> None:
    """Show a table whose first column does not scroll away."""
    grid.frozen = 1
    grid.show(source)


def _value_cell(compared: Compared) -> Cell:
    if compared.better is None:
        return Cell(str(compared))
    return Cell(f"{compared} {'✓' if compared.better else '✗'}", "good" if compared.better else "bad")
