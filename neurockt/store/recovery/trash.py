"""The trash of a directory of runs: a run is moved there by one rename, and what is there is freed all at once.

So an interruption leaves each run where it was, or whole in the trash. No link is followed: of a run that is a link
only the link is moved, and what is behind a linked directory is refused.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Final

from neurockt.errors import CorruptRun, RunInUse, UsageError
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner import liveness
from neurockt.store.owner.attempts import by_whom
from neurockt.store.owner.claim import claimed
from neurockt.store.owner.liveness import Liveness

TRASH: Final = ".trash"
_FREED: Final = ".trash-freed-"
"""Begins the name of a trash that is being deleted."""
HINT: Final = "stop it first, or wait for its end"


class Trash:
    """The trash of one directory of runs. What one ``Trash`` moves there is together in one directory of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path: Path | None = None
        """Where the runs are moved; None before the first."""

    def check(self, run_dir: Path) -> None:
        """Raise as ``move`` does, and move nothing."""
        self._inner(run_dir)
        for each in _written(run_dir):
            _check_ended(each)

    def move(self, run_dir: Path) -> Path:
        """Move a run there; returns its new path.

        Raises:
            RunInUse: a process still writes it, or what is attached to it.
            UsageError: it is not a whole run in this directory, or only behind a link.
            OSError: the file system refuses it. Then it is where it was.
        """
        inner = self._inner(run_dir)
        with ExitStack() as stack:
            for each in _written(run_dir):
                if _check_ended(each) and not run_dir.is_symlink():
                    stack.enter_context(claimed(each, HINT))
            target = self._directory() / inner
            while not self._moved(run_dir, target):
                pass
        with suppress(FileNotFoundError):  # the trash has been emptied meanwhile
            for each in () if target.is_symlink() else _written(target):
                for claim in layout.claim_paths(each).values():
                    claim.unlink()
        return target

    def _moved(self, run_dir: Path, target: Path) -> bool:
        """Move it; False where another process empties the trash at this moment."""
        try:
            for parent in reversed([*target.relative_to(self.root).parents][:-1]):
                _make_directory(self.root / parent)
            run_dir.rename(target)
        except FileNotFoundError:
            if not os.path.lexists(run_dir):
                raise
            return False
        return True

    def _inner(self, run_dir: Path) -> Path:
        """The run's path within the root."""
        if layout.is_rank(run_dir) or layout.is_attached(run_dir):
            raise UsageError(f"{run_dir} is a part of a run; only whole runs can be removed")
        parent = Path(os.path.realpath(run_dir.parent))
        try:
            return parent.relative_to(os.path.realpath(self.root)) / run_dir.name
        except ValueError:
            hint = f"remove it with --root {parent}"
            raise UsageError(f"{run_dir} is behind a link that leads out of {self.root}; {hint}") from None

    def _directory(self) -> Path:
        """A new directory of the trash, named for this moment."""
        for attempt in count(1):
            if self.path is not None:
                break
            name = f"{datetime.now():%Y%m%d-%H%M%S}" + f"-{attempt}" * (attempt > 1)
            with suppress(FileNotFoundError):  # another process empties the trash at this moment
                _make_directory(self.root / TRASH)
                with suppress(FileExistsError):
                    _make_new_directory(self.root / TRASH / name)
                    self.path = self.root / TRASH / name
        assert self.path is not None
        return self.path


def _check_ended(run_dir: Path) -> bool:
    """Raise RunInUse where a process may write what is there; returns whether another could take it over now."""
    try:
        info = read_info(run_dir)
    except CorruptRun as error:
        if isinstance(error.__cause__, OSError):
            raise
        # a live writer would have replaced the damaged file
        if _is_new(run_dir):
            raise RunInUse(f"{error}; a process may still write the run: try again in two minutes") from None
        return False
    if not info.keeps_ranks and Liveness().infer(info).state == "running" and (info.attempt or _is_new(run_dir)):
        raise RunInUse(f"{run_dir} is still being written{by_whom(info.attempt)}; {HINT}")
    return info.attempt is not None and not info.keeps_ranks


def _is_new(run_dir: Path) -> bool:
    age = time.time() - (run_dir / layout.RUN_FILE).stat().st_mtime
    return age < liveness.STALE_SECONDS + liveness.CLOCK_SLACK_SECONDS


def _written(run_dir: Path) -> Iterator[Path]:
    """The directories of a run that a process of its own may write."""
    ranks = [path for path in layout.rank_paths(run_dir).values() if not path.is_symlink()]
    yield from [run_dir, *ranks, *layout.attached_paths(run_dir).values()]


def trash_of(root: Path) -> list[Path]:
    """What emptying the trash would free, also what an interrupted emptying has left."""
    with suppress(FileNotFoundError):
        names = [name for name in os.listdir(root) if name == TRASH or name.startswith(_FREED)]
        return [root / name for name in sorted(names) if _is_directory(root / name)]
    return []


def empty_trash(root: Path) -> None:
    """Free the trash. What an interruption leaves is in a directory that the next call deletes."""
    if _is_directory(root / TRASH):
        with suppress(FileNotFoundError):  # another process empties it
            (root / TRASH).rename(root / f"{_FREED}{os.getpid()}-{os.urandom(4).hex()}")
    for path in trash_of(root):
        while path.name != TRASH and path.exists():
            with suppress(FileNotFoundError):  # another process deletes the same
                shutil.rmtree(path)


def size_of(path: Path) -> int:
    """Bytes of the files in a directory; of a link its own."""
    if path.is_symlink():
        return path.lstat().st_size
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_size
    return total


def _make_directory(path: Path) -> None:
    with suppress(FileExistsError):
        _make_new_directory(path)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise UsageError(f"{path} is a link or a file, where a directory is needed; nothing is moved: remove it")


def _make_new_directory(path: Path) -> None:
    """Make it for those who may write to the directory around it: people share directories of runs."""
    path.mkdir()
    with suppress(OSError):
        path.chmod(stat.S_IMODE(path.parent.stat().st_mode))


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except FileNotFoundError:
        return False
