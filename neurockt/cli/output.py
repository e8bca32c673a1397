"""What the commands print: tables that fit the terminal, JSON, and notes on stderr."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import accumulate, chain
from types import MappingProxyType
from typing import Any, Final, TextIO

import msgspec

from neurockt.formatting import (
    align_numbers,
    clean,
    display_width,
    display_widths,
    format_ago,
    format_exact,
    format_value,
    listed,
    pad_all,
    utc_now,
)
from neurockt.query.fields import Kind
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt.store import plain, to_json

GAP: Final = "  "
SMALLEST_WIDTH: Final = 12
"""A column is not made narrower than this to fit the terminal; rather, the last columns are left out."""
WHOLE: Final = 1_000_000
LEAST_WIDTHS: Final = {"name": 16, **dict.fromkeys(("id", "path", "started", "ended", "updated"), WHOLE)}
"""Columns of the table of runs that are wider: those that people copy from, or that say nothing when cut."""
BOLD: Final = "1"
STATE_COLOURS: Final = {"running": "36", "finished": "32", "failed": "31", "preempted": "33", "killed": "33"}
"""Codes of the colours, which are those of the terminal's own palette."""


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sees the stream; False where it is closed or missing, or was replaced by something else."""
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):
        return False


def terminal_width(stream: TextIO | None) -> int:
    """Columns of the terminal behind a stream; ``$COLUMNS``, else 80, where it has no size.

    The terminal is asked first: an exported ``COLUMNS`` keeps the size that a window had once.
    """
    with suppress(AttributeError, ValueError, OSError):
        if stream is not None and (columns := os.get_terminal_size(stream.fileno()).columns) > 0:
            return columns
    with suppress(ValueError):
        if 0 < (columns := int(os.environ.get("COLUMNS", ""))) < 10_000:
            return columns
    return 80


def terminal_height(stream: TextIO | None) -> int:
    """Lines of the terminal behind a stream; 24 where it has no size."""
    with suppress(AttributeError, ValueError, OSError):
        if stream is not None and (lines := os.get_terminal_size(stream.fileno()).lines) > 0:
            return lines
    return 24


def note(message: str) -> None:
    with suppress(OSError, ValueError):  # nobody can read it
        print(f"neurockt: {clean(message, WHOLE)}", file=sys.stderr)


def print_json(document: Any) -> None:
    """Print a document in ASCII: it holds text from runs, and a terminal may show it."""
    text = json.dumps(document, default=plain, ensure_ascii=False, allow_nan=False)
    sound = msgspec.json.format(text.encode("utf-8", "replace"), indent=2).decode()
    if not sound.isascii():
        sound = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], sound)
    sys.stdout.write(sound + "\n")


def run_to_json(info: RunInfo) -> dict[str, Any]:
    """Its ``run.json``, with its path and duration, and the same of what is attached to it."""
    document = {**to_json(info), "archived": info.archived, "path": str(info.path), "duration": info.seconds}
    del document["format"]
    attached = {name: run_to_json(each) for name, each in info.attached.items()}
    return document | ({"attached": attached} if attached else {})


def value_to_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else plain(value)


def show(value: Any, kind: Kind = "any") -> str:
    return format_value(value, kind, WHOLE)


def show_all(values: Iterable[Any], kind: Kind) -> list[str]:
    if kind == "time":
        now = utc_now()
        return [format_ago(value, now) for value in values]
    return [format_value(value, kind, WHOLE) for value in values]


def show_exact(value: Any) -> str:
    return format_exact(value, WHOLE)


def table_lines(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[bool],
    least: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[str]:
    """Columns side by side: shortened to fit a terminal, whole where the output goes elsewhere.

    Args:
        right: which columns are numbers, aligned on their decimal points; of those only the name is cut.
        least: the width that a column keeps, by its name, where that is another than ``SMALLEST_WIDTH``.
    """
    lines, hidden = _laid_out(header, rows, right, least)
    yield from lines
    _note_hidden(hidden)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[bool]) -> None:
    lines, hidden = _laid_out(header, rows, right, LEAST_WIDTHS)
    sys.stdout.write("".join(f"{line}\n" for line in lines))  # at once: a terminal gets each `print` by itself
    _note_hidden(hidden)


def _note_hidden(names: Sequence[str]) -> None:
    if names:
        note(f"too narrow for {listed(names)}; a wider terminal or a pipe shows all")


def _laid_out(
    header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool], least: Mapping[str, int]
) -> tuple[list[str], list[str]]:
    """The lines of a table, and the names of the columns that there is no room for."""
    header = [clean(name, WHOLE) for name in header]
    cells = zip(*rows, strict=True) if rows else [()] * len(header)
    columns = [align_numbers(column) if number else column for column, number in zip(cells, right, strict=False)]
    widest_cells = [max(display_widths(column), default=0) for column in columns]
    widths = [max(display_width(name), widest) for name, widest in zip(header, widest_cells, strict=True)]
    if is_terminal(sys.stdout):
        titles = [display_width(text) for text in _titles(header, [SMALLEST_WIDTH] * len(header))]
        smallest = [
            min(width, least[name])
            if name in least
            else max(cells if number else 0, min(width, SMALLEST_WIDTH, max(cells, title)))
            for name, width, cells, title, number in zip(header, widths, widest_cells, titles, right, strict=True)
        ]
        fitted = _fit(widths, smallest, terminal_width(sys.stdout))
        for at, width in enumerate(fitted):
            if width < widths[at] and not right[at]:  # names that share their beginning may need even less
                columns[at] = shorten(columns[at], width)
                widths[at] = max(titles[at], *map(display_width, columns[at]))
        smallest = [min(pair) for pair in zip(smallest, widths, strict=True)]
        widths = _fit(widths, smallest, terminal_width(sys.stdout))
    hidden = header[len(widths) :]
    header = _titles(header, widths)
    columns = [
        shorten(column, width) if cells > width and not number else column
        for column, cells, width, number in zip(columns, widest_cells, widths, right, strict=False)
    ]
    filled = [
        pad_all((title, *column), width, to_right=number)
        for title, column, width, number in zip(header, columns, widths, right, strict=False)
    ]
    if is_coloured(sys.stdout):
        filled = [
            [_paint(cells[0], BOLD), *(map(paint_state, cells[1:]) if title == "state" else cells[1:])]
            for title, cells in zip(header, filled, strict=True)
        ]
    return [GAP.join(row).rstrip() for row in zip(*filled, strict=True)], hidden


def print_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print exact values: null is empty, moments are in ISO form, and what a text cannot hold otherwise is JSON."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    cells = (map(_csv_cell, row) for row in chain([header], rows))
    writer.writerows(map(_clean_cells, cells) if is_terminal(sys.stdout) else cells)


def _clean_cells(cells: Iterable[Any]) -> list[str]:
    return ["" if cell is None else clean(cell, WHOLE) for cell in cells]


def _csv_cell(value: Any) -> Any:
    if value is None or type(value) in (str, int, float):  # what the writer shows in the same way
        return value
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool | list | dict):
        return json.dumps(plain(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)


def can_redraw(stream: TextIO | None) -> bool:
    """Whether it is a terminal that moves its cursor and has colours."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb")


def is_coloured(stream: TextIO | None) -> bool:
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def paint_state(text: str) -> str:
    """A text that begins with a state, in the colour of that where the output has colours."""
    colour = STATE_COLOURS.get(text.partition(" ")[0]) if is_coloured(sys.stdout) else None
    return _paint(text, colour) if colour else text


def _paint(text: str, code: str) -> str:
    """The text in a colour, the spaces around it not."""
    bare = text.strip()
    return text.replace(bare, f"\x1b[{code}m{bare}\x1b[0m", 1) if bare else text


def _titles(header: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The titles of the columns that there are widths for; of a config's key that is too wide, its last part."""
    names = Counter(name.rpartition(".")[2] for name in header)
    titles = []
    for name, width in zip(header, widths, strict=False):
        last = name.rpartition(".")[2]
        is_short = display_width(name) <= width or not name.startswith("cfg.") or names[last] > 1
        titles.append(name if is_short else f"…{last}")
    return shorten(titles, list(widths)[: len(titles)])


def _fit(widths: Sequence[int], smallest: Sequence[int], room: int) -> list[int]:
    """The widths of as many columns as fit, from the left; the widest are narrowed first, each to its smallest."""
    least = [min(width, least, room) for width, least in zip(widths, smallest, strict=True)]
    ends = accumulate(width + len(GAP) for width in least)
    number = max(1, sum(end - len(GAP) <= room for end in ends))
    fitted = list(widths[:number])
    excess = sum(fitted) + len(GAP) * (number - 1) - room
    while excess > 0:
        index = max((at for at in range(number) if fitted[at] > least[at]), key=fitted.__getitem__, default=-1)
        if index < 0:
            break
        fitted[index] -= 1
        excess -= 1
    return fitted
