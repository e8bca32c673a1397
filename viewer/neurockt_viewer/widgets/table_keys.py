"""The keys of the tables of rows, with what each does in words."""

from __future__ import annotations

from typing import Final

from neurockt_viewer.keys import key

TABLE_KEYS: Final = (
    key("colon", "jump", "Go to", "go to a step, or to a part of the table such as 50%", key_display=":"),
    key("s", "sort", "Sort", "sort by the column under the cursor; again, the other way round"),
    key("S", "unsort", "Recorded order", "the rows in the order in which they were recorded", show=False),
    key("n", "odd(False)", "Next NaN", "to the next value that is NaN or infinite in this column"),
    key("N", "odd(True)", "Previous NaN", "to the one before", show=False),
    key("m", "extreme(False)", "Min", "to the smallest value of this column"),
    key("M", "extreme(True)", "Max", "to the largest value of this column"),
    key("minus", "hide", "Hide column", "hide this column", key_display="-", show=False),
    key("plus,equals_sign", "unhide", "Show all columns", "show all columns again", key_display="+", show=False),
    key("f", "freeze", "Freeze", "keep the columns up to this one in sight, or none", show=False),
    key("escape", "stop", "Stop", "stop the search or the sort", show=False),
    key("e", "export", "Export", "write all rows to a CSV or Parquet file"),
    key("y", "copy", "Copy value", "copy the value with all its digits", show=False),
)
