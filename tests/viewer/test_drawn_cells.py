"""Numbers at the edges of a grid, which has no room for all of their digits."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from neurockt.formatting import display_width
from neurockt_viewer.widgets.drawn_cells import cut_right
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows

NUMBERS = ["0.95833", "17", "-3.25", "1,234,567", "nan"]


class Grid(App[None]):
    def compose(self) -> ComposeResult:
        yield RowGrid()

    def on_mount(self) -> None:
        rows = [[Cell("name"), *map(Cell, NUMBERS[at:] + NUMBERS[:at])] for at in range(len(NUMBERS))]
        self.query_one(RowGrid).frozen = 1
        self.query_one(RowGrid).show(CellRows(["run", *"abcde"], rows, right=range(1, 6)))


async def test_no_number_is_shown_in_part() -> None:
    """Whatever the width, and however far the columns are scrolled: what is not seen whole has an ellipsis."""
    parts = set()
    for width in range(12, 70, 3):
        app = Grid()
        async with app.run_test(size=(width, 12)):
            grid = app.query_one(RowGrid)
            for left in range(12):
                grid.scroll_to(left, 0, animate=False, force=True)
                for line in grid.render_lines(grid.size.region)[1 : 1 + len(NUMBERS)]:
                    parts |= set(re.findall(r"[^\s…]+", re.sub(r"\S*…\S*", "", line.text[6:])))
    assert parts <= set(NUMBERS), parts - set(NUMBERS)
    assert parts == set(NUMBERS)


@given(st.text("ab 手é", max_size=12), st.integers(-2, 14))
def test_a_cell_that_is_cut_stays_as_wide_as_it_was(text: str, cells: int) -> None:
    shown = cut_right(text, cells)
    assert display_width(shown) == display_width(text)
    seen = display_width(text) - max(0, cells)
    assert shown == text or seen > 0
    assert display_width(text.rstrip()) > seen or shown == text
