"""What is left of a run in this process once it has ended: nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def nothing_left() -> Iterator[None]:
    """Neither a thread nor a descriptor is left afterwards; what earlier tests have left may go meanwhile."""
    threads, descriptors = set(threading.enumerate()), set(os.listdir("/proc/self/fd"))
    yield
    assert set(threading.enumerate()) <= threads
    assert set(os.listdir("/proc/self/fd")) <= descriptors
