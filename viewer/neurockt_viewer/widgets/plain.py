"""Widgets whose lines all look the same, made once: Textual looks at each line of each widget whenever one changes."""

from __future__ import annotations

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Plain(Widget):
    """Its background, as Textual's ``BLANK`` draws it, but in colours that the filters see: grey with NO_COLOR."""

    _strips: dict[int, Strip] | None = None

    def line_of(self, width: int) -> str:
        """What each line shows."""
        return " " * width

    def render_lines(self, crop: Region) -> list[Strip]:
        if self._strips is None:
            self._strips = {}
        if crop.width not in self._strips:
            segments = [Segment(self.line_of(crop.width), self.rich_style)]
            for line_filter in self.get_line_filters():
                segments = line_filter.apply(segments, self.background_colors[1])
            self._strips[crop.width] = Strip(segments, crop.width)
        return [self._strips[crop.width]] * crop.height

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None
