"""Manners towards the terminal: it is left as it was found, whatever ends the program.

Exit codes: 0 when left by the user, 1 after a fault of the viewer, 128 and the signal's number after a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)
LONGEST_END: Final = 3.0
"""Seconds that the viewer may take to end once its terminal is gone."""


def on_signals(leave: Callable[[int], None]) -> None:
    """Have the running loop call ``leave`` with an exit code when a signal asks the program to end.

    Where the terminal is gone, what has not ended after ``LONGEST_END`` ends at once: Textual's thread that writes to
    the terminal may have died, and then its loop waits for ever for room in the queue to it.
    """
    loop = asyncio.get_running_loop()

    def ask(number: int, frame: object) -> None:
        if number == signal.SIGHUP:
            threading.Thread(target=_end_at_last, args=(128 + number,), daemon=True).start()
        loop.call_soon_threadsafe(leave, 128 + number)

    for number in ENDING_SIGNALS:
        with suppress(ValueError):  # only the main thread may
            signal.signal(number, ask)


def _end_at_last(code: int) -> None:
    time.sleep(LONGEST_END)
    os._exit(code)


def takes_unicode() -> bool:
    """Whether the stream that Textual draws on has a place for more than ASCII."""
    encoding = getattr(sys.__stderr__, "encoding", None) or "utf-8"
    return encoding.lower().startswith("utf")


def log_path() -> Path:
    """Where a fault of the viewer is written down: below ``$XDG_STATE_HOME``, else ``~/.local/state``."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "neurockt" / "viewer.log"


def log_fault(error: BaseException) -> Path | None:
    """Log where an error was raised, without the values of variables; the file, or None if it cannot be written."""
    try:
        path = log_path()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{''.join(traceback.format_exception(error))}\n")
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return path


def report_fault(error: BaseException) -> None:
    from neurockt.formatting import clean

    path = log_fault(error)
    where = f"; see {path}" if path else ""
    print(f"neurockt: the viewer failed: {clean(repr(error))}{clean(where)}", file=sys.stderr)
