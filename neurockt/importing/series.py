"""Points of metrics as rows: merged by step, split into training and validation, restarts made attempts.

Nothing is renumbered: users compare steps with checkpoints and with the tool they come from.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from neurockt.formatting import listed
from neurockt.importing.points import Floats, Found, Integers, Points, Process, joined
from neurockt.store.base.layout import AXES, KEY, TableName
from neurockt.store.journal.records import LARGEST_STEP

if TYPE_CHECKING:
    import pyarrow as pa

MOST_VALIDATIONS: Final = 10_000
"""A metric with values at more steps than this is one of training, whatever its name."""
RESTART_LIMIT: Final = 0.9
"""A process that begins so early that it would replace this share of the rows is a run of its own."""
NAME_LIMIT: Final = 200
NAMED: Final = 3
"""How many metrics a remark names."""
_VALIDATION: Final = re.compile(r"(?:^|[/_.\- ])(?:val|valid|validation|eval|test|dev)(?:$|[/_.\- ])", re.IGNORECASE)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass
class Rows:
    """The rows of a table, sparse: each metric has values at some of the numbers."""

    table: TableName
    numbers: Integers
    other: Integers
    """The other index: the epoch in `steps`, the step in `epochs`."""
    times: Floats
    """Seconds since 1970."""
    metrics: dict[str, tuple[Integers, Floats]]
    """For each metric the positions of the rows that have a value, rising, and the values."""

    def __len__(self) -> int:
        return len(self.numbers)

    def chunks(self, rows: int) -> Iterator[pa.Table]:
        """As tables of at most so many rows. Memory stays that of one."""
        import pyarrow as pa

        from neurockt.store.tables import arrays, parts

        key = KEY[self.table]
        schema = parts.table_schema(self.metrics, key)
        for begin in range(0, len(self), rows):
            end = min(len(self), begin + rows)
            indices = {key: self.numbers, ("epoch" if key == "step" else "step"): self.other}
            micros = np.round(self.times[begin:end] * 1e6).astype(np.int64)
            axes = [micros if name == "time" else np.ascontiguousarray(indices[name][begin:end]) for name in AXES]
            columns = [arrays.to_array(axis, schema.field(index).type) for index, axis in enumerate(axes)]
            for places, values in self.metrics.values():
                first, last = np.searchsorted(places, [begin, end])
                if last - first == end - begin:
                    columns.append(arrays.to_array(np.ascontiguousarray(values[first:last]), pa.float64()))
                    continue
                filled, missing = np.zeros(end - begin), np.ones(end - begin, np.bool_)
                filled[places[first:last] - begin] = values[first:last]
                missing[places[first:last] - begin] = False
                columns.append(arrays.to_array(filled, pa.float64(), missing))
            yield pa.Table.from_arrays(columns, schema=schema)


@dataclass
class Attempt:
    """What one process recorded, after the rows of those before it that it did not replace."""

    process: Process
    first_step: int
    """Rows from here on that earlier processes wrote are superseded."""
    steps: Rows
    epochs: Rows
    kept_epochs: int
    """Number of the last row of `epochs` that stays of the earlier attempts."""

    @property
    def values(self) -> int:
        """How many numbers its rows hold."""
        return sum(len(values) for rows in (self.steps, self.epochs) for _, values in rows.metrics.values())

    @property
    def began(self) -> datetime:
        return moment(float(min(rows.times.min() for rows in (self.steps, self.epochs) if len(rows))))

    @property
    def ended(self) -> datetime:
        return moment(float(max(rows.times.max() for rows in (self.steps, self.epochs) if len(rows))))


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, 0.0), 2.5e11), timezone.utc)


@dataclass
class _Part:
    """What a process adds to a run."""

    process: Process
    points: dict[str, Points]
    first: int


def runs_of(found: Found, is_validation: IsValidation, file_time: float) -> list[list[Attempt]]:
    """The runs that the processes of one place make, each a list of attempts.

    A process that begins before the end of the last run is its next attempt, and supersedes what it has from there on.
    One that would supersede nearly all of it begins another run.

    Args:
        file_time: the time of rows that have none, in seconds since 1970.
    """
    runs: list[list[_Part]] = []
    kept = np.zeros(0, np.int64)
    for process in _merge_parallel(found.processes):
        points = _cleaned(process.points, found)
        if not points:
            continue
        first = _first_step(process, runs[-1] if runs else [])
        if not runs or (kept >= first).sum() >= RESTART_LIMIT * len(kept):
            runs.append([])
            kept = kept[:0]
        elif early := _between(points, 0, first):
            before = runs[-1][-1]  # values of steps that stay go with these steps
            before.points = _cleaned(joined(before.points, early), found)
            points = _between(points, first, LARGEST_STEP + 1)
        runs[-1].append(_Part(process, points, first))
        steps = [each.steps for each in points.values()]
        kept = _union([kept[kept < first], *steps])
    return [_attempts(parts, is_validation, file_time, found.by_epoch) for parts in runs]


def _first_step(process: Process, before: Sequence[_Part]) -> int:
    """Where a process begins: where it says so, or the earliest first step of the metrics that there were before it."""
    if process.first_step is not None:
        return process.first_step
    known = {name for part in before for name in part.process.points}
    firsts = {name: int(points.steps[0]) for name, points in process.points.items()}
    return max(0, min((first for name, first in firsts.items() if name in known), default=min(firsts.values())))


def _between(points: Mapping[str, Points], begin: int, end: int) -> dict[str, Points]:
    """The points at steps from ``begin`` and below ``end``."""
    found = {}
    for name, each in points.items():
        inside = (each.steps >= begin) & (each.steps < end)
        if inside.any():
            found[name] = each.select(inside)
    return found


def _attempts(
    parts: Sequence[_Part], is_validation: IsValidation, file_time: float, by_epoch: Container[str]
) -> list[Attempt]:
    attempts: list[Attempt] = []
    epochs = np.zeros((2, 0), np.int64)
    counted = [points.steps[0] for part in parts for name, points in part.points.items() if name in by_epoch]
    shift = int(bool(counted) and min(counted) == 0)  # epochs are counted from 1
    for part in parts:
        epochs = epochs[:, epochs[1] < part.first + shift]
        kept = int(epochs[0, -1]) if epochs.shape[1] else 0
        attempt = _attempt(part, kept, is_validation, file_time, by_epoch, shift)
        attempts.append(attempt)
        epochs = np.append(epochs, [attempt.epochs.numbers, attempt.epochs.other], axis=1)
    return [attempt for attempt in attempts if len(attempt.steps) or len(attempt.epochs)]


class IsValidation:
    """Which metrics are validations: by the words of their names, or by patterns that the user gives."""

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = tuple(patterns)

    def __call__(self, name: str) -> bool:
        if self._patterns:
            return any(fnmatchcase(name, pattern) for pattern in self._patterns)
        return _VALIDATION.search(name) is not None


def _cleaned(points: Mapping[str, Points], found: Found) -> dict[str, Points]:
    """The points by names that columns can have, at steps that rows can have, one for each step."""
    cleaned: dict[str, Points] = {}
    counts: Counter[str] = Counter()
    without: list[str] = []
    for name, each in points.items():
        sound = (each.steps >= 0) & (each.steps <= LARGEST_STEP)
        if not sound.all():
            counts["values at steps below 0 or above 2^62"] += int((~sound).sum())
            each = each.select(sound)
        if len(each.steps) > 1 and (each.steps == each.steps[0]).all() and each.steps[0] == 0:
            without.append(name)
            each = each._replace(steps=np.arange(1, len(each.steps) + 1))
        each = each.select(np.argsort(each.steps, kind="stable"))
        is_last = np.append(each.steps[1:] != each.steps[:-1], True) if len(each.steps) else np.zeros(0, np.bool_)
        if not is_last.all():
            differs = ~np.isclose(each.values[:-1], each.values[1:], rtol=0, atol=0, equal_nan=True)
            counts["values that a later one of the same step replaces"] += int((~is_last[:-1] & differs).sum())
            each = each.select(is_last)
        if len(each.steps) and not _is_axis(name, each):
            cleaned[column_name(name, cleaned)] = each
    if without:
        found.remarks.append(f"all values of {listed(without, NAMED)} are at step 0; they are numbered from 1")
    found.left_out.update(+counts)
    return cleaned


def _is_axis(name: str, points: Points) -> bool:
    """Whether a metric repeats the step of its rows."""
    return name == "step" and bool((points.values == points.steps).all())


def column_name(name: str, taken: Iterable[str]) -> str:
    """A name that a column can have, and that none has yet: control characters are blanks, a long name is cut."""
    import hashlib

    clean = _CONTROL.sub(" ", name).strip() or "unnamed"
    if len(clean) > NAME_LIMIT:
        clean = f"{clean[: NAME_LIMIT - 9]}~{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    if clean in (*AXES, *KEY.values(), "rank"):
        clean += "_"
    while clean in taken:
        clean += "'"
    return clean


def _attempt(
    part: _Part, kept_epochs: int, is_validation: IsValidation, file_time: float, by_epoch: Container[str], shift: int
) -> Attempt:
    is_by_epoch = any(name in by_epoch for name in part.points)
    validations = {
        name: points
        for name, points in part.points.items()
        if (name in by_epoch if is_by_epoch else is_validation(name) and len(points.steps) <= MOST_VALIDATIONS)
    }
    training = {name: points for name, points in part.points.items() if name not in validations}
    at, times, orders, metrics = _merged(validations, file_time)
    numbers = kept_epochs + 1 + np.arange(len(at))
    if is_by_epoch:
        numbers = at = at + shift
    epochs = Rows("epochs", numbers, at, times, metrics)
    steps, step_times, step_orders, step_metrics = _merged(training, file_time)
    epoch = kept_epochs + 1 + np.searchsorted(np.maximum.accumulate(orders), step_orders)
    rows = Rows("steps", steps, np.maximum.accumulate(epoch), step_times, step_metrics)
    _drop_epochs(rows)
    return Attempt(part.process, part.first, rows, epochs, kept_epochs)


def _drop_epochs(rows: Rows) -> None:
    """Drop a metric `epoch` that repeats the epoch of its rows, counted from 1 or from 0."""
    if (found := rows.metrics.get("epoch_")) is not None:
        places, values = found
        difference = rows.other[places] - values
        if len(values) and (difference == difference[0]).all() and difference[0] in (0, 1):
            del rows.metrics["epoch_"]


def _union(arrays: Sequence[Integers]) -> Integers:
    """All numbers of rising arrays, once each. Most metrics are at the same steps as the one before them."""
    none: Integers = np.zeros(0, np.int64)
    different = [each for before, each in pairwise([none, *arrays]) if not np.array_equal(before, each)]
    if len(different) == 1:
        return different[0]
    numbers: Integers = np.sort(np.concatenate([none, *different]))
    united: Integers = numbers[np.append(True, numbers[1:] != numbers[:-1])[: len(numbers)]]
    return united


def _merged(
    points: Mapping[str, Points], file_time: float
) -> tuple[Integers, Floats, Integers, dict[str, tuple[Integers, Floats]]]:
    """The steps of these metrics together, when each was written and in which order, and the places of the values."""
    steps = _union([each.steps for each in points.values()])
    times = np.full(len(steps), -np.inf)
    orders = np.full(len(steps), np.iinfo(np.int64).max)
    metrics = {}
    for name, each in points.items():
        places = np.searchsorted(steps, each.steps)
        times[places] = np.fmax(times[places], each.times)
        orders[places] = np.minimum(orders[places], each.order)
        metrics[name] = places, each.values
    times[~((times > 0) & (times < 2.5e11))] = file_time
    return steps, times, orders, metrics


def _merge_parallel(processes: Sequence[Process]) -> list[Process]:
    """Processes that wrote different metrics are one: they wrote beside each other."""
    merged: list[Process] = []
    for process in processes:
        beside = next((each for each in merged if not each.points.keys() & process.points.keys()), None)
        if beside is None or process.first_step is not None:
            merged.append(process)
        else:
            beside.points = joined(beside.points, process.points)
            beside.config = {**beside.config, **process.config}
    return merged
