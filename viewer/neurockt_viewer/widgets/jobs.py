"""Searching or sorting a table, which may take a while: in a worker's thread, with a reader of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from neurockt_viewer.background import error_text

if TYPE_CHECKING:
    from neurockt.store import RowReader, TableName

Report = Callable[[float], None]
"""Gets the part that is done, from 0 to 1; raises ``Stopped`` to end the search."""
Find = Callable[["RowReader", Report], Callable[[], None]]
"""Reads, and returns what is then to be done in the screen's thread."""


class Stopped(Exception):  # not an error
    """The user has stopped the search."""


@dataclass
class Job:
    what: str
    on_progress: Callable[[], object]
    done: float = 0.0
    stopped: bool = False
    error: str = ""

    def run(self, path: Path, table: TableName, find: Find) -> Callable[[], None] | None:
        """Read; what is to be done then, or None where there is nothing to do. An error is kept in ``error``."""
        from neurockt import open_run

        try:
            reader = open_run(path).rows(table)
            reader.refresh()
            return find(reader, self._report) if reader.groups.total else None
        except Stopped:
            return None
        except Exception as error:
            self.error = error_text(error)
            return None

    def _report(self, done: float) -> None:
        before, self.done = self.done, done
        if f"{done:.0%}" != f"{before:.0%}":
            self.on_progress()
        if self.stopped:
            raise Stopped
