"""What the list of runs asks: which columns it has, and by what it is grouped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from textual.screen import Screen

from neurockt.errors import UsageError
from neurockt.query.fields import Field, parse_field, split_names
from neurockt.query.known import KnownFields
from neurockt.run_info import RunInfo
from neurockt_viewer.columns import possible_columns
from neurockt_viewer.run_rows import group_fields, setting_fields
from neurockt_viewer.settings import Settings
from neurockt_viewer.widgets.prompts import Choose

NO_GROUPS: Final = "(no groups)"
SETTINGS: Final = "(settings, with all their seeds)"


async def ask_columns(
    screen: Screen[Any],
    runs: Sequence[RunInfo],
    fields: Sequence[Field],
    settings: Settings,
    changed: Callable[[], object],
    chosen: Callable[[], object],
) -> None:
    """Ask for the columns, which are shown as they are chosen.

    Args:
        screen: over which to ask.
        runs: whose fields can be columns.
        fields: the columns now.
        settings: where they are set.
        changed: called when they are others, though perhaps only until the answer.
        chosen: called once they are to stay.
    """
    possible = possible_columns(runs)
    titles = {name: parse_field(name).label for name in possible}
    before = settings.columns

    def show(columns: list[str] | None) -> None:
        settings.columns = columns
        changed()

    def choose(answer: list[str] | None) -> None:
        show(before if answer is None else answer or None)
        if answer is not None:
            chosen()

    names = [field.name for field in fields]
    check = _known_by(runs)
    question = Choose("columns", possible, names, several=True, titles=titles, check=check, changed=show)
    await screen.app.push_screen(question, choose)


async def ask_group(
    screen: Screen[Any], runs: Sequence[RunInfo], settings: Settings, chosen: Callable[[], object]
) -> None:
    """Ask for the fields to group by; ``chosen`` is called when they have been set."""
    names, meaning = [NO_GROUPS], {NO_GROUPS: None, SETTINGS: setting_fields(runs)}
    if meaning[SETTINGS]:
        names.append(SETTINGS)
    names += group_fields(runs, possible_columns(runs))
    known = _known_by(runs)

    def check(text: str) -> None:
        for name in split_names(text):
            known(name)

    def choose(answer: list[str] | None) -> None:
        if answer:
            settings.group = meaning.get(answer[0], answer[0])
            chosen()

    now = next((name for name in names if meaning.get(name, name) == settings.group), settings.group or NO_GROUPS)
    await screen.app.push_screen(Choose("group by", names, [now], check=check), choose)


def _known_by(runs: Sequence[RunInfo]) -> Callable[[str], None]:
    """A check that a name that is typed is a field of one of the runs."""

    def check(name: str) -> None:
        if problem := KnownFields(runs).problem(parse_field(name)):
            raise UsageError(problem)

    return check
