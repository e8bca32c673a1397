"""Import what is found at some paths into a directory of runs; what has not changed since then is left alone."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from neurockt import __version__
from neurockt.errors import NeurocktError, UsageError
from neurockt.importing.discover import PARTS, Sources, find_sources
from neurockt.importing.staging import alone, fingerprints, recover
from neurockt.run_info import Attempt as AttemptInfo
from neurockt.run_info import RunInfo
from neurockt.store.base.json_values import plain
from neurockt.store.base.run_file import now, read_info

if TYPE_CHECKING:
    from neurockt.importing.points import Found, Process
    from neurockt.importing.series import Attempt

LIVE_SECONDS: Final = 300.0
"""Files that were changed within this time may still be written: torch flushes every two minutes."""
ID_LIMIT: Final = 100
_Before = dict[Any, tuple[dict[str, object], list["RunInfo"]]]
_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Options:
    """What the user asks for."""

    format: str | None = None
    project: str | None = None
    step: str | None = None
    """The column of a table that numbers its rows."""
    validations: tuple[str, ...] = ()
    """Patterns of the metrics that are validations; none: they are known by their names."""
    again: bool = False
    """Convert also what has not changed."""
    dry: bool = False
    """Write nothing."""
    live: bool = False
    """Files that have just been changed may still be written: their runs are running, and lack their last step."""


@dataclass
class Outcome:
    """What became of one run."""

    id: str
    format: str
    path: Path
    done: str
    """*imported*, *grown*, *replaced*, *unchanged* or *left out*; in a dry run also *new*."""
    values: int = 0
    steps: int = 0
    epochs: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    damaged: bool = False


@dataclass
class _Unit:
    """Files that have to be read together."""

    files: list[Path]
    format: str
    directories: dict[Path, list[Path]] = field(default_factory=dict)
    """Where the run is in several files: where they are."""

    @property
    def size(self) -> int:
        total = 0
        for file in self.files:
            with suppress(OSError):
                total += file.stat().st_size
        return total


class Importer:
    """Imports to one directory of runs, perhaps repeatedly."""

    def __init__(self, paths: Sequence[Path], root: Path, options: Options) -> None:
        self._paths = [Path(os.path.abspath(path)) for path in paths]  # noqa: PTH100  (keeps links as they are)
        self._root = root
        self._options = options
        self.sources = Sources()

    def find(self) -> int:
        """Find what there is to import, which ``run`` then does; how many bytes it has.

        Raises:
            UsageError: a path does not exist, or nothing that can be imported is there.
        """
        self.sources = find_sources(self._paths, self._options.format)
        if not self.sources and not self.sources.faults:
            named = ", ".join(str(path) for path in self._paths)
            raise UsageError(f"nothing to import in {named}; --from FORMAT takes a file as what you say it is")
        return sum(unit.size for unit in self._units())

    def run(
        self, progress: Callable[[int], object] = lambda size: None, waits: Callable[[], object] = lambda: None
    ) -> Iterator[Outcome]:
        """Import what has been found.

        Args:
            progress: called with the bytes of each piece that is done.
            waits: called if another import writes to the directory of runs: this one begins when that has ended.
        """
        with nullcontext() if self._options.dry else alone(self._root, waits):
            if not self._options.dry:
                recover(self._root)
            known = _imported(self._root)
            before = _by_file(known)
            for unit in self._units():
                yield from self._import(unit, known, before)
                progress(unit.size)

    def _units(self) -> Iterator[_Unit]:
        sources = self.sources
        for group in _related(sources.events):
            yield _Unit([file for paths in group.values() for file in paths], "tensorboard", group)
        by_id: dict[str, list[Path]] = defaultdict(list)
        for path in sources.wandb:
            by_id[path.stem].append(path)
        for paths in by_id.values():
            yield _Unit(paths, "wandb")
        for directory, paths in sources.dvclive.items():
            yield _Unit(paths, "dvclive", {directory: paths})
        for kind, path in sources.files:
            yield _Unit([path], kind)

    def _import(self, unit: _Unit, known: dict[str, list[RunInfo]], before: _Before) -> Iterator[Outcome]:
        try:
            marks = fingerprints(unit.files)
            runs = _unchanged(marks, before)
            if runs is not None and not self._options.again:
                for info in runs:
                    yield _outcome(info, "unchanged")
                return
            for found in self._read(unit):
                yield from self._write(found, known)
        except OSError as error:
            remark = f"cannot read {error.filename or unit.files[0]}: {error.strerror}"
            yield Outcome("", "", unit.files[0], "left out", remarks=[remark], damaged=True)
        except NeurocktError as error:
            if isinstance(error, UsageError) and len(self._paths) == 1 and self._paths[0] == unit.files[0]:
                raise
            yield Outcome("", "", unit.files[0], "left out", remarks=[str(error)], damaged=True)
        except Exception as error:  # whatever is in a foreign file, the others are imported
            remark = f"cannot read {unit.files[0]}: {type(error).__name__}: {error}"
            yield Outcome("", "", unit.files[0], "left out", remarks=[remark], damaged=True)

    def _read(self, unit: _Unit) -> list[Found]:
        # loaded where there is something to read: what has not changed takes a fraction of a second
        from neurockt.importing import tables, tensorboard, wandb

        if unit.format == "tensorboard":
            return tensorboard.find_runs(unit.directories)
        if unit.format == "wandb":
            return wandb.find_runs(unit.files)
        if unit.format == "dvclive":
            return [tables.read_dvclive(directory, paths) for directory, paths in unit.directories.items()]
        return [tables.read_table(unit.files[0], unit.format, self._options.step)]

    def _write(self, found: Found, known: dict[str, list[RunInfo]]) -> Iterator[Outcome]:
        from neurockt.importing.series import IsValidation, runs_of
        from neurockt.importing.writer import write_run

        marks = fingerprints(found.files)
        changed = max((path.stat().st_mtime for path in found.files), default=0.0)
        live = self._options.live and time.time() - changed < LIVE_SECONDS and found.format != "wandb"
        if live and found.processes:
            _hold_back(found.processes[-1])
        runs = runs_of(found, IsValidation(self._options.validations), changed)
        if not runs:
            remarks = [*found.remarks, "" if found.damaged else "no metrics, left out"]
            name = self._id(found)
            yield Outcome(
                name, found.format, found.path, "left out", 0, 0, 0, dict(found.left_out), remarks, found.damaged
            )
        for index, attempts in enumerate(runs, 1):
            source = str(found.path) if index == 1 else f"{found.path}#{index}"
            is_last = index == len(runs)
            own = found if len(runs) == 1 else _of_run(found, attempts, is_last)
            info = self._describe(own, attempts, source, index, marks, known)
            if live and is_last and found.state != "failed":
                info = replace(info, state="running")
            outcome = _outcome(info, "new", attempts)
            if index == 1:
                outcome.left_out, outcome.remarks, outcome.damaged = dict(found.left_out), found.remarks, found.damaged
            if not self._options.dry:
                try:
                    self._root.mkdir(parents=True, exist_ok=True)
                    outcome.done = write_run(self._root, info, attempts, found.origin, dated=found.dated)
                except OSError as error:
                    raise NeurocktError(f"cannot write {info.path}: {error.strerror}") from None
            yield outcome

    def _describe(
        self,
        found: Found,
        attempts: Sequence[Attempt],
        source: str,
        index: int,
        marks: list[dict[str, object]],
        known: dict[str, list[RunInfo]],
    ) -> RunInfo:
        run_id = self._free_id(found, source, index, known)
        name = found.name or self._label(found)
        imported = {
            "format": found.format,
            "source": source,
            "files": marks,
            "when": now().isoformat(),
            "values": sum(attempt.values for attempt in attempts),
            "left_out": dict(found.left_out),
            "by": f"neurockt {__version__}",
        }
        cause = AttemptInfo(1, "", 0, "", now(), cause=found.cause) if found.cause else None
        return RunInfo(
            self._root / run_id,
            run_id,
            now(),
            name=name if index == 1 else f"{name}-{index}",
            project=self._options.project or found.project,
            group=found.group,
            tags=found.tags,
            notes=found.notes,
            config=plain(found.config),
            state=found.state,
            attempts=(cause,) if cause else (),
            imported=imported,
        )

    def _label(self, found: Found) -> str:
        """The path of a run, from the path on that the user has named."""
        for path in self._paths:
            if found.path == path or path in found.path.parents:
                return str(found.path.relative_to(path.parent)) if path.name else str(found.path)
        return found.path.name

    def _id(self, found: Found) -> str:
        named = found.id or self._label(found).replace(os.sep, "-")
        clean = _NOT_IN_ID.sub("-", named).strip("-._")
        return clean[-ID_LIMIT:].lstrip("-._") or "run"  # the end of a path tells more than its beginning

    def _free_id(self, found: Found, source: str, index: int, known: dict[str, list[RunInfo]]) -> str:
        """The id that the run has from an earlier import; else one that no other run has."""
        for info in known.get(source, ()):
            return info.id
        wanted = self._id(found) + (f"-{index}" if index > 1 else "")
        if not os.path.lexists(self._root / wanted):
            return wanted
        return f"{wanted}-{hashlib.sha256(source.encode('utf-8', 'surrogateescape')).hexdigest()[:6]}"


def _of_run(found: Found, attempts: Sequence[Attempt], is_last: bool) -> Found:
    """``found`` with the settings and the end of the processes of one of its runs."""
    config = {key: value for each in attempts for key, value in each.process.config.items()}
    end = None if is_last else attempts[-1].process.end
    state, cause = end or (found.state, found.cause)
    return dataclasses.replace(found, config=config or found.config, state=state, cause=cause)


def _hold_back(process: Process) -> None:
    """Leave out the last step of what is still written: other metrics of that step may follow."""
    last = max((int(points.steps.max()) for points in process.points.values()), default=0)
    before = {name: points.select(points.steps < last) for name, points in process.points.items()}
    before = {name: points for name, points in before.items() if len(points.steps)}
    process.points = before or process.points


def _imported(root: Path) -> dict[str, list[RunInfo]]:
    """The runs of earlier imports by their source."""
    found: dict[str, list[RunInfo]] = defaultdict(list)
    with suppress(OSError):
        for entry in sorted(root.iterdir()):
            with suppress(NeurocktError):
                info = read_info(entry)
                if info.imported and isinstance(source := info.imported.get("source"), str):
                    found[source].append(info)
    return found


def _by_file(known: dict[str, list[RunInfo]]) -> _Before:
    """The files that runs were imported from: the fingerprint of each, and its runs."""
    found: _Before = {}
    for info in (info for runs in known.values() for info in runs):
        files = (info.imported or {}).get("files")
        for mark in files if isinstance(files, list) else ():
            if isinstance(mark, dict) and info.state != "running":
                found.setdefault(mark.get("path"), (mark, []))[1].append(info)
    return found


def _unchanged(marks: Iterable[dict[str, object]], before: _Before) -> list[RunInfo] | None:
    """The runs that were imported from these files as they are; None where there are none, or a file has changed."""
    found: dict[str, RunInfo] = {}
    for mark in marks:
        earlier = before.get(mark["path"])
        if earlier is None or earlier[0] != mark:
            return None
        found.update({info.id: info for info in earlier[1]})
    return list(found.values()) or None


def _related(directories: dict[Path, list[Path]]) -> Iterator[dict[Path, list[Path]]]:
    """Directories of event files that may be parts of one run: those with the same parent, and that with it."""
    groups: dict[Path, dict[Path, list[Path]]] = defaultdict(dict)
    for path in sorted(directories):
        is_inside = path.parent in directories or path.name.lower() in PARTS
        groups[path.parent if is_inside and path.parent.parent not in groups else path][path] = directories[path]
    yield from groups.values()


def _outcome(info: RunInfo, done: str, attempts: Sequence[Attempt] = ()) -> Outcome:
    imported = info.imported or {}
    if attempts:
        steps, epochs = (
            sum(len(rows) for rows in each) for each in zip(*((a.steps, a.epochs) for a in attempts), strict=True)
        )
    else:
        steps, epochs = info.steps.rows, info.epochs.rows
    path = Path(str(imported.get("source", info.path)))
    values = imported.get("values")
    return Outcome(
        info.id, str(imported.get("format", "")), path, done, values if isinstance(values, int) else 0, steps, epochs
    )
