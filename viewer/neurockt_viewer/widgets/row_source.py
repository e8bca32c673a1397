"""The rows of a grid: columns, cells, and the interface of what supplies them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Protocol

from neurockt.formatting import display_width, number_widths

WIDEST_COLUMN: Final = 60
"""A column is cut at this; what the cursor is on is shown whole elsewhere."""


@dataclass(frozen=True)
class Column:
    """A column as it is drawn."""

    key: str
    title: str
    """Clean text."""
    width: int
    right: bool = False
    """Whether it is aligned to the right, as numbers are."""
    after: int = 0
    """Cells of its longest number from the decimal point on, which is where the numbers are aligned."""

    def widened(self, texts: Sequence[str], widest: int) -> Column:
        """The column where it also holds these texts."""
        if not self.right:
            width = max(self.width, min(widest, max(map(display_width, texts), default=0)))
            return replace(self, width=width)
        before, after = number_widths(texts)
        after = max(after, self.after)
        width = max(self.width - self.after, before) + after
        return replace(self, width=max(self.width, min(widest, width)), after=after)


def fitted(key: str, title: str, texts: Iterable[str], widest: int, *, right: bool) -> Column:
    """A column as wide as its title and its texts, but no wider than ``widest``."""
    if right:
        before, after = number_widths(texts)
        return Column(key, title, min(widest, max(display_width(title), before + after)), right, after)
    return Column(key, title, min(widest, max([display_width(title), *map(display_width, texts)])))


class Cell(NamedTuple):
    """What a cell shows."""

    text: str
    """Clean text."""
    tone: str = ""
    """How it looks: the end of the name of a component class, such as ``muted``."""
    colour: int = -1
    """Index into the palette, of what belongs to one of several runs."""


class RowSource(Protocol):
    """Supplies the rows of a grid."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns, from the left."""

    def __len__(self) -> int:
        """How many rows there are."""

    def cells(self, row: int, columns: range) -> Sequence[Cell] | None:
        """The cells of one row in these columns; None where they are not known yet."""

    def want(self, rows: range, columns: range) -> None:
        """Called with what is on the screen, so that it is read."""


class CellRows:
    """Rows of cells that are all in memory, each column as wide as what it holds."""

    def __init__(self, titles: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Collection[int] = ()) -> None:
        """``titles`` are clean; ``right`` has the indices of the columns aligned to the right, as numbers are."""
        self.rows = rows
        self.columns = [
            fitted(title, title, [row[at].text for row in rows], WIDEST_COLUMN, right=at in right)
            for at, title in enumerate(titles)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, row: int, columns: range) -> Sequence[Cell]:
        return self.rows[row][columns.start : columns.stop]

    def want(self, rows: range, columns: range) -> None:
        """All rows are in memory."""
