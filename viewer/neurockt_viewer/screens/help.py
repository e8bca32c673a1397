"""The help screen: the keys that work right now, read from the bindings themselves."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen

from neurockt_viewer.widgets.prompts import Show

KEY_WIDTH: Final = 18
TOOLKIT_ACTIONS: Final = ("app.focus_next", "app.focus_previous", "screen.copy_text", "page_left", "page_right")
"""Actions that Textual binds on every screen and that are not useful here."""
OUR_WORDS: Final = {"palette": "All commands"}
"""Our names for actions that Textual names differently."""
MOVING_ACTIONS: Final = ("move", "page", "first", "last", "scroll", "cursor", "delete", "home", "end", "focus_by")
"""Prefixes of actions that only move, or edit a line."""


class HelpScreen(Show):
    """Every key, and what it does where the cursor was."""

    DEFAULT_CSS = """
    HelpScreen > Vertical { width: 76; max-width: 96%; max-height: 100%; padding: 0 2; }
    HelpScreen VerticalScroll { max-height: 84vh; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss(None)", "Close", priority=True)]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__("keys", Content("\n").join(key_lines(asked)))


def key_lines(screen: Screen[object]) -> list[Content]:
    """A line for each thing that keys do: those of this screen, those of every screen, then moving."""
    sections: dict[str, dict[tuple[str, str], list[str]]] = {"here": {}, "everywhere": {}, "moving": {}}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description or not active.enabled or binding.action in TOOLKIT_ACTIONS:
            continue
        section = "everywhere" if isinstance(active.node, App) else "moving" if _moves(binding.action) else "here"
        description = binding.tooltip or OUR_WORDS.get(binding.description, binding.description)
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
