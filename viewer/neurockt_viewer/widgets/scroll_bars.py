"""Scroll bars of a cell's thickness. Textual makes all lines of its own again wherever they move, which takes longer
than the rows beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarCorner, ScrollBarRender

from neurockt_viewer.widgets.lines import Lines

if TYPE_CHECKING:
    from typing_extensions import Self


class Bar(ScrollBar, Lines):
    """Draws only what has changed."""

    _cells: Sequence[Segment] = ()

    def segments(self, y: int) -> Iterable[Segment]:
        if len(self._cells) != self._length:
            self._cells = self._made()
        return self._cells[y : y + 1] if self.vertical else self._cells

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._cells = ()

    @property
    def _length(self) -> int:
        return self.outer_size.height if self.vertical else self.outer_size.width

    def _made(self) -> Sequence[Segment]:
        bar = cast("ScrollBarRender", self.render())
        style = cast("Style", bar.style)
        colours: Any = {"back_color": style.bgcolor, "bar_color": style.color}
        place = bar.virtual_size, bar.window_size, bar.position
        made = list(bar.render_bar(self._length, *place, 1, self.vertical, **colours).segments)[: self._length]
        return list(Segment.apply_style(made, self.ground.style))

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> Self:
        if layout:
            self._cells = ()  # made when its length is known
        elif repaint and not regions and self._cells and len(self._cells) == self._length:
            before, self._cells = self._cells, self._made()
            changed = (at for at, (old, new) in enumerate(zip(before, self._cells, strict=True)) if old != new)
            regions = tuple(Region(0, at, 1, 1) if self.vertical else Region(at, 0, 1, 1) for at in changed)
            repaint = bool(regions)
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)


class Corner(ScrollBarCorner, Lines):
    def segments(self, y: int) -> Iterable[Segment]:
        assert self.parent is not None
        return [Segment(" ", Style(bgcolor=self.parent.styles.scrollbar_corner_color.rich_color))]


class BarredView(ScrollView):
    """A view of rows with these bars, made as Textual makes its own. Where only they change, nothing is laid out."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0), repaint=False)

    def watch_virtual_size(self, size: Size) -> None:
        self._scroll_update(size)

    def _size_updated(self, size: Size, virtual_size: Size, container_size: Size, layout: bool = True) -> bool:
        changed = super()._size_updated(size, virtual_size, container_size, layout)
        for drawn in (self, self._vertical_scrollbar, self._horizontal_scrollbar) if changed else ():
            if drawn is not None:
                drawn._exchange_repaint_regions()  # they are drawn with the layout
        return changed

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = self._started(Bar(vertical=True))
        return self._vertical_scrollbar

    @property
    def horizontal_scrollbar(self) -> ScrollBar:
        if self._horizontal_scrollbar is None:
            self._horizontal_scrollbar = self._started(Bar(vertical=False))
        return self._horizontal_scrollbar

    def _started(self, bar: Bar) -> Bar:
        bar.display = False
        self.app._start_widget(self, bar)
        return bar

    @property
    def scrollbar_corner(self) -> ScrollBarCorner:
        if self._scrollbar_corner is None:
            self._scrollbar_corner = Corner()
            self.app._start_widget(self, self._scrollbar_corner)
        return self._scrollbar_corner
