"""Several runs side by side: their curves over each other, what their metrics came to, and how their configs differ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane
from textual.worker import get_current_worker

from neurockt import open_run
from neurockt.errors import NeurocktError, NeurocktWarning
from neurockt.formatting import clean
from neurockt.records import RunInfo
from neurockt_viewer.charts import palette
from neurockt_viewer.comparison import Compared, compare_configs, compare_metrics
from neurockt_viewer.widgets.chart_grid import ChartGrid

INFO_SECONDS: Final = 3.0
"""How often runs that are live are asked what their metrics came to."""
LABEL_WIDTH: Final = 32
TABS: Final = ("charts", "metrics", "config")


class CompareScreen(Screen[None]):
    """Two runs or more."""

    DEFAULT_CSS = """
    CompareScreen TabPane { padding: 0; }
    CompareScreen TabbedContent { height: 1fr; }
    CompareScreen DataTable { height: 1fr; }
    CompareScreen .note { height: 1; padding: 0 1; color: $text-muted; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "tab('charts')", "Charts", id="compare.charts"),
        Binding("2", "tab('metrics')", "Metrics", id="compare.metrics"),
        Binding("3", "tab('config')", "Config", id="compare.config"),
        Binding("a", "everything", "All keys", id="compare.all"),
        Binding("escape,backspace", "leave", "Back", id="compare.back"),
    ]

    @dataclass
    class Known(Message):
        """What the runs are by now."""

        infos: list[RunInfo]

    def __init__(self, paths: Sequence[Path]) -> None:
        """The runs at these paths, in this order; the first is the baseline until another is chosen."""
        super().__init__()
        self._paths = list(paths)
        self._infos: list[RunInfo] = []
        self._baseline = 0
        self._everything = False

    def compose(self) -> ComposeResult:
        """A tab each for the curves, the metrics and the config."""
        with TabbedContent(*(name.capitalize() for name in TABS)):
            with TabPane("Charts", id="charts"):
                yield ChartGrid(*self._paths)
            with TabPane("Metrics", id="metrics"):
                yield DataTable(id="metric-table", cursor_type="row", zebra_stripes=True)
                yield Static("", id="metric-note", classes="note")
            with TabPane("Config", id="config"):
                yield DataTable(id="config-table", cursor_type="row", zebra_stripes=True)
                yield Static("", id="config-note", classes="note")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self._look()

    @work(thread=True, exclusive=True, group="infos", exit_on_error=False)
    def _look(self) -> None:
        """Ask the runs what they came to, again and again while one of them is live."""
        worker = get_current_worker()
        runs = []
        for path in self._paths:
            try:
                runs.append(open_run(path))
            except NeurocktError:
                continue  # the charts say why
        known: list[RunInfo] = []
        while not worker.is_cancelled:
            infos = []
            for run in runs:
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", NeurocktWarning)
                        infos.append(run.current_info())
                except NeurocktError:
                    infos += [info for info in known if info.path == run.path]
            if infos != known:
                known = infos
                self.post_message(self.Known(infos))
            if not any(info.state == "running" for info in infos) or worker.cancelled_event.wait(INFO_SECONDS):
                return

    @on(Known)
    def _fill(self, message: Known) -> None:
        self._infos = message.infos
        self._fill_metrics()
        self._fill_config()

    def _fill_metrics(self) -> None:
        """A row a run; a column for the last and the best value of each metric."""
        table = self.query_one("#metric-table", DataTable)
        row = table.cursor_row
        table.clear(columns=True)
        columns = compare_metrics(self._infos, self._baseline)
        table.add_column(Text("run"))
        for column in columns:
            table.add_column(Text(f"{clean(column.metric, LABEL_WIDTH)} {column.which}", justify="right"))
        for index, _ in enumerate(self._infos):
            cells = [self._value(column.values[index]) for column in columns]
            table.add_row(self._title(index, marked=index == self._baseline), *cells)
        table.move_cursor(row=row)
        base = clean(self._infos[self._baseline].label) if self._infos else ""
        self._note("metric-note", f"differences are to {base}; Enter makes another run the baseline")

    def _fill_config(self) -> None:
        """A row a key; a column a run."""
        table = self.query_one("#config-table", DataTable)
        table.clear(columns=True)
        rows = compare_configs(self._infos, everything=self._everything)
        table.add_column(Text("key"))
        for index, _ in enumerate(self._infos):
            table.add_column(self._title(index))
        for key, values in rows:
            table.add_row(Text(clean(key)), *(Text(clean(value, LABEL_WIDTH)) for value in values))
        count = len(compare_configs(self._infos, everything=True))
        said = f"all {count} keys" if self._everything else f"{len(rows)} of {count} keys differ; a shows all"
        self._note("config-note", said)

    def _note(self, which: str, said: str) -> None:
        self.query_one(f"#{which}", Static).update(Content(said))

    def _title(self, index: int, *, marked: bool = False) -> Text:
        """A run's name in the colour of its curve."""
        dark = self.app.current_theme.dark
        place = self._paths.index(self._infos[index].path)
        name = f"{'* ' if marked else ''}{palette.letter(place)} {clean(self._infos[index].label, LABEL_WIDTH)}"
        return Text(name, style=f"bold {palette.colour(place, dark=dark)}", no_wrap=True)

    def _value(self, compared: Compared) -> Text:
        """The value, and the difference: green where it is better, which a sign tells too."""
        dark = self.app.current_theme.dark
        shown = Text(str(compared), justify="right", no_wrap=True)
        if compared.better is not None:
            colour = palette.colour(2 if compared.better else 5, dark=dark)
            shown.append(" ▴" if compared.better else " ▾", style=colour)
        return shown

    # Keys

    @property
    def _tabs(self) -> TabbedContent:
        return self.query_one(TabbedContent)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only the config has keys to show all of."""
        return action != "everything" or not self.is_mounted or self._tabs.active == "config"

    def action_tab(self, name: str) -> None:
        """Go to a tab."""
        self._tabs.active = name

    @on(TabbedContent.TabActivated)
    def _entered(self, event: TabbedContent.TabActivated) -> None:
        """Give the keys to what the tab shows."""
        inside = event.pane.query("Chart, DataTable")
        seen = [widget for widget in inside if widget.display]
        if seen:
            seen[0].focus()
        self.refresh_bindings()

    @on(DataTable.RowSelected, "#metric-table")
    def _choose(self, event: DataTable.RowSelected) -> None:
        """Measure the others by this run."""
        self._baseline = event.cursor_row
        self._fill_metrics()

    def action_everything(self) -> None:
        """All config keys, or only those that differ."""
        self._everything = not self._everything
        self._fill_config()

    def action_leave(self) -> None:
        """Back to where this was opened."""
        self.dismiss(None)
