"""A progress bar for a loop, on a terminal only; erased when the loop ends, so what is printed next stays clean."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

from neurockt.formatting import format_duration

T = TypeVar("T")

REDRAW_SECONDS: Final = 0.1
"""How often the bar is drawn at most."""
BAR_WIDTH: Final = 24
_ERASE: Final = "\r\x1b[2K"


def progress(items: Iterable[T], total: int | None = None, stream: TextIO | None = None) -> Iterator[T]:
    """``items``, with a bar that shows how many have been done.

    Args:
        items: what to iterate over.
        total: how many there are; default their ``len()``, where they have one.
        stream: where the bar goes; default stderr. Nothing is drawn where that is no terminal.
    """
    stream = stream or sys.stderr
    if not stream.isatty():
        yield from items
        return
    if total is None:
        try:
            total = len(items)  # type: ignore[arg-type]  # not every iterable has one
        except TypeError:
            pass
    started = drawn = time.monotonic()
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - drawn >= REDRAW_SECONDS:
                drawn = now
                stream.write(_ERASE + line(done, total, now - started))
                stream.flush()
            yield item
    finally:
        stream.write(_ERASE)
        stream.flush()


def line(done: int, total: int | None, seconds: float) -> str:
    """The bar as text, such as ``  37/120 [=======>        ] 52/s, 1.6s left``."""
    rate = done / seconds if seconds > 0 else 0.0
    if not total:
        return f"{done:,}  {rate:,.0f}/s"
    filled = min(BAR_WIDTH, BAR_WIDTH * done // total)
    bar = ("=" * filled + ">" * (filled < BAR_WIDTH)).ljust(BAR_WIDTH)
    left = f", {format_duration((total - done) / rate)} left" if rate else ""
    return f"{done:>{len(str(total))}}/{total} [{bar}] {rate:,.0f}/s{left}"
