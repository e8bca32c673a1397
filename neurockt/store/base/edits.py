"""``edits.json``: what people change of a run after the fact. FORMAT.md section 12 lists its fields.

It lies beside ``run.json``, which keeps its one writer. So a run can be edited at any time, also while it trains.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from neurockt.errors import CorruptRun, NeurocktError, NeurocktWarning
from neurockt.run_info import RunInfo
from neurockt.store.base import files, layout
from neurockt.store.base.json_values import text_of
from neurockt.store.base.run_file import read_info

TEXTS: Final = ("name", "project", "group", "notes")
"""The fields that an edit replaces."""
STALE_SECONDS: Final = 5.0
"""How long another process may take for one edit. After that its temporary file is removed: it is dead."""
LOOK_SECONDS: Final = 0.005


@dataclass(frozen=True)
class Edit:
    """What is to be changed; the rest stays."""

    texts: Mapping[str, str | None] = field(default_factory=dict)
    """New values of ``TEXTS``; None or an empty text for none."""
    tags: Mapping[str, bool] = field(default_factory=dict)
    """Tags to be added (True) or removed (False)."""
    archived: bool | None = None


def read_edited(run_dir: str | Path) -> RunInfo:
    """The run as people have edited it, with what other processes record beside it; raises as ``read_info``.

    A warning names what cannot be read of the edits and of what is attached.
    """
    info = _with_edits(run_dir)
    attached = {}
    for name, path in layout.attached_paths(run_dir).items():
        try:
            attached[name] = _with_edits(path)
        except NeurocktError as error:
            warnings.warn(str(error), NeurocktWarning, stacklevel=3)
    return replace(info, attached=attached) if attached else info


def _with_edits(run_dir: str | Path) -> RunInfo:
    info = read_info(run_dir)
    try:
        document = _edits_in(run_dir if info.rank is None else _home(info))
        return _edited(info, document) if document else info
    except CorruptRun as error:
        warnings.warn(f"{error}; the run is shown without its edits", NeurocktWarning, stacklevel=4)
        return info


def edits_of(info: RunInfo) -> dict[str, Any]:
    """What people have changed of a run, as its file has it; CorruptRun where that cannot be read."""
    return _edits_in(_home(info))


def _edits_in(directory: str | Path) -> dict[str, Any]:
    path = f"{directory}/{layout.EDITS_FILE}"  # a Path takes longer, and a list asks for ten thousand runs
    try:
        os.stat(path)  # noqa: PTH116  (most runs have none, which this finds out in half the time)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        pass  # reading it gives the reason
    try:
        document = files.read_json(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CorruptRun(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CorruptRun(f"{path} is damaged ({error}); repair or remove it") from None
    if not isinstance(document, dict):
        raise CorruptRun(f"{path} is damaged (it does not have the fields of edits); repair or remove it")
    return document


def edits_path(info: RunInfo) -> Path:
    """The file with the edits of a run; for a rank's own rows, that of the whole run."""
    return _home(info) / layout.EDITS_FILE


def _home(info: RunInfo) -> Path:
    return info.path if info.rank is None else info.path.parent


def edit_run(run_dir: Path, edit: Edit) -> tuple[RunInfo, RunInfo]:
    """Edit a run, live or not; returns it as it was before and after. Several processes may do so at once.

    Raises:
        RunNotFound, CorruptRun, FormatTooNew: as ``open_run``; CorruptRun also where an earlier edit is damaged.
        OSError: the file system refuses it. Then nothing has changed.
    """
    info = read_info(run_dir)
    path = edits_path(info)
    while True:
        with _exclusive(path) as publish:
            document = edits_of(info)
            before = _edited(info, document)
            new = _changes(before, edit)
            if not new or publish(_merged(document, new)):
                return before, _edited(before, new)


def _edited(info: RunInfo, document: Mapping[str, Any]) -> RunInfo:
    """The run with the edits of a document. A field of another type counts as not there."""
    changed: dict[str, Any] = {
        name: document[name] or None
        for name in TEXTS
        if name in document and (document[name] is None or isinstance(document[name], str))
    }
    if isinstance(tags := document.get("tags"), dict):
        kept = [tag for tag in info.tags if tags.get(tag) is not False]
        changed["tags"] = (*kept, *(tag for tag, there in tags.items() if there is True and tag not in kept))
    if isinstance(archived := document.get("archived"), bool):
        changed["archived"] = archived
    return replace(info, **changed) if changed else info


def _changes(before: RunInfo, edit: Edit) -> dict[str, Any]:
    """The fields of the file that an edit changes, those left out whose value is the same."""
    texts = {name: (text_of(text) or "").strip() or None for name, text in edit.texts.items()}
    document: dict[str, Any] = {name: text for name, text in texts.items() if text != getattr(before, name)}
    tags = {(text_of(tag) or "").strip(): there for tag, there in edit.tags.items()}
    if tags := {tag: there for tag, there in tags.items() if tag and there != (tag in before.tags)}:
        document["tags"] = tags
    if edit.archived not in (None, before.archived):
        document["archived"] = edit.archived
    return document


def _merged(document: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    tags = document.get("tags")
    both = {**(tags if isinstance(tags, dict) else {}), **new.get("tags", {})}
    return {**document, **new, **({"tags": both} if both else {})}


@contextmanager
def _exclusive(path: Path) -> Iterator[Callable[[Mapping[str, Any]], bool]]:
    """The right to replace a file, held by the process that creates its temporary file; the rename ends it.

    Yields the function that replaces the file; it returns False where this process took so long that another one took
    it for dead.
    """
    temporary = files.temporary_path(path)
    descriptor = _create(temporary)
    try:

        def publish(document: Mapping[str, Any]) -> bool:
            with open(descriptor, "wb", closefd=False) as file:
                file.write(files.to_json(document))
            with suppress(OSError):  # who may read the run may read this
                os.fchmod(descriptor, (path.parent / layout.RUN_FILE).stat().st_mode & 0o666)
            files.fsync(descriptor)
            if not _is_same(temporary, descriptor):
                return False
            os.replace(temporary, path)
            files.sync_directory(path.parent)
            return True

        yield publish
    finally:
        with suppress(OSError):
            if _is_same(temporary, descriptor):
                temporary.unlink()
        os.close(descriptor)


def _create(temporary: Path) -> int:
    seen, since = (0, 0), 0.0
    while True:
        try:
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            pass
        with suppress(FileNotFoundError):
            status = temporary.lstat()
            if (status.st_ino, status.st_mtime_ns) != seen:
                seen, since = (status.st_ino, status.st_mtime_ns), time.monotonic()
            elif time.monotonic() - since > STALE_SECONDS:
                temporary.unlink()
        time.sleep(LOOK_SECONDS)


def _is_same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
