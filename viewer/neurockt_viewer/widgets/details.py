"""The details of the run under the cursor, or of the group."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size

from neurockt.run_info import RunInfo
from neurockt_viewer.detail_lines import BLANK, Line, clipped, facts, group_lines, measurements, side_by_side
from neurockt_viewer.widgets.lines import MARGIN, Lines

TWO_COLUMNS: Final = 68
"""Cells from which the metrics and the facts are side by side."""
GAP: Final = 2
SCROLLED: Final = 3
"""Lines for a turn of the mouse's wheel."""

Parts = Callable[[int], tuple[Iterable[Line], Iterable[Line]]]
"""Gives the lines of the metrics and those of the facts, in columns of a width."""


class Details(Lines):
    """As many lines as there is room for: nothing is laid out again, and only lines that change are drawn again."""

    DEFAULT_CSS = """
    Details {
        width: 1fr;
        & > .details--muted { color: $text-muted; }
        & > .details--good { color: $text-success; }
        & > .details--bad { color: $text-error; }
        & > .details--warn { color: $text-warning; }
        & > .details--live { color: $text-primary; text-style: bold; }
        & > .details--strong { text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"details--{tone}" for tone in ("muted", "good", "bad", "warn", "live", "strong")
    }

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        """What is shown."""
        self._subject: object = None
        self._parts: Parts = lambda _: ((), ())
        self._columns = 2
        self._first = 0
        self._made_for = Size(0, 0)
        self._styles_seen: dict[str, Style] = {}

    def show(self, info: RunInfo | None) -> None:
        """Show this run; nothing for None."""
        if info is None:
            self._show(None, lambda _: ((), ()))
        else:
            self._show(info.path, lambda width: (measurements(info, width), facts(info, width)))

    def show_group(self, title: str, runs: Sequence[RunInfo]) -> None:
        self._show(title, lambda width: (group_lines(title, runs, width), ()), columns=1)

    def _show(self, subject: object, parts: Parts, columns: int = 2) -> None:
        if subject != self._subject:
            self._subject, self._first = subject, 0
        self._parts, self._columns = parts, columns
        self.redraw()

    def redraw(self) -> None:
        """Draw what has changed: times, such as `3 min ago`, do by themselves."""
        before = self.lines
        self._make()
        for y in range(self.outer_size.height):
            if before[y : y + 1] != self.lines[y : y + 1]:
                self.refresh(Region(0, y, self.outer_size.width, 1))

    def _make(self) -> None:
        self._made_for = self.outer_size
        width, height = self._made_for.width - 2 * MARGIN, self._made_for.height
        if width >= TWO_COLUMNS and self._columns > 1:
            half = (width - GAP) // 2
            lines = side_by_side(*self._parts(half), half, GAP)
        else:
            left, right = self._parts(width)
            lines = chain(left, (BLANK,), right)
        self.lines = [clipped(line, width) for line in islice(lines, self._first, self._first + height)]

    def segments(self, y: int) -> Iterable[Segment]:
        if self._made_for != self.outer_size:
            self._make()
        pieces = self.lines[y] if y < len(self.lines) else BLANK
        if pieces:
            yield Segment(" " * MARGIN, self._style(""))
            yield from (Segment(text, self._style(tone)) for text, tone in pieces)

    def _style(self, tone: str) -> Style:
        if tone not in self._styles_seen:
            self._styles_seen[tone] = self.get_component_rich_style(f"details--{tone}") if tone else self.rich_style
        return self._styles_seen[tone]

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles_seen.clear()

    def on_mouse_scroll_down(self) -> None:
        if len(self.lines) == self.size.height:
            self._first += SCROLLED
            self.redraw()

    def on_mouse_scroll_up(self) -> None:
        self._first = max(0, self._first - SCROLLED)
        self.redraw()
