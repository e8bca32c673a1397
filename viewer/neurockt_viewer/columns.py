"""The columns of the table of runs: which there can be, which suit these runs, and how a run's value is shown."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from textual.content import Content

from neurockt.errors import QueryError
from neurockt.formatting import clean, display_width, format_value
from neurockt.progress import live_fields
from neurockt.query.fields import (
    FIELD_NAMES,
    Field,
    differing,
    differing_keys,
    flat_config,
    parse_field,
    quoted,
    titles,
    usual_metrics,
)
from neurockt.query.metrics import in_both_tables, shown_of_epochs
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt_viewer.text import TONES, styled
from neurockt_viewer.widgets.row_source import WIDEST_COLUMN, Cell, Column, fitted

CONFIG_SHOWN: Final = 3
METRICS_SHOWN: Final = 3
"""Config keys and metrics in the table when no columns are chosen."""
TITLE_WIDTH: Final = 24
WIDEST: Final = {"name": 36, "id": WIDEST_COLUMN, "path": WIDEST_COLUMN}
WIDEST_OTHERS: Final = 30
"""Cells of a title, and of a column, at most: names that are longer are shortened so that they can be told apart."""
WIDTH_SAMPLE: Final = 500
"""Rows that are looked at to find out how wide a column is."""
MOST_KEPT: Final = 20_000
"""Cells that are kept."""
TIMES_KEPT: Final = 1.0
"""Seconds for which a column of times, such as `3 min ago`, keeps its width."""
TEXT_LIMIT: Final = 1000
"""Characters of a value in the table."""

STATES: Final = {
    "running": ("●", "live"),
    "finished": ("✓", "good"),
    "failed": ("✗", "bad"),
    "preempted": ("◐", "warn"),
    "killed": ("✗", "warn"),
}
"""The sign before a state, and its tone."""


def default_columns(runs: Sequence[RunInfo]) -> list[str]:
    """The state of the runs, the config keys that differ, and the metrics most of them have."""
    names = ["state", "name", *live_fields(runs)]
    names += usual_metrics(runs, METRICS_SHOWN)
    names += differing_keys(runs)[:CONFIG_SHOWN]
    names += ["epochs", "duration", "started"]
    names += differing(runs, ("tags", "project", "group"))
    return [*names, "steps"]


def possible_columns(runs: Sequence[RunInfo]) -> list[str]:
    """Every field these runs have: their own, the config's, and each metric's last and best value."""
    keys = dict.fromkeys(f"cfg.{key}" for info in runs for key, _ in flat_config(info.config))
    metrics = dict.fromkeys(name for info in runs for name in info.metrics)
    named = ["state", "name", *(name for name in FIELD_NAMES if name not in ("state", "name"))]
    both = in_both_tables(runs)
    for metric in metrics:
        for name in [quoted(metric), *([quoted(f"{metric}@steps")] if metric in both else [])]:
            named += [name, f"best({name})"]
    return [*named, *keys]


def understood(names: Iterable[str], unread: Collection[str] = ()) -> list[Field]:
    """The fields of these names, but for those that are not understood, or ``unread``."""
    fields = []
    for name in names:
        with suppress(QueryError):
            fields.append(parse_field(name))
    return [field for field in fields if field.name not in unread]


def show_value(value: Any, kind: str = "any") -> str:
    """A value for a person: moments and durations in words, numbers so that small ones keep their meaning."""
    return format_value(value, kind, TEXT_LIMIT)


def show_exact(value: float | None) -> str:
    """The shortest text that reads back as the same number; ``-`` for none."""
    return "-" if value is None else repr(float(value))


def state_text(info: RunInfo) -> Content:
    mark, tone = STATES.get(info.state, ("?", ""))
    return styled(f"{mark} {info.standing}", TONES.get(tone, ""))


def cell_of(info: RunInfo, field: Field) -> Cell:
    value = field.value(info)
    if field.name == "state":
        mark, tone = STATES.get(str(value), ("?", "muted"))
        return Cell(f"{mark} {clean(value)}", tone)
    text = show_value(value, field.kind)
    if value is None or text == "-" or field.kind == "time" or info.archived:
        return Cell(text, "muted")
    if isinstance(value, float) and not math.isfinite(value):
        return Cell(text, "bad")
    return Cell(text, "strong" if field.name == "name" else "")


class RunCells:
    """The cells of runs, made once: another order, filter or grouping changes none of them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str], tuple[RunInfo, Cell, bool | None]] = {}
        self._runs: Sequence[RunInfo] | None = None
        self._basis: list[object] = []
        self._defaults: list[Field] = []
        self._columns: dict[tuple[str, str], tuple[Sequence[RunInfo], frozenset[int], float, Column]] = {}
        self._of_epochs: tuple[Sequence[RunInfo], set[str]] = (), set()
        self._shortened: dict[str, tuple[Sequence[RunInfo], int, dict[str, str]]] = {}

    def cell(self, info: RunInfo, field: Field) -> Cell:
        return self._known(info, field)[1]

    def default_fields(self, runs: Sequence[RunInfo]) -> list[Field]:
        """The fields of the default columns of these runs; new values of the same metrics change none."""
        if runs is not self._runs:
            self._runs = runs
            basis: list[object] = [
                live_fields(runs),
                *(
                    (info.id, len(info.steps.columns), len(info.epochs.columns), info.tags, info.project, info.group)
                    for info in runs
                ),
            ]
            if basis != self._basis:
                self._basis, self._defaults = basis, understood(default_columns(runs))
        return self._defaults

    def columns(self, fields: Sequence[Field], runs: Sequence[RunInfo], titles: Sequence[str]) -> list[Column]:
        """The columns as wide as what they hold."""
        sample = runs if len(runs) <= WIDTH_SAMPLE else [*runs[: WIDTH_SAMPLE // 2], *runs[-WIDTH_SAMPLE // 2 :]]
        steady = all(info.state != "running" for info in sample)
        which, now = frozenset(map(id, sample)), time.monotonic()
        columns = []
        for field, title in zip(fields, titles, strict=True):
            known = self._columns.get((field.name, title))
            until = TIMES_KEPT if field.kind == "time" else math.inf
            if known is None or known[1] != which or not steady or now - known[2] > until:
                known = sample, which, now, self._column(field, sample, title)
                self._columns[field.name, title] = known
            columns.append(known[3])
        return columns

    def _column(self, field: Field, runs: Sequence[RunInfo], title: str) -> Column:
        known = [self._known(info, field) for info in runs]
        numeric = {numeric for _, _, numeric in known if numeric is not None}
        widest = WIDEST.get(field.name, WIDEST_OTHERS)
        right = numeric == {True} or field.kind in ("number", "share", "duration")
        return fitted(field.name, title, (cell.text for _, cell, _ in known), widest, right=right)

    def titles(self, fields: Sequence[Field], runs: Sequence[RunInfo]) -> list[str]:
        """The titles of fields, for these runs; the same list of runs does not change."""
        if self._of_epochs[0] is not runs:
            self._of_epochs = runs, shown_of_epochs(runs)
        return shorten([clean(title) for title in titles(fields, self._of_epochs[1])], TITLE_WIDTH)

    def shortened(self, field: Field, column: Column, runs: Sequence[RunInfo]) -> tuple[Column, dict[str, str]]:
        """A column that is as wide as one can be, with shorter texts, and those that are shown for longer ones."""
        if field.kind != "text" or column.width < WIDEST.get(field.name, WIDEST_OTHERS):
            return column, {}
        known = self._shortened.get(field.name)
        if known is None or known[0] is not runs:
            texts = list({show_value(field.value(info)) for info in runs})
            short = shorten(texts, column.width)
            pairs = zip(texts, short, strict=True)
            shown = {text: cut for text, cut in pairs if text != cut}
            known = self._shortened[field.name] = runs, max(map(display_width, short)), shown
        return replace(column, width=max(display_width(column.title), known[1])), known[2]

    def _known(self, info: RunInfo, field: Field) -> tuple[RunInfo, Cell, bool | None]:
        """A cell, and whether it is a number, None for no value. Times, and what a running run has, change."""
        key = id(info), field.name
        known = self._kept.get(key)
        if known is None or known[0] is not info:
            value = field.value(info)
            numeric = None if value is None else isinstance(value, (int, float)) and not isinstance(value, bool)
            known = info, cell_of(info, field), numeric
            if field.kind != "time" and info.state != "running":
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = known
        return known
