"""What differs between the configs of several runs: of a few runs a row for each key, of many a row for each run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from neurockt.formatting import clean
from neurockt.query.comparing import parse_number
from neurockt.query.fields import sort_runs
from neurockt.run_info import RunInfo
from neurockt.shortening import shorten
from neurockt_viewer.comparison import ConfigKey, compare_configs
from neurockt_viewer.keys import key
from neurockt_viewer.widgets.row_grid import RowGrid
from neurockt_viewer.widgets.row_source import Cell, CellRows

MANY: Final = 5
"""Runs from which each is a row: more columns than this are not seen at once, and rows can be sorted."""
KEY_WIDTH: Final = 28


class ConfigTable(Vertical):
    DEFAULT_CSS = """
    ConfigTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        key("a", "everything", "All keys", "all config keys, or those that differ"),
        key("v", "turn", "Turn", "a row for each run, or for each key"),
        key("s", "sort", "Sort", "sort the runs by the key under the cursor; again, the other way round"),
        key("e", "export", "Export", "write this table to a CSV or Parquet file"),
        key("y", "copy", "Copy cell", "copy the value", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._infos: list[RunInfo] = []
        self._names: list[Cell] = []
        self._keys: list[ConfigKey] = []
        self._everything = False
        self._by_run: bool | None = None
        """Whether each run is a row, once a key has decided it."""
        self._sort: tuple[str, bool] | None = None

    def compose(self) -> ComposeResult:
        yield RowGrid(id="config")
        yield Static(id="config-note", classes="note")

    @property
    def _grid(self) -> RowGrid:
        return self.query_one(RowGrid)

    @property
    def _has_runs_as_rows(self) -> bool:
        return len(self._infos) >= MANY if self._by_run is None else self._by_run

    def show(self, infos: Sequence[RunInfo], names: Sequence[Cell]) -> None:
        """Compare these runs, each under its name."""
        before = [(info.path, info.config) for info in self._infos], self._names
        self._infos, self._names = list(infos), list(names)
        if before != ([(info.path, info.config) for info in infos], self._names):
            self._fill()

    def _order(self) -> list[int]:
        """Which run is in which row, or column."""
        if self._sort is None or not self._has_runs_as_rows:
            return list(range(len(self._infos)))
        name, reverse = self._sort
        place_of = {info.path: at for at, info in enumerate(self._infos)}
        return [place_of[info.path] for info in sort_runs(self._infos, f"cfg.{name}", reverse=reverse)]

    def _fill(self) -> None:
        self._keys = compare_configs(self._infos)
        shown = self._shown
        keys = [clean(key.name, 1000) for key in shown]
        columns = [
            [
                Cell(clean(value), "strong" if odd else "")
                for value, odd in zip(key.values, key.stand_out(), strict=True)
            ]
            for key in shown
        ]
        if self._has_runs_as_rows:
            titles = [
                f"{title}{self._arrow(key.name)}" for title, key in zip(shorten(keys, KEY_WIDTH), shown, strict=True)
            ]
            rows = [[self._names[at], *(column[at] for column in columns)] for at in self._order()]
            right = [at for at, key in enumerate(shown, 1) if _are_numbers(key.values)]
            source = CellRows(["run", *titles], rows, right=right)
        else:
            named = [Cell(title, "strong" if key.differs else "muted") for title, key in zip(keys, shown, strict=True)]
            source = CellRows(
                ["key", *(cell.text for cell in self._names)],
                [[name, *column] for name, column in zip(named, columns, strict=True)],
            )
        self._grid.frozen = 1
        self._grid.show(source)
        counts = f"{sum(key.differs for key in self._keys):,} of {len(self._keys):,} keys differ"
        hint = "all are shown" if self._everything else "a shows all"
        bold = "; bold is what most runs do not have" if self._has_runs_as_rows and len(self._infos) > 2 else ""
        self.query_one(Static).update(Content(f"{counts}; {hint}{bold}"))

    def _arrow(self, name: str) -> str:
        if self._sort is None or self._sort[0] != name:
            return ""
        return " ▼" if self._sort[1] else " ▲"

    @property
    def _shown(self) -> list[ConfigKey]:
        return [key for key in self._keys if self._everything or key.differs]

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "sort" or self._has_runs_as_rows

    def action_everything(self) -> None:
        self._everything = not self._everything
        self._fill()

    def action_turn(self) -> None:
        self._by_run = not self._has_runs_as_rows
        self._grid.move_to(row=0, column=0)
        self._fill()
        self.refresh_bindings()

    @on(RowGrid.HeaderClicked)
    def action_sort(self) -> None:
        if not self._has_runs_as_rows:
            return
        at = self._grid.cursor_column
        if at == 0:
            self._sort = None
        elif at <= len(self._shown):
            name = self._shown[at - 1].name
            self._sort = name, self._sort == (name, False)
        self._fill()

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._grid.cell_text)

    async def action_export(self) -> None:
        """Write the table as it is shown, values as text."""
        from neurockt_viewer.exporting import as_arrow, export

        shown = self._shown
        rows: list[list[object]]
        if self._has_runs_as_rows:
            names = ["run", "id", *(key.name for key in shown)]
            rows = [
                [self._infos[at].label, self._infos[at].id, *(key.values[at] for key in shown)] for at in self._order()
            ]
        else:
            names = ["key", *(info.id for info in self._infos)]
            rows = [[key.name, *key.values] for key in shown]
        await export(self, f"the config of {len(self._infos):,} runs", "config", lambda: as_arrow(names, rows))


def _are_numbers(values: Sequence[str]) -> bool:
    found = [parse_number(value) is not None for value in values]
    return any(found) and sum(found) >= len(found) - values.count("·") - values.count("null")
