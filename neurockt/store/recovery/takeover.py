"""Continue a run whose process is dead: take it over, seal what was left, move aside what is past the checkpoint.

Nothing is changed before ``begin``. From there on the run names this process in ``run.json``; whatever interrupts the
rest, the next process that takes the run over does it again.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from neurockt.errors import MissingExtra, RunInUse
from neurockt.run_info import RunInfo, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TABLES, TableName
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.owner import process
from neurockt.store.owner.attempts import begin_attempt, by_whom, is_same, job_id, restart_count
from neurockt.store.owner.claim import claimed

HINT: Final = "wait for its end, finish() or stop it, or leave run_id out to record a new run"


class Takeover:
    """A run that is there already, to be continued by this process."""

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Look at the run and change nothing.

        With ``writes=False`` this process is beside the one that records (a rank, or a DataLoader's worker that imports
        the script again). It counts from where that one began, and can take nothing over.

        Raises:
            RunInUse: a live process of this machine, and not a relative of this one, writes the run.
        """
        self.info: RunInfo = read_info(path)
        """The run as it was found; after ``begin``, as this process writes it."""
        self.kept: dict[TableName, int] = {}
        """For each table, the number of the last row that stays; -1 where none does."""
        self._step: int | None = None
        self._begun = False
        attempt = self.info.attempt
        self._beside = False
        if attempt is not None and self.info.state == "running":
            of_this_job = attempt.job is not None and (attempt.job, attempt.restart) == (job_id(), restart_count())
            self._beside = bool(process.is_alive(attempt)) or (not writes and of_this_job)
        if self._beside and attempt is not None and writes and not process.is_relative(attempt.pid):
            raise RunInUse(f"{path} is still being written{by_whom(attempt)}; {HINT}")
        self._count()

    def resume(self, step: int) -> None:
        """Go on after this step: ``finish`` supersedes the rows past it."""
        self._step = step
        self._count()

    def _count(self) -> None:
        path, attempt = self.info.path, self.info.attempt
        try:
            if self._beside and attempt is not None:
                self.kept = {"steps": attempt.first_step - 1, "epochs": attempt.first_epoch - 1}
            else:
                self.kept = _last_numbers(path)
            if self._step is not None:
                self.kept["steps"] = min(self._step, self.kept["steps"])
                for table in self.kept.keys() - {"steps"}:
                    self.kept[table] = _last_until(path, table, self.kept[table], self._step)
        except ImportError as error:
            hint = "install it ('pip install pyarrow'), or leave run_id out to record a new run"
            raise MissingExtra(f"continuing the run {path} needs pyarrow; {hint} ({error})") from None

    def begin(self, described: RunInfo, recorder: int) -> RunInfo:
        """Name this process in ``run.json``; what ``described`` leaves out stays as it was."""
        from neurockt.store.recovery.sealing import ended_attempts, last_sign_of_life

        if self._begun:
            if not is_same(read_info(self.info.path).attempt, self.info.attempt):
                raise RunInUse(f"{self.info.path} has been taken over by another process; {HINT}")
            self.info = replace(self.info, heartbeat=read_info(self.info.path).heartbeat)
            return self.info
        with claimed(self.info.path, HINT, _print) as claim:
            earlier = claim.info
            if not is_same(earlier.attempt, self.info.attempt):
                raise RunInUse(f"{self.info.path} has been continued by another process since this one began; {HINT}")
            self._count()  # a process of another machine may have gone on writing meanwhile
            attempt = begin_attempt(
                claim.number,
                recorder=recorder,
                first_step=self.kept["steps"] + 1,
                first_epoch=max(0, self.kept["epochs"]) + 1,
            )
            given = {name: getattr(described, name) for name in ("name", "project", "group", "notes", "total_steps")}
            info = replace(
                earlier,
                **{name: value for name, value in given.items() if value is not None},
                tags=described.tags or earlier.tags,
                config=described.config,
                ranks=described.ranks,
                state="running",
                failure=None,
                ended=None,
                updated=attempt.started,
                heartbeat=earlier.heartbeat + 1,
                attempts=(*ended_attempts(earlier, last_sign_of_life(earlier)), attempt),
            )
            claim.check()
            write_info(info)
        self._begun = True
        self.info = info
        return info

    def finish(self) -> dict[TableName, tuple[int, TableSummary]]:
        """Seal the journals that were left and supersede what is past the checkpoint; may be repeated."""
        from neurockt.store.reading.table_reader import TableReader
        from neurockt.store.recovery.sealing import seal_tables
        from neurockt.store.tables.summary import summarise_parts
        from neurockt.store.tables.superseded import complete_rewinds, rewind

        path = self.info.path
        complete_rewinds(path)
        seal_tables(path)
        last = {table: TableReader(path, table).last_number() for table in TABLES}
        past: dict[TableName, int] = {
            table: self.kept[table] for table in TABLES if last[table] > self.kept.get(table, last[table])
        }
        if past:
            stays = dict(past)
            if "steps" in past:  # the row itself: a later attempt may record numbers after it, up to the step
                stays["steps"] = _last_row(path, past["steps"])
            rewind(path, self.info.attempts[-2].number, stays)
        return {
            table: (past.get(table, last[table]), summarise_parts(path, table) if last[table] >= 0 else TableSummary())
            for table in TABLES
        }


def _last_numbers(path: Path) -> dict[TableName, int]:
    from neurockt.store.reading.table_reader import TableReader
    from neurockt.store.tables.superseded import read_kept

    numbers = {table: TableReader(path, table).last_number() for table in TABLES}
    for moving, _ in layout.moving_paths(path):
        for table, last in read_kept(moving).items():
            numbers[table] = min(last, numbers[table])
    return numbers


def _last_until(path: Path, table: TableName, last: int, step: int) -> int:
    """The number of the row before the first one that is past a step; a table is only cut at its end."""
    import numpy as np

    from neurockt.store.reading.table_reader import TableReader
    from neurockt.store.tables import arrays

    key = layout.KEY[table]
    rows = TableReader(path, table).read([key, "step"], until=last)
    past = np.flatnonzero(arrays.numbers(rows["step"]) > step)
    stays = arrays.numbers(rows[key])[: past[0] if len(past) else None]
    return int(stays[-1]) if len(stays) else -1


def _last_row(path: Path, step: int) -> int:
    """The number of the last row of `steps` up to a step; that step where it is not known, because rows are damaged."""
    from neurockt.store.reading.table_reader import TableReader
    from neurockt.store.tables import arrays

    reader = TableReader(path, "steps")
    rows = reader.read(["step"], until=step)
    if reader.damaged:
        return step
    return int(arrays.numbers(rows["step"])[-1]) if len(rows) else -1


def _print(message: str) -> None:
    with suppress(Exception):  # there may be no stderr
        print(f"neurockt: {message}", file=sys.stderr, flush=True)
