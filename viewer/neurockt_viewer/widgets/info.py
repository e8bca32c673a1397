"""Everything that is known about one run, as text to scroll through."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from neurockt.formatting import (
    align_numbers,
    clean,
    display_width,
    format_count,
    format_duration,
    format_elapsed,
    format_exact,
    format_number,
)
from neurockt.query.fields import flat_config
from neurockt.run_info import ColumnSummary, RunInfo, TableSummary
from neurockt.store import Origin, facts
from neurockt_viewer.columns import show_exact, state_text
from neurockt_viewer.text import MUTED, TONES, block, fixed, full_path, label, styled

VALUE_LIMIT: Final = 4_000
KEYS_LIMIT: Final = 2_000
"""Characters of a value, and config keys, that are shown."""
HEADING: Final = "bold $primary"


class InfoView(VerticalScroll, can_focus=True):
    DEFAULT_CSS = """
    InfoView { padding: 0 2; scrollbar-size: 1 1; height: 1fr; }
    InfoView > Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", show=False),
        Binding("k", "scroll_up", "Up", show=False),
        Binding("g", "scroll_home", "Top", show=False),
        Binding("G", "scroll_end", "Bottom", show=False),
        Binding("ctrl+d", "page_down", "Page down", show=False),
        Binding("ctrl+u", "page_up", "Page up", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield Static()

    _lines: Callable[[int], Iterator[Content]] = staticmethod(lambda _: iter(()))

    def show(self, info: RunInfo, damage: tuple[str, ...] = (), origin: Origin | None = None) -> None:
        self._lines = partial(info_lines, info, damage, origin)
        self.on_resize()

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        self.query_one(Static).update(Content("\n").join(self._lines(width)))


def info_lines(
    info: RunInfo, damage: tuple[str, ...] = (), origin: Origin | None = None, width: int = sys.maxsize
) -> Iterator[Content]:
    """Everything that is known; in columns of ``width`` cells, numbers have all digits where there is room."""
    yield from _facts(info)
    if damage:
        yield from _heading("could not be read")
        yield from (styled(line, TONES["bad"], VALUE_LIMIT) for line in damage)
    if info.failure:
        yield from _heading("failure")
        yield styled(f"{info.failure.type}: {info.failure.message}", TONES["bad"], VALUE_LIMIT)
        yield block(info.failure.traceback)
    if info.notes:
        yield from _heading("notes")
        yield block(info.notes)
    for key, table in (
        ("epoch", info.epochs),
        ("step", info.steps),
        ("arrival", info.late),
        ("sample", info.system),
    ):
        if table.columns:
            yield from _heading(f"columns of {key}s")
            yield from _columns(key, table, width)
    for name, each in info.attached.items():
        yield from _heading(f"attached: {clean(name)}, {clean(each.standing)}")
        for key, table in (("epoch", each.epochs), ("step", each.steps), ("arrival", each.late)):
            if table.columns:
                yield from _columns(key, table, width)
    if info.config:
        yield from _heading("config")
        pairs = list(flat_config(info.config))
        yield from _pairs([(key, format_exact(value, VALUE_LIMIT)) for key, value in pairs[:KEYS_LIMIT]])
        if len(pairs) > KEYS_LIMIT:
            yield styled(f"and {len(pairs) - KEYS_LIMIT:,} more", MUTED)
    if origin is not None and (known := facts(origin)):
        yield from _heading("origin")
        yield from _pairs(list(known.items()))
        if origin.packages:
            yield from _heading("packages")
            yield block(", ".join(f"{name} {version}" for name, version in origin.packages.items()))
    yield from _heading("attempts")
    for attempt in info.attempts:
        until = _moment(attempt.ended) if attempt.ended else "-"
        yield label(
            f"{attempt.number}  "
            + ", ".join(filter(None, [attempt.place, f"{_moment(attempt.started)} to {until}", attempt.circumstances])),
            VALUE_LIMIT,
        )


def _facts(info: RunInfo) -> Iterator[Content]:
    yield styled(info.label, "bold")
    yield Content.assemble(state_text(info), styled(f"  {format_duration(info.seconds)}", MUTED))
    facts = {
        "id": info.id,
        "path": full_path(info.path),
        "project": info.project,
        "group": info.group,
        "tags": ", ".join(info.tags),
        "archived": "yes" if info.archived else "",
        "imported": info.imported_from,
        "started": _started(info),
        "ended": _moment(info.ended) if info.ended else "",
        "host": info.attempt.host if info.attempt else "",
        "rows": info.extent,
        "lost": f"{format_count(info.dropped, 'row')} that could not be stored" if info.dropped else "",
    }
    yield from _pairs([(name, value) for name, value in facts.items() if value])


def _heading(text: str) -> Iterator[Content]:
    yield Content("")
    yield styled(text, HEADING)


def _pairs(pairs: list[tuple[str, str]]) -> Iterator[Content]:
    width = min(40, max(display_width(clean(name)) for name, _ in pairs))
    for name, value in pairs:
        yield Content.assemble(fixed(name, width).stylize(MUTED), "  ", label(value, VALUE_LIMIT))


def _columns(key: str, table: TableSummary, room: int) -> Iterator[Content]:
    """Each metric's last, smallest and largest value, and where."""
    titles = ("metric", "values", "last", "smallest", f"at {key}", "largest", f"at {key}")
    for show in (show_exact, format_number):
        unaligned = [(clean(name), *_summary(column, show)) for name, column in table.columns.items()]
        names, *texts = zip(*unaligned, strict=True)
        rows = list(zip(names, *map(align_numbers, texts), strict=True))
        widths = [min(40, max(display_width(row[at]) for row in (titles, *rows))) for at in range(len(titles))]
        if sum(widths) + 2 * (len(widths) - 1) <= room:
            break
    for index, row in enumerate((titles, *rows)):
        cells = [fixed(row[0], widths[0])]
        cells += [Content(text.rjust(width)) for text, width in zip(row[1:], widths[1:], strict=True)]
        line = Content("  ").join(cells)
        yield line if index else line.stylize(MUTED)


def _summary(column: ColumnSummary, show: Callable[[float | None], str]) -> tuple[str, ...]:
    def at(place: int | None) -> str:
        return "-" if place is None else f"{place:,}"

    return (
        f"{column.count:,}",
        show(column.last),
        show(column.min),
        at(column.min_at),
        show(column.max),
        at(column.max_at),
    )


def _started(info: RunInfo) -> str:
    """The moment, and how long ago that was."""
    ago = format_elapsed(info.created)
    return _moment(info.created) + (ago and f"  ({ago})")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
