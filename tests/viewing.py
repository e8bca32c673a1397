"""Driving the viewer in this process: wait for what should come, and read what is on the screen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from textual import events
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen

from neurockt_viewer.widgets.row_grid import RowGrid

PATIENCE = 60.0
"""Seconds after which what should have come has not, on a machine that does much else."""


async def until(holds: Callable[[], object]) -> None:
    """Return once it holds. The viewer has half of the time at least: drawing a screen for a look takes long."""

    async def look() -> None:
        begun = time.monotonic()
        while not holds():
            await asyncio.sleep(max(0.01, time.monotonic() - begun))
            begun = time.monotonic()

    await asyncio.wait_for(look(), PATIENCE)


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Type characters, Enter (``\\r``) and Escape (``\\x1b``) among them, as fast as a terminal can, and wait once."""
    for character in text:
        key = {"\r": "enter", "\x1b": "escape"}.get(character) or _character_to_key(character)
        pilot.app.post_message(events.Key(key, character))
    await pilot.pause()


def lines(app: App[Any]) -> list[str]:
    """What the terminal shows: the screen as it was last drawn, below what lies over it."""
    width, height = app.size
    rows = app.screen._compositor.render_strips()
    return [row.text.ljust(width) for row in rows[:height]]


def text(app: App[Any]) -> str:
    """The same as one text."""
    return "\n".join(lines(app))


def rows(screen: Screen[Any], selector: str) -> list[list[str]]:
    """All the cells of a grid, as text."""
    grid = screen.query_one(selector, RowGrid)
    columns = range(len(grid.source.columns))
    return [[cell.text for cell in grid.source.cells(at, columns) or ()] for at in range(len(grid.source))]


def titles(screen: Screen[Any], selector: str) -> list[str]:
    """The titles of a grid's columns."""
    return [column.title for column in screen.query_one(selector, RowGrid).source.columns]
