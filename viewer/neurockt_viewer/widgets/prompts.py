"""Questions asked over a screen: one line of text, or one or several of a list. The screen stays in sight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Generic, TypeVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from textual.widgets.input import Selection

from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt_viewer.matching import best_first
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows

Answer = TypeVar("Answer")
LEAST_WIDTH: Final = 20
"""Cells of the names in a list."""
ROOM_BESIDE: Final = 60
"""Columns of a terminal from which a list is at the right, beside the table; else it is below it."""


class Prompt(ModalScreen[Answer], Generic[Answer]):
    """A question at the edge of the screen; Escape leaves it without an answer.

    Await ``push_screen``, and what is typed meanwhile arrives here in its order.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-below"), (ROOM_BESIDE, "-beside")]  # noqa: RUF012 - as Textual declares it
    DEFAULT_CSS = """
    Prompt { align: center bottom; }
    Prompt > Vertical {
        width: 100%; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Prompt Input { background: $boost; }
    Prompt .problem { color: $text-error; height: auto; }
    Prompt .hint { color: $text-muted; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]


class Ask(Prompt[Any]):
    DEFAULT_CSS = "Ask > ToastRack { dock: top; align: right top; }"  # below, notices would hide what is asked
    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete", show=False, priority=True)]

    def __init__(
        self,
        question: str,
        value: str = "",
        *,
        hint: str | Callable[[str], str] = "",
        check: Callable[[str], object] = str,
        complete: Callable[[str], tuple[str, Sequence[str]]] | None = None,
    ) -> None:
        """Ask.

        Args:
            question: what is asked, in our words.
            value: what the line begins with; what is typed replaces it.
            hint: one line below; or what gives it for the present text.
            check: makes the answer of the text; raises ``NeurocktError`` or ``ValueError`` where the text will not do.
            complete: for Tab: the text as far as it can be completed, and what it could become.
        """
        super().__init__()
        self._question = question
        self._value = value
        self._hint = hint if callable(hint) else lambda _: hint
        self._check = check
        self._complete = complete

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._question)
            box.border_subtitle = Content("esc cancels")
            yield Input(self._value, compact=True)
            yield Static(classes="problem")
            yield Static(Content(self._hint(self._value)), classes="hint")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))

    def action_complete(self) -> None:
        if self._complete is not None:
            line = self.query_one(Input)
            line.value, others = self._complete(line.value)
            line.selection = Selection.cursor(len(line.value))
            self.query_one(".problem", Static).update(Content(""))
            if others:
                self.query_one(".hint", Static).update(Content(clean("  ".join(others))))

    @on(Input.Changed)
    def _show_hint(self, event: Input.Changed) -> None:
        self.query_one(".hint", Static).update(Content(self._hint(event.value)))

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        try:
            answer = self._check(event.value)
        except (NeurocktError, ValueError) as error:
            self.query_one(".problem", Static).update(Content(clean(str(error).partition("\n")[0])))
            event.input.selection = Selection.cursor(len(event.value))  # what is typed now corrects it
        else:
            self.dismiss(answer)


class Show(Prompt[None]):
    DEFAULT_CSS = """
    Show { align: center middle; }
    Show > Vertical { width: 72; max-width: 94%; }
    Show VerticalScroll { height: auto; max-height: 80vh; scrollbar-size: 1 1; }
    Show VerticalScroll Static { width: 1fr; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "dismiss(None)", "Close", priority=True),
        Binding("j", "scroll(1)", "Down", show=False),
        Binding("k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._title)
            box.border_subtitle = Content("esc closes")
            with VerticalScroll():
                yield Static(self._text)

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


class _Finder(Input):
    """A line that leaves Space to the list, where that ticks."""

    leaves_space = False

    def check_consume_key(self, key: str, character: str | None) -> bool:
        return not (key == "space" and self.leaves_space) and super().check_consume_key(key, character)


class Choose(Prompt[list[str]]):
    """Asks for one, or some and their order, of a list. What is typed narrows it; the best match is the first."""

    DEFAULT_CSS = """
    Choose.-beside { align: right top; }
    Choose.-beside > Vertical { width: 44; max-width: 60%; height: 100%; max-height: 100%; }
    Choose.-below > Vertical { height: 60%; }
    Choose RowGrid { height: 1fr; background: $surface; }
    Choose RowGrid > .grid--cursor-blurred { background: $primary 22%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Apply", priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True),
        Binding("space", "tick", "Show or hide", priority=True),
        Binding("shift+up", "shift(-1)", "Earlier", priority=True),
        Binding("shift+down", "shift(1)", "Later", priority=True),
        Binding("ctrl+r", "reset", "Default", priority=True),
    ]

    def __init__(
        self,
        question: str,
        names: Sequence[str],
        chosen: Sequence[str] = (),
        *,
        several: bool = False,
        titles: dict[str, str] | None = None,
        check: Callable[[str], object] | None = None,
        changed: Callable[[list[str]], object] = lambda chosen: None,
    ) -> None:
        """Ask.

        Args:
            question: what is asked, in our words.
            names: what there is.
            chosen: those chosen now, in order.
            several: whether more than one can be chosen.
            titles: what to call them, where that is not the name.
            check: raises where a text cannot be a name; without it only those of the list can be chosen.
            changed: called, while several are chosen, with those that are so far.
        """
        super().__init__()
        self._question = question
        self._chosen = list(chosen)
        self._names = list(dict.fromkeys([*self._chosen, *names])) if several else list(names)
        self._listed: list[str] = []
        self._several = several
        self._titles = titles or {}
        self._check = check
        self._changed = changed

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._question)
            box.border_subtitle = Content("esc cancels")
            line = _Finder(placeholder="type to find", compact=True)
            line.leaves_space = self._several
            yield line
            grid = RowGrid()
            grid.can_focus = False  # the keys stay with the line
            yield grid
            hint = "↑ ↓ move · enter choose"
            if self._several:
                hint = "space show or hide · shift+↑ ↓ order\nctrl+r default · enter apply"
            yield Static(Content(hint), classes="hint")

    def on_mount(self) -> None:
        self._list()
        if not self._several and self._chosen and self._chosen[0] in self._listed:
            self._grid.move_to(row=self._listed.index(self._chosen[0]))
        self.set_focus(self.query_one(Input))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._several or action not in ("tick", "shift", "reset")

    @property
    def _grid(self) -> RowGrid:
        return self.query_one(RowGrid)

    @property
    def _typed(self) -> str:
        """What narrows the list; empty where the next key replaces it, because it has been chosen."""
        line = self.query_one(Input)
        return "" if line.value and len(line.selected_text) == len(line.value) else line.value.strip()

    def _list(self) -> None:
        typed = self.query_one(Input).value.strip()
        names = best_first(typed, self._names, key=lambda name: self._titles.get(name, name))
        if typed and typed not in names and self._check is not None:
            try:
                self._check(typed)
            except NeurocktError:
                pass
            else:
                names.insert(0, typed)
        self._listed = names
        self._grid.show(CellRows(["", " " * LEAST_WIDTH], [self._cells(name) for name in names]))

    def _cells(self, name: str) -> list[Cell]:
        ticked, title = name in self._chosen, clean(self._titles.get(name, name))
        return [Cell("✓" if ticked else " ", "good"), Cell(title, "strong" if ticked else "")]

    @property
    def _current(self) -> str | None:
        row = self._grid.cursor_row
        return self._listed[row] if row < len(self._listed) else None

    @on(Input.Changed)
    def _narrow(self) -> None:
        self._list()
        self._grid.move_to(row=0)

    def action_move(self, rows: int) -> None:
        self._grid.action_move(rows)

    def action_page(self, pages: float) -> None:
        self._grid.action_page(pages)

    def action_tick(self) -> None:
        name = self._current
        if name is None:
            return
        if name in self._chosen:
            self._chosen.remove(name)
        else:
            self._chosen.append(name)
            if name not in self._names:
                self._names.append(name)
        self._list()
        self._changed(list(self._chosen))
        self.query_one(Input).action_select_all()  # what is typed next looks for another one

    def action_shift(self, rows: int) -> None:
        name = self._current
        if name not in self._chosen:
            return
        at = self._chosen.index(name)
        to = min(max(0, at + rows), len(self._chosen) - 1)
        self._chosen.insert(to, self._chosen.pop(at))
        self._names = list(dict.fromkeys([*self._chosen, *self._names]))
        self._changed(list(self._chosen))
        self._list()
        if name in self._listed:
            self._grid.move_to(row=self._listed.index(name))

    def action_reset(self) -> None:
        self.dismiss([])

    def action_apply(self) -> None:
        """Answer with what is chosen; of a list of several also with the first match of what has been typed."""
        name = self._current
        if self._several:
            if self._typed and name is not None and name not in self._chosen:
                self._chosen.append(name)
            self.dismiss(self._chosen)
        elif name is not None:
            self.dismiss([name])

    @on(RowGrid.Opened)
    def _clicked(self) -> None:
        self.action_tick() if self._several else self.action_apply()
