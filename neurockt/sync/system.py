"""Samples of the machine as lines of the run's system metrics in W&B: one a sample, each at its position."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final

from neurockt.store import KEY, Run
from neurockt.sync.rows import count_numbers, encode, mean_of_ranks

LINES: Final = 5_000
"""Lines given out at a time, at most."""
_KEY: Final = KEY["system"]


class SystemLines:
    """The samples that a run has now. Of several ranks, the mean of each sample that all of them have."""

    def __init__(self, run: Run, created: datetime) -> None:
        """Count the samples of a run that began at ``created``."""
        self._run = run
        self._created = created
        outline = run.outline("system")
        self._last = run.settled("system")
        self.total = count_numbers(run, "system", 0, self._last) if run.ranks else outline.total

    def after(self, count: int) -> Iterator[tuple[int, list[str]]]:
        """The lines after the first ``count``, some at a time, and the position of the first of them."""
        is_gapless = self.total == self._last  # then the earlier ones need not be read
        lines = self._lines(count if is_gapless else 0)
        lines = islice(lines, 0 if is_gapless else count, None)
        while some := list(islice(lines, LINES)):
            yield count, some
            count += len(some)

    def _lines(self, after: int) -> Iterator[str]:
        _, batches = self._run.batches("system", after=after)
        for batch in batches:
            for row in mean_of_ranks(batch, _KEY).to_pylist():
                if row.pop(_KEY) <= self._last:
                    yield self._line(row)

    def _line(self, row: dict[str, Any]) -> str:
        moment = row.pop("time")
        del row["step"], row["epoch"]
        metrics = {f"system.{name}": value for name, value in row.items() if value is not None}
        runtime = (moment - self._created).total_seconds()
        return encode({"_wandb": True, "_timestamp": moment.timestamp(), "_runtime": runtime, **metrics})
