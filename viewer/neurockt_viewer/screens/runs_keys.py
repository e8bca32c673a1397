"""The keys of the list of runs, with what each does in words; in the order of the last line."""

from __future__ import annotations

from typing import Final

from neurockt_viewer.keys import key

RUNS_KEYS: Final = (
    key("enter", "open", "Open", "open the run under the cursor; fold or unfold a group"),
    key("space", "mark", "Mark", "mark the run: its charts are drawn with those of the other marked runs"),
    key(
        "slash", "filter", "Filter", "show only some runs, as you type; tab completes names and values", key_display="/"
    ),
    key("s", "sort", "Sort", "sort by the column under the cursor; again, the other way round"),
    key("b", "group", "Group", "group by fields: each group has the mean and the deviation of its runs"),
    key("z", "fold_all", "Fold all", "fold all groups, or unfold them"),
    key("c", "compare", "Compare", "compare the marked runs: curves, values against a baseline, configs"),
    key("f", "full", "Full", "the charts in full size, and back"),
    key("tab,shift+tab", "other_panel", "Panel", "to the charts, or to the list", key_display="tab"),
    key("o", "columns", "Columns", "choose the columns and their order"),
    key("p", "panel('charts')", "Charts", "show or hide the charts"),
    key("d", "panel('details')", "Details", "show or hide the details of the run under the cursor"),
    key("e", "export", "Export", "write the list as it is shown to a CSV or Parquet file"),
    key("t", "edit('tags')", "Tag", "give tags to the marked runs, or to that under the cursor; -x takes x away"),
    key("n", "edit('notes')", "Note", "write a note on them"),
    key("x", "edit('archived')", "Archive", "archive them, which hides them, or take them back"),
    key("N", "edit('name')", "Rename", "give the run another name", show=False),
    key("less_than_sign", "resize('list', -1)", "Smaller list", "a smaller list", key_display="<", show=False),
    key("greater_than_sign", "resize('list', 1)", "Larger list", "a larger list", key_display=">", show=False),
    key("left_curly_bracket", "resize('details', 1)", "More details", "more details", key_display="{", show=False),
    key("right_curly_bracket", "resize('details', -1)", "Fewer details", "fewer details", key_display="}", show=False),
    key("X", "archived", "Archived", "show archived runs too, or hide them", show=False),
    key("y", "copy", "Copy path", "copy the path of the run", show=False),
    key("a", "mark_all", "Mark all", "mark all runs that are shown, or none", show=False),
    key("r", "refresh", "Refresh", "look for changes now", show=False),
    key("exclamation_mark", "problems", "Errors", "show why runs cannot be read", key_display="!", show=False),
    key("escape", "back", "Back", "back to the list; then clear the filter, then the marks", show=False),
)
