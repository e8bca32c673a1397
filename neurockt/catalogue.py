"""Many runs at a glance: reads their ``run.json`` and nothing else."""

from __future__ import annotations

import difflib
import os
import warnings
from pathlib import Path
from typing import Final

from neurockt.errors import NeurocktError, NeurocktWarning, RunNotFound
from neurockt.records import RunInfo
from neurockt.store import layout
from neurockt.store.info import read_info
from neurockt.store.run import Run, open_run
from neurockt.store.state import Liveness

ROOT_VARIABLE: Final = "NEUROCKT_DIR"
DEFAULT_ROOT: Final = "runs"


def default_root() -> Path:
    """Where runs are when nobody says: ``$NEUROCKT_DIR``, else ``./runs``."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def list_runs(root: str | os.PathLike[str] | None = None, *, liveness: Liveness | None = None) -> list[RunInfo]:
    """The runs in a directory, oldest first, from their ``run.json`` files alone.

    Args:
        root: a directory of runs, or one run; default ``$NEUROCKT_DIR``, else ``runs``.
        liveness: what a reader who looks again and again has seen of their heartbeats.

    A run that cannot be read is left out, with a ``NeurocktWarning`` that names it.

    Raises:
        RunNotFound: there is no such directory.
    """
    directory = default_root() if root is None else Path(root)
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
    if (directory / layout.RUN_FILE).exists():
        return [directory]
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFound(f"no directory {directory}; name one that holds runs, or set {ROOT_VARIABLE}") from None
    except OSError as error:
        raise RunNotFound(f"cannot list {directory}: {error.strerror}") from error
    return [directory / name for name in names if os.path.exists(f"{directory}/{name}/{layout.RUN_FILE}")]


def find_run(reference: str, root: Path | None = None) -> Run:
    """A run by its path, its id, its name, or the only id that begins so.

    Raises:
        RunNotFound: none fits, or several do; the message says which are near.
    """
    root = root or default_root()
    for path in (Path(reference), root / reference):
        if (path / layout.RUN_FILE).exists():
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
    names = [name for run in runs for name in (run.id, run.name) if name]
    close = difflib.get_close_matches(reference, names, 1, 0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise RunNotFound(f"no run {reference!r} in {root}{hint} ('neurockt ls {root}' lists them)")
