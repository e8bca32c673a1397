"""Rows of `system`: what the machine does is read in a thread of its own, since a driver may take seconds to answer.

That thread only reads. The run's background thread stores what it has read, so that the table has one writer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from neurockt.store.journal.records import NULL
from neurockt.store.owner.process import leave_signals_to_others
from neurockt.store.writing.table_writer import Fault, TableWriter

Measures = Mapping[str, float]
"""What the machine does, by the names of the columns."""


@dataclass(frozen=True)
class Sample:
    """What was read at one moment, and how far the run was."""

    time_ns: int
    step: int
    epoch: int
    measures: Measures


class Sampling:
    """Reads again and again until it is stopped."""

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
        """Begin.

        Args:
            read: gives the measures; what is a rate is over the time since it was last called.
            seconds: how often,
            first: and how soon at the latest for the first time.
            position: gives the last step and the epoch under way.
            on_fault: hears of an error of ``read``, which ends the sampling.
        """
        self._read = read
        self._seconds = seconds
        self._first = first
        self._position = position
        self._on_fault = on_fault
        self._taken: SimpleQueue[Sample] = SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Read no more. A reading that is under way is waited for no longer than this: a driver may hang."""
        self._stop.set()
        self._thread.join(seconds)

    def store(self, table: TableWriter | None, create: Callable[[Sequence[str]], TableWriter]) -> None:
        """Store what has been read since the last call; the table is created for the first sample."""
        while (sample := self._next()) is not None:
            if table is None:
                table = create(("epoch", *sample.measures))
            _append(table, sample)

    def _next(self) -> Sample | None:
        try:
            return self._taken.get_nowait()
        except Empty:
            return None

    def _go_on(self) -> None:
        leave_signals_to_others()
        try:
            self._read()
            wait = min(self._first, self._seconds)
            while not self._stop.wait(wait):
                measures = self._read()
                self._taken.put(Sample(time.time_ns(), *self._position(), measures))
                wait = self._seconds
        except Exception as error:  # whatever it is, training goes on
            self._on_fault("what the machine does can be sampled no more", error)


def _append(table: TableWriter, sample: Sample) -> None:
    new = [name for name in sample.measures if name not in table.columns]
    if new:
        table.set_columns((*table.columns, *new))
    measures = [sample.measures.get(name, NULL) for name in table.columns[1:]]
    table.append(sample.step, sample.time_ns, [sample.epoch, *measures])
