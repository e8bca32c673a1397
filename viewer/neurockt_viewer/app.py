"""The viewer as an application: what every screen shares."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import events, on
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual._context import active_message_pump
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen
from textual.theme import Theme
from textual.widget import AwaitMount

from neurockt.errors import NeurocktWarning
from neurockt.formatting import clean
from neurockt.store import RUN_FILE
from neurockt_viewer import terminal
from neurockt_viewer.output import Driver, Redraw, Shown
from neurockt_viewer.screens.help import TOOLKIT_ACTIONS
from neurockt_viewer.settings import Settings, load_settings
from neurockt_viewer.text import Scrub

NO_COMMANDS: Final = (*TOOLKIT_ACTIONS, "command_palette")
GARBAGE_THRESHOLD: Final = 20_000
"""New objects before the garbage collector runs. A redraw makes ten thousand; at Python's own threshold of 700 a full
collection, 100 ms, falls into every few redraws."""
FREEZE_SECONDS: Final = (0.5, 2.0, 10.0)
"""When, after the start, the objects loaded so far are excluded from garbage collection: they stay anyway. Before the
first of these nothing is collected: that takes longer the more is loaded."""
SWITCH_SECONDS: Final = 0.001
"""How soon a thread that has something to do gets its turn: Python's own 5 ms would be waited for by each key twice,
for the thread that reads runs and for the one that writes to the terminal."""
INTERRUPTING_KEYS: Final = ("ctrl+c", "ctrl+q", "ctrl+z")
"""Keys that wait for no other key."""
ROUNDS: Final = 2
"""How often the message queues are gone through after a key: its effects, and the effects of these."""
REDRAW_SECONDS: Final = 0.03
"""How soon it is checked what a key has done when no other waits: the screen is drawn first."""
SETTLING_SECONDS: Final = 2.0
"""How long a key waits at most for the one before it."""
PROBE_SECONDS: Final = 0.05
"""How often it is checked, while a key waits, that the widget that is to answer is still there."""
THREADS: Final = 64
"""More than all screens use together. Each view of a run reads in a thread of its own for as long as it is there, and
asyncio has no more threads by default than there are cores, and four."""
FLAT: Final = 8
"""A terminal with fewer lines than this is flat: nothing but tables and charts is shown."""
CLIPBOARD_LIMIT: Final = 100_000
"""Characters that go to the clipboard; terminals drop more."""
COPIED_SHOWN: Final = 100

DARK = Theme(
    "neurockt-dark",
    primary="#56B4E9",
    secondary="#5B8DEF",
    accent="#E69F00",
    warning="#E69F00",
    error="#F4743B",
    success="#2BC598",
    foreground="#D8DEE6",
    background="#10141A",
    surface="#1A2029",
    panel="#232B36",
    dark=True,
)
LIGHT = Theme(
    "neurockt-light",
    primary="#0072B2",
    secondary="#2B4FBF",
    accent="#A86800",
    warning="#A86800",
    error="#C04A00",
    success="#007F5C",
    foreground="#1B2430",
    background="#FBFBFA",
    surface="#EEF0F2",
    panel="#E2E6EA",
    dark=False,
)


class Probe(Message):
    """Arrives at the app when the messages before it have been handled on its way."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds


class ViewerApp(App[None]):
    """Browses the runs of a directory, or one run."""

    TITLE = "neurockt"
    CSS_PATH = "viewer.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?", tooltip="this help"),
        Binding("q", "leave", "Quit", tooltip="quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True, system=True, tooltip="quit"),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True, tooltip="to the shell; fg returns"),
        Binding("T", "theme", "Light or dark", show=False, tooltip="light or dark colours"),
    ]

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        super().__init__(driver_class=Driver)
        self.path = path
        self._one_run = os.path.exists(path / RUN_FILE)
        self.settings = settings or load_settings(path.parent if self._one_run else path)
        self._scrub = Scrub(ascii_only=not terminal.takes_unicode())
        """One for all lines: what a filter has made of a line is kept under the filter itself."""
        self._shown = Shown()
        self._typed: deque[events.Key] = deque()
        """Keys to be handed on; the first has been, and its effects are not all there yet."""
        self._handed_on = 0.0
        self._probe = Probe(0)
        self._probing: asyncio.TimerHandle | None = None
        """Sends the first probe after a key; None once it has been sent."""
        self._probed: DOMNode = self
        """Who the latest probe was sent to."""
        self.fault: BaseException | None = None
        """The error that ended the viewer."""
        self.animation_level = "none"
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        theme = LIGHT if self.settings.theme == "light" else DARK
        # as setting it would, which has Textual read all styles once more when the first screen has been drawn
        self.set_reactive(App.theme, theme.name)
        self.set_classes([f"-theme-{theme.name}", "-dark-mode" if theme.dark else "-light-mode"])
        self.stylesheet.set_variables(self.get_css_variables())

    def on_load(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
        warnings.simplefilter("ignore", NeurocktWarning)  # the screens show what cannot be read

    async def on_mount(self) -> None:
        if not self.is_headless:
            terminal.on_signals(lambda code: self.exit(return_code=code))
            gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
            sys.setswitchinterval(SWITCH_SECONDS)
            for seconds in FREEZE_SECONDS:
                self.set_timer(seconds, _collect_from_now_on)
        await AwaitMount(self.screen, [self.screen])  # keys that have been typed before are for the first screen

    def get_default_screen(self) -> Screen[None]:
        """The first one."""
        if self._one_run:
            from neurockt_viewer.screens.run import RunScreen

            return RunScreen(self.path)
        from neurockt_viewer.screens.runs import RunsScreen

        return RunsScreen(self.path, self.settings)

    def on_resize(self, event: events.Resize) -> None:
        self._shown.clear()
        self.set_class(event.size.height < FLAT, "-flat")
        if self.screen.is_mounted and event.size == self.size:  # resumed: others have written to the terminal
            self.refresh()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        if isinstance(renderable, (ChopsUpdate, LayoutUpdate)):
            renderable = Redraw(renderable, self._shown)
        super()._display(screen, renderable)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own, and last the one that removes what could harm a terminal."""
        return [*super().get_line_filters(), self._scrub]

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through the terminal (OSC 52), cleaned, and show what."""
        super().copy_to_clipboard(clean(text, CLIPBOARD_LIMIT))
        self.notify(f"copied {clean(text, COPIED_SHOWN)}", markup=False, timeout=2)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        seen = set(NO_COMMANDS)
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.description and active.enabled and binding.action not in seen:
                seen.add(binding.action)
                yield SystemCommand(
                    binding.description,
                    f"key {self.get_key_display(binding)}",
                    lambda action=binding.action, node=active.node: self._run(action, node),
                )

    async def _run(self, action: str, node: Any) -> None:
        await self.run_action(action, node)

    async def on_event(self, event: events.Event) -> None:
        """Hand a key on only when what the key before it does is done.

        A key may open or close a screen, a prompt or a line. What is typed behind it is for what has the keyboard then.
        """
        if not isinstance(event, events.Key) or event.is_forwarded or event.key in INTERRUPTING_KEYS:
            await super().on_event(event)
            return
        waiting = len(self._typed)
        if event.key.startswith("alt+") and event.is_printable and event.character:
            # Escape and a letter at once, which Textual takes for Alt
            self._typed += [events.Key("escape", "\x1b"), events.Key(event.character, event.character)]
        else:
            self._typed.append(event)
        if not waiting:
            await self._hand_on()
        elif waiting == 1:
            self._probe_now()
            await self._check_probe()

    async def _hand_on(self) -> None:
        self._handed_on = time.monotonic()
        await super().on_event(self._typed[0])
        self._probing = asyncio.get_running_loop().call_later(REDRAW_SECONDS, self._probe_now)
        if len(self._typed) > 1:
            self._probe_now()
            await self._check_probe()

    def _probe_now(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
            self._send_probe(ROUNDS)

    def _send_probe(self, rounds: int) -> None:
        """Send a message the way that a key's effects go: from what has the keyboard up to here."""
        if not self.is_running:
            return  # its screens are closed
        self._probe, self._probed = Probe(rounds), self.focused or self.screen
        self._probed.post_message(self._probe)

    @on(Probe)
    async def _receive_probe(self, probe: Probe) -> None:
        if probe is self._probe:
            if probe.rounds > 1:
                self._send_probe(probe.rounds - 1)
            else:
                await self._next_key()

    async def _check_probe(self) -> None:
        """Go on without an answer where the probed widget has been removed, or takes too long."""
        if len(self._typed) > 1:
            if not self._probed.is_attached or time.monotonic() - self._handed_on > SETTLING_SECONDS:
                await self._next_key()
            else:
                self.set_timer(PROBE_SECONDS, self._check_probe)

    async def _next_key(self) -> None:
        self._probe = Probe(0)  # the one before may still come, where it was given up
        self._typed.popleft()
        if self._typed and self.is_running:
            await self._hand_on()

    def action_help(self) -> None:
        from neurockt_viewer.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_theme(self) -> None:
        dark = self.theme == DARK.name
        self.theme = LIGHT.name if dark else DARK.name
        self.settings.theme = "light" if dark else "dark"
        self.settings.save()

    def action_leave(self) -> None:
        self.exit(return_code=0)

    def _handle_exception(self, error: Exception) -> None:
        """Leave out an error of a widget that is being removed: it may have no children any more, or not yet."""
        widget = active_message_pump.get(self)
        if not (widget.is_attached and not getattr(widget, "_pruning", False)):
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """Leave without Textual's own traceback, which shows the values of variables: configs hold secrets."""
        self.fault = self._exception
        self._close_messages_no_wait()


def _collect_from_now_on() -> None:
    """Leave what has been loaded so far out of every garbage collection."""
    gc.freeze()
    gc.enable()


def run_viewer(path: Path) -> int:
    for exported in ("COLUMNS", "LINES"):
        os.environ.pop(exported, None)  # Textual takes them for the size of the terminal, which they were at a time
    app = ViewerApp(path)
    app.run()
    if app.fault is not None:
        terminal.report_fault(app.fault)
        return 1
    return app.return_code or 0
