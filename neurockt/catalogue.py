"""Many runs at a glance: reads their ``run.json``, and the open rows of those that have not ended."""

from __future__ import annotations

import errno
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from neurockt.errors import NeurocktError, NeurocktWarning, RunNotFound
from neurockt.formatting import clean, listed, nearest
from neurockt.run_info import RunInfo
from neurockt.store import Liveness, NewestRows, Run, ask_scheduler, layout, open_run, read_listed


def list_runs(
    root: str | os.PathLike[str] | None = None, *, archived: bool = False, liveness: Liveness | None = None
) -> list[RunInfo]:
    """The runs in a directory, oldest first, from their ``run.json`` files and open rows, as people have edited them.

    Args:
        root: a directory of runs, or one run; default ``$NEUROCKT_DIR``, else ``runs``. Runs in directories within it
            are listed too, as in ``runs/PROJECT/RUN``.
        archived: also those that are archived; one that ``root`` itself is, is listed in any case.
        liveness: the heartbeats that a reader who looks repeatedly has seen.

    A run that cannot be read is left out, with a ``NeurocktWarning`` that names it.

    Raises:
        RunNotFound: there is no such directory.
    """
    liveness = liveness or Liveness()
    root = layout.default_root() if root is None else layout.expanded(root)
    runs: list[RunInfo] = []

    def is_run(entry: str | Path) -> bool:
        try:
            info = read_listed(entry)
        except RunNotFound:
            return False
        except NeurocktError as error:
            warnings.warn(str(error), NeurocktWarning, stacklevel=4)
            return True
        if archived or not info.archived or info.path == root:
            runs.append(liveness.infer(info))
        return True

    for _ in _visit(root, is_run):
        pass
    return sorted(runs, key=lambda info: (info.created, info.id))


def run_paths(root: str | os.PathLike[str]) -> list[Path]:
    """The run directories in a directory and in the directories within it, or the directory itself when it is a run.

    What may be a run, but cannot be looked into, is among them. ``RunNotFound``: the directory cannot be listed.
    """
    return [Path(path) for path in _visit(layout.expanded(root), _may_be_run)]


def has_runs(root: str | os.PathLike[str]) -> bool:
    """Whether ``run_paths`` gives any; it looks no further than the first."""
    return any(True for _ in _visit(layout.expanded(root), _may_be_run))


def _visit(directory: Path, is_run: Callable[[str | Path], bool]) -> Iterator[str | Path]:
    """The directory if it is a run; else those in it that are, and of the others those within them."""
    if is_run(directory):
        yield directory
        return
    for entry in _entries(directory):
        yield from _runs_at(entry, is_run)


def _entries(root: Path) -> list[str]:
    """The directories in one that is to hold runs; RunNotFound where it cannot be listed."""
    try:
        return _directories(root)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise RunNotFound(f"no directory {root}; name one that holds runs, or set {layout.ROOT_VARIABLE}") from None
    except OSError as error:
        raise RunNotFound(f"cannot list {root}: {error.strerror}") from error


def _runs_at(entry: str, is_run: Callable[[str | Path], bool]) -> Iterator[str]:
    """The directory if it is a run, else those in it that are."""
    if is_run(entry):
        yield entry
        return
    within: list[str] = []
    with suppress(OSError):  # it has been removed, or is not ours to list
        within = _directories(entry)
    yield from filter(is_run, within)


def _directories(path: str | Path) -> list[str]:
    """The directories in one, by name; also what cannot be looked at, which may be one. None that is hidden."""
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if not entry.name.startswith(".") and _may_be_directory(entry))


def _may_be_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        return error.errno != errno.ELOOP


def _may_be_run(path: str | Path) -> bool:
    """Whether it has a ``run.json``, or one that the file system does not let us see: reading it gives the reason."""
    try:
        os.stat(f"{path}/{layout.RUN_FILE}")  # noqa: PTH116  (a Path takes longer than the call)
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
    except ValueError:  # the system has no such names
        return False
    return True


def find_run(reference: str | None = None, root: str | os.PathLike[str] | None = None) -> Run:
    """A run by its path, its id, its name, or a part of either that no other run has.

    Args:
        reference: None for the run that began last.
        root: where to look for it; default ``$NEUROCKT_DIR``, else ``runs``.

    Raises:
        RunNotFound: none, or several, are named so; the message names them, or what is near.
    """
    root = layout.expanded(root) if root else layout.default_root()
    if reference is None:
        runs = list_runs(root)
        if not runs:
            raise RunNotFound(f"no runs in {root}; name one, or the directory that holds them")
        return open_run(runs[-1].path)
    for path in (layout.expanded(reference), root / reference):
        if _may_be_run(path):
            return open_run(path)
    if not os.path.isdir(root):  # noqa: PTH112  (never raises)
        return open_run(reference)  # raises what is wrong with that path
    if not reference.strip(" ."):
        raise RunNotFound(f"no run is named by {reference!r} ('neurockt ls {root}' lists them)")
    runs = list_runs(root, archived=True)
    fitting = _named(runs, reference)
    if len(fitting) == 1:
        return open_run(fitting[0].path)
    if not fitting and os.sep in reference:
        return open_run(reference)
    if fitting:
        shown = [run.id if run.name in (None, run.id) else f"{clean(run.name)} ({run.id})" for run in fitting]
        raise RunNotFound(
            f"{len(fitting):,} runs in {root} match {reference!r}: {listed(shown)}; use more of the name, or the id"
        )
    names = [name for run in runs for name in (run.id, run.name) if name]
    close = nearest(reference, names, 0.4)
    hint = f"; did you mean {close!r}?" if close else ""
    raise RunNotFound(f"no run {reference!r} in {root}{hint} ('neurockt ls {root}' lists them)")


def _named(runs: Sequence[RunInfo], reference: str) -> list[RunInfo]:
    """The runs that a text names: those called so exactly, else those with it in their id or name.

    Archived runs are among them only where no other is.
    """
    part = reference.casefold()
    for names in (
        lambda run: run.id == reference,
        lambda run: run.name == reference,
        lambda run: reference in run.id or reference in (run.name or ""),
        lambda run: part in run.id.casefold() or part in (run.name or "").casefold(),
    ):
        if found := [run for run in runs if names(run)]:
            return [run for run in found if not run.archived] or found
    return []


class RunWatcher:
    """The runs in a directory, archived ones too, read repeatedly; a run whose files are the same is not read again.

    The rows of running runs are counted as they come, from the second look on.
    What the file system refuses for a while, as during a file server's fail-over, stays as it was last read.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = layout.expanded(root)
        self.total = 0
        """Run directories at the last look, with those that cannot be read; during the first, as many as may be."""
        self.is_reading = False
        """Whether a look has more to read."""
        self.problems: dict[Path, str] = {}
        """The runs that cannot be read, and why."""
        self._liveness = Liveness()
        self._paths: list[str] = []  # a Path is compared in ten times the time
        self._read: dict[str, tuple[tuple[object, ...], RunInfo]] = {}
        self._seen: dict[str, RunInfo] = {}
        self._newest: dict[str, NewestRows] = {}
        """Of the runs that have been seen running."""

    @property
    def runs(self) -> list[RunInfo]:
        return sorted(self._seen.values(), key=lambda info: (info.created, info.id))

    @property
    def running(self) -> list[str]:
        return [path for path, info in self._seen.items() if info.state == "running"]

    def look(self, pause: float = 0.02, *, at_running: bool = False) -> Iterator[bool]:
        """Read what has changed, the latest names first.

        Yields every ``pause`` seconds, and at the end, whether the runs have changed since the last time.

        Args:
            pause: the seconds.
            at_running: look only at the runs that were running when last seen.
        """
        self.is_reading = not at_running
        if at_running:
            changes = [self._look_at(path) for path in self.running]
            yield any(changes)
            return
        self.problems.pop(self.root, None)
        changed, paused = False, time.monotonic()
        paths: list[str] = []
        for path in self._latest_first():
            paths.append(path)
            changed |= self._look_at(path)
            if time.monotonic() - paused >= pause:
                yield changed
                changed, paused = False, time.monotonic()
        self._paths, self.total, self.is_reading = paths, len(paths), False
        problems = set(map(str, self.problems))
        changed |= self._forget((self._read.keys() | problems).difference(paths, [str(self.root)]))
        ask_scheduler(self._seen.values())  # its answer is there at a later look
        yield changed

    def _latest_first(self) -> Iterator[str]:
        """The run directories; those of the last look where the file system refuses to list them now."""
        known = self._paths
        if _may_be_run(self.root):
            root = str(self.root)
            yield from [root] if known in ([], [root]) else known  # it may be a run, for all that can be seen now
            return
        try:
            entries = _entries(self.root)
        except RunNotFound as error:
            if not (known and isinstance(error.__cause__, OSError)):
                raise
            self.problems[self.root] = str(error)
            yield from known
            return
        found = 0
        for at, entry in enumerate(reversed(entries)):
            self.total = max(len(known), found + len(entries) - at)
            for path in reversed(list(_runs_at(entry, self._is_run))):
                found += 1
                yield path

    def _is_run(self, path: str | Path) -> bool:
        return path in self._read or _may_be_run(path)  # that one has gone is noticed when it is looked at

    def _look_at(self, path: str) -> bool:
        known = self._read.get(path)
        try:
            newest = self._newest.get(path)
            signature = *_signature(path), newest and newest.stamp()
            if known is None or known[0] != signature:
                known = signature, newest.read() if newest else read_listed(path)
                self._read[path] = known
        except (RunNotFound, FileNotFoundError):
            # where the root itself is gone, so are all runs, perhaps only for a while
            return os.path.isdir(self.root) and self._forget({path})  # noqa: PTH112  (Path.is_dir raises EACCES)
        except (NeurocktError, OSError) as error:
            passing = isinstance(error, OSError) or isinstance(error.__cause__, OSError)
            forgotten = not (known and passing) and self._forget({path})
            problem = f"cannot read {path}: {error.strerror}" if isinstance(error, OSError) else str(error)
            self.problems[Path(path)] = problem
            return forgotten
        if self.problems:
            self.problems.pop(Path(path), None)
        info = self._liveness.infer(known[1])
        before = self._seen.get(path)
        self._seen[path] = info
        if known[1].ended is not None:
            self._newest.pop(path, None)
        elif info.state == "running" and path not in self._newest:
            self._newest[path] = NewestRows(Path(path))
        return before is None or (before is not info and before != info)

    def _forget(self, paths: set[str]) -> bool:
        for path in paths:
            self.problems.pop(Path(path), None)
            self._read.pop(path, None)
            self._newest.pop(path, None)
        gone = [path for path in paths if self._seen.pop(path, None) is not None]
        return bool(gone)


def _signature(path: str) -> tuple[object, ...]:
    """Differs once a ``run.json`` or its edits have been replaced: the run's, or one of what is attached to it."""
    found = _stamps(path)
    for name, each in layout.attached_paths(path).items():
        with suppress(OSError):  # reading it gives the reason
            found += name, *_stamps(each)
    return found


def _stamps(path: str | Path) -> tuple[object, ...]:
    stamp = _stamp(f"{path}/{layout.RUN_FILE}")
    try:
        return *stamp, *_stamp(f"{path}/{layout.EDITS_FILE}")
    except FileNotFoundError:
        return stamp


def _stamp(path: str) -> tuple[object, ...]:
    status = os.stat(path)  # noqa: PTH116  (a Path takes longer than the call)
    return status.st_ino, status.st_size, status.st_mtime_ns
