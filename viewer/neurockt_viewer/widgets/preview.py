"""A preview of the run under the cursor: its curve, its facts, its config, and the summaries of its metrics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from neurockt.formatting import format_ago, format_duration, format_number
from neurockt.query.fields import flat_config, metric_summary, smaller_is_better
from neurockt.run_info import ColumnSummary, RunInfo
from neurockt_viewer.columns import STATES, show_value
from neurockt_viewer.text import block, label, styled
from neurockt_viewer.widgets.preview_chart import PreviewChart

LEAST_HEIGHT: Final = 28
"""Lines needed to show the chart, too."""
KEYS_SHOWN: Final = 40
"""Config keys, and metrics, in the preview; the run's own screen has all."""
NAME_WIDTH: Final = 17
MUTED: Final = "$text-muted"
TONES: Final = {"live": "$text-primary bold", "good": "$text-success", "bad": "$text-error", "warn": "$text-warning"}


class Preview(Vertical):
    DEFAULT_CSS = """
    Preview { width: 46; height: 1fr; padding: 0 1; border-left: vkey $foreground 20%; }
    Preview > VerticalScroll { height: 1fr; scrollbar-size: 1 1; }
    Preview Static { height: auto; }
    """

    _text = Content("")

    def compose(self) -> ComposeResult:
        yield VerticalScroll(Static(), can_focus=False)
        yield PreviewChart()

    def on_resize(self) -> None:
        self.query_one(PreviewChart).display = self.size.height >= LEAST_HEIGHT

    def show(self, info: RunInfo | None) -> None:
        """Show this run; nothing for None."""
        self._show(description(info) if info else ())
        self.query_one(PreviewChart).show_run(info)

    def show_group(self, title: str, runs: Sequence[RunInfo]) -> None:
        self._show(group_description(title, runs))
        self.query_one(PreviewChart).show_run(None)

    def _show(self, lines: Iterable[Content]) -> None:
        text = Content("\n").join(lines)
        if text != self._text:  # comparing is cheap, and laying the screen out again is not
            self._text = text
            self.query_one(Static).update(text)
            self.query_one(VerticalScroll).scroll_home(animate=False)


def state_text(info: RunInfo) -> Content:
    mark, tone = STATES.get(info.state, ("?", ""))
    return styled(f"{mark} {info.standing}", TONES.get(tone, ""))


def description(info: RunInfo) -> Iterator[Content]:
    yield styled(info.label, "bold")
    yield Content.assemble(state_text(info), " ", styled(f"{format_duration(info.seconds)} · {info.extent}", MUTED))
    facts = {
        "id": info.id if info.name else "",
        "project": info.project,
        "group": info.group,
        "tags": ", ".join(info.tags),
        "started": format_ago(info.created),
        "host": info.attempt.host if info.attempt else "",
    }
    for name, value in facts.items():
        if value:
            yield pair(name, value)
    if info.failure:
        yield Content("")
        yield styled(f"{info.failure.type}: {info.failure.message}", TONES["bad"])
    if info.notes:
        yield Content("")
        yield block(info.notes, 600)
    if info.epochs.columns:
        yield Content("")
        yield numbers("epochs", "last", "best").stylize(MUTED)
    for name, column in list(info.epochs.columns.items())[:KEYS_SHOWN]:
        best = column.min if smaller_is_better(name) else column.max
        yield numbers(name, format_number(column.last), format_number(best))
    if info.steps.columns:
        yield Content("")
        yield numbers("steps", "last", "lowest").stylize(MUTED)
    for name, column in list(info.steps.columns.items())[:KEYS_SHOWN]:
        yield numbers(name, format_number(column.last), format_number(column.min))
    if attached := list(info.attached_metrics)[:KEYS_SHOWN]:
        yield Content("")
        yield numbers("attached", "last", "best").stylize(MUTED)
    for name in attached:
        found = metric_summary(info, name) or ColumnSummary()
        best = found.min if smaller_is_better(name) else found.max
        yield numbers(name, format_number(found.last), format_number(best))
    if info.config:
        yield Content("")
        yield styled("config", MUTED)
        for key, value in list(flat_config(info.config))[:KEYS_SHOWN]:
            yield pair(key, show_value(value))


def group_description(title: str, runs: Sequence[RunInfo]) -> Iterator[Content]:
    """The lines on several runs: their states, and the mean and the best of the last values of their metrics."""
    yield styled(title, "bold")
    states = Counter(info.state for info in runs)
    yield styled(" · ".join(f"{count:,} {state}" for state, count in states.items()), MUTED)
    names = dict.fromkeys(name for info in runs for name in info.epochs.columns)
    if names:
        yield Content("")
        yield numbers("last epoch", "mean", "best").stylize(MUTED)
    for name in list(names)[:KEYS_SHOWN]:
        values = [column.last for info in runs if (column := info.epochs.columns.get(name)) and column.last is not None]
        known = [value for value in values if not math.isnan(value)]
        best = (min if smaller_is_better(name) else max)(known, default=None)
        mean = sum(values) / len(values) if values else None
        yield numbers(name, format_number(mean), format_number(best))


def numbers(name: str, *values: str) -> Content:
    return Content.assemble(fixed(name, NAME_WIDTH), *(f" {value:>11}" for value in values))


def pair(name: str, value: object) -> Content:
    return Content.assemble(fixed(name, NAME_WIDTH).stylize(MUTED), " ", label(value))


def fixed(name: str, width: int) -> Content:
    """A foreign name of exactly ``width`` cells."""
    return label(name).truncate(width, ellipsis=True, pad=True)
