"""``origin/attempt-001.json``: where each attempt of a run came from. FORMAT.md section 11 lists its fields.

It is not in ``run.json``, because a list reads that file of ten thousand runs.
"""

from __future__ import annotations

import re
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from neurockt.formatting import format_count
from neurockt.store.base import files, layout
from neurockt.store.base.json_values import plain

ORIGIN: Final = "origin"
RETRY_SECONDS: Final = 10.0
"""How long to wait before a file that the disk refused is written again."""
_NAME: Final = re.compile(r"attempt-\d{3,9}\.json", re.ASCII)


@dataclass(frozen=True)
class GitState:
    root: str = ""
    commit: str | None = None
    """The full hash; None before the first commit."""
    branch: str | None = None
    """None where no branch is checked out."""
    dirty: bool | None = None
    """Whether tracked files differ from the commit; None where git took too long."""
    remote: str | None = None


@dataclass(frozen=True)
class Origin:
    captured: datetime | None = None
    command: tuple[str, ...] = ()
    """The command line, what looks like a secret masked as ``***``."""
    directory: str = ""
    git: GitState | None = None
    """None outside a repository and without git."""
    diff: str | None = None
    """``whole`` or ``cut`` where the diff was saved beside it."""
    host: str = ""
    system: str = ""
    cpus: int | None = None
    python: str = ""
    executable: str = ""
    torch: str | None = None
    cuda: str | None = None
    """The version that torch was built for."""
    gpus: tuple[str, ...] = ()
    world_size: int | None = None
    slurm: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)


def origin_path(run_dir: Path, attempt: int) -> Path:
    """The file of that attempt, from 1; its diff has the same name and ends in ``.diff``."""
    return run_dir / ORIGIN / f"attempt-{attempt:03d}.json"


def store_origin(
    run_dir: Path, attempt: int, capture: Callable[[], tuple[Origin, str | None]], ended: threading.Event
) -> None:
    """Store what ``capture`` returns; tried again while the disk refuses it, until the run has ended."""
    origin, diff = capture()
    path = origin_path(run_dir, attempt)
    while True:
        last = ended.is_set()
        try:
            path.parent.mkdir(exist_ok=True)
            if diff is not None:
                files.publish_bytes(path.with_suffix(".diff"), diff.encode("utf-8", "replace"))
            files.publish_json(path, {"attempt": attempt, **plain(origin)})
            return
        except OSError:
            if last:
                raise
        ended.wait(RETRY_SECONDS)


def read_origin(run_dir: Path, attempt: int | None = None) -> Origin | None:
    """Where an attempt came from, by default the latest one; None where that is not known, or cannot be read."""
    path = _find(run_dir, attempt)
    if path is None:
        return None
    try:
        return files.from_json(Origin, files.read_json(path))
    except (OSError, ValueError):
        return None


def read_diff(run_dir: Path, attempt: int | None = None) -> str | None:
    path = _find(run_dir, attempt)
    data = files.read_if_there(path.with_suffix(".diff")) if path is not None else None
    return None if data is None else data.decode("utf-8", "replace")


def _find(run_dir: Path, attempt: int | None) -> Path | None:
    """The file of an attempt; where ranks keep their own rows, that of the first rank."""
    if not (run_dir / ORIGIN).is_dir():
        run_dir = next(iter(layout.rank_paths(run_dir).values()), run_dir)
    if attempt is not None:
        return origin_path(run_dir, attempt)
    found = [path for path in (run_dir / ORIGIN).glob("attempt-*.json") if _NAME.fullmatch(path.name)]
    return max(found, key=lambda path: int(path.stem.removeprefix("attempt-")), default=None)


def facts(origin: Origin) -> dict[str, str]:
    git = origin.git
    software = {"Python": origin.python, "torch": origin.torch, "CUDA": origin.cuda}
    machine = [
        origin.host,
        origin.system,
        format_count(origin.cpus, "processor") if origin.cpus else "",
        _gpus(origin.gpus),
    ]
    job = {name: origin.slurm.get(f"SLURM_{name}") for name in ("JOB_ID", "JOB_NAME", "JOB_PARTITION", "JOB_NODELIST")}
    lines = {
        "command": shlex.join(origin.command),
        "directory": origin.directory,
        "git": _git_text(git) if git else "",
        "software": ", ".join(f"{name} {version}" for name, version in software.items() if version),
        "machine": ", ".join(filter(None, machine)),
        "processes": str(origin.world_size or ""),
        "slurm": ", ".join(f"{name.lower().replace('_', ' ')} {value}" for name, value in job.items() if value),
    }
    return {name: text for name, text in lines.items() if text}


def _git_text(git: GitState) -> str:
    what = {True: "with changes", False: "", None: "perhaps with changes"}[git.dirty]
    pieces = [git.commit[:12] if git.commit else "no commit yet", f"on {git.branch}" if git.branch else "", what]
    return " ".join(filter(None, [*pieces, f"({git.remote})" if git.remote else ""]))


def _gpus(names: Sequence[str]) -> str:
    counts = {name: names.count(name) for name in names}
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items())


def short_form(origin: Origin) -> dict[str, Any]:
    """What means something on another machine: without packages and paths."""
    git = origin.git
    fields = {
        "command": shlex.join(origin.command),
        "git": {"commit": git.commit, "branch": git.branch, "dirty": git.dirty, "remote": git.remote} if git else None,
        "python": origin.python,
        "torch": origin.torch,
        "cuda": origin.cuda,
        "gpus": list(origin.gpus),
        "world_size": origin.world_size,
        "slurm": dict(origin.slurm),
    }
    return {name: value for name, value in fields.items() if value}
