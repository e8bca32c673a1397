"""The line between two panels, which the mouse moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.message import Message

from neurockt_viewer.widgets.lines import Lines


class Divider(Lines):
    DEFAULT_CSS = """
    Divider { color: $foreground 20%; width: 1; height: 1fr; }
    Divider.-lying { width: 1fr; height: 1; }
    Divider:hover, Divider.-held { color: $primary; }
    """

    @dataclass
    class Dragged(Message):
        """The mouse holds it, and is elsewhere."""

        divider: Divider
        share: float
        """How much of what the divider divides is before the mouse, from 0 to 1."""

    class Dropped(Message):
        """The mouse has let it go."""

    @property
    def lying(self) -> bool:
        """Whether it is between an upper and a lower panel."""
        return self.has_class("-lying")

    def segments(self, y: int) -> Iterable[Segment]:
        return [Segment("─" * self.size.width if self.lying else "│", self.ground.style)]

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self.capture_mouse()
        self.add_class("-held")

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not event.button:
            self.on_mouse_up()  # it was let go before the mouse was captured
        elif self.has_class("-held") and self.parent is not None:
            whole = self.parent.region  # type: ignore[attr-defined]  # a parent that is on the screen has one
            at, size = event.screen_x - whole.x, whole.width
            if self.lying:
                at, size = event.screen_y - whole.y, whole.height
            self.post_message(self.Dragged(self, (at + 0.5) / max(1, size)))

    def on_mouse_up(self) -> None:
        if self.has_class("-held"):
            self.release_mouse()
            self.remove_class("-held")
            self.post_message(self.Dropped())
