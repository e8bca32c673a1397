"""One run: its charts, the rows of its two tables, and everything else that is known of it."""

from __future__ import annotations

import threading
import time
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from neurockt import open_run
from neurockt.formatting import clean, format_ago, format_duration
from neurockt.progress import is_short_of_time, progress_facts
from neurockt.run_info import RunInfo, State
from neurockt.store import Origin, Run, TableName, layout
from neurockt_viewer import background
from neurockt_viewer.columns import state_text
from neurockt_viewer.keys import key
from neurockt_viewer.text import MUTED, TONES, full_path, styled
from neurockt_viewer.widgets.key_line import KeyLine
from neurockt_viewer.widgets.lines import TextLine
from neurockt_viewer.widgets.tab_bar import TabBar

LIVE_SECONDS: Final = 1.0
STILL_SECONDS: Final = 5.0
"""How often the state of a live run, and of one that has ended, is read."""
STATE_SHARE: Final = 0.005
"""The share of a core that reading the state of a live run may take."""

TYPED_SECONDS: Final = 0.015
"""How long a key that was typed while the viewer started is waited for: it may ask for another tab than the first."""
TABS: Final = ("Charts", "Steps", "Epochs", "Info")
LATE: Final = len(TABS)
"""The tab of the late rows, which is there where there are some."""
TABLES: Final[dict[int, TableName]] = {1: "steps", 2: "epochs", LATE: "late"}


class Known(NamedTuple):
    """What has been read of a run, beside its rows."""

    info: RunInfo
    origin: Origin | None
    """Not read before it is shown."""
    ranks: dict[int, State]
    """The state of each rank, where each keeps its own rows."""
    attached: dict[str, State]
    """The state of each that is attached to the run."""


class RunScreen(Screen[None]):
    HELP = """
    One run: its charts, the rows of its training steps and of its validations, and all that is known of it. The first
    line shows its state and, while it runs, how far it is.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("1", "tab(0)", "Charts", "a chart for each metric", show=False),
        key("2", "tab(1)", "Steps", "the rows of training steps", show=False),
        key("3", "tab(2)", "Epochs", "the rows of validations", show=False),
        key("4", "tab(3)", "Info", "all that is known: state, config, metrics, origin", show=False),
        key("5", "tab(4)", "Late rows", "values logged for steps that had gone by", show=False),
        key("tab", "next_tab(1)", "Next tab", "the next of these", show=False, priority=True),
        key("shift+tab", "next_tab(-1)", "Previous tab", "the one before", show=False, priority=True),
        key("R", "choose_rank", "Ranks", "see one rank, or the mean of all"),
        key("A", "choose_attached", "Attached", "see what another process recorded beside the run"),
        key("y", "copy", "Copy path", "copy the path of the run", show=False),
        key("escape,backspace", "back", "Runs", "back to the list of runs", show=False),
    ]

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._shown = path
        """The run, the rank of it, or what is attached to it."""
        self._run: Run | None = None
        self._info: RunInfo | None = None
        self._origin: Origin | None = None
        self._ranks: dict[int, State] = {}
        self._attached: dict[str, State] = {}
        self._latest: Known | None = None
        self._wake = threading.Event()
        self._current = 0
        self._tabs: dict[int, Widget] = {}
        self._exact = False
        """Whether the summaries of the columns are shown, so that the latest rows have to be counted in."""

    def compose(self) -> ComposeResult:
        yield TextLine(id="title")
        yield TabBar(TABS)
        yield Static(id="problem")
        yield Container(id="tab")
        yield KeyLine()

    def on_mount(self) -> None:
        self._show_title()
        self.run_worker(self._follow, thread=True, group="info", exit_on_error=False)
        background.after_refresh(self, lambda: self.set_timer(TYPED_SECONDS, self._load_charts))
        self.set_interval(LIVE_SECONDS, self._count_seconds)

    def _count_seconds(self) -> None:
        if self._info is not None and self._info.state == "running":
            self._show_title()

    def _load_charts(self) -> None:
        """Load what the first tab needs, in a thread: a key for another tab has its effect meanwhile."""

        def load() -> None:
            import_module("neurockt_viewer.widgets.chart_grid")
            self.call_later(self._show_first_tab)

        if not self._tabs:
            self.run_worker(load, thread=True, group="charts", exit_on_error=False)

    async def _show_first_tab(self) -> None:
        if not self._tabs:
            await self.action_tab(0)

    def on_unmount(self) -> None:
        self._wake.set()

    # The state of the run

    def _follow(self) -> None:
        background.repeat(self._read, self._wake, lambda why: self.call_later(self._show_error, why))

    def _read(self) -> float:
        shown, began = self._shown, time.thread_time()
        if self._run is None or self._run.path != shown:
            self._run = open_run(shown)
        info = self._run.info
        if self._exact or info.state in ("running", "killed"):  # whose last rows nobody has counted
            info = self._run.current_info()
        origin = self._run.origin() if self._exact else self._origin
        ranks = open_run(self._path).rank_states() if info.ranks is not None else {}
        whole = info if shown == self._path else open_run(self._path).info
        attached = {name: each.state for name, each in whole.attached.items()}
        read = Known(info, origin, ranks, attached)
        if read != self._latest:
            self._latest = read
            self.call_later(self._show_state, read)
        if "running" not in (info.state, *ranks.values(), *attached.values()):
            return STILL_SECONDS
        return background.rest_after(time.thread_time() - began, LIVE_SECONDS, STATE_SHARE)

    def _show_state(self, read: Known) -> None:
        from neurockt_viewer.widgets.info import InfoView
        from neurockt_viewer.widgets.table_view import TableView

        if read.info.path != self._shown:
            return  # of the rank that was shown before
        info = read.info
        self._info, self._origin, self._ranks, self._attached = read
        if self._ranks or self._attached:
            self.refresh_bindings()
        for tab in self._tabs.values():
            if isinstance(tab, TableView):
                tab.set_live(info.state == "running")
            elif isinstance(tab, InfoView):
                self._show_info(tab)
        bar = self.query_one(TabBar)
        if info.late.rows and bar.count == LATE:
            bar.add("Late")
        for index, name in TABLES.items():
            if index not in self._tabs and index < bar.count:
                bar.note(index, f"{getattr(info, name).rows:,}")
        self._show_title()

    def _show_error(self, why: str) -> None:
        line = self.query_one("#problem", Static)
        line.update(Content(why))
        line.display = bool(why)

    def _show_title(self) -> None:
        info = self._info
        pieces = [styled("neurockt", "bold $primary"), Content("  ")]
        if info is None:
            pieces.append(styled(self._path.name or self._path, "bold"))
        else:
            about = [format_duration(info.seconds), f"started {format_ago(info.created)}", *info.tags]
            about = [*self._about_parts(info), *about]
            pieces += [styled(info.label, "bold"), Content("  "), state_text(info), Content("  ")]
            if facts := progress_facts(info):
                pieces += [styled(" · ".join(facts), TONES["warn"] if is_short_of_time(info) else ""), Content("  ")]
            pieces.append(styled(" · ".join(about), MUTED))
        self.query_one("#title", TextLine).show(Content("").join(pieces))

    def _about_parts(self, info: RunInfo) -> list[str]:
        """Which part of the run is shown, and the keys to the others, which the key line may have no room for."""
        if info.path != self._path and info.rank is None:
            return [f"attached to {clean(self._path.name)} (A)"]
        attached = [f"{len(self._attached)} attached (A)"] if self._attached else []
        if info.ranks is None:
            return attached
        if info.rank is not None:
            return [f"rank {info.rank} of {info.ranks} (R)", *attached]
        others = [f"rank {rank} {state}" for rank, state in self._ranks.items() if state != info.state]
        shown = [*others[:3], *([f"{len(others) - 3} more"] if len(others) > 3 else [])]
        return [f"mean of {len(self._ranks)} ranks (R)", *shown, *attached]

    async def action_choose_rank(self) -> None:
        from neurockt_viewer.widgets.prompts import Choose

        titles = {
            "mean": "mean of the ranks",
            **{str(rank): f"rank {rank}  {state}" for rank, state in self._ranks.items()},
        }
        chosen = "mean" if self._info is None or self._info.rank is None else str(self._info.rank)
        await self.app.push_screen(Choose("show", list(titles), [chosen], titles=titles), self._show_rank)

    async def _show_rank(self, answer: list[str] | None) -> None:
        if answer:
            await self._show_part(self._path if answer[0] == "mean" else layout.rank_path(self._path, int(answer[0])))

    async def action_choose_attached(self) -> None:
        from neurockt_viewer.widgets.prompts import Choose

        titles = {"": "the run", **{name: f"{clean(name)}  {state}" for name, state in self._attached.items()}}
        chosen = "" if self._shown == self._path else self._shown.name
        await self.app.push_screen(Choose("show", list(titles), [chosen], titles=titles), self._show_attached)

    async def _show_attached(self, answer: list[str] | None) -> None:
        if answer:
            await self._show_part(layout.attached_path(self._path, answer[0]) if answer[0] else self._path)

    async def _show_part(self, shown: Path) -> None:
        if shown == self._shown:
            return
        self._shown, tabs, self._tabs = shown, list(self._tabs.values()), {}
        self._wake.set()
        for tab in tabs:
            await tab.remove()
        await self.action_tab(self._current)

    # Tabs

    async def action_tab(self, index: int) -> None:
        """Show a tab; it is made when it is first looked at."""
        container, bar = self.query_one("#tab"), self.query_one(TabBar)
        if not container.is_attached or index >= bar.count:
            return  # the viewer is on its way out, or there are no late rows
        self._current = index
        bar.pick(index)
        if index not in self._tabs:
            self._tabs[index] = self._make(index)
            await container.mount(self._tabs[index])
        for other, tab in self._tabs.items():
            tab.display = other == index
        self._give_keys(self._tabs[index])
        self._exact = index == 3
        if self._exact:
            self._wake.set()

    def _make(self, index: int) -> Widget:
        live = self._info is None or self._info.state == "running"
        if index == 0:
            from neurockt_viewer.widgets.chart_grid import ChartGrid

            return ChartGrid(self._shown)
        if index == 3:
            from neurockt_viewer.widgets.info import InfoView

            return InfoView()
        from neurockt_viewer.widgets.table_view import TableView

        return TableView(self._shown, TABLES[index], live=live)

    def _give_keys(self, tab: Widget) -> None:
        from neurockt_viewer.widgets.info import InfoView
        from neurockt_viewer.widgets.table_view import TableView

        if isinstance(tab, TableView):
            tab.grid.focus()
        elif isinstance(tab, InfoView):
            self._show_info(tab)
            tab.focus()
        else:
            self.set_focus(next((widget for widget in tab.query("*") if widget.focusable), None))

    def _show_info(self, tab: Widget) -> None:
        from neurockt_viewer.widgets.chart_grid import ChartGrid
        from neurockt_viewer.widgets.info import InfoView

        if self._info is not None and isinstance(tab, InfoView):
            damaged = dict.fromkeys(self._run.damaged if self._run else ())
            for grid in self.query(ChartGrid):  # which has read more of the run
                damaged |= dict.fromkeys(grid.damaged)
            tab.show(self._info, tuple(f"{damage}" for damage in damaged), self._origin)

    async def action_next_tab(self, direction: int) -> None:
        await self.action_tab((self._current + direction) % self.query_one(TabBar).count)

    @on(TabBar.Picked)
    async def _pick(self, message: TabBar.Picked) -> None:
        await self.action_tab(message.index)

    def on_table_view_counted(self, message: Message) -> None:
        from neurockt_viewer.widgets.table_view import TableView

        assert isinstance(message, TableView.Counted)
        index = next(index for index, table in TABLES.items() if table == message.table)
        self.query_one(TabBar).note(index, f"{message.rows:,}")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Back needs a list of runs; ranks need ranks that keep their own rows, and what is attached to be there."""
        if action in ("choose_rank", "choose_attached"):
            return bool(self._ranks if action == "choose_rank" else self._attached)
        if action == "tab":
            return not self.is_mounted or parameters[0] in range(self.query_one(TabBar).count)
        return bool(self.way_out) if action == "back" else True

    @property
    def way_out(self) -> str:
        """Where Escape leads."""
        return "Runs" if len(self.app.screen_stack) > 1 else ""

    def action_back(self) -> None:
        self.app.pop_screen()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(full_path(self._shown))
