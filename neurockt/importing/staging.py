"""What an import does without reading a source: it waits for others, clears what a killed one left, finds changes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

STAGING: Final = ".import-"
"""Beginning of the name of a directory in which a run is written, or to which one is moved until it is replaced."""
OLD: Final = ".old"
"""End of the name of the latter."""
HEAD: Final = 4096
"""Bytes at the beginning of a file that tell it from another."""


@contextmanager
def alone(root: Path, waits: Callable[[], object]) -> Iterator[None]:
    """Keep other imports from writing to a directory, where its file system has locks.

    ``waits`` is called if another one writes to it now, before its end is awaited.
    """
    descriptor = -1
    with suppress(OSError):  # that it cannot be written is reported with the first run
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def recover(root: Path) -> None:
    """Put back a run that was moved away when an import was killed, and remove what is not complete."""
    with suppress(OSError):
        for entry in sorted(root.iterdir()):
            if not entry.name.startswith(STAGING) or entry.is_symlink() or not entry.is_dir():
                continue
            name = entry.name.removeprefix(STAGING)
            target = root / name.removesuffix(OLD)
            if name.endswith(OLD) and not target.exists():
                entry.rename(target)
            else:
                shutil.rmtree(entry, ignore_errors=True)


def fingerprints(paths: Iterable[Path]) -> list[dict[str, object]]:
    """What tells whether files have changed: size, time and beginning of each. Raises OSError."""
    found: list[dict[str, object]] = []
    for path in paths:
        status = path.stat()
        with path.open("rb") as file:
            head = hashlib.sha256(file.read(HEAD)).hexdigest()[:16]
        absolute = os.path.abspath(path)  # noqa: PTH100  (keeps links as they are)
        found.append({"path": absolute, "size": status.st_size, "mtime": status.st_mtime_ns, "head": head})
    return found
