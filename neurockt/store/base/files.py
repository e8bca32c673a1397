"""Whole files appear at once or not at all: write under a temporary name, fsync, rename."""

from __future__ import annotations

import errno
import os
import re
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from neurockt.store.base import layout

READ_LIMIT: Final = 2**30
"""Bytes of a file that is read whole, at most: a larger one is not ours."""

Kind = TypeVar("Kind")
_FIELD: Final = re.compile(r"at `\$\.(\w+)")
_converted: Final[set[type]] = set()
_first: Final = threading.RLock()
"""Held for the first document of a dataclass: threads that let msgspec examine the class together crash."""


def temporary_path(path: Path) -> Path:
    """Where ``path`` is written before its rename: a hidden name, which readers of a directory of Parquet pass over."""
    return path.with_name(f".{path.name}{layout.TEMPORARY}")


def publish(path: Path, write: Callable[[Path], object], *, shared: bool = False) -> None:
    """Put a file in place atomically: ``write`` fills a temporary path. The last of several ``shared`` writers wins."""
    _put(path, write, _own_temporary(path) if shared else temporary_path(path), os.replace)


def publish_first(path: Path, write: Callable[[Path], object]) -> None:
    """The same, but the first of several writers wins; the others get FileExistsError."""
    _put(path, write, _own_temporary(path), os.link)


def _own_temporary(path: Path) -> Path:
    temporary = temporary_path(path)
    return temporary.with_name(f"{temporary.stem}.{os.getpid()}-{os.urandom(4).hex()}{layout.TEMPORARY}")


def _put(path: Path, write: Callable[[Path], object], temporary: Path, move: Callable[[Path, Path], object]) -> None:
    try:
        write(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            fsync(descriptor)
        finally:
            os.close(descriptor)
        move(temporary, path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # a write to an open file names none
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # where it was moved, it is gone
            temporary.unlink()
    sync_directory(path.parent)


def fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):  # a file system without fsync
            raise


def sync_directory(directory: Path) -> None:
    """Make renames in ``directory`` durable, where the file system can."""
    with suppress(OSError):  # some network file systems refuse to fsync a directory; the rename itself has happened
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def publish_bytes(path: Path, data: bytes) -> None:
    publish(path, lambda temporary: temporary.write_bytes(data))


def publish_json(path: Path, document: Any) -> None:
    publish_bytes(path, to_json(document))


def to_json(document: Any) -> bytes:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def read(path: str | Path) -> bytes:
    """The whole content of a file. A pipe or a device in its place is not waited for.

    Raises:
        OSError: it cannot be read, is not a file, or is too large for one that neurockt reads whole.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except ValueError as error:  # the system has no such names
        raise FileNotFoundError(errno.ENOENT, str(error)) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):
            raise FileNotFoundError(errno.ENOENT, error.strerror) from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_size > READ_LIMIT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        data = os.read(descriptor, status.st_size + 1)
        if len(data) == status.st_size:
            return data
        pieces = [data]
        while piece := os.read(descriptor, 2**20):  # the file grows, or the system reads less than it is asked for
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(descriptor)


def read_if_there(path: Path) -> bytes | None:
    try:
        return read(path)
    except FileNotFoundError:
        return None


def read_json(path: str | Path) -> Any:
    """The document in a file; raises OSError as ``read``, and ValueError where it is not JSON."""
    return decode_json(read(path))


def decode_json(data: bytes) -> Any:
    """The document in a file's content; raises ValueError where it is not JSON."""
    import msgspec

    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None


def from_json(kind: type[Kind], document: Any, *, strict: bool = True) -> Kind:
    """A dataclass from a document. A field that is missing or of another type has its default, or raises ValueError."""
    import msgspec

    while True:
        try:
            if kind in _converted:
                return msgspec.convert(document, kind, strict=strict)
            with _first:
                converted = msgspec.convert(document, kind, strict=strict)
                _converted.add(kind)
                return converted
        except msgspec.ValidationError as error:
            field = _FIELD.search(str(error))
            if field is None or field[1] not in document:
                raise ValueError(str(error)) from None
            del document[field[1]]
