"""The line between two panels, which the mouse moves."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget


class Divider(Widget):
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

        @property
        def control(self) -> Divider:
            return self.divider

    @dataclass
    class Dropped(Message):
        """The mouse has let it go."""

        divider: Divider

    @property
    def lying(self) -> bool:
        """Whether it is between an upper and a lower panel."""
        return self.has_class("-lying")

    def render_lines(self, crop: Region) -> list[Strip]:
        """All lines of it are the same."""
        segments = [Segment("─" * crop.width if self.lying else "│", self.rich_style)]
        for line_filter in self.get_line_filters():
            segments = line_filter.apply(segments, self.background_colors[1])
        return [Strip(segments, crop.width)] * crop.height

    def on_mouse_down(self, event: events.MouseDown) -> None:
        event.stop()
        self.capture_mouse()
        self.add_class("-held")

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if not event.button:
            self.on_mouse_up()  # it was let go before the mouse was captured
        elif self.has_class("-held") and self.parent is not None:
            whole = self.parent.region  # type: ignore[attr-defined]
            at, size = event.screen_x - whole.x, whole.width
            if self.lying:
                at, size = event.screen_y - whole.y, whole.height
            self.post_message(self.Dragged(self, (at + 0.5) / max(1, size)))

    def on_mouse_up(self) -> None:
        if self.has_class("-held"):
            self.release_mouse()
            self.remove_class("-held")
            self.post_message(self.Dropped(self))
