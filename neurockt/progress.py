"""Progress bars, on a terminal only; erased when the work ends, so what is printed next stays clean."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

from neurockt.formatting import clean, clip, format_duration, pad

T = TypeVar("T")

REDRAW_SECONDS: Final = 0.1
"""How often the bar is drawn at most."""
BAR_WIDTH: Final = 24
LABEL_WIDTH: Final = 28
SHOWN_BARS: Final = 8
"""How many things under way have a bar of their own."""
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


class Bars:
    """A bar for the whole and one for each thing under way, redrawn in place; erased when it is closed.

    May be told of progress from several threads. Draws nothing where the stream is no terminal.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Nothing is drawn yet; default stderr."""
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._lock = threading.Lock()
        self._under_way: dict[object, tuple[str, int, int, float]] = {}
        self._done = self._total = 0
        self._note = ""
        self._lines = 0
        self._drawn = 0.0
        self._started = time.monotonic()

    def begin(self, total: int) -> None:
        """So many things are to be done."""
        with self._lock:
            self._done, self._total, self._started = 0, total, time.monotonic()
            self._draw(at_once=True)

    def update(self, key: object, label: str, done: int, total: int) -> None:
        """The thing ``key``, called so, is so far."""
        with self._lock:
            _, _, _, since = self._under_way.get(key, ("", 0, 0, time.monotonic()))
            self._under_way[key] = (label, done, total, since)
            self._draw()

    def finish(self, key: object) -> None:
        """The thing is done."""
        with self._lock:
            self._under_way.pop(key, None)
            self._done += 1
            self._note = ""
            self._draw(at_once=self._done == self._total)

    def note(self, text: str) -> None:
        """Say below the bars why nothing moves."""
        with self._lock:
            self._note = text
            self._draw(at_once=True)

    def close(self) -> None:
        """Erase it all."""
        with self._lock:
            self._erase()
            self._shown = False

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not self._shown or (not at_once and now - self._drawn < REDRAW_SECONDS):
            return
        self._drawn = now
        width = shutil.get_terminal_size().columns - 1
        lines = [line(self._done, self._total, now - self._started)]
        for label, done, total, since in list(self._under_way.values())[:SHOWN_BARS]:
            lines.append(f"  {pad(clip(clean(label), LABEL_WIDTH), LABEL_WIDTH)} {line(done, total, now - since)}")
        if self._note:
            lines.append(f"  {clean(self._note)}")
        self._erase()
        self._stream.write("\n".join(clip(text, width) for text in lines) + "\n")
        self._stream.flush()
        self._lines = len(lines)

    def _erase(self) -> None:
        if self._shown and self._lines:
            self._stream.write(f"\x1b[{self._lines}A\r\x1b[J")
            self._stream.flush()
            self._lines = 0
