"""Widgets that make each of their lines once, and keep it.

Textual goes through all lines of a widget whenever something beside it changes, and its own way, for widgets with
borders, makes each of them four times.
"""

from __future__ import annotations

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

_EMPTY: Final = -1
"""The one line that stands for all that have nothing in them."""
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

    def line(self, segments: list[Segment], width: int) -> Strip:
        """A line as the terminal gets it: filled or cut to a width, and filtered."""
        line = Segment.adjust_line_length(segments, width, self.style)
        for line_filter in self.filters:
            line = line_filter.apply(line, self.background)
        return Strip(line, width)


class Lines(Widget):
    """A widget with neither border nor padding. Lines that ``segments`` has made stay until ``refresh`` is called."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0), repaint=False)
    """A layout changes it; as Textual declares it, that asks for another layout."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._kept: dict[int, Strip] = {}
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
            self._kept, self._kept_size = {}, self.outer_size
        if y not in self._kept:
            made = list(self.segments(y))
            if not made and _EMPTY in self._kept:
                return self._kept[_EMPTY]
            self._kept[y if made else _EMPTY] = strip = self.ground.line(made, self.outer_size.width)
            return strip
        return self._kept[y]

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
            self._last = None
            for region in regions:
                for y in region.line_range:
                    self._kept.pop(y, None)
        elif repaint:
            self._kept, self._last = {}, None
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _size_updated(self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True) -> bool:
        changed = super()._size_updated(size, virtual_size, container_size, layout)
        if changed:
            self._exchange_repaint_regions()  # it is drawn with the layout, and not once more after it
        return changed

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._kept, self._ground, self._last = {}, None, None


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
