"""The details of the run under the cursor: its facts, the summaries of its metrics, its config; or those of a group."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, zip_longest
from typing import Final

from textual.app import RenderResult
from textual.content import Content
from textual.widget import Widget

from neurockt.formatting import display_width, format_ago, format_duration, format_number
from neurockt.progress import is_short_of_time, progress_facts
from neurockt.query.fields import flat_config, metric_summary, smaller_is_better
from neurockt.run_info import ColumnSummary, RunInfo
from neurockt_viewer.columns import STATES, show_value
from neurockt_viewer.text import block, label, styled

KEYS_SHOWN: Final = 40
"""Config keys, and metrics, in the details; the run's own screen has all."""
NUMBER_WIDTH: Final = 11
NAME_WIDTHS: Final = 12, 28
"""The narrowest and the widest that a name is."""
TWO_COLUMNS: Final = 68
"""Cells from which the metrics and the facts are side by side."""
SCROLLED: Final = 3
"""Lines for a turn of the mouse's wheel."""
MUTED: Final = "$text-muted"
TONES: Final = {"live": "$text-primary bold", "good": "$text-success", "bad": "$text-error", "warn": "$text-warning"}

GAP: Final = 2
BLANK: Final = (Content(""),)

Lines = Iterable[Content]


class Details(Widget):
    """As many lines as there is room for, so that nothing is laid out again when they change."""

    DEFAULT_CSS = """
    Details { width: 1fr; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._subject: object = None
        self._parts: Callable[[int], tuple[Lines, Lines]] = lambda _: ((), ())
        self._first = 0
        self._text = Content("")

    def show(self, info: RunInfo | None) -> None:
        """Show this run; nothing for None."""
        if info is None:
            self._show(None, lambda _: ((), ()))
        else:
            self._show(info.path, lambda width: (measurements(info, width), facts(info)))

    def show_group(self, title: str, runs: Sequence[RunInfo]) -> None:
        self._show(title, lambda width: (group_lines(title, runs, width), ()))

    def _show(self, subject: object, parts: Callable[[int], tuple[Lines, Lines]]) -> None:
        if subject != self._subject:
            self._subject, self._first = subject, 0
        self._parts = parts
        self.redraw()

    def redraw(self) -> None:
        """Draw what has changed: times, such as `3 min ago`, do by themselves."""
        width, height = self.size
        if width >= TWO_COLUMNS:
            half = (width - GAP) // 2
            lines = side_by_side(*self._parts(half), half)
        else:
            left, right = self._parts(width)
            lines = chain(left, BLANK, right)
        text = Content("\n").join(islice(lines, self._first, self._first + height))
        if text != self._text:
            self._text = text
            self.refresh()

    def render(self) -> RenderResult:
        return self._text

    def on_resize(self) -> None:
        self.redraw()

    def on_mouse_scroll_down(self) -> None:
        if self._text:
            self._first += SCROLLED
            self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self._first = max(0, self._first - SCROLLED)
        self.redraw()


def side_by_side(left: Lines, right: Lines, width: int) -> Iterator[Content]:
    for pair in zip_longest(left, right, fillvalue=Content("")):
        yield pair[0].truncate(width, ellipsis=True, pad=True) + " " * GAP + pair[1].truncate(width, ellipsis=True)


def state_text(info: RunInfo) -> Content:
    mark, tone = STATES.get(info.state, ("?", ""))
    return styled(f"{mark} {info.standing}", TONES.get(tone, ""))


def measurements(info: RunInfo, width: int) -> Iterator[Content]:
    """Which run it is, its state, and its metrics."""
    yield styled(info.label, "bold")
    yield Content.assemble(state_text(info), " ", styled(f"{format_duration(info.seconds)} · {info.extent}", MUTED))
    tone = TONES["warn"] if is_short_of_time(info) else ""
    for line in joined(progress_facts(info), width):
        yield styled(line, tone)
    if info.failure:
        yield styled(f"{info.failure.type}: {info.failure.message}", TONES["bad"])
    if info.epochs.columns:
        yield from BLANK
        yield numbers(width, "epochs", "last", "best").stylize(MUTED)
    for name, column in islice(info.epochs.columns.items(), KEYS_SHOWN):
        best = column.min if smaller_is_better(name) else column.max
        yield numbers(width, name, format_number(column.last), format_number(best))
    if info.steps.columns:
        yield from BLANK
        yield numbers(width, "steps", "last", "lowest").stylize(MUTED)
    for name, column in islice(info.steps.columns.items(), KEYS_SHOWN):
        yield numbers(width, name, format_number(column.last), format_number(column.min))
    if attached := list(info.attached_metrics)[:KEYS_SHOWN]:
        yield from BLANK
        yield numbers(width, "attached", "last", "best").stylize(MUTED)
    for name in attached:
        found = metric_summary(info, name) or ColumnSummary()
        best = found.min if smaller_is_better(name) else found.max
        yield numbers(width, name, format_number(found.last), format_number(best))


def facts(info: RunInfo) -> Iterator[Content]:
    """What is known of it beside its metrics: where and when, its notes, its config."""
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
            yield pair(name, value)
    if info.notes:
        yield from BLANK
        yield from block(info.notes, 600).split("\n")
    if info.config:
        yield from BLANK
        yield styled("config", MUTED)
        for key, value in islice(flat_config(info.config), KEYS_SHOWN):
            yield pair(key, show_value(value))


def group_lines(title: str, runs: Sequence[RunInfo], width: int) -> Iterator[Content]:
    """The lines on several runs: their states, and the mean and the best of the last values of their metrics."""
    yield styled(title, "bold")
    states = Counter(info.state for info in runs)
    yield styled(" · ".join(f"{count:,} {state}" for state, count in states.items()), MUTED)
    names = dict.fromkeys(name for info in runs for name in info.epochs.columns)
    if names:
        yield from BLANK
        yield numbers(width, "last epoch", "mean", "best").stylize(MUTED)
    for name in list(names)[:KEYS_SHOWN]:
        values = [column.last for info in runs if (column := info.epochs.columns.get(name)) and column.last is not None]
        known = [value for value in values if not math.isnan(value)]
        best = (min if smaller_is_better(name) else max)(known, default=None)
        mean = sum(values) / len(values) if values else None
        yield numbers(width, name, format_number(mean), format_number(best))


def joined(facts: Iterable[str], width: int) -> list[str]:
    """Facts with a dot between them, in as many lines of this width as they need."""
    lines: list[str] = []
    for fact in facts:
        if lines and display_width(f"{lines[-1]} · {fact}") <= width:
            lines[-1] += f" · {fact}"
        else:
            lines.append(fact)
    return lines


def numbers(width: int, name: str, *values: str) -> Content:
    narrow, wide = NAME_WIDTHS
    named = fixed(name, min(max(narrow, width - len(values) * NUMBER_WIDTH), wide))
    return Content.assemble(named, *(f" {value:>{NUMBER_WIDTH - 1}}" for value in values))


def pair(name: str, value: object) -> Content:
    return Content.assemble(fixed(name, NAME_WIDTHS[0]).stylize(MUTED), " ", label(value))


def fixed(name: str, width: int) -> Content:
    """A foreign name of exactly ``width`` cells."""
    return label(name).truncate(width, ellipsis=True, pad=True)
