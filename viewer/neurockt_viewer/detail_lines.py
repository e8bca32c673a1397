"""What is known of a run, or of a group of runs, in lines for a narrow panel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from textwrap import wrap
from typing import Final, NamedTuple

from neurockt.direction import smaller_is_better
from neurockt.formatting import (
    align_numbers,
    clean,
    clean_block,
    clip,
    display_width,
    format_ago,
    format_duration,
    format_exact,
    format_number,
    pad,
)
from neurockt.progress import is_short_of_time, progress_facts
from neurockt.query.fields import flat_config
from neurockt.query.grouping import spread
from neurockt.query.metrics import metric_summary
from neurockt.run_info import ColumnSummary, RunInfo
from neurockt_viewer.columns import STATES

KEYS_SHOWN: Final = 40
"""Config keys, and metrics, in the details; the run's own screen has all."""
NOTES_LIMIT: Final = 600
"""Characters of the notes."""
NUMBER_WIDTH: Final = 11
NAME_WIDTHS: Final = 12, 28
"""The narrowest and the widest that a name is."""


class Piece(NamedTuple):
    text: str
    """Clean text."""
    tone: str = ""
    """How it looks: the end of the name of a component class, such as ``muted``."""


Line = tuple[Piece, ...]
BLANK: Final[Line] = ()


def measurements(info: RunInfo, width: int) -> Iterator[Line]:
    """Which run it is, its state, and its metrics."""
    mark, tone = STATES.get(info.state, ("?", ""))
    yield (Piece(clean(info.label), "strong"),)
    extent = Piece(clean(f" {format_duration(info.seconds)} · {info.extent}"), "muted")
    yield Piece(clean(f"{mark} {info.standing}"), tone), extent
    tone = "warn" if is_short_of_time(info) else ""
    for text in _joined(progress_facts(info), width):
        yield (Piece(text, tone),)
    if info.failure:
        yield (Piece(clean(f"{info.failure.type}: {info.failure.message}"), "bad"),)
    for table, named in (info.epochs, "epochs"), (info.steps, "steps"):
        summaries = islice(table.columns.items(), KEYS_SHOWN)
        yield from _numbers(width, (named, "last", "best"), [(name, *_values(name, each)) for name, each in summaries])
    found = (
        (name, metric_summary(info, name) or ColumnSummary()) for name in islice(info.attached_metrics, KEYS_SHOWN)
    )
    yield from _numbers(width, ("attached", "last", "best"), [(name, *_values(name, each)) for name, each in found])


def _values(name: str, column: ColumnSummary) -> tuple[str, str]:
    best = column.min if smaller_is_better(name) else column.max
    return format_number(column.last), format_number(best)


def facts(info: RunInfo, width: int) -> Iterator[Line]:
    """What is known of a run beside its metrics: when and where it ran, its notes, its config."""
    known = {
        "id": info.id if info.name else "",
        "project": info.project,
        "group": info.group,
        "tags": ", ".join(info.tags),
        "started": format_ago(info.created),
        "host": info.attempt.host if info.attempt else "",
    }
    for name, value in known.items():
        if value:
            yield _pair(name, value)
    if info.notes:
        yield BLANK
        for line in clean_block(info.notes, NOTES_LIMIT).split("\n"):
            yield from ((Piece(part),) for part in wrap(line, max(1, width)) or [""])
    if info.config:
        yield BLANK
        yield (Piece("config", "muted"),)
        for key, value in islice(flat_config(info.config), KEYS_SHOWN):
            yield _pair(key, format_exact(value))


def group_lines(title: str, runs: Sequence[RunInfo], width: int) -> Iterator[Line]:
    """The states of several runs, and the mean, spread and best of the last values of their metrics."""
    yield (Piece(clean(title), "strong"),)
    states = Counter(info.state for info in runs)
    yield (Piece(clean(" · ".join(f"{count:,} {state}" for state, count in states.items())), "muted"),)
    names = dict.fromkeys(name for info in runs for name in info.epochs.columns)
    rows = []
    for name in islice(names, KEYS_SHOWN):
        values = [column.last for info in runs if (column := info.epochs.columns.get(name)) is not None]
        found = spread(values)
        known = [value for value in values if value is not None and value == value]
        best = (min if smaller_is_better(name) else max)(known, default=None)
        std = None if found is None or found.std is None else float(f"{found.std:.2g}")
        shown = found.mean if found else None, std, best
        rows.append((name, *map(format_number, shown)))
    yield from _numbers(width, ("last epoch", "mean", "± std", "best"), rows)


def side_by_side(left: Iterable[Line], right: Iterable[Line], width: int, gap: int) -> Iterator[Line]:
    """Lines of ``width`` to the left and to the right of a gap."""
    lefts, rights = iter(left), iter(right)
    while True:
        one, other = next(lefts, None), next(rights, None)
        if one is None and other is None:
            return
        shown = clipped(one or (), width)
        filled = width - sum(display_width(text) for text, _ in shown)
        yield (*shown, Piece(" " * (filled + gap)), *(other or ()))


def clipped(line: Line, width: int) -> Line:
    """As much of a line as ``width`` cells have room for; an ellipsis is where it is cut."""
    pieces: list[Piece] = []
    for text, tone in line:
        pieces.append(Piece(clip(text, width), tone))
        width -= display_width(pieces[-1].text)
        if width <= 0:
            break
    return tuple(pieces)


def _joined(facts: Iterable[str], width: int) -> list[str]:
    """Facts with a dot between them, in as many lines of this width as they need."""
    lines: list[str] = []
    for fact in facts:
        if lines and display_width(f"{lines[-1]} · {fact}") <= width:
            lines[-1] += f" · {fact}"
        else:
            lines.append(fact)
    return lines


def _numbers(width: int, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Line]:
    """A blank line, the titles, and the rows: a name, and numbers on their decimal points; nothing without rows."""
    if not rows:
        return
    names, *columns = zip(*rows, strict=True)
    aligned = [align_numbers(column) for column in columns]
    widths = [max(NUMBER_WIDTH - 1, len(column[0])) for column in aligned]
    narrow, wide = NAME_WIDTHS
    room = min(max(narrow, width - sum(widths) - len(widths)), wide)

    def line(name: str, values: Sequence[str], tone: str = "") -> Line:
        cells = (f" {text:>{size}}" for text, size in zip(values, widths, strict=True))
        return (Piece(_name(name, room) + "".join(cells), tone),)

    yield BLANK
    yield line(titles[0], titles[1:], "muted")
    for name, *values in zip(names, *aligned, strict=True):
        yield line(name, values)


def _pair(name: str, value: object) -> Line:
    return Piece(_name(name, NAME_WIDTHS[0]), "muted"), Piece(f" {clean(value)}")


def _name(name: str, width: int) -> str:
    return pad(clip(clean(name), width), width)
