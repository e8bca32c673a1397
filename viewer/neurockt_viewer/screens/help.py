"""The help screen: the keys that work right now, read from the bindings themselves."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

KEY_WIDTH: Final = 18
TOOLKIT_ACTIONS: Final = ("app.focus_next", "app.focus_previous", "screen.copy_text", "page_left", "page_right")
"""Actions that Textual binds on every screen and that are not useful here."""
OUR_WORDS: Final = {"palette": "All commands"}
"""Our names for actions that Textual names differently."""
MOVING_ACTIONS: Final = ("move", "page", "first", "last", "scroll", "cursor", "delete", "home", "end", "focus_by")
"""Prefixes of actions that only move, or edit a line."""


class HelpScreen(ModalScreen[None]):
    """Every key, and what it does where the cursor was."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen > VerticalScroll {
        width: 76; max-width: 96%; height: auto; max-height: 92%; scrollbar-size: 1 1;
        background: $surface; border: round $primary; padding: 0 2;
    }
    HelpScreen Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,enter", "dismiss(None)", "Close", priority=True),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, asked: Screen[object], note: str = "") -> None:
        super().__init__()
        self._lines = list(key_lines(asked))
        self._note = note

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = Content("keys")
            box.border_subtitle = Content("esc closes")
            yield Static(Content("\n").join(self._lines))
            if self._note:
                yield Static(Content(f"\n{self._note}"))

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def key_lines(screen: Screen[object]) -> list[Content]:
    """A line for each thing that keys do: those of this screen, those of every screen, then moving."""
    sections: dict[str, dict[tuple[str, str], list[str]]] = {"here": {}, "everywhere": {}, "moving": {}}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description or not active.enabled or binding.action in TOOLKIT_ACTIONS:
            continue
        section = "everywhere" if isinstance(active.node, App) else "moving" if _moves(binding.action) else "here"
        description = OUR_WORDS.get(binding.description, binding.description)
        keys = sections[section].setdefault((binding.action, description), [])
        shown = screen.app.get_key_display(binding)
        if shown not in keys:
            keys.append(shown)
    lines: list[Content] = []
    for title, actions in sections.items():
        if actions:
            lines += [Content("")] * bool(lines) + [Content.styled(title, "$text-muted")]
        for (_, description), keys in actions.items():
            lines.append(
                Content.assemble(
                    Content.styled(" ".join(keys).ljust(KEY_WIDTH), "$text-accent bold"), " ", Content(description)
                )
            )
    return lines


def _moves(action: str) -> bool:
    return action.startswith(MOVING_ACTIONS)
