"""Driving the viewer in this process: wait for what should come, and read what is on the screen."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from textual import events
from textual._context import active_app
from textual.app import App
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.worker import Worker

from neurockt_viewer import background
from neurockt_viewer.widgets.row_grid import RowGrid

PATIENCE = 60.0
"""Seconds after which what should have come has not, on a machine that does much else."""


async def until(holds: Callable[[], object]) -> None:
    """Return once it holds and the viewer is idle: more may have been on its way with what was waited for.

    The viewer has half of the time at least: drawing a screen for a look takes long.
    """

    async def look() -> None:
        begun = time.monotonic()
        while not holds():
            await asyncio.sleep(max(0.01, time.monotonic() - begun))
            begun = time.monotonic()

    await asyncio.wait_for(look(), PATIENCE)
    if active_app.get(None):
        await idle()


_held_up: set[str] = set()


@contextmanager
def held_up(*groups: str) -> Iterator[None]:
    """Do not wait for the workers of these groups: the test keeps them from going on."""
    _held_up.update(groups)
    try:
        yield
    finally:
        _held_up.clear()


def _resting() -> set[Worker[Any]]:
    """The workers whose threads wait until there is more to do, or until it is time to look again."""
    found = set()
    for frame in sys._current_frames().values():
        at: FrameType | None = frame
        while at and at.f_globals is vars(threading):
            at = at.f_back
        if at and at is not frame and at.f_globals is vars(background) and not at.f_locals["wake"].is_set():
            while at and at.f_code.co_name != "run_callable":
                at = at.f_back
            if at:
                found.add(at.f_locals["self"])
    return found


def _is_settled(app: App[Any]) -> bool:
    """Whether nothing happens any more before a timer, another process or a test makes it happen."""
    if app.is_running and not app._exit:
        screen = app.screen
        if screen._callbacks or screen._dirty_widgets or screen._layout_required or screen._repaint_required:
            return False
        if getattr(app, "_resize_timer", None):  # Textual 8.2.0 has none
            return False
        if len(getattr(app, "_typed", ())) > 1:  # keys that wait for the first one
            return False
        if not {each for each in app.workers if each.is_running and each.group not in _held_up} <= _resting():
            return False
    return not _ready()  # last: a thread leaves something to do before it rests


def _ready() -> object:
    """What the event loop is to do before it waits for anything."""
    return asyncio.get_running_loop()._ready  # type: ignore[attr-defined]


async def idle(_: float = 0) -> None:
    """Return once all that has been set going is done, by threads too, and is on the screen.

    Textual's own pause takes a process that gets no processor for idle.
    """
    app = active_app.get()
    limit = time.monotonic() + PATIENCE
    while not _is_settled(app):
        assert time.monotonic() < limit, f"these do not rest: {[each for each in app.workers if each.is_running]}"
        await asyncio.sleep(0 if _ready() else 0.002)


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
