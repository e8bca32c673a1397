"""Questions asked over a screen: one line of text, or one or several of a list."""

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

from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows

Answer = TypeVar("Answer")
LEAST_WIDTH: Final = 20
"""Cells of the names in a list."""


class Prompt(ModalScreen[Answer], Generic[Answer]):
    """A box in the middle; Escape leaves it without an answer.

    Await ``push_screen``, and what is typed meanwhile arrives here in its order.
    """

    DEFAULT_CSS = """
    Prompt { align: center middle; }
    Prompt > Vertical {
        width: 72; max-width: 94%; height: auto; max-height: 90%;
        background: $surface; border: round $primary; padding: 0 1;
    }
    Prompt Input { background: $boost; }
    Prompt .problem { color: $text-error; height: auto; }
    Prompt .hint { color: $text-muted; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]


class Ask(Prompt[Any]):
    def __init__(self, question: str, value: str = "", *, hint: str = "", check: Callable[[str], object] = str) -> None:
        """Ask.

        Args:
            question: what is asked, in our words.
            value: what the line begins with.
            hint: one line below.
            check: makes the answer of the text; raises ``NeurocktError`` or ``ValueError`` where the text will not do.
        """
        super().__init__()
        self._question = question
        self._value = value
        self._hint = hint
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._question)
            box.border_subtitle = Content("esc cancels")
            yield Input(self._value, select_on_focus=False, compact=True)
            yield Static(classes="problem")
            yield Static(Content(self._hint), classes="hint")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            answer = self._check(event.value)
        except (NeurocktError, ValueError) as error:
            self.query_one(".problem", Static).update(Content(clean(str(error).partition("\n")[0])))
        else:
            self.dismiss(answer)


class Show(Prompt[None]):
    DEFAULT_CSS = """
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


class Choose(Prompt[list[str]]):
    """Asks for one, or some and their order, of a list; typing narrows it."""

    DEFAULT_CSS = """
    Choose > Vertical { height: 80%; }
    Choose RowGrid { height: 1fr; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Apply"),
        Binding("down", "to_list", "To the list", show=False),
        Binding("slash", "to_input", "Narrow", key_display="/", show=False),
        Binding("space", "tick", "Show or hide"),
        Binding("K", "shift(-1)", "Earlier"),
        Binding("J", "shift(1)", "Later"),
        Binding("R", "reset", "Reset"),
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
    ) -> None:
        """Ask.

        Args:
            question: what is asked, in our words.
            names: what there is.
            chosen: those chosen now, in order.
            several: whether more than one can be chosen.
            titles: what to call them, where that is not the name.
            check: raises where a text cannot be a name; without it only those of the list can be chosen.
        """
        super().__init__()
        self._question = question
        self._chosen = list(chosen)
        self._names = list(dict.fromkeys([*self._chosen, *names])) if several else list(names)
        self._listed: list[str] = []
        self._several = several
        self._titles = titles or {}
        self._check = check

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(self._question)
            yield Input(placeholder="type to narrow the list", compact=True)
            yield RowGrid()
            hint = "↓ list · enter choose · esc cancel"
            if self._several:
                hint = "↓ list · space show or hide · J K order · R default columns · enter apply · esc cancel"
            yield Static(Content(hint), classes="hint")

    def on_mount(self) -> None:
        self._list()
        self.set_focus(self.query_one(RowGrid) if self._several else self.query_one(Input))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("tick", "shift", "reset", "to_input"):
            return not self._typing and (self._several or action == "to_input")
        return True

    @property
    def _typing(self) -> bool:
        return isinstance(self.focused, Input)

    def _list(self) -> None:
        words = self.query_one(Input).value.casefold().split()
        names = [name for name in self._names if all(word in name.casefold() for word in words)]
        typed = self.query_one(Input).value.strip()
        if typed and typed not in names and self._check is not None:
            try:
                self._check(typed)
            except NeurocktError:
                pass
            else:
                names.append(typed)
        self._listed = names
        self.query_one(RowGrid).show(CellRows(["", " " * LEAST_WIDTH], [self._cells(name) for name in names]))

    def _cells(self, name: str) -> list[Cell]:
        ticked, title = name in self._chosen, clean(self._titles.get(name, name))
        return [Cell("✓" if ticked else " ", "good"), Cell(title, "strong" if ticked else "")]

    @property
    def _current(self) -> str | None:
        row = self.query_one(RowGrid).cursor_row
        return self._listed[row] if row < len(self._listed) else None

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        event.stop()
        self._list()
        self.query_one(RowGrid).move_to(row=0)

    @on(Input.Submitted)
    def _apply_typed(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_apply()

    def action_to_list(self) -> None:
        self.set_focus(self.query_one(RowGrid))

    def action_to_input(self) -> None:
        self.set_focus(self.query_one(Input))

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

    def action_shift(self, rows: int) -> None:
        name = self._current
        if name not in self._chosen:
            return
        at = self._chosen.index(name)
        to = min(max(0, at + rows), len(self._chosen) - 1)
        self._chosen.insert(to, self._chosen.pop(at))
        self._names = list(dict.fromkeys([*self._chosen, *self._names]))
        self._list()
        if name in self._listed:
            self.query_one(RowGrid).move_to(row=self._listed.index(name))

    def action_reset(self) -> None:
        self.dismiss([])

    def action_apply(self) -> None:
        name = self._current
        if not self._several:
            if name is not None:
                self.dismiss([name])
        elif self._typing and name is not None and name not in self._chosen:
            self.action_tick()
        else:
            self.dismiss(self._chosen)

    @on(RowGrid.Opened)
    def _clicked(self) -> None:
        self.action_tick() if self._several else self.action_apply()
