"""The line below a table: the exact value under the cursor, its position, and what else there is to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from neurockt_viewer.text import styled
from neurockt_viewer.widgets.row_grid import RowGrid

if TYPE_CHECKING:
    from neurockt_viewer.table_rows import TableRows


def about_cursor(rows: TableRows, grid: RowGrid, key: str, *, following: bool, unseen: int) -> list[Content]:
    """The pieces of the line.

    Args:
        rows: the table; it has rows.
        grid: where the cursor is.
        key: the column that numbers the rows.
        following: whether the cursor stays with the last row.
        unseen: rows recorded since it was there.
    """
    name = grid.column_key
    if name is None:
        return []
    value = styled(rows.value(grid.cursor_row, name), "bold")
    at = f" at {key} {rows.value(grid.cursor_row, key)}" if name != key else ""
    pieces = [
        Content.assemble(styled(name, "$text-muted"), " ", value, Content(at)),
        Content(f"row {grid.cursor_row + 1:,} of {len(rows):,}"),
    ]
    if rows.hidden:
        pieces.append(Content(f"{len(rows.hidden)} hidden, + shows them"))
    if rows.order is not None and rows.total > len(rows):
        pieces.append(Content(f"{rows.total - len(rows):,} recorded since it was sorted"))
    elif following:
        pieces.append(styled("following", "$text-primary"))
    elif unseen:
        pieces.append(styled(f"{unseen:,} new rows, G follows", "bold $text-primary"))
    if rows.damaged:
        pieces.append(styled(f"not all can be read: {rows.damaged[0]}", "$text-error"))
    return pieces
