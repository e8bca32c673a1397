"""The keys that work right now, on the last line of a screen; the help is shown at any width."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, NamedTuple

from rich.segment import Segment
from textual import events
from textual.app import App
from textual.screen import Screen

from neurockt.formatting import display_width
from neurockt_viewer.widgets.lines import MARGIN, Lines

WIDE_GAP: Final = 2
"""Cells between two keys where there is room for all."""


class _Key(NamedTuple):
    key: str
    sign: str
    title: str

    @property
    def width(self) -> int:
        return display_width(self.sign) + 1 + len(self.title)


class KeyLine(Lines):
    """The keys of the focused widget, then of the screen; to the right those of every screen.

    Before these is the way out of the screen, which its ``way_out`` names: a user needs it, however narrow the line is.
    """

    DEFAULT_CSS = """
    KeyLine {
        dock: bottom; height: 1; background: $surface;
        & > .key-line--key { color: $text-accent; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key"}

    def __init__(self) -> None:
        super().__init__()
        self._left: list[_Key] = []
        self._right: list[_Key] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        left: dict[str, _Key] = {}
        right: dict[str, _Key] = {}
        if title := getattr(screen, "way_out", ""):
            right["way_out"] = _Key("escape", "esc", title)
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and binding.description and active.enabled:
                keys = right if isinstance(active.node, App) else left
                sign = self.app.get_key_display(binding)
                keys.setdefault(binding.action, _Key(binding.key, sign, binding.description))
        before = self._left, self._right
        self._left, self._right = list(left.values()), list(right.values())
        if before != (self._left, self._right):
            self.refresh()

    def _placed(self) -> list[tuple[int, _Key]]:
        """The keys that fit, the first ones first, and where they begin."""
        width, left, right = self.size.width - 2 * MARGIN, self._left, self._right
        gap = WIDE_GAP if _width([*left, *right], WIDE_GAP) <= width else 1
        while right and _width(right, gap) > width:
            right = right[:-1]
        taken = _width(right, gap) + gap
        placed, x = [], 0
        for key in left:
            if x + key.width + taken <= width:
                placed.append((x, key))
                x += key.width + gap
        x = width - taken + gap
        for key in right:
            placed.append((x, key))
            x += key.width + gap
        return placed

    def segments(self, y: int) -> Iterable[Segment]:
        plain, accent = self.ground.style, self.get_component_rich_style("key-line--key")
        end = -MARGIN
        for x, key in self._placed():
            yield Segment(" " * (x - end), plain)
            yield Segment(key.sign, accent)
            yield Segment(f" {key.title}", plain)
            end = x + key.width

    async def on_click(self, event: events.Click) -> None:
        x = event.x - MARGIN
        for start, key in self._placed():
            if start <= x < start + key.width:
                self.app.simulate_key(key.key)


def _width(keys: Sequence[_Key], gap: int) -> int:
    return sum(key.width + gap for key in keys) - gap
