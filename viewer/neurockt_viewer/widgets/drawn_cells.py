"""The cells of a grid as pieces of text: filled to the width of their columns, and joined with gaps."""

from __future__ import annotations

from typing import Final, NamedTuple

from rich.segment import Segment
from rich.style import Style

from neurockt.formatting import clip, display_width, width_after_point
from neurockt_viewer.widgets.row_source import Column

GAP: Final = 2
"""Cells between two columns."""


class Drawn(NamedTuple):
    """A cell as it is drawn."""

    column: int
    text: str
    style: Style


def joined(cells: list[Drawn], style: Style, rest: int = 0) -> list[Segment]:
    """Cells with gaps of ``style`` after them, then as many more spaces; what looks alike is one segment."""
    segments: list[Segment] = []
    text = ""
    for cell in cells:
        if cell.style is style:
            text += cell.text
        else:
            segments += [Segment(text, style), Segment(cell.text, cell.style)] if text else [Segment(*cell[1:])]
            text = ""
        text += " " * GAP
    segments.append(Segment(text + " " * rest, style))
    return segments


def fill(column: Column, text: str, *, title: bool = False) -> str:
    """A cell's text, as wide as its column; numbers, but no titles, are aligned on their decimal points."""
    room = column.width - display_width(text)
    if room < 0:
        return clip(text, column.width)
    if not column.right:
        return text + " " * room
    behind = min(room, max(0, column.after - width_after_point(text))) if column.after and not title else 0
    return " " * (room - behind) + text + " " * behind


def cut_right(text: str, cells: int) -> str:
    """A cell's text, as wide as it is, of which so many cells at its end are out of sight: an ellipsis is before them.

    The begin of a number would be another number.
    """
    seen = display_width(text) - cells
    if cells <= 0 or seen <= 0:
        return text
    shown = clip(text.rstrip(), seen)
    return shown + " " * (seen + cells - display_width(shown))


def cut_left(text: str, cells: int) -> str:
    """The same for a number of which so many cells at its begin are out of sight."""
    return f"{text[:cells]}…{text[cells + 1 :]}" if text[:cells].strip() and cells < len(text) else text
