"""The cells of a grid as strips of text: filled to the width of their columns, and joined with gaps."""

from __future__ import annotations

from typing import Final, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from neurockt.formatting import clip, display_width, pad
from neurockt_viewer.widgets.row_source import Column

GAP: Final = 2
"""Cells between two columns."""


class Drawn(NamedTuple):
    """A cell as it is drawn."""

    column: int
    text: str
    style: Style


def joined(cells: list[Drawn], style: Style, length: int = 0, width: int = 0) -> Strip:
    """Cells with gaps of ``style`` after them, and what is left of a width; what looks alike is one segment.

    Args:
        length: how wide the cells and gaps are, where that is known.
        width: how wide the strip is to be, where the length is known.
    """
    segments: list[Segment] = []
    text = ""
    for cell in cells:
        if cell.style is style:
            text += cell.text
        else:
            segments += [Segment(text, style), Segment(cell.text, cell.style)] if text else [Segment(*cell[1:])]
            text = ""
        text += " " * GAP
    segments.append(Segment(text + " " * (width - length), style))
    return Strip(segments, width or None)


def fill(column: Column, text: str) -> str:
    """A cell's text, as wide as its column."""
    if display_width(text) > column.width:
        text = clip(text, column.width)
    if column.right:
        return " " * (column.width - display_width(text)) + text
    return pad(text, column.width)
