"""Processes that die where a test wants them to: after what they have done, or before any one operation on files."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

CHANGES: Final = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.copyfile")
"""What Python tells of operations that change a directory, besides ``open``."""


def die(action: Callable[[], Any]) -> None:
    """Do something in a child process, which then dies of SIGKILL

    A recorder that is to live until then must be returned.
    """
    assert _child(action, lambda: os.kill(os.getpid(), signal.SIGKILL)) == -signal.SIGKILL


def live(action: Callable[[], Any]) -> None:
    """Do something in a child process, which then ends."""
    assert _child(action, lambda: None) == 0


def die_before(operation: int, action: Callable[[], Any]) -> bool:
    """Do something in a child process that dies of SIGKILL before its n-th operation on files.

    Returns:
        whether there were so many.
    """

    def doomed() -> None:
        left = operation

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if event in CHANGES or opened:
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        action()

    status = _child(doomed, lambda: None)
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def _child(action: Callable[[], Any], ending: Callable[[], Any]) -> int:
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            kept = action()  # a recorder would end its run when nothing refers to it any more
            ending()
            del kept
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
