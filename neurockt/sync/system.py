"""What the machine did, as lines of the run's system metrics in W&B: one a sample, each at its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

from neurockt.store.reading.run import Run
from neurockt.sync.rows import encode

LINES: Final = 5_000
"""Lines given out at a time, at most."""


class SystemLines:
    """The samples that one look at a run found; what comes later waits for the next look."""

    def __init__(self, run: Run, created: datetime) -> None:
        """Look at the run, which began then."""
        self._run = run
        self._created = created
        self.total = run.outline("system").total

    def after(self, count: int) -> Iterator[tuple[int, list[str]]]:
        """The lines after so many, some at a time, and where they belong."""
        lines = islice(self._lines(), count, self.total)
        while some := list(islice(lines, LINES)):
            yield count, some
            count += len(some)

    def _lines(self) -> Iterator[str]:
        _, batches = self._run.batches("system")
        for batch in batches:
            for row in batch.to_pylist():
                yield self._line(row)

    def _line(self, row: dict[str, Any]) -> str:
        moment = row.pop("time")
        for axis in ("sample", "step", "epoch"):
            row.pop(axis)
        told = {f"system.{name}": value for name, value in row.items() if value is not None}
        runtime = (moment - self._created).total_seconds()
        return encode({"_wandb": True, "_timestamp": moment.timestamp(), "_runtime": runtime, **told})
