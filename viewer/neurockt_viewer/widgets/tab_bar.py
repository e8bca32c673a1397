"""The names of a screen's tabs on one line, with the keys that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message

from neurockt_viewer.widgets.lines import MARGIN, TextLine


class TabBar(TextLine):
    """Tabs to click; ``show`` sets the current one."""

    DEFAULT_CSS = """
    TabBar { background: $surface; }
    """

    @dataclass
    class Picked(Message):
        """A tab was clicked."""

        index: int

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = list(names)
        self._notes = [""] * len(names)
        self._current = 0

    @property
    def count(self) -> int:
        return len(self._names)

    def add(self, name: str) -> None:
        self._names.append(name)
        self._notes.append("")
        self.refresh()

    def pick(self, current: int) -> None:
        self._current = current
        self.refresh()

    def note(self, index: int, text: str) -> None:
        """Show a note beside a tab's name, such as the number of rows."""
        if self._notes[index] != text:
            self._notes[index] = text
            self.refresh()

    def _pieces(self) -> list[Content]:
        pieces = []
        for index, (name, note) in enumerate(zip(self._names, self._notes, strict=True)):
            chosen = index == self._current
            text = f" {index + 1} {name}{f' {note}' if note else ''} "
            pieces.append(Content.styled(text, "bold reverse $primary" if chosen else "$text-muted"))
        return pieces

    def render(self) -> Content:
        return Content(" ").join(self._pieces())

    def on_click(self, event: events.Click) -> None:
        x = event.x - MARGIN
        for index, piece in enumerate(self._pieces()):
            if 0 <= x < piece.cell_length:
                self.post_message(self.Picked(index))
                return
            x -= piece.cell_length + 1
