"""Threads whose work survives an error, which is reported on the screen and tried again; and work after a refresh."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from textual.widget import Widget
from textual.worker import get_current_worker

from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt_viewer.terminal import log_fault

RETRY_SECONDS: Final = 3.0
"""How soon to try again: a file server's fail-over takes minutes, and nobody waits much longer after it."""
CANCELLED_SECONDS: Final = 0.5
"""How often a thread that waits looks whether its worker has been cancelled: nobody may wake it after that."""
LATER_SECONDS: Final = 0.1
"""By then a key has had its effect on the screen."""
FOLLOWING_SHARE: Final = 0.03
"""The share of a core that following what is live may take: on a slow machine, or with many runs, it is looked at less
often."""
LONGEST_REST: Final = 2.0
"""But at least this often, in seconds."""
ERROR_LIMIT: Final = 300
"""Characters of an error on the screen."""


def error_text(error: Exception) -> str:
    """An error for the screen. One that is not about a run or its files is a fault of ours: it goes to the log too."""
    if isinstance(error, (NeurocktError, OSError, MemoryError)):
        return clean(str(error) or type(error).__name__, ERROR_LIMIT)
    path = log_fault(error)
    return clean(f"the viewer failed here: {error!r}" + (f"; see {path}" if path else ""), ERROR_LIMIT)


def repeat(step: Callable[[], float | None], wake: threading.Event, report: Callable[[str], object]) -> None:
    """Call ``step`` again and again, in a worker's thread, until the worker is cancelled.

    Args:
        step: gives the seconds until it is to be called again; None to wait for ``wake`` alone.
        wake: ends the waiting.
        report: gets what is wrong, and an empty text once all is well again.
    """
    worker = get_current_worker()
    failed = ""
    while not worker.is_cancelled:
        wake.clear()
        try:
            seconds, why = step(), ""
        except Exception as error:
            seconds, why = RETRY_SECONDS, error_text(error)
        if why != failed:
            report(why)
            failed = why
        until = math.inf if seconds is None else time.monotonic() + seconds
        while not worker.is_cancelled and not wake.wait(max(0.0, min(until - time.monotonic(), CANCELLED_SECONDS))):
            if time.monotonic() >= until:
                break


def rest_after(cost: float, least: float, share: float = FOLLOWING_SHARE) -> float:
    """Seconds until something live is looked at again, where a look, and drawing what it found, takes ``cost``."""
    return max(least, min(cost / share, LONGEST_REST))


def after_refresh(widget: Widget, callback: Callable[[], object]) -> None:
    """Call ``callback`` when the screen has been drawn again, unless the widget has been removed by then.

    Textual itself calls back in the queue of the screen that is seen then, which may be another one.
    """
    widget.call_after_refresh(widget.call_later, callback)


class Later:
    """Does something once, a moment after it is asked for, however often that is: what a key changes is drawn first."""

    def __init__(self, widget: Widget, act: Callable[[], object]) -> None:
        self._widget, self._act = widget, act
        self._due = False

    def __call__(self) -> None:
        self._due = True
        self._widget.set_timer(LATER_SECONDS, self.now)

    def now(self) -> None:
        """Do what has been asked for, as where the widget is removed."""
        if self._due:
            self._due = False
            self._act()
