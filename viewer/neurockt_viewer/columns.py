"""The columns of the table of runs: which there can be, which suit these runs, and how a run's value is shown."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from neurockt.errors import QueryError
from neurockt.formatting import clean, display_width, format_ago, format_duration, format_number
from neurockt.query.fields import FIELD_NAMES, Field, field_value, flat_config, parse_field
from neurockt.run_info import RunInfo
from neurockt_viewer.widgets.row_source import WIDEST_COLUMN, Cell, Column

CONFIG_SHOWN: Final = 3
METRICS_SHOWN: Final = 3
"""Config keys and metrics in the table when no columns are chosen."""
WIDTH_SAMPLE: Final = 500
"""Rows that are looked at to find out how wide a column is."""
TEXT_LIMIT: Final = 120
"""Characters of a value in the table."""

_PLAIN: Final = re.compile(r"\w[\w./-]*")
"""A metric's name that needs no quotes, unless it is a field of every run."""

STATES: Final = {
    "running": ("●", "live"),
    "finished": ("✓", "good"),
    "failed": ("✗", "bad"),
    "preempted": ("◐", "warn"),
    "killed": ("✗", "warn"),
}
"""The sign before a state, and its tone."""


def quoted(metric: str) -> str:
    """The field that is a metric's last value, whatever the metric is called; without quotes where none are needed."""
    if _PLAIN.fullmatch(metric) and parse_field(metric).metric == metric:
        return metric
    escaped = metric.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def default_columns(runs: Sequence[RunInfo]) -> list[str]:
    """The state of the runs, the config keys that differ, and the metrics most of them have."""
    names = ["state", "name"]
    for table in ("epochs", "steps"):
        common = Counter(name for info in runs for name in getattr(info, table).columns)
        if common:
            names += [quoted(name) for name, _ in common.most_common(METRICS_SHOWN)]
            break
    names += _differing_keys(runs)[:CONFIG_SHOWN]
    names += ["epochs", "duration", "started"]
    names += [name for name in ("tags", "project", "group") if len({field_value(info, name) for info in runs}) > 1]
    return [*names, "steps"]


def _differing_keys(runs: Sequence[RunInfo]) -> list[str]:
    """The config keys whose values differ between runs, in the order of the config; seeds last."""
    values: dict[str, set[str]] = {}
    for info in runs:
        for key, value in flat_config(info.config):
            values.setdefault(key, set()).add(str(value))
    differing = [f"cfg.{key}" for key, found in values.items() if len(found) > 1]
    return sorted(differing, key=lambda key: "seed" in key.lower())


def possible_columns(runs: Sequence[RunInfo]) -> list[str]:
    """Every field these runs have: their own, the config's, and each metric's last and best value."""
    keys = dict.fromkeys(f"cfg.{key}" for info in runs for key, _ in flat_config(info.config))
    metrics = dict.fromkeys(name for info in runs for table in (info.epochs, info.steps) for name in table.columns)
    named = ["state", "name", *(name for name in FIELD_NAMES if name not in ("state", "name"))]
    for metric in metrics:
        named += [quoted(metric), f"best({quoted(metric)})"]
    return [*named, *keys]


def understood(names: Iterable[str]) -> list[Field]:
    """The fields of these names; names that cannot be parsed are left out."""
    fields = []
    for name in names:
        try:
            fields.append(parse_field(name))
        except QueryError:
            continue
    return fields


def show_value(value: Any, kind: str = "any") -> str:
    """A value for a person: moments and durations in words, numbers so that small ones keep their meaning."""
    if value is None or value == () or value == "":
        return "-"
    if isinstance(value, datetime):
        return format_ago(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if kind == "number" else str(value)
    if isinstance(value, float):
        return (
            format_duration(value) if kind == "duration" else format_number(value) if kind == "number" else f"{value!r}"
        )
    if isinstance(value, tuple):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return clean(value, TEXT_LIMIT)


def cell_of(info: RunInfo, field: Field) -> Cell:
    """What a run shows in a column."""
    value = field.value(info)
    if field.name == "state":
        mark, tone = STATES.get(str(value), ("?", "muted"))
        return Cell(f"{mark} {clean(value)}", tone)
    text = show_value(value, field.kind)
    if value is None or text == "-" or field.kind == "time":
        return Cell(text, "muted")
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return Cell(text, "bad")
    return Cell(text, "strong" if field.name == "name" else "")


def layout_of(fields: Sequence[Field], runs: Sequence[RunInfo], titles: Sequence[str]) -> list[Column]:
    """The columns as wide as what they hold."""
    sample = runs if len(runs) <= WIDTH_SAMPLE else [*runs[: WIDTH_SAMPLE // 2], *runs[-WIDTH_SAMPLE // 2 :]]
    return [_column(field, sample, title) for field, title in zip(fields, titles, strict=True)]


def _column(field: Field, runs: Sequence[RunInfo], title: str) -> Column:
    values = [field.value(info) for info in runs]
    numbers = any(isinstance(value, (int, float)) for value in values) and all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values
    )
    widest = max((display_width(cell_of(info, field).text) for info in runs), default=0)
    width = min(WIDEST_COLUMN if field.name in ("name", "id", "path") else 30, max(widest, display_width(title), 4))
    return Column(field.name, title, width, right=numbers or field.kind in ("number", "duration"))
