"""A run's rows in the one order in which W&B gets them, as lines of its history.

The order depends on the rows alone: the training steps of an epoch, then its validation, then the next epoch. Rows are
only added at its end, so a line keeps its position, and the lines of a live run are always a beginning of those of the
finished run. Two processes that send the same line send the same bytes to the same position.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from neurockt.run_info import RunInfo
from neurockt.store import AXES, KEY, RANK, Run, TableName, arrays

if TYPE_CHECKING:
    import pyarrow as pa

WINDOW_ROWS: Final = 65_536
"""Rows read at a time, at most: memory does not grow with the run."""
WINDOW_VALUES: Final = 1_000_000
"""Numbers read at a time, about: a table of a thousand columns is read in smaller windows."""
BATCH_ROWS: Final = 10_000
BATCH_BYTES: Final = 4 * 2**20
"""Lines of one batch, at most; the server takes about 10 MB in one request."""
SYSTEM_LINES: Final = 5_000

LOGGED: Final[tuple[TableName, ...]] = ("steps", "epochs")
"""The tables whose rows are lines of the history."""

Metric = tuple[TableName, str]
Names = dict[TableName, dict[str, str]]
"""By table, the name in W&B of each metric."""

RESERVED: Final = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND: Final = timedelta(microseconds=1)
_MICROSECONDS: Final = 1e6
SETTLE_SECONDS: Final = 60
"""After so long, whatever a run recorded before some row can be seen where that row can."""

_AXES: Final = ("_step", "_timestamp", "_runtime", "step", "epoch")

encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A line's text: NaN and the infinities bare, as W&B's own client writes them."""


@dataclass(frozen=True)
class Place:
    """A place in the order: the number of rows before it, and the last row of each table among them."""

    rows: int = 0
    step: int = -1
    epoch: int = -1


START: Final = Place()


@dataclass(frozen=True)
class Row:
    before: Place
    after: Place
    line: str


@dataclass(frozen=True)
class Lines:
    start: int
    lines: list[str]
    last: Row


class RunRows:
    """The rows that a run has now, in their order. Rows that come later are not among them."""

    def __init__(self, run: Run, info: RunInfo, known: Place = START) -> None:
        """Count the final rows; of a run with several ranks, only those after ``known`` are read.

        While the run is not complete, a step waits for the validation before it, and a validation for the steps
        before it, so that neither is overtaken.
        """
        self._run = run
        self._complete = info.state != "running"
        self._created = _microseconds(info.created)
        self._settled = _microseconds(info.updated or info.created) - SETTLE_SECONDS * 1_000_000
        validations, begun = run.outline("epochs", final=True), run.open_rows("steps")  # before the steps, which follow
        outlines = {"steps": run.outline("steps", final=True), "epochs": validations}
        if run.ranks:  # the rows of one number are one line
            self._last = {table: run.settled(table) for table in LOGGED}
            after = {"steps": known.step, "epochs": known.epoch}
            self.total = known.rows + sum(
                count_numbers(run, table, after[table], self._last[table]) for table in LOGGED
            )
        else:
            self._last = {table: int(max(outlines[table].axes[KEY[table]][1], default=-1)) for table in LOGGED}
            self.total = sum(outline.total for outline in outlines.values())
        is_open = arrays.numbers(begun["step"]) > self._last["steps"]
        self._open_epoch = int(arrays.numbers(begun["epoch"])[is_open].min(initial=2**62))
        """The lowest epoch of a step that is not final."""
        self.names = self._name_columns([(table, name) for table in LOGGED for name in outlines[table].metrics])

    def _name_columns(self, metrics: Sequence[Metric]) -> Names:
        """Name the metrics, those that compete for a name in the order in which the rows have them first.

        More rows do not change that order, so a name that was sent stays.
        """
        first: dict[Metric, None] = {}
        rest = set(competing(metrics))
        named: Names = {table: {name: name for of, name in rest if of == table} for table in LOGGED}
        segments = self._segments(START, named)
        while any(count > 1 for count in Counter(_stem(name) for _, name in rest).values()):
            segment = next(segments, None)
            if segment is None:
                break
            first.update(dict.fromkeys(segment.window.given(segment.begin, segment.end)))
            rest -= first.keys()
        return name_columns([*first, *(metric for metric in metrics if metric not in first)])

    def after(self, place: Place, until: int | None = None) -> Iterator[Lines]:
        """The lines after a place, some at a time; up to position ``until``."""
        lines: list[str] = []
        size, start = 0, place.rows
        for segment in self._segments(place):
            window = segment.window
            for index in range(segment.begin, segment.end):
                line = window.line(index, start + len(lines))
                lines.append(line)
                size += len(line)
                if len(lines) >= BATCH_ROWS or size >= BATCH_BYTES or start + len(lines) == until:
                    last = segment.row(index, place, start + len(lines) - 1)
                    yield Lines(start, lines, last)
                    lines, size, start = [], 0, last.after.rows
                    if start == until:
                        return
            ending = segment, place
            place = segment.place_at(segment.end - 1, place, start + len(lines))
        if lines:
            segment, before = ending
            yield Lines(start, lines, segment.row(segment.end - 1, before, place.rows - 1))

    def row(self, number: int, known: Place) -> Row | None:
        """One row, from 0; None where there is none. A place known to be before it saves reading."""
        place = known if known.rows <= number else START
        for segment in self._segments(place):
            if number - place.rows < len(segment):
                return segment.row(segment.begin + number - place.rows, place, number)
            place = segment.place_at(segment.end - 1, place, place.rows + len(segment))
        return None

    def _segments(self, place: Place, named: Names | None = None) -> Iterator[_Segment]:
        """The rows after a place; with the metrics that are named alone, where some are."""
        validations = (
            _Segment(window, index, index + 1)
            for window in self._windows("epochs", place.epoch, named)
            for index in range(len(window.epochs))
        )
        validation = next(validations, None)
        for window in self._windows("steps", place.step, named):
            for begin, end in window.same_epoch():
                epoch = window.epochs[begin]
                if not self._complete and epoch - 1 > max(0, self._last["epochs"]):
                    return
                while validation is not None and validation.window.epochs[validation.begin] < epoch:
                    yield validation
                    validation = next(validations, None)
                yield _Segment(window, begin, end)
        while validation is not None and (self._complete or self._follows_its_steps(validation)):
            yield validation
            validation = next(validations, None)

    def _follows_its_steps(self, validation: _Segment) -> bool:
        """Whether all steps of its epoch are final and known: none is open, and those before it are visible."""
        window, index = validation.window, validation.begin
        is_seen = window.steps[index] <= self._last["steps"] or window.times[index] < self._settled
        return is_seen and window.epochs[index] < self._open_epoch

    def _windows(self, table: TableName, after: int, named: Names | None = None) -> Iterator[_Window]:
        names = (named or self.names)[table]
        columns = [*([RANK] if self._run.ranks else []), *AXES, *names] if named else None
        size = max(256, min(WINDOW_ROWS, WINDOW_VALUES // (len(names) + 3)))
        _, pieces = self._run.batches(table, columns, after=after, until=self._last[table], final=True)
        for piece in pieces:
            rows = mean_of_ranks(piece, KEY[table]) if self._run.ranks else piece
            for begin in range(0, len(rows), size):
                yield _Window(table, rows.slice(begin, size), names, self._created)


def count_numbers(run: Run, table: TableName, after: int, last: int) -> int:
    """How many numbers have rows, above ``after`` and up to ``last``."""
    import pyarrow.compute as pc

    _, pieces = run.batches(table, [KEY[table]], after=after, until=last, final=True)
    return sum(pc.count_distinct(piece[0]).as_py() for piece in pieces)


def mean_of_ranks(rows: pa.Table, key: str) -> pa.Table:
    """The rows of several ranks as one a number: of each metric the mean of the values there are, the first axes."""
    names = [name for name in rows.column_names if name not in (RANK, key)]
    kinds = [(f"{index}", "first" if name in AXES else "mean") for index, name in enumerate(names)]
    numbered = rows.select([*names, key]).rename_columns([*dict(kinds), key])  # Arrow would take `.x` for a path
    means = numbered.group_by(key, use_threads=False).aggregate(kinds)
    return means.select([f"{index}_{kind}" for index, kind in kinds] + [key]).rename_columns([*names, key])


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


class _Window:
    """Some rows of a table, as Python values."""

    def __init__(self, table: TableName, rows: pa.Table, names: dict[str, str], created: int) -> None:
        self.table = table
        self.steps: list[int] = arrays.numbers(rows["step"]).tolist()
        self.epochs: list[int] = arrays.numbers(rows["epoch"]).tolist()
        self.times: list[int] = arrays.numbers(rows["time"]).tolist()
        self._created = created
        metrics = [name for name in rows.column_names if name in names]
        self._names = [names[name] for name in metrics]
        columns = [arrays.values(rows[name]) for name in metrics]
        self._full = all(rows[name].null_count == 0 for name in metrics)
        self._rows: Sequence[tuple[float | None, ...]] = (
            list(zip(*columns, strict=True)) if columns else list(repeat((), len(rows)))
        )
        self._template = ""
        """A line to be filled in, where every metric has a finite value: it takes half as long as to encode JSON."""
        if self._full and all(np.isfinite(arrays.numbers(rows[name])).all() for name in metrics):
            keys = [encode(key).replace("%", "%%") for key in (*_AXES, *self._names)]
            self._template = "{" + ",".join(f"{key}:%r" for key in keys) + "}"

    def line(self, index: int, number: int) -> str:
        time = self.times[index]
        seconds, runtime = time / _MICROSECONDS, (time - self._created) / _MICROSECONDS
        axes = number, seconds, runtime, self.steps[index], self.epochs[index]
        if self._template:
            return self._template % (*axes, *self._rows[index])
        pairs = zip((*_AXES, *self._names), (*axes, *self._rows[index]), strict=True)
        return encode({name: value for name, value in pairs if value is not None})

    def given(self, begin: int, end: int) -> list[Metric]:
        """The metrics that have a value in these rows, the one that has it first in front; by their names in W&B."""
        found: list[tuple[int, str]] = []
        for column, name in enumerate(self._names):
            found += islice(((index, name) for index in range(begin, end) if self._rows[index][column] is not None), 1)
        return [(self.table, name) for _, name in sorted(found)]

    def same_epoch(self) -> Iterator[tuple[int, int]]:
        """Begin and end of each stretch of rows with the same epoch."""
        begin = 0
        for index, epoch in enumerate(self.epochs):
            if epoch != self.epochs[begin]:
                yield begin, index
                begin = index
        yield begin, len(self.epochs)


@dataclass(frozen=True)
class _Segment:
    window: _Window
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def place_at(self, index: int, before: Place, rows: int) -> Place:
        """The place after one of these rows, which is the ``rows``-th of the run."""
        if self.window.table == "steps":
            return Place(rows, self.window.steps[index], before.epoch)
        return Place(rows, before.step, self.window.epochs[index])

    def row(self, index: int, before: Place, number: int) -> Row:
        """One of these rows, the ``number``-th of the run, where ``before`` is the place before them all."""
        previous = self.place_at(index - 1, before, number) if index > self.begin else before
        return Row(previous, self.place_at(index, before, number + 1), self.window.line(index, number))


def name_columns(metrics: Iterable[Metric]) -> Names:
    """The names of each table's metrics in W&B: their own, unless two would become one there.

    Then the first keeps it, and the other's is followed by its table; so is one that is a key of W&B's.
    """
    used = set(RESERVED)
    named: Names = {table: {} for table in LOGGED}
    for table, name in metrics:
        alias = f"{name} ({table})" if name in used else name
        while alias in used:
            alias += "'"
        used.add(alias)
        named[table][name] = alias
    return named


def competing(metrics: Sequence[Metric]) -> list[Metric]:
    """Those that may want the same name in W&B, which the order decides then."""
    counts = Counter(name for _, name in metrics)
    stems = {_stem(name) for name, count in counts.items() if count > 1 or name in RESERVED}
    return [metric for metric in metrics if _stem(metric[1]) in stems]


def _stem(name: str) -> str:
    """What a name shares with those that it may be given instead."""
    return name.partition(" (")[0]


class SystemLines:
    """The samples that a run has now. Of several ranks, the mean of each sample that all of them have."""

    def __init__(self, run: Run, created: datetime) -> None:
        """Count the samples of a run that began at ``created``."""
        self._run = run
        self._created = created
        outline = run.outline("system")
        self._last = run.settled("system")
        self.total = count_numbers(run, "system", -1, self._last) if run.ranks else outline.total

    def after(self, count: int) -> Iterator[tuple[int, list[str]]]:
        """The lines after the first ``count``, some at a time, and the position of the first of them."""
        is_gapless = self.total == self._last  # then the earlier ones need not be read
        lines = self._lines(count if is_gapless else -1)
        lines = islice(lines, 0 if is_gapless else count, None)
        while some := list(islice(lines, SYSTEM_LINES)):
            yield count, some
            count += len(some)

    def _lines(self, after: int) -> Iterator[str]:
        _, batches = self._run.batches("system", after=after)
        for batch in batches:
            for row in arrays.rows(mean_of_ranks(batch, KEY["system"]) if self._run.ranks else batch):
                if row.pop(KEY["system"]) <= self._last:
                    yield self._line(row)

    def _line(self, row: dict[str, Any]) -> str:
        moment = row.pop("time")
        del row["step"], row["epoch"]
        metrics = {f"system.{name}": value for name, value in row.items() if value is not None}
        runtime = (moment - self._created).total_seconds()
        return encode({"_wandb": True, "_timestamp": moment.timestamp(), "_runtime": runtime, **metrics})
