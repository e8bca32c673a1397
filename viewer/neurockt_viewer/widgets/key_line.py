"""The keys that work right now, on the last line of a screen; the help is shown at any width."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from textual import events
from textual.app import App, RenderResult
from textual.content import Content
from textual.screen import Screen

from neurockt_viewer.widgets.lines import MARGIN, TextLine

WIDE_GAP: Final = 2
"""Cells between two keys where there is room for all."""


class _Key(NamedTuple):
    key: str
    shown: Content


class KeyLine(TextLine):
    """The keys of the focused widget, then of the screen; to the right those of every screen."""

    DEFAULT_CSS = """
    KeyLine { dock: bottom; background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._left: list[_Key] = []
        self._right: list[_Key] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._changed)

    def _changed(self, screen: Screen[object]) -> None:
        left: dict[str, _Key] = {}
        right: dict[str, _Key] = {}
        at_home = screen.focused in screen.focus_chain[:1]
        # the key that leaves this part of the screen comes last where one begins, and first elsewhere
        bindings = sorted(screen.active_bindings.values(), key=lambda active: active.binding.priority == at_home)
        for active in bindings:
            binding = active.binding
            if binding.show and binding.description and active.enabled:
                keys = right if isinstance(active.node, App) else left
                shown = _shown(self.app.get_key_display(binding), binding.description)
                keys.setdefault(binding.action, _Key(binding.key, shown))
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
            if x + key.shown.cell_length + taken <= width:
                placed.append((x, key))
                x += key.shown.cell_length + gap
        x = width - taken + gap
        for key in right:
            placed.append((x, key))
            x += key.shown.cell_length + gap
        return placed

    def render(self) -> RenderResult:
        pieces: list[Content | str] = []
        end = 0
        for x, key in self._placed():
            pieces += [" " * (x - end), key.shown]
            end = x + key.shown.cell_length
        return Content.assemble(*pieces)

    async def on_click(self, event: events.Click) -> None:
        x = event.x - MARGIN
        for start, key in self._placed():
            if start <= x < start + key.shown.cell_length:
                self.app.simulate_key(key.key)


@lru_cache(maxsize=128)
def _shown(key: str, title: str) -> Content:
    return Content.assemble((key, "bold $text-accent"), " ", title)


def _width(keys: Sequence[_Key], gap: int) -> int:
    return sum(key.shown.cell_length + gap for key in keys) - gap
