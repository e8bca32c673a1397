"""Compares what W&B has with what the run has."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from neurockt.formatting import clean, format_count
from neurockt.sync.describe import Description
from neurockt.sync.project import Project, ServerRun
from neurockt.sync.rows import START, Place

if TYPE_CHECKING:
    from neurockt.sync.history import History

PAGE_ROWS: Final = 5_000

_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""A server may give these numbers back as text, since strict JSON has none."""


def same_row(line: str, other: str) -> bool:
    try:
        return _differing(json.loads(line), json.loads(other)) is None
    except ValueError:
        return False


def same_values(here: Mapping[str, Any], there: Mapping[str, Any]) -> bool:
    """Whether two rows are the same but for their positions."""
    return _differing({**here, "_step": 0}, {**there, "_step": 0}) is None


def lacking(
    there: ServerRun | None, end: Place, described: Description, last_line: str | None, *, samples: int = 0, exact: bool
) -> str | None:
    """What the server does not show of what it was sent, in words; None if it shows all."""
    if there is None:
        return "the run is not there"
    if there.rows < end.rows or (exact and there.rows > end.rows):
        return f"it has {there.rows:,} of {end.rows:,} rows"
    if not there.is_settled:
        return f"it counts {format_count(there.rows, 'row')}, and its last is row {there.last_step + 1:,}"
    if last_line is not None and there.rows == end.rows and not same_row(last_line, there.last_line):
        return f"its row {end.rows:,} differs"
    if there.samples < samples:
        return f"it has {there.samples:,} of {samples:,} samples of the machine"
    if exact and there.state != described.state:
        return f"its state is {there.state}, not {described.state}"
    return None


def difference(
    project: Project,
    there: ServerRun,
    rows: History,
    described: Description,
    report: Callable[[int, int], None],
) -> str | None:
    """What W&B's run differs in, in words; None for nothing. W&B may lack rows of a run that still trains."""
    is_complete = described.exit_code is not None
    if there.rows > rows.total or (is_complete and there.rows != rows.total):
        return f"W&B has {format_count(there.rows, 'row')}, the run {rows.total:,}"
    if is_complete:
        tags = {*described.about.tags}
        wrapped = {key: {"value": value} for key, value in described.config.items()}
        for what, here, found in (
            ("state", described.state, there.state),
            ("name", described.about.name, there.about.name),
            ("tags", sorted(tags), sorted(tags & {*there.about.tags})),
            ("config", wrapped, {key: there.config.get(key) for key in described.config}),
        ):
            if here != found:
                return f"its {what} in W&B is {clean(found)}, not {clean(here)}"
    return _first_difference(all_rows(project, there), rows, there.rows, report)


def all_rows(project: Project, there: ServerRun) -> Iterator[dict[str, Any]]:
    pages = (project.rows(there.run_id, first, PAGE_ROWS) for first in range(0, there.rows, PAGE_ROWS))
    return chain.from_iterable(pages)


def _first_difference(
    found: Iterator[dict[str, Any]], rows: History, count: int, report: Callable[[int, int], None]
) -> str | None:
    number = 0
    for batch in rows.after(START):
        for line in batch.lines[: count - number]:
            row = next(found, None)
            if row is None:
                return f"W&B does not give row {number + 1:,}, though it counts it"
            number += 1
            if (key := _differing(json.loads(line), row)) is not None:
                here, there = (values.get(key, "missing") for values in (json.loads(line), row))
                return f"row {number:,} differs: {clean(key)} is {there!r:.40} in W&B, {here!r:.40} here"
        report(number, count)
        if number == count:
            break
    return None


def _differing(here: dict[str, Any], there: dict[str, Any]) -> str | None:
    """A key whose values differ; ``_runtime`` follows from ``_timestamp``, and the SDK puts its own in its place."""
    for key in (here.keys() | there.keys()) - {"_runtime"}:
        if key not in here or key not in there or not _same(here[key], there[key]):
            return str(key)
    return None


def _same(here: Any, there: Any) -> bool:
    there = _SPECIAL.get(there, there) if isinstance(there, str) else there
    if isinstance(here, float) and math.isnan(here):
        return isinstance(there, float) and math.isnan(there)
    return bool(here == there)
