"""An exception or a handler strikes at one bytecode operation of some files, as a signal handler may."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from types import FrameType
from typing import Any


class Interrupt(BaseException):
    """What a signal handler raises."""


def raise_interrupt() -> None:
    raise Interrupt


def interrupt_at(
    operation: int,
    files: Collection[str],
    action: Callable[[], object],
    handler: Callable[[], object] = raise_interrupt,
) -> bool:
    """Do something, and call a handler once, before the n-th operation in these files; False if there are fewer."""
    left = operation

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if not left:
                handler()
        return trace

    def act() -> Iterator[object]:
        """A generator's exceptions end with it: CPython forgets to leave one's handler that is struck at its end."""
        yield action()

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 has operations traced if a frame asks for it beforehand
    sys.settrace(trace)
    try:
        next(act())
    except Interrupt:
        return True
    finally:
        sys.settrace(before)
    return left <= 0
