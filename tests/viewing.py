"""Driving the viewer in this process: wait for what should come, and read what is on the screen."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from textual import events
from textual._context import active_app
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


def _is_busy(app: App[Any]) -> bool:
    """Whether a message waits, or another thread of this process runs or waits for a processor."""
    nodes = [app, *(node for screen in app.screen_stack for node in screen.walk_children(with_self=True))]
    if any(node.message_queue_size for node in nodes):
        return True
    main = str(threading.main_thread().native_id)
    for thread in Path("/proc/self/task").glob("*/stat"):
        with suppress(OSError):  # it has just ended
            if thread.parent.name != main and thread.read_text().rpartition(")")[2].split()[0] in "RD":
                return True
    return False


async def idle(_: float = 0) -> None:
    """Return once nothing is left to do. Textual's own pause takes a process that gets no processor for idle."""
    limit = time.process_time() + 1.0  # of a live run there is always more
    is_idle = False
    while not is_idle and time.process_time() < limit:
        spent = time.process_time()
        await asyncio.sleep(0.01)
        is_idle = time.process_time() - spent < 0.001 and not _is_busy(active_app.get())


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Type characters, Enter (``\\r``) and Escape (``\\x1b``) among them, as fast as a terminal can, and wait once."""
    for character in text:
        key = {"\r": "enter", "\x1b": "escape"}.get(character) or _character_to_key(character)
        pilot.app.post_message(events.Key(key, character))
    await until(lambda: not pilot.app._typed)  # type: ignore[attr-defined]
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
