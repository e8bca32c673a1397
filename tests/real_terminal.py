"""A program in a pseudo-terminal of its own, with a terminal emulator that shows what a person would see."""

from __future__ import annotations

import copy
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pyte

PATIENCE: Final = 60.0
"""Seconds after which what should have appeared has not."""
NEUROCKT: Final = (sys.executable, "-m", "neurockt")
KEYS: Final = {
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "end": "\x1b[F",
    "pagedown": "\x1b[6~",
    "ctrl+c": "\x03",
    "ctrl+p": "\x10",
    "ctrl+z": "\x1a",
}

_MODE: Final = re.compile(rb"\x1b\[\?([\d;]+)([hl])")
_KEYBOARD: Final = re.compile(rb"\x1b\[([<>])[\d;]*u")
_OSC: Final = re.compile(rb"\x1b\](.*?)(?:\x07|\x1b\\)", re.DOTALL)
_NOT_FOR_PYTE: Final = re.compile(
    rb"\x1b\[[<>=?][\d;]*[a-gi-ku-z]|\x1b\[\?[\d;]*\$p|\x1bP.*?\x1b\\|\x1b\](.*?)(?:\x07|\x1b\\)", re.DOTALL
)
_CURSOR, _WRAP, _ALTERNATE = 25, 7, 1049
_FRAMES: Final = b"\x1b[?2026$p", b"\x1b[?2026;2$y"
"""The question whether a frame can be shown as a whole, and the answer that it can."""
_FRAME_BEGINS: Final = b"\x1b[?2026h"
_FRAME_ENDS: Final = b"\x1b[?2026l"


class _Screen(pyte.Screen):
    """pyte's screen, and the alternate one that full-screen programs draw on."""

    _main: tuple[Any, Any] | None = None

    def set_mode(self, *modes: int, **options: Any) -> None:
        super().set_mode(*modes, **options)
        if options.get("private") and _ALTERNATE in modes and self._main is None:
            self._main = copy.deepcopy(self.buffer), copy.copy(self.cursor)
            self.erase_in_display(2)

    def reset_mode(self, *modes: int, **options: Any) -> None:
        super().reset_mode(*modes, **options)
        if options.get("private") and _ALTERNATE in modes and self._main is not None:
            (self.buffer, self.cursor), self._main = self._main, None


class RealTerminal:
    """Runs a program and keeps every byte that it writes."""

    def __init__(
        self,
        *words: object,
        width: int = 160,
        height: int = 48,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; it has the terminal as its stdin, stdout, stderr and controlling terminal."""
        self.written = b""
        """What the program has written so far."""
        self._screen = _Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._master, slave = os.openpty()
        self._set_size(width, height)
        self.before = termios.tcgetattr(slave)
        adopt = 'exec 3<>"$0"; exec "$@" 3<&-'  # a session's leader gets the first terminal that it opens
        self.process = subprocess.Popen(
            ["sh", "-c", adopt, os.ttyname(slave), *map(str, words)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8", **(env or {})},
            start_new_session=True,
        )
        self._slave = slave
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> RealTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        os.close(self._slave)
        os.close(self._master)

    def _set_size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def _listen(self) -> None:
        """Show what is written, a frame of the program's once all of it is there: nobody sees a row half drawn."""
        question, answer = _FRAMES
        hidden = b""
        while self.process.poll() is None or select.select([self._master], [], [], 0)[0]:
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            data = os.read(self._master, 65536)
            if question in data:
                os.write(self._master, answer)
            with self._lock:
                self.written += data
                hidden += data
                begin = hidden.rfind(_FRAME_BEGINS)
                end = begin if begin > hidden.rfind(_FRAME_ENDS) else len(hidden)
                self._stream.feed(_NOT_FOR_PYTE.sub(b"", hidden[:end]))
                hidden = hidden[end:]
        with self._lock:
            self._stream.feed(_NOT_FOR_PYTE.sub(b"", hidden))

    # What a person does

    def press(self, *keys: str) -> None:
        """Press keys; what is not the name of a key is typed."""
        for key in keys:
            os.write(self._master, KEYS.get(key, key).encode())
            if key == "escape":
                self._wait_until_read()
                time.sleep(0.15)  # else it is the begin of another key

    def _wait_until_read(self) -> None:
        """Return once the program has read what was pressed, or has ended."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if not any(fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4))):
                return
            time.sleep(0.01)

    def resize(self, width: int, height: int) -> None:
        """Make the window larger or smaller."""
        with self._lock:
            self._screen.resize(height, width)
        self._set_size(width, height)

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Read nothing that the program writes, as over a connection that stalls."""
        with self._lock:
            yield

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self.process.send_signal(number)

    # What a person sees

    @property
    def lines(self) -> list[str]:
        """The screen."""
        with self._lock:
            return list(self._screen.display)

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    def wait_for(self, wanted: str | Callable[[str], object], patience: float = PATIENCE) -> str:
        """Return the screen once it holds a text, or fits a condition.

        Raises:
            TimeoutError: it did not in time; the message shows the screen.
        """
        holds = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + patience
        while not holds(text := self.text):
            if time.monotonic() > deadline or (self.process.poll() is not None and not self._listener.is_alive()):
                raise TimeoutError(f"waited for {wanted!r}; there is\n{text}")
            time.sleep(0.01)
        return text

    def wait(self, patience: float = PATIENCE) -> int:
        """The exit status, once the program has ended and all that it wrote is there."""
        status = self.process.wait(patience)
        self._listener.join()
        return status

    # How it left the terminal

    @property
    def modes_left_on(self) -> set[int]:
        """Private modes, such as the alternate screen (1049) or the mouse (1000), that were not taken back."""
        on: dict[int, bool] = {}
        for found in _MODE.finditer(self.written):
            on |= dict.fromkeys(map(int, found[1].split(b";")), found[2] == b"h")
        hidden = {-_CURSOR} if on.pop(_CURSOR, True) is False else set()
        return hidden | {mode for mode, is_on in on.items() if is_on and mode != _WRAP}

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was: no mode left on, echo and line editing back, keyboard as before."""
        depth = sum(1 if found[1] == b">" else -1 for found in _KEYBOARD.finditer(self.written))
        return not self.modes_left_on and depth <= 0 and termios.tcgetattr(self._slave) == self.before

    @property
    def commands(self) -> list[bytes]:
        """The operating system commands (title, clipboard and the like) that the program gave to the terminal."""
        return [found[1] for found in _OSC.finditer(self.written)]
