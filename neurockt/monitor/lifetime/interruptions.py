"""What arrives while the recorder is in the middle of something, and is done when that has ended."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType


class Interruptions:
    """Actions that had to wait: a signal that would end the process while a row is stored, for one.

    As a context it keeps the recorder busy; what was deferred runs when the outermost one ends.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        """``wake`` has the recorder become busy soon, with its next row, so that ``run_deferred`` is called."""
        self._wake = wake
        self._depth = 0
        self.deferred: deque[Callable[[], None]] = deque()
        """What waits until the recorder is not busy."""

    @property
    def is_busy(self) -> bool:
        """Whether rows are on their way to the writer, or the run is being sealed."""
        return self._depth > 0

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self.deferred:
            self.run_deferred()

    def defer(self, action: Callable[[], None]) -> None:
        """Run this once the recorder is not busy; from any thread or signal handler. One that waits already is kept."""
        if action not in self.deferred:
            self.deferred.append(action)
        self._wake()

    def run_deferred(self) -> None:
        while self.deferred and not self._depth:
            self.deferred.popleft()()

    def reset(self) -> None:
        """An exception left the recorder in the middle of something: it is not busy any more."""
        self._depth = 0
        self.run_deferred()


def shielded(action: Callable[[], None]) -> None:
    """Do something in a thread of its own, where no Ctrl-C interrupts it, and wait for it.

    An interrupt is raised once that has been done, a second one at once.
    """
    thread = threading.Thread(target=action)
    try:
        thread.start()
        thread.join()
    except RuntimeError:  # no thread can be started, as where the interpreter exits
        action()
    except BaseException:
        if thread.is_alive():
            thread.join()
        raise
