"""What a recorder prints: its table, lines of its own, and one warning of each kind of fault."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from contextlib import suppress
from typing import Any

from neurockt.errors import NeurocktWarning
from neurockt.formatting import clean, table_header, table_row
from neurockt.store.journal.records import is_null


def write_line(stream: Any, text: str) -> None:
    """Write text to what is in the place of stdout or stderr: None, or an object that may lack methods."""
    if stream is None:
        return
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError as error:
        stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding) + "\n")
    if hasattr(stream, "flush"):
        stream.flush()


def print_to_stderr(message: str) -> None:
    """Print a line of ours, where that is possible."""
    with suppress(Exception):
        write_line(sys.stderr, f"neurockt: {clean(message, 2000)}")


class Faults:
    """Faults of the instrumentation: one warning of each kind, and training goes on; under pytest they raise."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._kept: BaseException | None = None

    def report(self, what: str, error: BaseException) -> None:
        """Warn once of each kind, and go on; under pytest raise, from a background thread in ``raise_kept``."""
        if _is_under_pytest():
            from neurockt.store.writing.run_writer import THREAD_NAME

            if not threading.current_thread().name.startswith(THREAD_NAME):
                raise error
            self._kept = error
        else:
            self.warn_once(what, f"{what} ({type(error).__name__}: {error}). Training goes on. (shown once)")

    def warn_once(self, kind: str, message: str) -> None:
        if kind not in self._reported:
            self._reported.add(kind)
            self.warn(message)

    def warn(self, message: str) -> None:
        try:
            warnings.warn(message, NeurocktWarning, stacklevel=2)
        except Exception:  # the user's filters make it an error, or stderr is closed
            if _is_under_pytest():
                raise
            print_to_stderr(message)

    def raise_kept(self) -> None:
        if self._kept is not None:
            raise self._kept


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


def _is_under_pytest() -> bool:
    return "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules
