"""Whole files appear at once or not at all: write under a temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from neurockt.store.base import layout


def temporary_path(path: Path) -> Path:
    """Where ``path`` is written before it is renamed into place: hidden from those who read a directory of Parquet."""
    return path.with_name(f".{path.name}{layout.TEMPORARY}")


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Put a file in place atomically; ``write`` fills the temporary path it is given.

    Where that fails the temporary file goes, so that it does not take the room of what is still to be written.
    """
    temporary = temporary_path(path)
    try:
        write(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def fsync(descriptor: int) -> None:
    """Put a file on stable storage, where the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # what those without fsync say
            raise


def sync_directory(directory: Path) -> None:
    """Make renames in ``directory`` durable, where the file system can."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems refuse to fsync a directory; the rename itself has happened
    finally:
        os.close(descriptor)


def read_if_there(path: Path) -> bytes | None:
    """The whole content of a file, or None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
