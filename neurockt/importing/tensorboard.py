"""Runs of TensorBoard: which directories of event files are one run, and what it is called."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from neurockt.importing import hparams
from neurockt.importing.discover import PARTS
from neurockt.importing.points import Found, Process, joined
from neurockt.importing.summaries import config_in
from neurockt.importing.tfevents import Events, read_events

_NAME: Final = re.compile(r"tfevents\.(?P<at>\d+)\.(?P<host>.*?)(?:\.(?P<pid>\d+)\.(?P<index>\d+))?(?:\.v2)?$")
_KERAS_EPOCH: Final = re.compile(r"epoch_(?!.*_vs_iterations$)")


class EventDirectory:
    """The event files of one directory, read."""

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.files = sorted(files, key=_written)
        self.processes: dict[tuple[str, int, int], Process] = {}
        """By host, process, and the number of its restarts before."""
        self.events: dict[tuple[str, int], Events] = {}
        self.remarks: list[str] = []
        self.damaged = False
        self.torn = False
        plugins: dict[str, str] = {}
        for file in self.files:
            self._read(file, plugins)
        for key, events in self.events.items():
            for number, process in enumerate(_split_at_restarts(events, *key)):
                self.processes[(*key, number)] = process

    def _read(self, file: Path, plugins: dict[str, str]) -> None:
        key = _process(file)
        if key not in self.events:
            self.events[key] = Events(plugins=plugins)
        events = self.events[key]
        lost = events.lost
        try:
            if file.stat().st_size == 0:
                return
            read_events(file, events)
        except OSError as error:
            self._complain(f"cannot read {file}: {error.strerror}")
            return
        self.torn = events.torn
        if events.lost > lost:
            self._complain(f"{file} is damaged: {events.lost - lost:,} records cannot be read")

    def _complain(self, remark: str) -> None:
        self.remarks.append(remark)
        self.damaged = True

    @property
    def is_config(self) -> bool:
        """Whether `add_hparams` made it: it is named by a time, and has the hyperparameters of its parent."""
        return _is_float(self.path.name) and any(events.hparams for events in self.events.values())

    def column_part(self, parent: EventDirectory) -> str | None:
        """What `add_scalars` of the parent's process added to the tag to name this directory; None for all others."""
        tags = {tag for process in self.processes.values() for tag in process.points}
        if len(tags) != 1 or not self.processes.keys() <= parent.processes.keys():
            return None
        (tag,) = tags
        prefix = tag.replace("/", "_") + "_"
        return self.path.name.removeprefix(prefix) if self.path.name.startswith(prefix) else None


def _split_at_restarts(events: Events, host: str, pid: int) -> list[Process]:
    """What a process wrote, split where it says that it was restarted."""
    points = events.collector.points()
    firsts = [(0, None), *sorted(events.starts), (events.records + 1, None)]
    found: list[Process] = []
    for (begin, step), (end, _) in pairwise(firsts):
        inside = {name: each.select((each.order >= begin) & (each.order < end)) for name, each in points.items()}
        inside = {name: each for name, each in inside.items() if len(each.order)}
        if inside or not found:
            found.append(Process(inside, host, max(0, pid), step))
    return [process for process in found if process.points] or found


def find_runs(directories: dict[Path, list[Path]]) -> list[Found]:
    """The runs in directories of event files, which are given with their files."""
    read = {path: EventDirectory(path, files) for path, files in sorted(directories.items())}
    siblings: dict[Path, list[EventDirectory]] = defaultdict(list)
    parts: dict[Path, list[EventDirectory]] = defaultdict(list)
    for path, directory in read.items():
        parent = read.get(path.parent)
        if parent is None and path.name.lower() in PARTS:
            siblings[path.parent].append(directory)
        elif parent is not None and _belongs(directory, parent) and not _is_part(parent, read):
            parts[path.parent].append(directory)
    taken = {each.path for group in parts.values() for each in group}
    runs = []
    for parent_path, group in siblings.items():
        if len(group) > 1:
            taken.update(each.path for each in group)
            runs.append(_joined(parent_path, group))
    return runs + [_run(each, parts[path]) for path, each in read.items() if path not in taken]


def _is_part(directory: EventDirectory, read: dict[Path, EventDirectory]) -> bool:
    parent = read.get(directory.path.parent)
    return parent is not None and _belongs(directory, parent)


def _belongs(directory: EventDirectory, parent: EventDirectory) -> bool:
    return directory.is_config or directory.column_part(parent) is not None


def _run(directory: EventDirectory, parts: Sequence[EventDirectory]) -> Found:
    """The run of a directory, with those in it that are parts of it."""
    found = _found(directory.path, [directory, *parts])
    processes = dict(directory.processes)
    for part in parts:
        suffix = part.column_part(directory)
        for key, process in part.processes.items():
            points = process.points
            if suffix is not None:
                points = {f"{tag}/{suffix}": each for tag, each in points.items()}
            into = processes.get(key)
            if into is None:
                processes[key] = Process(dict(points), process.host, process.pid)
            else:
                into.points = joined(into.points, points)
    found.processes = list(processes.values())
    return found


def _joined(parent: Path, siblings: Iterable[EventDirectory]) -> Found:
    """One run of directories such as `train` and `validation`; a tag that does not name its directory gets its name."""
    siblings = list(siblings)
    found = _found(parent, siblings)
    by_process: dict[tuple[str, int, int], Process] = {}
    for directory in siblings:
        for key, process in directory.processes.items():
            points = {_with_part(directory.path.name, tag): each for tag, each in process.points.items()}
            into = by_process.setdefault(key, Process({}, process.host, process.pid, process.first_step))
            into.points = joined(into.points, points)
    found.processes = list(by_process.values())
    tags = (tag for process in found.processes for tag in process.points)
    found.by_epoch = frozenset(tag for tag in tags if _KERAS_EPOCH.match(tag.rpartition("/")[2]))
    return found


def _with_part(name: str, tag: str) -> str:
    return tag if tag.lower().startswith((f"{name.lower()}/", f"{name.lower()}_")) else f"{name}/{tag}"


def _found(path: Path, directories: Sequence[EventDirectory]) -> Found:
    """What describes the run of these directories."""
    found = Found("tensorboard", path, [file for directory in directories for file in directory.files])
    plugin: dict[str, object] = {}
    for directory in directories:
        found.remarks += directory.remarks
        found.damaged |= directory.damaged
        for events in directory.events.values():
            found.left_out.update(events.left_out)
            plugin.update(events.hparams)
            for prefix, config in config_in(events.texts).items():
                plugin.setdefault(prefix, config)
    if directories[0].torn:
        found.state = "killed"
    files, remarks = hparams.read(path)
    found.remarks += remarks
    found.config = {**plugin, **files}
    for process in (process for directory in directories for process in directory.processes.values()):
        dummy = process.points.get("hp_metric")
        if dummy is not None and (dummy.values == -1.0).all() and not dummy.steps.any():
            del process.points["hp_metric"]
    return found


def _process(file: Path) -> tuple[str, int]:
    """Host and process that wrote a file, by its name; one of its own where the name has no process."""
    match = _NAME.search(file.name)
    if match is None:
        return "", -1 - int.from_bytes(file.name.encode("utf-8", "surrogateescape")[-6:], "big")
    if match["pid"] is None:
        return match["host"], -1 - int(match["at"])
    return match["host"], int(match["pid"])


def _written(file: Path) -> tuple[int, int, str]:
    match = _NAME.search(file.name)
    return (int(match["at"]), int(match["index"] or 0), file.name) if match else (0, 0, file.name)


def _is_float(name: str) -> bool:
    try:
        return math.isfinite(float(name)) and "." in name
    except ValueError:
        return False
