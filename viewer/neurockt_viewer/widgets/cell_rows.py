"""A few rows that are all in memory, for a grid."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from neurockt.formatting import display_width
from neurockt_viewer.widgets.row_source import WIDEST_COLUMN, Cell, Column


class CellRows:
    """Rows of cells, each column as wide as what it holds."""

    def __init__(self, titles: Sequence[str], rows: Sequence[Sequence[Cell]], *, right: Collection[int] = ()) -> None:
        self.rows = rows
        self.columns = [
            Column(
                title,
                title,
                min(WIDEST_COLUMN, max([display_width(title), *(display_width(row[at].text) for row in rows)])),
                right=at in right,
            )
            for at, title in enumerate(titles)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def cells(self, row: int, columns: range) -> Sequence[Cell]:
        return self.rows[row][columns.start : columns.stop]

    def want(self, rows: range, columns: range) -> None:
        """All rows are in memory."""
