"""``neurockt tail``: follows a run: its validations as they come, and its newest step.

On a terminal the newest step is a pane below the rows, drawn again at each look. Elsewhere it is a line of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, Final

from neurockt.cli import completers, output, parsing
from neurockt.errors import ColumnNotFound
from neurockt.formatting import (
    alternatives,
    clean,
    clip,
    display_width,
    format_duration,
    format_number,
    number_widths,
    width_after_point,
)
from neurockt.progress import progress_facts
from neurockt.query.fields import matching, quoted, split_names, unquoted
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt.store import AXES, KEY, RANK, TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from neurockt.store import Run, TableFollower, TableName

LOOK_SECONDS: Final = 1.0
ROWS: Final = 10
GAP: Final = "  "
PANE_LINES: Final = 8
"""Lines of the pane, at most."""
LEAST_NAME: Final = 8
"""Cells of the run's name in the heading of the pane, at least."""
_INTEGERS: Final = {*AXES, *KEY.values(), RANK}
_ERASE_BELOW: Final = "\x1b[J"
_UP: Final = "\x1b[A"

_DESCRIPTION: Final = """\
Follow a run until it ends: its validations as they come, and below them its newest step. Without validations, the
rows are those of its steps. Where many come at once, the last ones are printed.
"""
_EXAMPLE: Final = """\
  neurockt tail
  neurockt tail brave-otter --table steps --columns train_loss,lr
  neurockt tail brave-otter --json | jq .train_loss
"""

Row = Mapping[str, Any]


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "tail", "follow a run's rows as they come", _EXAMPLE, _DESCRIPTION)
    parsing.add_run_arguments(parser)
    parser.add_argument("--table", choices=TABLES, help="which rows (default: epochs; without any, steps)")
    columns = parser.add_argument(
        "--columns", metavar="NAMES", help="only these metrics, separated by commas; * is any text"
    )
    parser.add_argument(
        "-n", "--rows", metavar="N", type=parsing.count, default=ROWS, help=f"begin with the last N (default: {ROWS})"
    )
    parser.add_argument("--once", action="store_true", help="print what there is now, and do not follow")
    parser.add_argument("--json", action="store_true", help="print every row as a line of JSON")
    completers.add(columns, completers.metric_lists)


def run(arguments: argparse.Namespace) -> int:
    found = parsing.find(arguments)
    columns = split_names(arguments.columns) if arguments.columns is not None else None
    feed = _Feed(found, arguments.table, arguments.rows, columns, with_all=arguments.json)
    if arguments.json:
        shown: _JsonLines | _Plain = _JsonLines()
    elif output.can_redraw(sys.stdout):
        shown = _Terminal()
    else:
        shown = _Plain()
    try:
        while True:
            look = feed.look()
            look.is_last = arguments.once or look.info.state != "running"
            shown.show(look)
            sys.stdout.flush()
            if look.is_last:
                return 0
            time.sleep(LOOK_SECONDS)
    finally:
        shown.end()


@dataclass
class _Look:
    """What was found in one look."""

    info: RunInfo
    rows: dict[TableName, list[Row]] = field(default_factory=dict)
    """The new rows of each table, or the last of them."""
    skipped: dict[TableName, int] = field(default_factory=dict)
    """The number of new rows before those."""
    kept: dict[TableName, int] = field(default_factory=dict)
    """The last valid row of a table that was rewound."""
    newest: Row = field(default_factory=dict)
    """The newest step, final or not."""
    is_last: bool = False


class _Feed:
    def __init__(
        self, run: Run, table: TableName | None, rows: int, columns: Sequence[str] | None, *, with_all: bool
    ) -> None:
        """Begin with the last rows of a table, by default of `epochs` and `steps`.

        Args:
            run: the run to follow.
            table: which; the newest step comes in any case.
            rows: how many rows a look gives at most; ``with_all``, at most of those that are there at first.
            columns: only these metrics.
            with_all: whether the later looks give all new rows.
        """
        self._run = run
        self._tables: tuple[TableName, ...] = (table,) if table else ("epochs", "steps")
        self._columns = None if columns is None else _columns(run, self._tables, columns)
        self._limit = None if with_all else rows
        self._followers = {each: _follower(run, each, rows) for each in dict.fromkeys([*self._tables, "steps"])}
        self._newest: Row = {}
        self._damage: set[str] = set()

    def look(self) -> _Look:
        look = _Look(self._run.current_info())  # before the rows: those of a run that has ended are all there
        for table, follower in self._followers.items():
            new = follower.new_rows()
            skipped = 0 if self._limit is None else max(0, len(new) - self._limit)
            rows = self._rows(new.slice(skipped), table)
            if table == "steps":
                steps = [*rows, *self._rows(follower.open_rows, table)]
                self._newest = steps[-1] if steps else self._newest
            if table in self._tables:
                look.rows[table], look.skipped[table] = rows, skipped
                if follower.rewound_to is not None:
                    look.kept[table] = follower.rewound_to
            for damage in {str(each) for each in follower.damaged} - self._damage:
                self._damage.add(damage)
                output.note(damage)
        look.newest = self._newest
        return look

    def _rows(self, rows: pa.Table, table: TableName) -> list[Row]:
        from neurockt.store import arrays  # loads numpy

        rank = [RANK] if self._run.ranks else []  # else it is a metric
        there = dict.fromkeys(rows.column_names)  # Arrow makes a new list each time
        axes = [name for name in dict.fromkeys([KEY[table], *AXES, *rank]) if name in there]
        wanted = there if self._columns is None else chain(*(matching(name, there) for name in self._columns))
        metrics = [name for name in dict.fromkeys(wanted) if name not in axes]
        return [*arrays.rows(rows.select([*axes, *metrics]))]


def _columns(run: Run, tables: Sequence[TableName], names: Sequence[str]) -> list[str]:
    """The names as the tables write them, and patterns; ``ColumnNotFound``, with what is near, for what none has.

    What a table without rows will have is not known while the run trains: then it is a note.
    """
    with_rows = [table for table in tables if len(run.last_rows(table, 1))]
    there = [column for table in with_rows for column in run.batches(table)[0].names]
    columns = list(names)
    for at, name in enumerate(names) if with_rows else ():
        if matching(name, there):
            continue
        for table in with_rows:
            with suppress(ColumnNotFound):
                columns[at] = quoted(run.batches(table, [unquoted(name)])[0].names[0])  # with _ for /
                break
        else:
            problem = f"no column {name!r} in {' or '.join(tables)} of {run.path}; {alternatives(name, there)}"
            if len(with_rows) == len(tables) or run.state != "running":
                raise ColumnNotFound(problem)
            output.note(problem)
    return columns


def _follower(run: Run, table: TableName, rows: int) -> TableFollower:
    there = run.last_rows(table, rows)
    return run.follower(table, after=there[KEY[table]][0].as_py() - 1 if len(there) else -1)


class _JsonLines:
    def show(self, look: _Look) -> None:
        for table, rows in look.rows.items():
            for row in rows:
                document = {"table": table, **{name: output.value_to_json(value) for name, value in row.items()}}
                print(json.dumps(document, allow_nan=False))

    def end(self) -> None:
        pass


class _Plain:
    """Lines: the rows in columns, and the newest step."""

    width: int | None = None
    """Cells of a line, at most; None for any."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._widths: dict[str, tuple[int, int]] = {}
        self._table: TableName = "steps"
        self._shown: Row = {}

    def show(self, look: _Look) -> None:
        for line in self.new_lines(look):
            print(line)
        if self._table != "steps" and look.newest and look.newest != self._shown:
            cells = _cells(look.newest).items()
            print(GAP.join(f"{clean(name, output.WHOLE)} {text}" for name, text in cells))
        self._shown = look.newest
        if look.is_last:
            print(GAP.join([*_heading(look), *progress_facts(look.info)]))

    def end(self) -> None:
        pass

    def new_lines(self, look: _Look) -> Iterator[str]:
        """The rows of the table that is followed; of the default ones, of `epochs` once there is one."""
        with_rows = [table for table in look.rows if look.rows[table] or table != "epochs"]
        if self._table == "steps" and with_rows:
            self._table = with_rows[0]
        if (kept := look.kept.get(self._table)) is not None:
            yield f"-- resumed from {KEY[self._table]} {kept:,}: later rows are superseded"
        if skipped := look.skipped.get(self._table):
            yield f"-- {skipped:,} more"
        yield from self._lines(look.rows.get(self._table, []))

    def _lines(self, rows: Sequence[Row]) -> Iterator[str]:
        cells = [_cells(row) for row in rows]
        for name in dict.fromkeys(name for row in cells for name in row):
            before, after = self._widths.get(name, (0, 0 if name in _INTEGERS else 7))
            now = number_widths([row[name] for row in cells if name in row])
            before, after = max(before, now[0]), max(after, now[1])
            self._widths[name] = max(before, display_width(clean(name, output.WHOLE)) - after), after
        for row in cells:
            if list(row) != self._names:
                self._names = list(row)
                yield self._line({name: clean(name, output.WHOLE) for name in row}, aligned=False)
            yield self._line(row, aligned=True)

    def _line(self, row: Mapping[str, str], *, aligned: bool) -> str:
        line = ""
        for name, text in row.items():
            before, after = self._widths[name]
            filled = text + " " * (after - width_after_point(text)) if aligned else text
            longer = f"{line}{line and GAP}{' ' * (before + after - display_width(filled))}{filled}"
            if self.width is not None and display_width(longer) > self.width - len(GAP) - 1:
                return f"{line.rstrip()}{GAP}…"
            line = longer
        return line.rstrip()


class _Terminal(_Plain):
    """The rows, and a pane below them that is drawn again at each look."""

    def __init__(self) -> None:
        super().__init__()
        self._pane: list[str] = []

    def show(self, look: _Look) -> None:
        self.width = width = output.terminal_width(sys.stdout) - 1
        rows = [clip(line, width) for line in self.new_lines(look)]
        up = sum(max(0, display_width(line) - 1) // (width + 1) + 1 for line in self._pane)
        erase = f"\r{_UP * (up - 1)}{_ERASE_BELOW}" if up else ""
        height = max(1, min(PANE_LINES, output.terminal_height(sys.stdout) - 2))
        self._pane = [clip(line, width) for line in _pane(look, width, height)][:height]
        standing = clean(look.info.standing)
        painted = [self._pane[0].replace(f" {standing} ", f" {output.paint_state(standing)} ", 1), *self._pane[1:]]
        sys.stdout.write(erase + "".join(f"{line}\n" for line in rows) + "\n".join(painted))

    def end(self) -> None:
        if self._pane:
            sys.stdout.write("\n")


def _heading(look: _Look) -> list[str]:
    info, step = look.info, look.newest
    return [
        clean(info.label),
        clean(info.standing),
        format_duration(info.seconds),
        *(f"{name} {value:,}" for name, value in step.items() if isinstance(value, int)),
    ]


def _pane(look: _Look, width: int, height: int) -> Iterator[str]:
    name, *rest = _heading(look)
    room = width - len("──  ") - sum(len(GAP) + len(part) for part in rest)
    heading = f"── {_fitting([*shorten([name], max(LEAST_NAME, room)), *rest], width - len('──  '))} "
    yield heading + "─" * (width - display_width(heading))
    if look.info.state == "running":
        yield _fitting(progress_facts(look.info) or ["no row yet"], width)
    texts = [
        f"{clean(name)} {text}" for name, text in _cells(look.newest).items() if not isinstance(look.newest[name], int)
    ]
    cell = max(map(display_width, texts), default=1)
    across = max(1, (width + len(GAP)) // (cell + len(GAP)))
    room = across * max(1, height - 2)
    if len(texts) > room:
        texts[room - 1 :] = [f"and {len(texts) - room + 1:,} more"]
    for begin in range(0, len(texts), across):
        yield GAP.join(text + " " * (cell - display_width(text)) for text in texts[begin : begin + across]).rstrip()


def _fitting(parts: Sequence[str], width: int) -> str:
    """As many of the parts as there is room for, the first in any case."""
    lengths = accumulate(display_width(part) + len(GAP) for part in parts)
    return GAP.join(parts[: max(1, sum(length - len(GAP) <= width for length in lengths))])


def _cells(row: Row) -> dict[str, str]:
    """The texts of a row, without its time."""
    return {
        name: f"{value:,}" if isinstance(value, int) else format_number(value)
        for name, value in row.items()
        if name != "time"
    }
