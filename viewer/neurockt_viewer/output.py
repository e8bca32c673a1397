"""What is written to the terminal: as few bytes as it takes, and all of them at once.

Textual sets all of a style before each piece of text and resets it behind, which is two thirds of what it writes. Here
a piece changes only what differs from the piece before it, and what is on the screen already is not written again:
over SSH a redraw is as fast as it is short.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple

from rich.console import Console
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.drivers.linux_driver import LinuxDriver
from textual.strip import Strip

WAIT_SECONDS: Final = 0.005
"""How long writing waits for a terminal that is reading: less than it takes to have the thread write."""
_RESET: Final = "\x1b[0m"
_SET: Final = re.compile(r"(?:\x1b\[0m)?\x1b\[([1-9][\d;]*)m")
"""A style that is set, after the reset of the one before, if there is one."""
_CODES: Final = re.compile(
    r"((?:38;2;\d+;\d+|38;5);\d+|3\d|9\d)"  # the color of the text
    r"|((?:48;2;\d+;\d+|48;5);\d+|4\d|10\d)"  # of what is behind it
    r"|(\d+)"  # an attribute
)
_OFF: Final = {"1": "22", "2": "22", "3": "23", "4": "24", "7": "27", "9": "29"}
"""What turns bold, dim, italic, underlined, reversed and struck through off."""


class Driver(LinuxDriver):
    """Textual's own, but what the terminal takes at once is written at once.

    Textual leaves all writing to a thread, since a terminal may be slow. To wake it takes longer than to write.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        stream: Any = self._file
        self._encoding = stream.encoding, stream.errors
        self._rest = _Rest(stream)
        self._file: Any = self._rest
        self._handed_on = 0
        """How many texts the thread has been given."""
        self._terminal: int | None = None
        with suppress(OSError):  # opened once more, since a descriptor that does not wait is shared with the shell
            self._terminal = os.open(os.ttyname(stream.fileno()), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def write(self, data: str) -> None:
        rest = data.encode(*self._encoding)
        if self._terminal is not None and self._rest.written == self._handed_on:
            until = time.monotonic() + WAIT_SECONDS
            with suppress(OSError):  # it takes nothing now
                rest = rest[os.write(self._terminal, rest) :]
                while rest and _takes_more(self._terminal, until - time.monotonic()):
                    rest = rest[os.write(self._terminal, rest) :]
        if rest:
            self._handed_on += 1
            super().write(rest.decode("utf-8", "surrogateescape"))

    def close(self) -> None:
        super().close()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None


def _takes_more(terminal: int, seconds: float) -> bool:
    """Whether a terminal takes something within that time."""
    return seconds > 0 and bool(select.select([], [terminal], [], seconds)[1])


class _Rest:
    """The stream that Textual's thread writes to: without a buffer, from which a long text goes out in parts."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.written = 0
        """How many texts."""

    def write(self, text: str) -> None:
        data = text.encode("utf-8", "surrogateescape")
        while data:
            try:
                data = data[os.write(self._stream.fileno(), data) :]
            except BlockingIOError:  # another program has made the terminal so
                select.select([], [self._stream], [])
        self.written += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Shown:
    """What is on the screen: parts of lines as they were written."""

    def __init__(self) -> None:
        self._lines: defaultdict[int, dict[int, tuple[int, str]]] = defaultdict(dict)
        """By line and the cell that a part begins in: the cell behind it, and its text."""

    def clear(self) -> None:
        self._lines.clear()

    def put(self, x: int, y: int, width: int, text: str) -> bool:
        """Whether this was not there already."""
        line, end = self._lines[y], x + width
        if line.get(x) == (end, text):
            return False
        for begin in [begin for begin, (its_end, _) in line.items() if begin < end and its_end > x]:
            del line[begin]
        line[x] = end, text
        return True


class Redraw(CompositorUpdate):
    """An update of the screen."""

    def __init__(self, update: ChopsUpdate | LayoutUpdate, shown: Shown) -> None:
        self._update = update
        self._shown = shown

    def render_segments(self, console: Console) -> str:
        written: list[str] = []
        style = ""
        for x, y, strip in self._strips():
            rendered = strip.render(console)
            if not self._shown.put(x, y, strip.cell_length, rendered):
                continue
            piece = _shorten(rendered)
            written.append(f"\x1b[{y + 1};{x + 1}H")
            if piece.begins_with != style:
                written.append(_change(style, piece.begins_with))
            written.append(piece.text)
            style = piece.ends_with
        if style:
            written.append(_RESET)
        return "".join(written)

    def _strips(self) -> Iterator[tuple[int, int, Strip]]:
        """Each part of a line, and where it begins."""
        update = self._update
        if isinstance(update, LayoutUpdate):
            self._shown.clear()  # others may have written to the terminal
            for y, line in enumerate(update.strips, update.region.y):
                x = update.region.x
                for strip in line:
                    yield x, y, strip
                    x += strip.cell_length
            return
        for y, begin, end in update.spans:
            for strip_end, (x, part) in zip(update.chop_ends[y], update.chops[y].items(), strict=True):
                if part is not None and x < end and strip_end > begin:
                    yield x, y, part if strip_end <= end else part.crop(0, end - x)


class _Piece(NamedTuple):
    text: str
    """Without the style that it begins with."""
    begins_with: str
    """A style as the numbers of its sequence; empty for none."""
    ends_with: str


@lru_cache(1 << 12)
def _shorten(rendered: str) -> _Piece:
    """Part of a line as Textual writes it, in fewer bytes."""
    first = _SET.match(rendered)
    style = begins_with = first[1] if first else ""

    def change(found: re.Match[str]) -> str:
        nonlocal style
        text = _change(style, found[1]) if found[0].startswith(_RESET) else found[0]
        style = found[1]
        return text

    text = _SET.sub(change, rendered[first.end() if first else 0 :])
    return _Piece(text.removesuffix(_RESET), begins_with, style if text.endswith(_RESET) else "")


@lru_cache(1 << 12)
def _change(before: str, after: str) -> str:
    """The sequence that makes one style of another."""
    if not before or not after:
        return f"\x1b[{after or 0}m"
    (*old_colors, old), (*colors, new) = _parse(before), _parse(after)
    off = {_OFF.get(code, "0") for code in old - new}
    on = new - old
    if "22" in off:
        on |= new & {"1", "2"}  # one sequence ends both
    if "0" in off or any(had and not color for had, color in zip(old_colors, colors, strict=True)):
        return f"\x1b[0;{after}m"
    changed = [color for had, color in zip(old_colors, colors, strict=True) if color != had]
    codes = [*sorted(off), *sorted(on), *changed]
    return f"\x1b[{';'.join(codes)}m" if codes else ""


def _parse(style: str) -> tuple[str, str, set[str]]:
    """The two colors, and the attributes."""
    texts, backgrounds, attributes = zip(*_CODES.findall(style), strict=True)
    return "".join(texts), "".join(backgrounds), {*filter(None, attributes)}
