"""The help screen: what is seen, and the keys that work right now, read from the bindings themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from neurockt.formatting import display_width, pad
from neurockt_viewer.widgets.prompts import Show

KEY_WIDTH: Final = 13
COLUMN_WIDTH: Final = 58
"""Cells of a column of keys at least; where there is room for more, there are several."""
GAP: Final = 3
TEXT_WIDTH: Final = 110
"""Cells of a line of text at most; longer ones are hard to read."""
TOOLKIT_ACTIONS: Final = ("app.focus_next", "app.focus_previous", "screen.copy_text", "page_left", "page_right")
"""Actions that Textual binds on every screen and that are not useful here."""
OUR_WORDS: Final = {"palette": "choose a command by its name"}
"""Our names for actions that Textual names differently."""
MOVING_ACTIONS: Final = ("move", "page", "first", "last", "scroll", "cursor", "delete", "home", "end", "focus_by")
"""Prefixes of actions that only move, or edit a line."""


class HelpScreen(Show):
    """What the screen below shows, and every key with what it does where the cursor was."""

    DEFAULT_CSS = """
    HelpScreen > Vertical { width: 96%; max-width: 96%; max-height: 100%; padding: 0 2; }
    HelpScreen VerticalScroll { max-height: 92vh; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark", "dismiss(None)", "Close", priority=True)]

    def __init__(self, asked: Screen[object]) -> None:
        super().__init__("help", Content(""))
        self._about = about(asked)
        self._keys = keys_by_section(asked)

    def on_resize(self) -> None:
        width = self.query_one(VerticalScroll).size.width - 1  # there may be a scrollbar
        if width > 0:
            self.query_one(Static).update(Content("\n").join(help_lines(self._about, self._keys, width)))


def about(screen: Screen[object]) -> list[str]:
    """The ``HELP`` of the focused widget and of all that it is in, the innermost first."""
    focused = screen.focused
    nodes = focused.ancestors_with_self if focused is not None else [screen]
    texts = [text for node in nodes if (text := vars(type(node)).get("HELP"))]
    return [" ".join(text.split()) for text in texts]


def keys_by_section(screen: Screen[object]) -> dict[str, dict[str, list[str]]]:
    """What keys do, in words, and the keys: those of this screen, those of every screen, then moving."""
    sections: dict[str, dict[str, list[str]]] = {"here": {}, "everywhere": {}, "moving": {}}
    for active in screen.active_bindings.values():
        binding = active.binding
        if not binding.description or not active.enabled or binding.action in TOOLKIT_ACTIONS:
            continue
        section = "everywhere" if isinstance(active.node, App) else "moving" if _moves(binding.action) else "here"
        title = binding.description[0].lower() + binding.description[1:]
        words = OUR_WORDS.get(title) or binding.tooltip or title
        keys = sections[section].setdefault(words, [])
        shown = screen.app.get_key_display(binding)
        if shown not in keys:
            keys.append(shown)
    return {title: actions for title, actions in sections.items() if actions}


def help_lines(about: list[str], keys: dict[str, dict[str, list[str]]], width: int) -> Iterator[Content]:
    """The text, then the keys in as many columns as there is room for."""
    for text in about:
        for line in textwrap.wrap(text, min(width, TEXT_WIDTH)):
            yield Content(line)
        yield Content("")
    count = max(1, (width + GAP) // (COLUMN_WIDTH + GAP))
    column = (width + GAP) // count - GAP
    blocks = [block for title, actions in keys.items() for block in _blocks(title, actions, column)]
    columns = _balanced(blocks, count)
    for row in range(max(map(len, columns), default=0)):
        cells = [lines[row] if row < len(lines) else Content("") for lines in columns]
        yield Content(" " * GAP).join([cell.pad_right(column - cell.cell_length) for cell in cells[:-1]] + cells[-1:])


def _blocks(title: str, actions: dict[str, list[str]], width: int) -> Iterator[list[Content]]:
    """The lines of a section, those together that belong together: the title and its first key, and each key."""
    heading = [Content.styled(title, "$text-muted")]
    for words, keys in actions.items():
        shown, lines = " ".join(keys), textwrap.wrap(words, max(10, width - KEY_WIDTH - 1))
        begin = Content.styled(pad(shown, KEY_WIDTH), "$text-accent bold")
        if display_width(shown) > KEY_WIDTH:
            heading.append(begin)
            begin = Content(" " * KEY_WIDTH)
        rest = [Content(" " * (KEY_WIDTH + 1) + line) for line in lines[1:]]
        yield [*heading, Content.assemble(begin, " ", lines[0]), *rest]
        heading = []
    yield [Content("")]


def _balanced(blocks: list[list[Content]], count: int) -> list[list[Content]]:
    """The blocks in their order, as columns of about one height."""
    height = -(-sum(map(len, blocks)) // count)
    columns: list[list[Content]] = [[]]
    for block in blocks:
        if len(columns[-1]) + len(block) // 2 >= height and len(columns) < count:
            columns.append([])
        if columns[-1] or block != [Content("")]:  # no column begins with a gap
            columns[-1] += block
    return columns


def _moves(action: str) -> bool:
    return action.startswith(MOVING_ACTIONS)
