"""Many runs at a glance: reads their ``run.json`` and nothing else."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from neurockt.errors import NeurocktError, NeurocktWarning, RunNotFound
from neurockt.run_info import RunInfo
from neurockt.store.base import layout
from neurockt.store.base.run_file import read_info
from neurockt.store.owner.liveness import Liveness, ask_scheduler
from neurockt.store.reading.run import Run, open_run


def list_runs(root: str | os.PathLike[str] | None = None, *, liveness: Liveness | None = None) -> list[RunInfo]:
    """The runs in a directory, oldest first, from their ``run.json`` files alone.

    Args:
        root: a directory of runs, or one run; default ``$NEUROCKT_DIR``, else ``runs``.
        liveness: what a reader who looks again and again has seen of their heartbeats.

    A run that cannot be read is left out, with a ``NeurocktWarning`` that names it.

    Raises:
        RunNotFound: there is no such directory.
    """
    directory = layout.default_root() if root is None else Path(root)
    liveness = liveness or Liveness()
    runs = []
    for path in run_paths(directory):
        try:
            runs.append(liveness.infer(read_info(path)))
        except RunNotFound:
            continue  # removed since the directory was listed
        except NeurocktError as error:
            warnings.warn(str(error), NeurocktWarning, stacklevel=2)
    return sorted(runs, key=lambda info: (info.created, info.id))


def run_paths(directory: Path) -> list[Path]:
    """The run directories in a directory, or the directory itself when it is one."""
    if _may_be_run(directory):
        return [directory]
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(
            f"no directory {directory}; name one that holds runs, or set {layout.ROOT_VARIABLE}"
        ) from None
    except OSError as error:
        raise RunNotFound(f"cannot list {directory}: {error.strerror}") from error
    return [directory / name for name in names if _may_be_run(f"{directory}/{name}")]


def _may_be_run(path: str | Path) -> bool:
    """Whether it has a ``run.json``, or one that the disk does not let us see: who reads it is told why."""
    try:
        os.stat(f"{path}/{layout.RUN_FILE}")  # noqa: PTH116  (a Path takes longer than the look)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    except ValueError:  # no path at all
        return False
    return True


def find_run(reference: str, root: Path | None = None) -> Run:
    """A run by its path, its id, its name, or the only id that begins so.

    Raises:
        RunNotFound: none fits, or several do; the message says which are near.
    """
    root = root or layout.default_root()
    for path in (Path(reference), root / reference):
        if _may_be_run(path):
            return open_run(path)
    if os.sep in reference or not root.is_dir():
        return open_run(Path(reference))  # says what is wrong with that path
    runs = list_runs(root)
    fitting = [run for run in runs if run.name == reference] or [run for run in runs if run.id.startswith(reference)]
    if len(fitting) == 1:
        return open_run(fitting[0].path)
    if fitting:
        ids = ", ".join(run.id for run in fitting[:5])
        raise RunNotFound(f"{len(fitting)} runs in {root} are called {reference!r}: {ids}; use the id")
    import difflib  # what lists runs is in a hurry; who mistyped is not

    names = [name for run in runs for name in (run.id, run.name) if name]
    close = difflib.get_close_matches(reference, names, 1, 0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise RunNotFound(f"no run {reference!r} in {root}{hint} ('neurockt ls {root}' lists them)")


class RunWatcher:
    """The runs in a directory, looked at again and again; a ``run.json`` that has not changed is not read again."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Nothing is read before the first ``look``."""
        self.root = Path(root)
        self.total = 0
        """Run directories there were at the last look, those that cannot be read included."""
        self.problems: dict[Path, str] = {}
        """The runs that cannot be read, and why."""
        self._liveness = Liveness()
        self._read: dict[Path, tuple[tuple[int, int, int], RunInfo]] = {}
        self._seen: dict[Path, RunInfo] = {}

    @property
    def runs(self) -> list[RunInfo]:
        """The runs as they were when last looked at, oldest first."""
        return sorted(self._seen.values(), key=lambda info: (info.created, info.id))

    def look(self, pause: float = 0.1) -> Iterator[bool]:
        """Read what has changed, the latest names first.

        Yields:
            every ``pause`` seconds, and at the end: whether the runs have changed since the last time.

        Raises:
            RunNotFound: there is no such directory any more.
        """
        paths = run_paths(self.root)
        self.total = len(paths)
        changed = self._forget({*self._read, *self.problems}.difference(paths))
        paused = time.monotonic()
        for path in reversed(paths):
            changed |= self._look_at(path)
            if time.monotonic() - paused >= pause:
                yield changed
                changed, paused = False, time.monotonic()
        ask_scheduler(self._seen.values())  # what it says is there at a later look
        yield changed

    def _look_at(self, path: Path) -> bool:
        try:
            status = (path / layout.RUN_FILE).stat()
            signature = status.st_ino, status.st_size, status.st_mtime_ns
            known = self._read.get(path)
            if known is None or known[0] != signature:
                known = signature, read_info(path)
                self._read[path] = known
        except (RunNotFound, FileNotFoundError):
            return self._forget({path})
        except (NeurocktError, OSError) as error:
            forgotten = self._forget({path})
            self.problems[path] = str(error)
            return forgotten
        self.problems.pop(path, None)
        info = self._liveness.infer(known[1])
        before = self._seen.get(path)
        self._seen[path] = info
        return before is None or (before is not info and before != info)

    def _forget(self, paths: set[Path]) -> bool:
        for path in paths:
            self.problems.pop(path, None)
            self._read.pop(path, None)
        gone = [path for path in paths if self._seen.pop(path, None) is not None]
        return bool(gone)
