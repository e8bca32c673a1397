"""A program on a pseudo-terminal of 160x48, timed from outside: what a key costs until the last byte of its redraw."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COLUMNS, ROWS = 160, 48
PATIENCE = 120.0
"""Seconds after which what should have come has not."""
REDRAW_QUIET = 0.1
"""A redraw is over after this many seconds without output."""
KEY_PATIENCE = 0.5
"""Seconds after which a key has had no effect on the screen."""
DOTS = re.compile("[\u2801-\u28ff]")
"""What curves are drawn with."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[@-Z\\-_=>])")
_BEGUN = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]*)?$")


@dataclass(frozen=True)
class Response:
    """What a key took: milliseconds, and bytes."""

    changed: float
    """Until the screen began to change."""
    whole: float
    """Until all of it was redrawn."""
    written: int = 0
    """Bytes that the terminal got."""


class Terminal:
    """A program and what it draws."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start it."""
        environment = {**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        self.begun = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(command[0], command, environment)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun_sequence = ""
        """The begin of a sequence whose end has not been read yet."""
        self._written = 0
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def text(self, seconds: float) -> str:
        """What is written next, without what steers the terminal; nothing if nothing is written in time."""
        data = b""
        while select.select([self._fd], [], [], 0.0 if data else max(0.0, seconds))[0]:
            try:
                data += os.read(self._fd, 1 << 16)
            except OSError:  # the program has ended
                raise EOFError from None
        self._written += len(data)
        text = self._begun_sequence + self._decoder.decode(data)
        begun = _BEGUN.search(text)
        self._begun_sequence = begun[0] if begun else ""
        return _ESCAPES.sub("", text.removesuffix(self._begun_sequence))

    def until(self, wanted: str | re.Pattern[str]) -> float:
        """When a text was drawn, in seconds since the start.

        Raises:
            TimeoutError: it was not.
        """
        pattern = re.compile(re.escape(wanted)) if isinstance(wanted, str) else wanted
        seen = ""
        deadline = time.perf_counter() + PATIENCE
        while time.perf_counter() < deadline:
            seen = seen[-2000:] + self.text(deadline - time.perf_counter())
            if pattern.search(seen):
                return time.perf_counter() - self.begun
        raise TimeoutError(f"waited {PATIENCE:.0f} s for {pattern.pattern!r}")

    def until_quiet(self, seconds: float) -> float:
        """When the last text came before nothing came for so long, in seconds since the start."""
        last, before = time.perf_counter(), -1
        while self._written != before:
            before = self._written
            if self.text(seconds):
                last = time.perf_counter()
        return last - self.begun

    def until_idle(self, seconds: float, share: float = 0.2) -> float:
        """When the program and its children fell idle for so long: took less than a share of a core."""
        since, before = time.perf_counter(), self.cpu_seconds()
        while time.perf_counter() - since < seconds:
            self.text(0.1)
            now, cpu = time.perf_counter(), self.cpu_seconds()
            if cpu - before > share * max(now - since, 0.25):
                since, before = now, cpu
            if now - self.begun > 10 * PATIENCE:
                raise TimeoutError("it never falls idle")
        return since - self.begun

    def type(self, keys: str) -> float:
        """Type keys; gives when."""
        os.write(self._fd, keys.encode())
        return time.perf_counter() - self.begun

    def press(self, key: str) -> Response | None:
        """Type a key, and see what it does; None where that is nothing."""
        before, typed = self._written, self.type(key)
        while not self.text(KEY_PATIENCE - (time.perf_counter() - self.begun - typed)):
            if time.perf_counter() - self.begun - typed >= KEY_PATIENCE:
                return None
        changed = time.perf_counter() - self.begun
        whole = max(changed, self.until_quiet(REDRAW_QUIET))
        return Response(1000 * (changed - typed), 1000 * (whole - typed), self._written - before)

    def timed(self, keys: str, wanted: str | re.Pattern[str]) -> float:
        """Milliseconds from keys to a text."""
        typed = self.type(keys)
        return 1000 * (self.until(wanted) - typed)

    def idle_share(self, seconds: float) -> float:
        """The share of a core that it takes while nobody touches it."""
        begun, before = time.perf_counter(), self.cpu_seconds()
        while (left := begun + seconds - time.perf_counter()) > 0:
            self.text(left)
        return (self.cpu_seconds() - before) / (time.perf_counter() - begun)

    def resident(self) -> float:
        """Resident megabytes of the program and its children."""
        return sum(_resident_pages(pid) for pid in self._family()) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_seconds(self) -> float:
        """What the program and its children have computed."""
        return sum(_ticks(pid) for pid in self._family()) / os.sysconf("SC_CLK_TCK")

    def _family(self) -> Iterator[int]:
        pids = [self.pid]
        for pid in pids:
            yield pid
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                pids += map(int, task.read_text().split())

    def close(self) -> None:
        """End the program."""
        os.kill(self.pid, signal.SIGTERM)
        try:
            while self.text(5.0):
                pass
        except EOFError:
            pass
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def _resident_pages(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0


@contextmanager
def opened(command: list[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """A program that is ended afterwards."""
    terminal = Terminal(command, environment)
    try:
        yield terminal
    finally:
        terminal.close()
