"""All rows of a run as lines of its history in W&B: its own, those that arrived late, and those of what is attached.

The rows of `steps` and `epochs` are in the order of ``RunRows``. As long as there are no others, that is all. Then the
order is written down (``Order``), as far as rows have been given their places in it; what is new comes after that.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from neurockt.errors import NeurocktWarning, SyncFailed
from neurockt.run_info import RunInfo
from neurockt.store import KEY, Run, TableName, arrays
from neurockt.sync.compare import same_values
from neurockt.sync.order import BASE, Order, Span, joined
from neurockt.sync.rows import RESERVED, START, Lines, Place, Row, RunRows, encode

STREAM_LINES: Final = 5_000
"""Lines of one batch of a stream, at most."""
ATTACHED_TABLES: Final[tuple[TableName, ...]] = ("epochs", "steps", "late")


class Stream:
    """The rows of one table that come in between those of the run, in the order of their numbers."""

    def __init__(self, key: str, run: Run, table: TableName, created: datetime, attached: str = "") -> None:
        """``key`` is its name in the order; ``attached`` the name of what is attached, where the table is of that."""
        self.key = key
        self.attached = attached
        self.table = table
        self.names: dict[str, str] = {}
        """The name in W&B of each metric."""
        self._run = run
        self._created = created
        self.until = run.settled(table)
        self.metrics = list(run.outline(table, final=True).metrics)
        self.damage = next(iter(run.damaged), None)

    def new(self, after: int) -> Span | None:
        """The rows that were here at first, after the one of that number; None for none."""
        count, last = 0, 0
        for row in self.rows(after, self.until, [KEY[self.table]]):
            count, last = count + 1, row[KEY[self.table]]
        return Span(self.key, count, last) if count else None

    def rows(self, after: int, until: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The rows numbered above ``after`` and up to ``until``."""
        _, batches = self._run.batches(self.table, columns, after=after, until=until, final=True)
        for batch in batches:
            yield from arrays.rows(batch)

    def lines(self, after: int, until: int, skip: int, position: int) -> Iterator[list[str]]:
        """The lines of the rows up to number ``until``, after the first ``skip``; the first is at ``position``."""
        rows = islice(self.rows(after, until), skip, None)
        while some := list(islice(rows, STREAM_LINES)):
            yield [self.line(row, position + index) for index, row in enumerate(some)]
            position += len(some)

    def values(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """All rows, as a server gives their lines, with their numbers."""
        return ((row[KEY[self.table]], json.loads(self.line(row, 0))) for row in self.rows(-1, self.until))

    def line(self, row: Mapping[str, Any], position: int) -> str:
        moment = row["time"]
        axes = {"step": row["step"]} if self.attached else {"step": row["step"], "epoch": row["epoch"]}
        runtime = (moment - self._created).total_seconds()
        values = {alias: row[name] for name, alias in self.names.items() if row.get(name) is not None}
        return encode({"_step": position, "_timestamp": moment.timestamp(), "_runtime": runtime, **axes, **values})


def _streams(run: Run, info: RunInfo) -> Iterator[Stream]:
    for rank in run.ranks:
        yield Stream(f"rank-{rank}/late", run.rank(rank), "late", info.created)
    if not run.ranks:
        yield Stream("late", run, "late", info.created)
    attached = run.attached
    for name in [name for name in info.attached if name in attached]:
        for table in ATTACHED_TABLES:
            key = f"attached/{quote(os.fsencode(name))}/{table}"  # a directory's name may be any bytes
            yield Stream(key, attached[name], table, info.created, name)


class History:
    """The lines of a run that is uploaded, as ``RunRows`` gives those of its own rows."""

    def __init__(self, run: Run, order: Order, info: RunInfo, known: Place = START) -> None:
        """Count the rows, as ``RunRows`` does. What is attached and cannot be read is left out, with a warning."""
        self.order = order
        self.is_fixed = False
        """Whether no more rows get their places: nothing is to be sent."""
        base = replace(known, rows=order.base_rows(known.rows))
        self.base = RunRows(run, info, base)
        self.streams = {stream.key: stream for stream in _streams(run, info)}
        new = self._new()
        if new and not order.spans:
            # another process that saw no stream may be sending rows of the base: it saw none that are not here now
            self.base = RunRows(run, info, base)
        self.names = self.base.names
        for stream in self.streams.values():
            if stream.damage and stream.attached:
                warnings.warn(f"{stream.damage}; its rows are not sent", NeurocktWarning, stacklevel=2)
        self._name_columns(info)
        self.total = self.base.total + sum(span.rows for span in order.spans if span.source != BASE)
        self.total += sum(span.rows for span in new)

    def _name_columns(self, info: RunInfo) -> None:
        """Give each metric of a stream its name in W&B. A name that has been used stays."""
        used = {*RESERVED, "step", "epoch", *(alias for each in self.base.names.values() for alias in each.values())}
        used |= {alias for each in self.order.names.values() for alias in each.values()}
        own = dict(self.base.names["steps"])  # late rows are of the same metrics, which `steps` may only get later
        shown = {whose: alias for alias, whose in info.attached_metrics.items()}
        for stream in self.streams.values():
            stream.names = dict(self.order.names.get(stream.key, {}))
            for name in stream.metrics:
                if name in stream.names:
                    continue
                if not stream.attached and name in own:
                    stream.names[name] = own[name]
                    continue
                alias = shown.get((stream.attached, name), name).encode(errors="replace").decode()
                if alias in used and stream.attached and not alias.startswith(f"{stream.attached}/"):
                    alias = f"{stream.attached}/{alias}"
                if alias in used:
                    alias = f"{alias} ({stream.table if stream.attached else 'steps'})"
                while alias in used:
                    alias += "'"
                used.add(alias)
                stream.names[name] = alias
                if not stream.attached:
                    own[name] = alias

    @property
    def is_mixed(self) -> bool:
        """Whether there are other rows than those whose order follows from them."""
        return bool(self.order.spans) or self.total > self.base.total

    def lacks_rows(self, position: int) -> bool:
        """Whether rows that have their places after a position are gone, with all that was attached there."""
        return any(span.source not in (BASE, *self.streams) for _, span in self.order.after(position))

    def others(self, info: RunInfo) -> dict[str, float | None]:
        """The metrics that the run's own rows do not have, by their names in W&B, and the last value of each."""
        own = set(self.base.names["steps"].values())
        values: dict[str, float | None] = {}
        for stream in self.streams.values():
            whole = info.attached.get(stream.attached) if stream.attached else info
            columns = getattr(whole, stream.table).columns if whole else {}
            for name, alias in stream.names.items():
                if alias not in own:
                    values[alias] = columns[name].last if name in columns else None
        return values

    def after(self, place: Place) -> Iterator[Lines]:
        """The lines after a place, some at a time; those without a place in the order get one before they are given."""
        if not self.is_mixed:
            yield from self.base.after(place)
            return
        while True:
            for batch in self._ordered(place):
                yield batch
                place = batch.last.after
            if self.is_fixed or (self.order.spans and place.rows < self.order.rows):
                return  # rows of the base that have their places are not here yet
            for batch in self.base.after(place):
                if not self._extend(place, [Span(BASE, len(batch.lines))]):
                    break
                yield batch
                place = batch.last.after
            else:
                new = self._new()
                if not new:
                    return
                self._extend(place, new)

    def _new(self) -> list[Span]:
        """The rows of the streams that have no place yet; none of what is damaged, whose rows may be read later."""
        whole = (stream for stream in self.streams.values() if not stream.damage)
        return [span for stream in whole if (span := stream.new(self.order.last(stream.key))) is not None]

    def _extend(self, place: Place, spans: Sequence[Span]) -> bool:
        if self.order.spans and self.order.rows != place.rows:
            return False  # other rows have got the places after it
        before = [] if self.order.spans or not place.rows else [Span(BASE, place.rows)]
        return self.order.extend([*before, *spans], {key: stream.names for key, stream in self.streams.items()})

    def _ordered(self, place: Place) -> Iterator[Lines]:
        """The lines after a place that have their places in the order."""
        numbers: dict[str, int] = {}
        for begin, span in self.order.after(-1):
            end = begin + span.rows
            if place.rows < end and span.source == BASE:
                for batch in self.base.after(place, end):
                    yield batch
                    place = batch.last.after
            elif place.rows < end:
                for batch in self._of_stream(span, numbers.get(span.source, -1), begin, place):
                    yield batch
                    place = batch.last.after
            if place.rows < end:
                return
            numbers[span.source] = span.last

    def _of_stream(self, span: Span, after: int, begin: int, place: Place) -> Iterator[Lines]:
        stream = self.streams.get(span.source)
        if stream is not None:
            for lines in stream.lines(after, span.last, place.rows - begin, place.rows):
                last = replace(place, rows=place.rows + len(lines))
                yield Lines(place.rows, lines, Row(replace(last, rows=last.rows - 1), last, lines[-1]))
                place = last
        if place.rows < begin + span.rows:
            raise SyncFailed(
                f"{span.source}: rows that have their place in W&B are not here any more; --replace uploads the run "
                "again as it is now"
            )

    def row(self, number: int, known: Place) -> Row | None:
        """One row, from 0; None where none has that place. A place known to be before it saves reading."""
        if not self.order.spans:
            return self.base.row(number, known)
        place = known if known.rows <= number else START
        numbers: dict[str, int] = {}
        for begin, span in self.order.after(-1):
            if number < begin + span.rows:
                break
            numbers[span.source] = span.last
        else:
            return None
        own = self.order.base_rows(number) - self.order.base_rows(place.rows)
        if span.source == BASE:
            return self.base.row(number, replace(place, rows=number - own))
        if own:
            row = self.base.row(place.rows + own - 1, place)
            if row is None:
                return None
            place = row.after
        stream = self.streams.get(span.source)
        if stream is None:
            return None
        lines = next(stream.lines(numbers.get(span.source, -1), span.last, number - begin, number), None)
        return Row(replace(place, rows=number), replace(place, rows=number + 1), lines[0]) if lines else None

    def find_order(self, found: Iterable[Mapping[str, Any]]) -> bool:
        """Find out the order from the lines that W&B has, if it is lost or stale; whether all are this run's."""
        own = ((0, json.loads(line)) for batch in self.base.after(START) for line in batch.lines)
        sources: dict[str, Iterator[tuple[int, dict[str, Any]]]] = {BASE: own}
        sources |= {key: stream.values() for key, stream in self.streams.items()}
        heads = {source: next(rows, None) for source, rows in sources.items()}
        spans: list[Span] = []
        source = BASE
        for line in found:
            fitting = (each for each in (source, *heads) if (head := heads[each]) and same_values(head[1], line))
            if (known := next(fitting, None)) is None:
                return False
            source = known
            number = heads[source][0]  # type: ignore[index]  # it fits
            heads[source] = next(sources[source], None)
            spans = [*spans[:-1], *joined([*spans[-1:], Span(source, 1, number)])]
        names = {key: stream.names for key, stream in self.streams.items()}
        if self.is_fixed:
            self.order.spans = tuple(spans)
        elif self.is_mixed:
            self.order.replace(spans, names)
        return True
