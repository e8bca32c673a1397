"""Edits of runs in their list: tags, note and name are asked for; archiving is not, since it is undone as fast.

They are made as ``neurockt edit`` makes them, in a thread: the disk may be slow.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from textual.screen import Screen

from neurockt.errors import UsageError
from neurockt.formatting import clean, listed
from neurockt.run_info import RunInfo
from neurockt.store import Edit, edit_run
from neurockt_viewer import background
from neurockt_viewer.widgets.prompts import Ask

TAGS_SHOWN: Final = 8
NOTICE_SECONDS: Final = 4.0


async def edit(
    screen: Screen[Any], what: str, runs: Sequence[RunInfo], others: Sequence[RunInfo], changed: Callable[[], object]
) -> None:
    """Ask for an edit, and make it.

    Args:
        screen: over which to ask.
        what: ``tags``, ``notes``, ``name`` or ``archived``.
        runs: to be edited.
        others: whose tags are suggested.
        changed: called in the thread when the runs have changed.
    """

    def make(answer: Edit | None) -> None:
        if answer is not None:
            screen.run_worker(lambda: _make(screen, answer, runs, changed), thread=True, group="edit")

    if not runs:
        return
    whose = clean(runs[0].label) if len(runs) == 1 else f"{len(runs):,} runs"
    if what == "archived":
        make(Edit(archived=not all(info.archived for info in runs)))
    elif what == "tags":
        known = [tag for tag, _ in Counter(tag for info in others for tag in info.tags).most_common()]
        hint = f"{_present(runs)}write a tag to add it, -tag to remove it; tab completes"
        question = Ask(f"tags of {whose}", hint=hint, check=_tags, complete=lambda text: _complete(text, known))
        await screen.app.push_screen(question, make)
    elif what == "notes":
        note = runs[0].notes or ""
        is_short = all(info.notes == runs[0].notes for info in runs) and clean(note) == note
        hint = "an empty line removes it" if is_short else "this replaces what is there; an empty line removes it"
        question = Ask(f"note of {whose}", note if is_short else "", hint=hint, check=_text("notes"))
        await screen.app.push_screen(question, make)
    elif len(runs) > 1:
        screen.notify(f"{whose} are marked; a name is for one", severity="warning", markup=False)
    else:
        label = runs[0].label
        hint = f"an empty line leaves its id, {clean(runs[0].id)}"
        question = Ask(f"name of {whose}", label if clean(label) == label else "", hint=hint, check=_text("name"))
        await screen.app.push_screen(question, make)


def _text(field: str) -> Callable[[str], Edit]:
    return lambda text: Edit({field: text})


def _tags(text: str) -> Edit:
    """Words that are added, or with a dash before them removed; a tag with a space or a comma is in quotes."""
    words = shlex.shlex(text, posix=True, punctuation_chars=False)
    words.whitespace += ","
    words.whitespace_split, words.commenters = True, ""
    tags = {word.removeprefix("-"): not word.startswith("-") for word in words}
    if "" in tags:
        raise UsageError("a tag needs at least one character")
    return Edit(tags=tags)


def _present(runs: Sequence[RunInfo]) -> str:
    tags = dict.fromkeys(tag for info in runs for tag in info.tags)
    return f"now {listed(map(clean, tags))}; " if tags else ""


def _complete(text: str, known: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The last word completed to a tag that is known, or what it could become."""
    at = max(text.rfind(" "), text.rfind(",")) + 1
    head, word = text[:at], text[at:]
    dash = "-" if word.startswith("-") else ""
    begin = word.removeprefix("-").casefold()
    fitting = [tag for tag in known if tag.casefold().startswith(begin) and clean(tag) == tag]
    if len(fitting) == 1:
        tag = shlex.quote(fitting[0])
        if tag == fitting[0] and "," in tag:
            tag = f"'{tag}'"
        return f"{head}{dash}{tag}", ()
    return text, fitting[:TAGS_SHOWN]


def _make(screen: Screen[Any], answer: Edit, runs: Sequence[RunInfo], changed: Callable[[], object]) -> None:
    edited: list[RunInfo] = []
    reasons = []
    for info in runs:
        try:
            before, after = edit_run(info.path, answer)
            edited += [after] if before != after else []
        except Exception as error:
            reasons.append(background.error_text(error))
    changed()
    screen.call_later(_report, screen, answer, edited, reasons)


def _report(screen: Screen[Any], answer: Edit, edited: Sequence[RunInfo], reasons: Sequence[str]) -> None:
    if reasons:
        text = f"{len(reasons):,} could not be edited: {reasons[0]}"
        screen.notify(text, severity="error", markup=False)
    if edited and answer.archived is not None:
        which = clean(edited[0].label) if len(edited) == 1 else f"{len(edited):,} runs"  # it may be out of sight
        done = "archived; X shows archived runs" if answer.archived else "no longer archived"
        screen.notify(f"{which} {done}", markup=False, timeout=NOTICE_SECONDS)
    elif len(edited) > 1:
        screen.notify(f"{len(edited):,} runs changed", markup=False, timeout=NOTICE_SECONDS)
