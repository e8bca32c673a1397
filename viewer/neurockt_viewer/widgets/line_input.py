"""A line to type in: Enter goes on with what was typed, Escape without."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class LineInput(Input):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave(True)", "Done"),
        Binding("down", "leave(True)", "Done", show=False),
        Binding("escape", "leave(False)", "Clear"),
    ]

    class Left(Message):
        """The line is left; with its text, or emptied."""

    def action_leave(self, kept: bool) -> None:
        if not kept:
            self.value = ""
        self.post_message(self.Left())
