"""What the list of runs says about itself: in its title, where it is empty, and of runs that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from textual.content import Content
from textual.widgets import Static

from neurockt.formatting import clean, format_count
from neurockt.run_info import RunInfo
from neurockt_viewer.screens.watching import Listing
from neurockt_viewer.text import block, styled

PROBLEMS_SHOWN: Final = 200


def title(
    root: Path,
    read: Listing | None,
    runs: Sequence[RunInfo],
    shown: int,
    marked: int,
    group: str,
    unread: Iterable[str] = (),
) -> Content:
    """The line above the list.

    Args:
        root: the directory of the runs.
        read: what has been read of it; None before that.
        runs: all but the archived ones that are hidden.
        shown: how many of them match the filter.
        marked: how many are marked.
        group: the fields by which they are grouped.
        unread: the fields whose values are still being read.
    """
    pieces = []
    if read is None:
        pieces.append("reading …")
    else:
        count = format_count(len(runs), "run")
        pieces.append(count if shown == len(runs) else f"{shown:,} of {count}")
        if not read.whole:
            pieces.append(f"reading {len(read.runs) + len(read.problems):,} of {read.total:,}")
        if running := sum(info.state == "running" for info in runs):
            pieces.append(f"{running:,} running")
        if hidden := len(read.runs) - len(runs):
            pieces.append(f"{hidden:,} archived")
        if read.problems:
            pieces.append(f"{len(read.problems):,} cannot be read (! shows why)")
    if marked:
        pieces.append(f"{marked:,} marked")
    if group:
        pieces.append(f"by {clean(group)}")
    pieces += [f"reading {clean(name)} …" for name in unread]
    counts = Content(f"  {' · '.join(pieces)}  ")
    return Content.assemble(styled("neurockt", "bold $primary"), counts, styled(root, "$text-muted"))


def reason_for_none(root: Path, read: Listing, runs: Sequence[RunInfo]) -> str:
    """Why no run is shown."""
    if read.problems:
        path, why = next(iter(read.problems.items()))
        return f"No run in {clean(root)} can be read; {clean(path.name)}: {clean(why)}"
    if runs:
        return "No run matches. Esc clears the filter."
    if read.runs:
        return "All runs here are archived. X shows them."
    return f"No runs in {clean(root)} yet. A run appears here when it starts; q quits."


def problem_lines(problems: Mapping[Path, str]) -> Content:
    """Which runs cannot be read, and why."""
    shown = [
        Content.assemble(styled(path.name, "bold"), "\n", block(why, 1000), "\n")
        for path, why in list(problems.items())[:PROBLEMS_SHOWN]
    ]
    if len(problems) > PROBLEMS_SHOWN:
        shown.append(Content(f"and {len(problems) - PROBLEMS_SHOWN:,} more"))
    return Content("\n").join(shown)


def put(line: Static, text: str) -> None:
    """Show a text, or no line where there is none; lay the screen out again only if it changed."""
    if str(line.content) != text:
        line.update(Content(text))
    line.display = bool(text)
