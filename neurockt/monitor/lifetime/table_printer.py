"""The table that is printed, one line for each validation."""

from __future__ import annotations

import sys

from neurockt.formatting import table_header, table_row
from neurockt.monitor.lifetime.faults import Faults, write_line
from neurockt.store.journal.records import is_null


class TablePrinter:
    """Prints rows as they end; the header first, and again when the columns change."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._header: str | None = None

    def __call__(self, columns: tuple[str, ...], row: list[float]) -> None:
        values = [None if is_null(cell) else cell for cell in row]
        header = table_header(columns)
        lines = [table_row(columns, values)] if header == self._header else [header, table_row(columns, values)]
        self._header = header
        try:
            write_line(sys.stdout, "\n".join(lines))
        except Exception as error:
            self._faults.report("cannot print the table", error)
