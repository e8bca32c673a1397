"""The viewer as an application: what every screen shares."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import Screen
from textual.theme import Theme

from neurockt.errors import NeurocktWarning
from neurockt.formatting import clean
from neurockt.store.base.layout import RUN_FILE
from neurockt_viewer import terminal
from neurockt_viewer.screens.help import TOOLKIT_ACTIONS
from neurockt_viewer.settings import Settings, load_settings
from neurockt_viewer.text import Scrub

NO_COMMANDS: Final = (*TOOLKIT_ACTIONS, "command_palette")
"""Actions that the command palette does without."""
GARBAGE_THRESHOLD: Final = 20_000
"""Objects that may come before garbage is looked for. A redraw makes ten thousand; at Python's own threshold of 700 a
look through everything, 100 ms, falls into every few of them."""
FREEZE_SECONDS: Final = (0.5, 2.0, 10.0)
"""When, after the start, what has been loaded by then is left out of such looks from then on: it stays anyway."""
CLIPBOARD_LIMIT: Final = 100_000
"""Characters that go to the clipboard; terminals drop more."""

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


class ViewerApp(App[None]):
    """Browses the runs of a directory, or one run."""

    TITLE = "neurockt"
    CSS_PATH = "viewer.tcss"
    ENABLE_COMMAND_PALETTE = True
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (8, "-high")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c,ctrl+q", "leave", "Quit", show=False, priority=True, system=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
        Binding("T", "theme", "Light or dark", show=False),
    ]

    def __init__(self, path: Path, settings: Settings | None = None) -> None:
        """The viewer of a directory of runs, or of one run."""
        super().__init__()
        self.path = path
        self.settings = settings if settings is not None else load_settings()
        self.fault: BaseException | None = None
        """What the viewer failed of."""
        self.animation_level = "none"

    def on_mount(self) -> None:
        """Show the runs, or the run."""
        warnings.simplefilter("ignore", NeurocktWarning)  # the screens tell what cannot be read
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = LIGHT.name if self.settings.theme == "light" else DARK.name
        if not self.is_headless:
            terminal.on_signals(lambda code: self.exit(return_code=code))
            gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)
            for seconds in FREEZE_SECONDS:
                self.set_timer(seconds, gc.freeze)
        if (self.path / RUN_FILE).exists():
            from neurockt_viewer.screens.run import RunScreen

            self.push_screen(RunScreen(self.path))
        else:
            from neurockt_viewer.screens.runs import RunsScreen

            self.push_screen(RunsScreen(self.path, self.settings))

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own, and after them the one that nothing harmful passes."""
        return [*super().get_line_filters(), Scrub(ascii_only=not terminal.takes_unicode())]

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through the terminal (OSC 52), cleaned."""
        super().copy_to_clipboard(clean(text, CLIPBOARD_LIMIT))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Everything a key does here, for the command palette."""
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
        """Note on a key, before Textual hands it on, who has the keys at that moment."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            event.set_sender(self.focused or self.screen)
        await super().on_event(event)

    async def on_key(self, event: events.Key) -> None:
        """What was typed before a line or a prompt had the keys, but after the key that opens it, is for that one.

        A key comes here once whoever it was handed to had no use for it. By then a key before it may have given the
        keys to another.
        """
        if event._sender is not (self.focused or self.screen):
            event.prevent_default()
            await self.on_event(events.Key(event.key, event.character))

    def action_help(self) -> None:
        """Show the keys."""
        from neurockt_viewer.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(self.screen, getattr(self.screen, "HELP_NOTE", "")))

    def action_theme(self) -> None:
        """Light instead of dark, or dark instead of light."""
        dark = self.theme == DARK.name
        self.theme = LIGHT.name if dark else DARK.name
        self.settings.theme = "light" if dark else "dark"
        self.settings.save()

    def action_leave(self) -> None:
        """Quit."""
        self.exit(return_code=0)

    def _fatal_error(self) -> None:
        """Leave without Textual's own traceback, which shows the values of variables: configs hold secrets."""
        self.fault = self._exception
        self._close_messages_no_wait()


def run_viewer(path: Path) -> int:
    """Run the viewer; gives the exit code."""
    app = ViewerApp(path)
    app.run()
    if app.fault is not None:
        terminal.tell_fault(app.fault)
        return 1
    return app.return_code or 0
