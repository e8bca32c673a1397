"""What all layers share: a run, its attempts, and the summaries of its columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from neurockt.formatting import format_count, utc_now

State = Literal["running", "finished", "failed", "preempted", "killed"]
"""The state of a run. The file of a dead run may still have *running*; ``neurockt.catalogue`` infers *killed*."""


class ColumnSummary(Struct, frozen=True, gc=False):
    """The summary of one metric. The ``*_at`` fields are the number of the value's row: its step in `steps`."""

    count: int = 0
    """Rows that hold a value, NaN included, null not."""
    last: float | None = None
    last_at: int | None = None
    min: float | None = None
    """Smallest value that is not NaN; infinities count."""
    min_at: int | None = None
    max: float | None = None
    max_at: int | None = None


class TableSummary(Struct, frozen=True, gc=False):
    """How many rows a table has, and a summary of each of its metrics, in the order of the columns."""

    rows: int = 0
    columns: Mapping[str, ColumnSummary] = field(default_factory=dict)
    last: int | None = None
    """Number of the last row; None where there is none, or it is not known."""
    last_time: datetime | None = None
    """When the last row was recorded, by the writer's clock."""
    speed: float | None = None
    """How much the number rises in a second, over the last minutes of the attempt; None where it is not known."""
    best: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """The row in which each metric has its best value (``neurockt.direction``): the values of all metrics there.

    Empty where the table has more metrics than ``run.json`` keeps that of.
    """

    @property
    def number(self) -> int:
        """The number of its last row; 0 where it has none."""
        return self.rows if self.last is None else self.last


class Attempt(Struct, frozen=True, gc=False):
    """One process's part of a run; a requeued job adds another."""

    number: int
    host: str
    pid: int
    process: str
    """Identifies the process, also against a later one with the same pid; empty where the system cannot."""
    started: datetime
    ended: datetime | None = None
    cause: str | None = None
    """Why it ended; None while it lives, and where nothing is known."""
    first_step: int = 0
    """Number of the first row of `steps` that it could record: where its part of the curve begins."""
    first_epoch: int = 1
    """The same for `epochs`."""
    job: str | None = None
    """The scheduler's id of the job (``SLURM_JOB_ID``); None outside a job."""
    restart: int = 0
    """How many times the scheduler had restarted the job (``SLURM_RESTART_COUNT``)."""
    recorder: int = 1
    """Which of its process's recorders wrote the run, from 1."""
    script: str = ""
    """Digest of the command line and of the task's place in the job: a restarted job finds its run by it."""

    @property
    def place(self) -> str:
        """Host and process in words; that of an imported run may be unknown."""
        return ", ".join(filter(None, [self.host, f"process {self.pid}" if self.pid else ""]))

    @property
    def circumstances(self) -> str:
        """Where it began, in which job, and why it ended, in words; empty where nothing is known."""
        facts = [
            f"from step {self.first_step:,}" if self.number > 1 else "",
            f"job {self.job}" if self.job else "",
            f"restart {self.restart}" if self.restart else "",
            self.cause or "",
        ]
        return ", ".join(filter(None, facts))

    job_end: datetime | None = None
    """When the scheduler ends the job, as the attempt knew it when it began (``SLURM_JOB_END_TIME``)."""

    cgroup: str = ""
    """The control group that accounts for the process's memory; empty where it is not known."""
    oom_kills: int = 0
    """How many processes of the group the kernel had killed for lack of memory when the attempt began."""


class Failure(Struct, frozen=True, gc=False):
    type: str
    message: str
    traceback: str


class RunInfo(Struct, frozen=True, gc=False):
    path: Path
    id: str
    created: datetime
    name: str | None = None
    project: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    state: State = "running"
    ended: datetime | None = None
    updated: datetime | None = None
    """When the writer last replaced the file, by the writer's clock."""
    heartbeat: int = 0
    """Counter that rises at least every 10 seconds while the run is written."""
    attempts: tuple[Attempt, ...] = ()
    steps: TableSummary = TableSummary()
    epochs: TableSummary = TableSummary()
    system: TableSummary = TableSummary()
    late: TableSummary = TableSummary()
    failure: Failure | None = None
    dropped: int = 0
    total_steps: int | None = None
    """The step at which the training is to end; None where nobody has given it."""
    rank: int | None = None
    """Which rank's rows these are, where each rank keeps its own; None for the whole of a run."""
    ranks: int | None = None
    """How many ranks keep their own rows; None where one writer has all."""

    imported: Mapping[str, Any] | None = None
    """Where it was imported from: format, source, files, when, values, left_out, revision; None for a recorded run."""
    archived: bool = False
    """Whether lists leave it out unless they are asked for archived runs; not in ``run.json`` either."""
    attached: Mapping[str, RunInfo] = field(default_factory=dict)
    """What other processes record beside the run, by name. Their own files hold it, not that of the run."""

    def with_tables(self, tables: Mapping[Any, Any]) -> RunInfo:
        return replace(self, **tables)

    @property
    def metrics(self) -> dict[str, None]:
        """The names of all its metrics: of `epochs`, `steps` and `late`, and of what is attached as they are shown."""
        attached = self.attached_metrics if self.attached else ()
        return dict.fromkeys([*self._own_metrics, *attached])

    @property
    def _own_metrics(self) -> dict[str, None]:
        return dict.fromkeys(name for table in (self.epochs, self.steps, self.late) for name in table.columns)

    @property
    def attached_metrics(self) -> dict[str, tuple[str, str]]:
        """The metrics of what is attached, each with whose it is, by the names that they are shown under.

        That is a metric's own name, or ``NAME/metric`` where the run, or several of those attached, have it.
        """
        own = self._own_metrics
        each = {name: info._own_metrics for name, info in self.attached.items()}
        owners = Counter(metric for metrics in each.values() for metric in metrics)
        shown: dict[str, tuple[str, str]] = {}
        for name, metrics in each.items():
            for metric in metrics:
                alias = metric if metric not in own and owners[metric] == 1 else f"{name}/{metric}"
                while alias in own or alias in shown:
                    alias += "'"
                shown[alias] = name, metric
        return shown

    @property
    def keeps_ranks(self) -> bool:
        """Whether this is the whole of a run whose ranks keep their own rows."""
        return self.ranks is not None and self.rank is None

    @property
    def attempt(self) -> Attempt | None:
        return self.attempts[-1] if self.attempts else None

    @property
    def cause(self) -> str | None:
        """Why the latest attempt ended; while it runs, the signal that announced its end."""
        return self.attempt.cause if self.attempt else None

    @property
    def standing(self) -> str:
        """The state, with its cause where that adds something: ``preempted (time limit)``."""
        cause = self.cause
        return self.state if cause in (None, "", "exception", self.state) else f"{self.state} ({cause})"

    @property
    def begins(self) -> tuple[Attempt, ...]:
        """The attempts after the first that still have rows in the run: each begins at its ``first_step``."""
        left: list[Attempt] = []
        for attempt in self.attempts:
            while left and left[-1].first_step >= attempt.first_step:
                left.pop()  # all that it recorded is superseded
            left.append(attempt)
        return tuple(attempt for attempt in left if attempt.number > self.attempts[0].number)

    @property
    def imported_from(self) -> str:
        """The format and source of an imported run; empty for a recorded one."""
        known = self.imported or {}
        return f"{known.get('format')}, from {known.get('source')}" if known else ""

    @property
    def revision(self) -> int:
        """How often the source of an imported run has changed rows that it had, plus one."""
        found = (self.imported or {}).get("revision", 1)
        return found if isinstance(found, int) else 1

    @property
    def extent(self) -> str:
        """Its rows in words, with the last step where that is another number: ``100 steps up to 9,900, 2 epochs``."""
        reached = f" up to {self.steps.number:,}" if self.steps.number != self.steps.rows else ""
        late = f", {self.late.rows:,} late" if self.late.rows else ""
        return f"{format_count(self.steps.rows, 'step')}{reached}, {format_count(self.epochs.rows, 'epoch')}{late}"

    @property
    def label(self) -> str:
        return self.name or self.id

    @property
    def seconds(self) -> float | None:
        """Seconds from the run's creation to its end: to now while it runs, to its last heartbeat if it was killed."""
        end = self.ended or (utc_now() if self.state == "running" else self.updated)
        return max(0.0, (end - self.created).total_seconds()) if end else None
