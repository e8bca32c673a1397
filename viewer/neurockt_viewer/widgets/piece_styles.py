"""How the pieces of a drawn chart look: their colours on a background."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color

from neurockt_viewer.charts import palette
from neurockt_viewer.charts.pieces import Piece

DIM: Final = 0.55
"""How far a dim line is drawn towards the background."""


class PieceStyles:
    """The style of each kind of piece on a background."""

    def __init__(self, base: Style, background: Color, dark: bool) -> None:
        self._base, self._background, self._dark = base, background, dark
        self._known: dict[tuple[str, int], Style] = {}

    def __getitem__(self, piece: Piece) -> Style:
        key = piece.part, piece.colour % palette.COLOURS if piece.colour >= 0 else piece.colour
        if key not in self._known:
            self._known[key] = self._base + self._make(*key)
        return self._known[key]

    def _make(self, part: str, colour: int) -> Style:
        foreground = Color.parse("#E8E8E8" if self._dark else "#202020")
        if colour >= 0:
            foreground = Color.parse(palette.colour(colour, dark=self._dark))
        if part == "dim":
            foreground = foreground.blend(self._background, DIM)
        elif part in ("axis", "tick", "note", "cross"):
            foreground = foreground.blend(self._background, 0.6 if part == "axis" else 0.35)
        return Style(color=RichColor.parse(foreground.hex6), bold=part in ("title", "mark"))


piece_styles = lru_cache(maxsize=8)(PieceStyles)
