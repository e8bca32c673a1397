"""A run's metrics as lines: at once in outline, then exactly, then as they grow.

``outline``, ``read``, ``detail`` and ``poll`` block and belong in one thread; ``line`` may be called from any. pyarrow
is loaded by the first of them, so that a screen can be painted before.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from neurockt import open_run
from neurockt.store import KEY, TABLES, layout
from neurockt_viewer.charts.coarse import coarse
from neurockt_viewer.charts.late import LateValues
from neurockt_viewer.charts.places import Places, axes_of, values_of
from neurockt_viewer.charts.pyramid import ENTRIES, Entries, Pyramid, stretch_for, to_series
from neurockt_viewer.charts.series import Axis, Floats, Line, Series, join, merge
from neurockt_viewer.charts.table_entries import Detail, TableEntries

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.run_info import RunInfo, TableSummary
    from neurockt.store import Damage, Run, TableName

OUTLINE_ROWS: Final = 200_000
"""A table with fewer rows is read faster than its outline is worth."""
DETAIL: Final = 8
"""Entries wanted in every dot column. With fewer, single values are read: an entry lies in the column of its first
value, so the borders between columns are off by an eighth of a dot at most."""
REPORT_SECONDS: Final = 0.2
"""How often a long read reports how far it is."""
RETRY_SECONDS: Final = 5.0
"""How soon to read again what the file system refused."""
ENDS: Final = ""
"""Stands, among the metrics of the epochs, for where each epoch ends, which places the steps between the epochs."""
LEAST_ENTRIES: Final = 1024
"""Entries that are kept of a metric, however many metrics there are."""


class Metric(NamedTuple):
    """A column of a table."""

    table: TableName
    name: str


class RunSeries:
    def __init__(self, path: Path, entries: int = ENTRIES, *, beside: RunSeries | None = None) -> None:
        """Nothing is read yet; ``entries`` are kept of each table at most. ``beside`` is the run it is attached to.

        Raises:
            NeurocktError: it is not a run, or cannot be read.
        """
        self._entries = entries
        self._beside = beside
        self.run: Run = open_run(path)
        self._made: dict[Metric, tuple[object, Series]] = {}
        self._begin()

    def _begin(self) -> None:
        """Start from ``run.json``: the run has been opened, or rewound since it was read."""
        self._rewinds = self.run.rewind_token
        self._retry_at = math.inf
        self.info: RunInfo = self.run.info
        info = self.info
        self._names: dict[Metric, None] = {}
        self.label = info.label
        self._attempts = info.begins
        self._finished = info.state == "finished"
        self._only_late: frozenset[str] = frozenset()
        """Metrics of the steps that have no column there, but late values."""
        self._tables: dict[TableName, TableEntries] = {table: TableEntries() for table in TABLES if table != "late"}
        known: dict[TableName, TableSummary] = {"steps": info.steps, "epochs": info.epochs, "system": info.system}
        for table, summary in known.items():
            self._know(table, summary.columns)
            self._tables[table].rows, self._tables[table].last = summary.rows, summary.number
        self._late = LateValues(self.run, info.late.columns)
        self._know_late()
        self.places = Places(info.created.timestamp())

    @property
    def metrics(self) -> list[Metric]:
        """Every metric known so far, in the order in which they appeared: of the steps, the epochs, the machine."""
        return sorted(self._names, key=lambda metric: TABLES.index(metric.table))

    @property
    def damaged(self) -> tuple[Damage, ...]:
        return self.run.damaged

    def has(self, metric: Metric) -> bool:
        return metric in self._names

    def _know(self, table: TableName, names: Iterable[str]) -> None:
        new = dict.fromkeys(metric for name in names if not self.has(metric := Metric(table, name)))
        if new:
            self._names = {**self._names, **new}  # not changed in place: another thread reads it

        if table == "steps":
            self._only_late = self._only_late.difference(names)

    def _know_late(self) -> None:
        """Late values are of metrics of the steps."""
        only_late = {name for name in self._late.names if not self.has(Metric("steps", name))} | self._only_late
        self._know("steps", self._late.names)
        self._only_late = frozenset(only_late)

    # Reading; in one thread

    def outline(self) -> None:
        """Read the footers: of long tables for their extremes, and of a run that did not finish for its columns."""
        for name, table in self._tables.items():
            long = table.rows > OUTLINE_ROWS
            if table.outline is None and (long or not self._finished):
                outline = self.run.outline(name, final=True)
                table.rows = max(table.rows, outline.total)
                table.last = int(outline.axes[KEY[name]][1].max(initial=table.last))
                self._know(name, outline.metrics)
                table.outline = outline if table.rows > OUTLINE_ROWS else None
        if not self._finished:
            self._late.outline()
            self._know_late()

    def read(self, wanted: Sequence[Metric], go_on: Callable[[], bool] = lambda: True) -> bool:
        """Read what is not known yet of some metrics; False where that is nothing.

        Args:
            go_on: called now and then; if it returns False, reading stops, and the next call continues.

        A run that was resumed from a checkpoint has other rows past that: then all is read once more.
        """
        if self.run.rewind_token != self._rewinds or time.monotonic() >= self._retry_at:
            self._begin()
            self.outline()
        wanted = [metric for metric in wanted if self.has(metric)]
        found = False
        for table in ("epochs", "steps", "system"):
            names = [metric.name for metric in wanted if metric.table == table]
            if table == "steps":
                found |= self._late.read(names)
                names = [name for name in names if name not in self._only_late]
            elif table == "epochs":
                names.append(ENDS)
            names = [name for name in names if name not in self._tables[table].complete]
            while names:
                # metrics whose read was stopped at the same row are read on together
                until = self._tables[table].read_until
                begin = min(until.get(name, -1) for name in names)
                together = [name for name in names if until.get(name, -1) == begin]
                found |= together != [ENDS]
                if not self._read(table, together, begin, go_on):
                    return found
                names = [name for name in names if name not in together]
        if found and any(damage.passing for damage in self.damaged):
            self._retry_at = time.monotonic() + RETRY_SECONDS
        return found

    def _read(self, name: TableName, metrics: list[str], after: int, go_on: Callable[[], bool]) -> bool:
        table = self._tables[name]
        room = self._entries // max(1, sum(metric.table == name for metric in self._names))
        for metric in metrics:
            if metric not in table.pyramids and metric != ENDS:
                stretch = stretch_for(max(table.rows, 1), max(1, room))
                table.pyramids[metric] = Pyramid(stretch, table.rows, limit=max(room, LEAST_ENTRIES))
            table.read_until.setdefault(metric, -1)
        columns = [*layout.axes(KEY[name]), *(metric for metric in metrics if metric != ENDS)]
        _, batches = self.run.batches(name, columns, after=after, final=True)
        reported = time.monotonic()
        for batch in batches:
            self._add_rows(name, batch, metrics)
            if time.monotonic() - reported >= REPORT_SECONDS:
                if not go_on():
                    return False
                reported = time.monotonic()
        table.complete.update(metrics)
        return True

    def _add_rows(self, name: TableName, rows: pa.Table, metrics: Sequence[str]) -> None:
        """Add rows to some metrics; those that a metric has already are left out."""
        if not len(rows):
            return
        table = self._tables[name]
        axes = axes_of(rows, name)
        last = int(axes.number[-1])
        indices = {column: index for index, column in enumerate(rows.column_names)}
        for metric in metrics:
            known = table.read_until[metric]
            begin = int(np.searchsorted(axes.number, known, side="right"))
            if metric == ENDS:
                self.places.add_epochs(rows)
            elif metric in indices and begin < len(axes):
                position = table.rows_read.get(metric, 0) - begin
                new = values_of(axes, rows.column(indices[metric]), begin)
                table.pyramids[metric].append(replace(new, row=new.row + position))
            table.rows_read[metric] = table.rows_read.get(metric, 0) + len(axes) - begin
            table.read_until[metric] = max(known, last)

    def detail(self, wanted: Sequence[Metric], axis: Axis, window: tuple[float, float] | None, dots: int) -> bool:
        """Read single values where a window shows too few entries; False where there was no need."""
        found = False
        wanted = [metric for metric in wanted if self.has(metric)]
        for name, table in self._tables.items():
            needs: dict[tuple[int, int], list[str]] = {}
            for metric in wanted:
                if metric.table == name and (need := self._needed(metric, axis, window, dots)):
                    needs.setdefault(need, []).append(metric.name)
            seen = {metric.name for metric in wanted if metric.table == name}
            table.details = {each: detail for each, detail in table.details.items() if each in seen}
            for (after, until), metrics in needs.items():
                rows = self.run.window(name, [*layout.axes(KEY[name]), *metrics], after=after, until=until)
                axes = axes_of(rows, name)
                for each in metrics:
                    single = Pyramid(1, len(axes))
                    single.append(values_of(axes, rows[each]))
                    table.details[each] = Detail(after, until, single.entries)
                found = True
        return found

    def _needed(
        self, metric: Metric, axis: Axis, window: tuple[float, float] | None, dots: int
    ) -> tuple[int, int] | None:
        """The rows, after one number and up to another, whose single values a window needs and lacks."""
        table = self._tables[metric.table]
        pyramid = table.pyramids.get(metric.name)
        if pyramid is None or pyramid.stretch == 1:
            return None
        entries = pyramid.entries
        number = entries["number"]
        start, stop = 0, len(number)
        if window is not None:
            x = self._place(metric.table, entries, axis)
            start, stop = (int(at) for at in np.searchsorted(x, window))
        if not len(number) or stop - start >= DETAIL * dots:
            return None
        first, after_last = max(0, start - 1), min(len(number), stop + 1)
        known = table.details.get(metric.name)
        if (
            known
            and known.after < number[first]
            and (after_last == len(number) or number[after_last] <= known.until + 1)
        ):
            return None
        room = max(1, (stop - start) // 2)
        begin, end = max(0, first - room), after_last + room
        until = int(number[end]) - 1 if end < len(number) else table.read_until[metric.name]
        return int(number[begin]) - 1, until

    def poll(self) -> bool:
        """Read what a live run has recorded since; False where that is nothing."""
        found = False
        for name, table in self._tables.items():
            names = [metric for metric in table.complete if metric != ENDS]
            if table.follower is None:
                reached = [table.read_until[metric] for metric in table.complete]
                if not reached and table.rows:
                    continue  # this table has not been wanted yet
                table.follower = self.run.follower(name, after=min(reached, default=-1))
            rows = table.follower.new_rows()
            if self.run.rewind_token != self._rewinds:
                return True  # the rows known are superseded: the next read starts again
            if len(rows):
                self._know(name, [column for column in rows.schema.names if column not in layout.axes(KEY[name])])
                self._add_rows(name, rows, names)
                if name == "epochs":
                    self.places.add_epochs(rows)
                found = True
            found |= self._take_open_rows(name, table)
        if self._late.poll():
            self._know_late()
            found = True
        return found

    def _take_open_rows(self, name: TableName, table: TableEntries) -> bool:
        """Draw the row that may still change as it is now; whether it has changed."""
        assert table.follower is not None
        content = table.follower.open_content
        if content == table.open_content:
            return False
        rows = table.follower.open_rows
        table.open_rows, table.open_content = rows, content
        if name == "epochs" and len(rows):
            self.places.add_epochs(rows)
        self._know(name, [column for column in rows.schema.names if column not in layout.axes(KEY[name])])
        return True

    def is_live(self) -> bool:
        self.info = self.run.info
        self._attempts = self.info.begins
        return self.info.state == "running"

    # Lines; from any thread

    def line(self, metric: Metric, axis: Axis, colour: int = 0, label: str | None = None) -> Line:
        """What is known of a metric by now."""
        table = self._tables[metric.table]
        pyramid, detail = table.pyramids.get(metric.name), table.details.get(metric.name)
        late = self._late.of(metric.name) if metric.table == "steps" else None
        complete = metric.name in table.complete or (metric.table == "steps" and metric.name in self._only_late)
        epochs = (self._beside or self).places.epochs if axis == "epoch" else 0
        # as the numbers of values may be the same after a rewind, that is a part of it
        state = (
            self._rewinds,
            axis,
            pyramid and pyramid.values,
            detail,
            complete,
            epochs,
            table.open_content,
            late and len(late[0]),
        )
        made = self._made.get(metric)
        if made is None or made[0] != state:
            made = state, self._series(metric, axis)
            self._made[metric] = made
        note = "" if complete or not len(made[1]) else f"reading, {self.part_read(metric):.0%}"
        name = metric.name if label is None else label
        return Line(name, made[1], colour, note=note, approximate=not complete, begins=self._begins(axis))

    def _begins(self, axis: Axis) -> tuple[float, ...]:
        attempts = self._attempts
        if not attempts:
            return ()
        steps = np.array([attempt.first_step for attempt in attempts])
        times = np.array([int(attempt.started.timestamp() * 1e6) for attempt in attempts])
        return tuple(self._place("steps", {"number": steps, "step": steps, "time": times}, axis).tolist())

    def part_read(self, metric: Metric) -> float:
        table = self._tables[metric.table]
        if metric.name in table.complete:
            return 1.0
        return min(1.0, max(0, table.read_until.get(metric.name, 0)) / max(1, table.last))

    def _series(self, metric: Metric, axis: Axis) -> Series:
        table = self._tables[metric.table]
        pyramid, detail = table.pyramids.get(metric.name), table.details.get(metric.name)
        parts: list[Series] = []

        def add(entries: Entries) -> None:
            if len(entries["number"]):
                parts.append(to_series(entries, self._place(metric.table, entries, axis)))

        if pyramid is not None:
            entries = pyramid.entries
            if detail is None:
                add(entries)
            else:
                before, after = np.searchsorted(entries["number"], [detail.after + 1, detail.until + 1])
                add(_cut(entries, slice(0, before)))
                add(detail.entries)
                add(_cut(entries, slice(after, None)))
        if table.outline is not None and metric.name not in table.complete:
            known = table.read_until.get(metric.name, -1)
            place = partial(self._place, metric.table, axis=axis)
            parts += coarse(table.outline, metric.name, KEY[metric.table], known, place)
        rows = table.open_rows
        if rows is not None and metric.name in rows.column_names:
            axes, single = axes_of(rows, metric.table), Pyramid(1)
            known = table.read_until.get(metric.name, -1)  # it may be final by now
            single.append(values_of(axes, rows[metric.name], int(np.searchsorted(axes.number, known, side="right"))))
            add(single.entries)
        series = join(parts) if parts else Series.of([], [])
        if metric.table == "steps" and (late := self._late.of(metric.name)) is not None:
            step, time, value = late
            places = self._place("late", {"step": step, "time": time}, axis)
            series = merge(series, Series.of(places, value))
        return series

    def _place(self, table: TableName, entries: Entries, axis: Axis) -> Floats:
        if self._beside is not None:
            return self._beside.places.of("late", entries, axis)  # by their steps in that run
        return self.places.of(table, entries, axis)


def _cut(entries: Entries, cut: slice) -> Entries:
    return {name: array[cut] for name, array in entries.items()}
