"""The line in which a filter is typed: it is applied as it is typed, and completes names and values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from neurockt.errors import QueryError
from neurockt.formatting import clean, display_width
from neurockt.query.completing import Completion, Vocabulary
from neurockt.query.filter import Query, parse
from neurockt.query.known import KnownFields
from neurockt.run_info import RunInfo
from neurockt_viewer.columns import possible_columns
from neurockt_viewer.text import styled
from neurockt_viewer.widgets.line_input import LineInput

FILTER_HINT: Final = (
    "name, tag:x, project:x, state:running, cfg.lr>=1e-3, valid_loss<0.1, best(acc)>0.95, and or not ( )"
)
OFFERED: Final = 12
"""Words that are offered at once; what is typed next narrows them."""
GAP: Final = "  "


class FilterLine(Vertical):
    """The filter, and below it what is wrong with it, or what its last word can become.

    A term that is half typed hides no run: the rest of the filter, or the last one that was right, stays.
    """

    DEFAULT_CSS = """
    FilterLine { height: auto; display: none; padding: 0 1; background: $surface; }
    FilterLine > LineInput { background: $boost; }
    FilterLine > Static { height: auto; max-height: 3; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "complete(1)", "Complete", priority=True),
        Binding("shift+tab", "complete(-1)", "Complete, backwards", show=False, priority=True),
    ]

    @dataclass
    class Changed(Message):
        """Another filter is right now."""

        query: Query

    class Left(Message):
        """The keys are for the table again."""

    def __init__(self, runs: Callable[[], Sequence[RunInfo]]) -> None:
        """A line that is hidden until ``open`` is called.

        Args:
            runs: gives those that are filtered; their fields and values are completed.
        """
        super().__init__()
        self._runs = runs
        self._applied = parse("")
        self._vocabulary: Vocabulary | None = None
        """Of the runs there were when the line was opened: of ten thousand, it takes a sixth of a second to collect."""
        self._offered = Completion(0, ())
        self._chosen: int | None = None
        """Which of the offered words stands in the line, put there by a key."""
        self._completed = ""
        """The line as that key left it."""

    def compose(self) -> ComposeResult:
        yield LineInput(placeholder=FILTER_HINT, id="filter", select_on_focus=False, compact=True)
        yield Static()

    @property
    def _input(self) -> LineInput:
        return self.query_one(LineInput)

    @property
    def is_typed(self) -> bool:
        """Whether the keys are for this line."""
        return self._input.has_focus

    @property
    def value(self) -> str:
        return self._input.value

    def open(self) -> None:
        self._vocabulary = None
        self.display = True  # now, not with the next style update: what is typed next is for this line
        self.screen.set_focus(self._input)
        self._show_note()

    def clear(self) -> None:
        self._input.value = ""
        self._leave()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.display = bool(event.value) or self.is_typed
        if event.value != self._completed:
            self._chosen = None
        if self._chosen is None:
            self._offered = self._words().complete(event.value, event.input.cursor_position)
        self._apply()

    @on(LineInput.Left)
    def _leave(self) -> None:
        self._offered, self._chosen = Completion(0, ()), None
        self.display = bool(self.value)
        self.post_message(self.Left())
        self._apply(is_typed=False)

    def _words(self) -> Vocabulary:
        if self._vocabulary is None:
            runs = self._runs()
            self._vocabulary = Vocabulary(runs, possible_columns(runs))
        return self._vocabulary

    def _apply(self, *, is_typed: bool = True) -> None:
        problem = ""
        try:
            query: Query | None = parse(self.value)
        except QueryError as error:
            query = None
            problem = f"{' ' * display_width(self.value[: error.position])}^ {clean(error.problem)}"
        if query is not None:
            problem = self._unknown(query)
        is_half_typed = is_typed and (problem or (self._offered.unfinished and not self._matches(query)))
        if query is None or is_half_typed:
            query = self._without_last_term()
        if query is not None and query.text != self._applied.text:
            self._applied = query
            self.post_message(self.Changed(query))
        self._show_note(problem)

    def _matches(self, query: Query | None) -> bool:
        return query is not None and any(map(query.matches, self._runs()))

    def _unknown(self, query: Query) -> str:
        """What is wrong with the first field that no run has, and what is near."""
        known = KnownFields(self._runs())
        return next((problem for field in query.fields if (problem := known.problem(field))), "")

    def _without_last_term(self) -> Query | None:
        try:
            return None if self._offered.rest is None else parse(self._offered.rest)
        except QueryError:
            return None

    def _show_note(self, problem: str = "") -> None:
        """Show what is wrong, and of the offered words those that fit on its line; the words alone where none does."""
        words = [clean(word) for word in self._offered.words[:OFFERED]]
        room = max(1, self.size.width)
        if problem and words and display_width(f"{problem}{GAP}{words[0]}") > room:
            problem = ""
        pieces = [styled(problem, "$text-error")] if problem else []
        for at, word in enumerate(words):
            pieces.append(styled(word, "bold" if at == self._chosen else "$text-muted"))
            if len(pieces) > 1 and Content(GAP).join(pieces).cell_length > room:
                pieces.pop()
                break
        note = self.query_one(Static)
        note.update(Content(GAP).join(pieces))
        note.display = bool(pieces) or self.is_typed  # while it is typed the table does not jump

    def action_complete(self, direction: int) -> None:
        """Put the first of the offered words in place of the one before the cursor; pressed again, the next one.

        Where there is only one, what can follow it is offered.
        """
        words = self._offered.words[:OFFERED]
        if not words:
            return
        line, start = self._input, self._offered.start
        after = line.value[line.cursor_position :]
        if self._chosen is None:
            self._chosen = 0 if direction > 0 else len(words) - 1
        else:
            self._chosen = (self._chosen + direction) % len(words)
        word = words[self._chosen]
        completed = f"{line.value[:start]}{word}{after}"
        self._completed = completed if len(words) > 1 else ""
        line.value = completed
        line.cursor_position = start + len(word)
        self._show_note()
