"""Widgets that make each of their lines once, and keep it.

Textual goes through all lines of a widget whenever something beside it changes, and its own way, for widgets with
borders, makes each of them four times.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.content import Content
from textual.filter import ANSIToTruecolor, LineFilter
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget
from textual.widgets import Static

if TYPE_CHECKING:
    from typing_extensions import Self

_NARROW: Final = re.compile("[ -~\u2500-\u259f\u2800-\u28ff±×·…✓✗●◐▲▼▴▾▸]*")
"""Characters of one cell. A line of these is as wide as it is long, which is found in less time."""
MARGIN: Final = 1
"""Cells to the left and to the right of a text."""


class Ground(NamedTuple):
    """What all lines of a widget are drawn on."""

    style: Style
    background: Color
    filters: Sequence[LineFilter]

    @classmethod
    def of(cls, widget: Widget) -> Ground:
        # all our colours are true ones: Textual's filter that makes them so would only look through each line
        filters = [each for each in widget.get_line_filters() if not isinstance(each, ANSIToTruecolor)]
        return cls(widget.rich_style, widget.background_colors[1], filters)

    def line(self, segments: Iterable[Segment], width: int) -> Strip:
        """A line as the terminal gets it: filled or cut to a width, and filtered."""
        line = _fitted(list(segments), width, self.style)
        for line_filter in self.filters:
            line = line_filter.apply(line, self.background)
        return Strip(line, width)


def _fitted(line: list[Segment], width: int, style: Style) -> list[Segment]:
    """The line, filled or cut to a width."""
    text = "".join([segment.text for segment in line])
    if not _NARROW.fullmatch(text):
        return Segment.adjust_line_length(line, width, style)
    if len(text) < width:
        return [*line, Segment(" " * (width - len(text)), style)]
    over = len(text) - width
    while over > 0:
        last = line.pop()
        if len(last.text) > over:
            line.append(Segment(last.text[:-over], last.style))
        over -= len(last.text)
    return line


class Lines(Widget):
    """A widget with neither border nor padding. Lines that ``segments`` has made stay until ``refresh`` is called."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0), repaint=False)
    """A layout changes it; as Textual declares it, that asks for another layout."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: dict[int, Strip] = {}
        self._alike: dict[tuple[Segment, ...], Strip] = {}
        """Those of them that are of one segment, or of none: many of a widget's lines are the same."""
        self._kept_size = Size(0, 0)
        self._ground: Ground | None = None
        self._last: tuple[Region, list[Strip]] | None = None
        """The part drawn last, and its lines; None where one of them is to be made again."""

    @property
    def ground(self) -> Ground:
        if self._ground is None:
            self._ground = Ground.of(self)
        return self._ground

    def segments(self, y: int) -> Iterable[Segment]:
        """A line; what is missing, or too much, is filled up or cut."""
        return ()

    def render_line(self, y: int) -> Strip:
        if self._kept_size != self.outer_size:
            self._forget()
            self._kept_size = self.outer_size
        if y not in self._kept:
            made = tuple(self.segments(y))
            strip = self._alike.get(made) if len(made) < 2 else None
            if strip is None:
                strip = self.ground.line(made, self.outer_size.width)
            if len(made) < 2:
                self._alike[made] = strip
            self._kept[y] = strip
        return self._kept[y]

    def _forget(self) -> None:
        self._kept, self._alike, self._last = {}, {}, None

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._last is None or self._last[0] != crop or self._kept_size != self.outer_size:
            strips = [self.render_line(y) for y in crop.line_range]
            begin, end = crop.column_span
            if begin > 0 or end < self.outer_size.width:
                strips = [strip.crop(begin, end) for strip in strips]
            self._last = crop, strips
        return self._last[1]

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if repaint and regions:
            self._alike, self._last = {}, None
            for region in regions:
                for y in region.line_range:
                    self._kept.pop(y, None)
        elif repaint:
            self._forget()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _size_updated(self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True) -> bool:
        changed = super()._size_updated(size, virtual_size, container_size, layout)
        if changed:
            self._exchange_repaint_regions()  # it is drawn with the layout, and not once more after it
        return changed

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._forget()
        self._ground = None


class Clear(Lines):
    """A container of which nothing is drawn: between its children the screen is seen."""

    def render_lines(self, crop: Region) -> list[Strip]:
        return []


class TextLine(Lines, Static):
    """One line of text with a cell of room on either side; what does not fit is cut off."""

    DEFAULT_CSS = """
    TextLine { height: 1; width: 1fr; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def show(self, text: Content) -> None:
        if text != self.content:
            self.update(text, layout=False)

    def segments(self, y: int) -> Iterable[Segment]:
        visual, style = self._render(), self.visual_style
        text = Visual.to_strips(self, visual, max(0, self.outer_size.width - 2 * MARGIN), 1, style)
        return chain([Segment(" " * MARGIN, self.ground.style)], *text)
