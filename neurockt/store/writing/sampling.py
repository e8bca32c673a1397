"""Rows of `system`. The machine is sampled in a thread of its own, since a driver may take seconds to answer.

That thread only reads. The run's background thread stores what it has read, so that the table has one writer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue

from neurockt.store.base.layout import TableName
from neurockt.store.journal.records import NULL
from neurockt.store.owner.process import leave_signals_to_others
from neurockt.store.writing.appending import Fault
from neurockt.store.writing.table_writer import TableWriter

Measures = Mapping[str, float]


class Sampling:
    def __init__(
        self,
        read: Callable[[], Measures],
        seconds: float,
        *,
        first: float,
        position: Callable[[], tuple[int, int]],
        on_fault: Fault,
        name: str,
    ) -> None:
        """Start the thread. ``read`` gives the values, and ``position`` the last step and the epoch under way."""
        self._read = read
        self._seconds = seconds
        self._first = first
        self._position = position
        self._on_fault = on_fault
        self._taken: SimpleQueue[tuple[int, int, int, Measures]] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop. A reading in progress is waited for this long at most: a driver may hang."""
        self._stop.set()
        self._thread.join(seconds)

    def store(self, table_of: Callable[[TableName, Sequence[str]], TableWriter]) -> None:
        """Store the samples since the last call; the first one creates the table."""
        while not self._taken.empty():
            time_ns, step, epoch, measures = self._taken.get()
            table = table_of("system", ("epoch", *measures))
            if new := [name for name in measures if name not in table.columns]:
                table.set_columns((*table.columns, *new))
            table.append(step, time_ns, [epoch, *(measures.get(name, NULL) for name in table.columns[1:])])

    def _go_on(self) -> None:
        leave_signals_to_others()
        try:
            self._read()
            wait = min(self._first, self._seconds)
            while not self._stop.wait(wait):
                measures = self._read()
                self._taken.put((time.time_ns(), *self._position(), measures))
                wait = self._seconds
        except Exception as error:
            self._on_fault("sampling the machine has ended", error)
