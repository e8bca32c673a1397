"""Runs of W&B from its files: directories of one id joined to one run, each metric at its own step."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from neurockt.importing.points import Found, Integers, Points, Process
from neurockt.importing.wandb_file import WandbFile, read_wandb
from neurockt.monitor.context.secrets import mask_arguments, mask_text
from neurockt.run_info import State
from neurockt.store.base import files
from neurockt.store.base.origin import GitState, Origin

INTERRUPTED = 255
"""The exit code after Ctrl-C."""


def find_runs(files: Iterable[Path]) -> list[Found]:
    """A run for each id in these files; its files, in the order of their beginning, are its processes."""
    by_id: dict[str, list[WandbFile]] = defaultdict(list)
    failed: list[Found] = []
    for path in files:
        try:
            read = read_wandb(path)
        except OSError as error:
            remark = f"cannot read {path}: {error.strerror}"
            failed.append(Found("wandb", path, [path], damaged=True, remarks=[remark]))
            continue
        by_id[read.id or _id_in_name(path)].append(read)
    return [_run(run_id, group) for run_id, group in by_id.items()] + failed


def _without_copies(group: list[WandbFile]) -> list[WandbFile]:
    """The files without those whose rows are the first of another's: `latest-run` may be a copy, not a link."""
    kept: list[WandbFile] = []
    for read in sorted(group, key=lambda read: (len(read.times), read.exit_code is not None), reverse=True):
        rows = len(read.times)
        if not rows or all(each.times[:rows] != read.times or each.steps[:rows] != read.steps for each in kept):
            kept.append(read)
    return kept


def _id_in_name(path: Path) -> str:
    """The id in `run-ID.wandb`: files that end before their first record have no other."""
    return path.stem.removeprefix("run-")


def _began(read: WandbFile) -> float:
    first = read.times[0] if read.times else math.nan
    return read.started if read.started == read.started else first if first == first else math.inf


def _run(run_id: str, copies: list[WandbFile]) -> Found:
    group = sorted(_without_copies(copies), key=_began)
    last = next((read for read in reversed(group) if read.id), group[-1])  # not one that ended before its first record
    found = Found("wandb", last.path.parent, [read.path for read in copies], id=run_id)
    logged = {name for read in group for name in read.columns}
    summary: dict[str, float] = {}
    for read in group:
        found.name = read.name or found.name
        found.project, found.group = read.project or found.project, read.group or found.group
        found.notes, found.tags = read.notes or found.notes, read.tags or found.tags
        found.config.update(read.config)
        read.environment = read.environment or _metadata(read.path.parent / "files" / "wandb-metadata.json")
        if read.environment:
            found.origin = _origin(read)
        found.left_out.update(read.left_out)
        if read.lost:
            found.damaged = True
            found.remarks.append(f"{read.path} is damaged in {read.lost:,} places; what can be read is imported")
        found.processes.append(_process(read, found))
        summary.update({name: value for name, value in read.summary.items() if name not in logged})
        if found.processes[-1].points or read is group[-1]:
            _add_at_end(found.processes, summary)
            summary.clear()
    found.state, found.cause = _state(last.exit_code)
    return found


def _metadata(path: Path) -> dict[str, Any]:
    """What older versions wrote beside the file, by the names of Origin."""
    try:
        document = files.read_json(path)
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict):
        return {}
    names = {"os": "system", "python": "python", "root": "directory", "host": "host", "executable": "executable"}
    found: dict[str, Any] = {
        names[key]: value for key, value in document.items() if key in names and isinstance(value, str)
    }
    arguments = document.get("args")
    command = [document.get("program"), *(arguments if isinstance(arguments, list) else ())]
    found["command"] = tuple(word for word in command if isinstance(word, str))
    if isinstance(git := document.get("git"), dict):
        texts = {key: value for key, value in git.items() if isinstance(value, str)}
        found["git"] = GitState(commit=texts.get("commit"), remote=texts.get("remote"))
    return found


def _origin(read: WandbFile) -> Origin:
    """Where it ran; secrets in its command line and address are masked."""
    known = dict(read.environment)
    if "command" in known:
        known["command"] = tuple(mask_arguments(known["command"]))
    if isinstance(git := known.get("git"), GitState) and git.remote:
        known["git"] = replace(git, remote=mask_text(git.remote))
    return Origin(**{"host": read.host, **known})


def _state(exit_code: int | None) -> tuple[State, str | None]:
    if exit_code is None:
        return "killed", None
    if exit_code == 0:
        return "finished", None
    return "failed", "KeyboardInterrupt" if exit_code == INTERRUPTED else f"exit code {exit_code}"


def _process(read: WandbFile, found: Found) -> Process:
    """The points of a file, each metric at its own step where it has one, else at that of W&B."""
    own, times = np.array(read.steps, np.int64), np.array(read.times, float)
    points = {}
    for name, (rows, values) in read.columns.items():
        at = np.array(rows, np.int64)
        steps = own[at]
        step_metric = _step_metric(name, read.step_metrics)
        if step_metric in read.columns:
            by_metric = _steps_by(read.columns[step_metric], at, steps)
            if len(at) == 1 or by_metric.any():  # a step that stays 0 would leave the last value alone
                steps = by_metric
            if step_metric == "epoch":
                found.by_epoch |= {name}
        points[name] = Points(steps, times[at], np.array(values, float), at)
    return Process(points, read.host, config=read.config, end=_state(read.exit_code))


def _add_at_end(processes: Sequence[Process], summary: Mapping[str, float]) -> None:
    """Add values that have no step, at the last step of the last process that has any; at 0 where none has."""
    process = next((each for each in reversed(processes) if each.points), processes[-1])
    ends = [
        (points.steps.max(), np.fmax.reduce(points.times), points.order.max()) for points in process.points.values()
    ]
    step, time, order = map(max, zip(*ends, strict=True)) if ends else (0, math.nan, 0)
    for name, value in summary.items():
        process.points[name] = Points(np.array([step]), np.array([time]), np.array([value]), np.array([order]))


def _step_metric(name: str, step_metrics: Mapping[str, str]) -> str:
    """The metric that is the step of another; empty where it has none of its own."""
    found = step_metrics.get(name) or next(
        (metric for pattern, metric in step_metrics.items() if "*" in pattern and fnmatchcase(name, pattern)), ""
    )
    return found if found not in ("_step", name) else ""


def _steps_by(column: tuple[list[int], list[float]], at: Integers, steps: Integers) -> Integers:
    """The steps of the rows ``at``: the values of a column where they are whole numbers, else ``steps``."""
    rows, values = np.array(column[0], np.int64), np.array(column[1], float)
    places = np.minimum(np.searchsorted(rows, at), len(rows) - 1)
    found = values[places]
    is_whole = (rows[places] == at) & (np.abs(found) < 2**53) & (np.floor(found) == found)
    return np.where(is_whole, np.where(is_whole, found, 0).astype(np.int64), steps)
