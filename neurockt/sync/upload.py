"""One run to W&B: see what is there, send the rest, and believe only what the server says it has.

The rows of a run have one order (``neurockt.sync.rows``), and each line a place of its own. So an upload that was
interrupted anywhere, or that someone else is doing at the same time, is continued by sending from where the server
says it is; what it had after all is sent to the same place again, unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from neurockt.errors import SyncFailed
from neurockt.run_info import RunInfo
from neurockt.store.base import layout
from neurockt.store.base.layout import superseded_names
from neurockt.store.reading.run import Run
from neurockt.sync import artifact
from neurockt.sync.client import Client, Refused
from neurockt.sync.compare import difference, lacking, same_row
from neurockt.sync.describe import (
    CONFIG_KEY,
    Description,
    describe,
    identity,
    run_ids,
    safe_project,
    wandb_config,
)
from neurockt.sync.ledger import Entry, Ledger, digest
from neurockt.sync.options import STILL_RUNNING, Options, Outcome, Status
from neurockt.sync.project import SYSTEM, Project, ServerRun
from neurockt.sync.rows import START, Place, RunRows
from neurockt.sync.system import SystemLines

RESEND_SECONDS: Final = 3.0
"""What it does not show after so long is sent again, which does no harm if it was there after all."""
RESENDS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0

TOO_LARGE: Final = 413
DELETED: Final = 409


class Rewound(SyncFailed):
    """W&B has rows that the run does not have any more."""


Report = Callable[[int, int], None]
"""Hears how many rows have been sent, and of how many."""


class Upload:
    """One run on its way to one destination."""

    def __init__(
        self, run: Run, client: Client, entity: str, options: Options, report: Report = lambda done, total: None
    ) -> None:
        """Look at the run; nothing is sent yet.

        Args:
            entity: whose runs, where nobody says.
            report: hears of progress.
        """
        self._run = run
        self._client = client
        self._options = options
        self._report = report
        document = (run.path / layout.RUN_FILE).read_bytes()
        self.info: RunInfo = run.info
        self.ledger = Ledger(run.path, identity(self.info))
        wishes = self.ledger.wishes()
        self._wishes = wishes
        entity = options.entity or wishes.entity or client.account.entity or entity
        name = safe_project(options.project or wishes.project or self.info.project or client.account.project)
        self._project = Project(client, entity, name)
        self._destination = f"{client.account.url}/{entity}/{name}"
        self._stamp = digest(document + self.info.state.encode())
        self._entry = self.ledger.read(self._destination) or Entry("")
        self._sent = 0
        self._last_line = (0, "")
        """How many rows there were with the last line that was sent, and that line: it need not be read again."""
        self._system = SystemLines(run, self.info.created)

    @property
    def is_live(self) -> bool:
        """Whether the run still trains."""
        return self.info.state == "running"

    @property
    def is_proved(self) -> bool:
        """Whether the ledger says that all of the run as it is now is in W&B."""
        entry = self._entry
        return (
            not self.is_live
            and entry.stamp == self._stamp
            and entry.state in ("finished", "failed")
            and not entry.superseded
            and bool(entry.files or not self._options.files)
        )

    def run(self) -> Outcome:
        """Do what the options say.

        Raises:
            SyncFailed: the server did not take it, or does not show it.
        """
        if self.is_live and not self._options.running:
            return self._outcome("pending", reason=STILL_RUNNING)
        if self.is_proved and not self._options.verify:
            return self._outcome("complete", self._entry.place.rows)
        self.info = self._run.current_info()
        rows = RunRows(self._run, complete=not self.is_live, created=self.info.created)
        self._system = SystemLines(self._run, self.info.created)
        if self._run.damaged:
            raise SyncFailed(f"{self._run.damaged[0]}; a dead run's journal is put in order by 'neurockt seal'")
        described = describe(self.info, rows.names, self._wishes.job_type)
        run_id, there = self._find()
        if self._options.verify:
            return self._verify(rows, described, there)
        start, there, run_id = self._start(rows, run_id, there)
        samples = there.samples if there else 0
        if self._options.dry_run:
            return self._outcome("pending", start.rows, rows.total - start.rows, reason="dry run")
        is_there = there is not None and start.rows == rows.total and self._is_told(there, described)
        is_there = is_there and samples >= self._system.total
        if is_there:
            end = start
            if self.is_live:
                # W&B takes a run that it does not hear of for crashed
                self._project.send(run_id)
        else:
            run_id, end = self._send(rows, described, run_id, start, samples)
        return self._finish(rows, described, run_id, end)

    # See what is there

    def _find(self) -> tuple[str, ServerRun | None]:
        """The run's id in W&B, and the run if it is there."""
        candidates = run_ids(self.info, self._entry.generation, self._wishes.run_id)
        for candidate in dict.fromkeys([*filter(None, [self._entry.run_id]), *candidates]):
            there = self._project.find(candidate)
            if there is None or _identity_of(there) == identity(self.info):
                return candidate, there
        raise SyncFailed(
            f"other runs of {self._project.name} have its ids {' and '.join(candidates)}; use another --project"
        )

    def _start(self, rows: RunRows, run_id: str, there: ServerRun | None) -> tuple[Place, ServerRun | None, str]:
        """From where to send, to which id."""
        if there is None or not (there.rows or there.last_line):
            return START, there, run_id
        there = self._settled(run_id, there)
        if not there.is_settled:
            return START, there, run_id  # it has a part of the rows, we cannot know which: all of them again
        known = self._entry.place
        here = rows.line(there.rows - 1, known if known.rows < there.rows else START)
        if here is None and self.is_live and not superseded_names(self._run.path):
            raise SyncFailed("W&B has more rows than can be seen from here; the file system lags, sync again later")
        if here is not None and same_row(here, there.last_line):
            place = rows.place(there.rows, known)
            assert place is not None, "the row before it is there"
            return place, there, run_id
        if not self._options.replace:
            raise Rewound(
                f"W&B has {there.rows:,} rows, and row {there.rows:,} is not this run's any more: it was resumed from "
                "an earlier checkpoint after these rows had been uploaded. --replace uploads it as a new run, then "
                "deletes the old one"
            )
        return START, None, self._begin_again(there.storage_id)

    def _begin_again(self, superseded: str | None) -> str:
        """A new id for the run; what it supersedes is deleted when the new one is complete."""
        generation = self._entry.generation + 1
        run_id = run_ids(self.info, generation, self._wishes.run_id)[0]
        self._entry = Entry(run_id, generation=generation, superseded=superseded)
        if not self._options.dry_run:
            self.ledger.write(self._destination, self._entry)
        return run_id

    def _note(self, entry: Entry) -> None:
        """Have the ledger say so, unless it does."""
        if entry != self._entry:
            self.ledger.write(self._destination, entry)
            self._entry = entry

    def _settled(self, run_id: str, there: ServerRun) -> ServerRun:
        """The run once its count and its last row agree, or as it is when they have not for long enough."""
        deadline = time.monotonic() + min(RESEND_SECONDS, self._options.settle)
        while not there.is_settled and time.monotonic() < deadline:
            self._client.stopped.wait(LONGEST_PAUSE_SECONDS / 4)
            there = self._project.find(run_id) or there
        return there

    @staticmethod
    def _is_told(there: ServerRun, described: Description) -> bool:
        """Whether the server knows all of it but the rows."""
        told = all(there.config.get(key) == {"value": value} for key, value in described.config.items())
        return told and there.state == described.state and set(there.tags) >= set(described.tags)

    # Send the rest

    def _send(
        self, rows: RunRows, described: Description, run_id: str, start: Place, samples: int
    ) -> tuple[str, Place]:
        """Send the rows after a place, and the machine's samples after so many.

        Returns:
            the id they went to, and the place after the last row.
        """
        try:
            self._tell(described, run_id)
        except Refused as error:
            if error.status != DELETED or not self._options.replace:
                raise self._explained(error, run_id) from error
            run_id, samples = self._begin_again(None), 0
            self._tell(described, run_id)
        end = self._send_rows(rows, run_id, start, self._options.turn_rows)
        is_last = end.rows >= rows.total
        if is_last:
            self._send_system(run_id, samples)
        self._end(described, run_id, end, is_last=is_last)
        return run_id, end

    def _tell(self, described: Description, run_id: str) -> None:
        about = {
            "displayName": described.name,
            "config": json.dumps(wandb_config(described), allow_nan=False),
            "tags": described.tags,
            "notes": described.notes,
            "groupName": described.group,
            "jobType": described.job_type,
            "host": described.host,
        }
        self._project.upsert(run_id, about)

    def _explained(self, error: Refused, run_id: str) -> SyncFailed:
        if error.status == DELETED:
            return SyncFailed(f"{error}; the id {run_id} was deleted in W&B: --replace gives it another")
        if error.status in (403, 404):
            return SyncFailed(
                f"{error}; W&B has no entity {self._project.entity!r}, or you may not write to its project "
                f"{self._project.name!r}: name others with --entity and --project"
            )
        return error

    def _send_rows(self, rows: RunRows, run_id: str, start: Place, limit: int | None = None) -> Place:
        place = start
        self._report(place.rows, rows.total)
        for batch in rows.after(start):
            self._put(run_id, batch.start, batch.lines)
            self._sent += len(batch.lines)
            self._last_line = batch.end.rows, batch.lines[-1]
            place = batch.end
            self._report(place.rows, rows.total)
            if limit is not None and place.rows - start.rows >= limit:
                break
        return place

    def _send_system(self, run_id: str, after: int) -> None:
        """Send what the machine did, after so many samples."""
        for start, lines in self._system.after(after):
            self._project.send(run_id, start, lines, file=SYSTEM)

    def _put(self, run_id: str, start: int, lines: list[str]) -> None:
        try:
            self._project.send(run_id, start, lines)
        except Refused as error:
            if error.status != TOO_LARGE or len(lines) == 1:
                raise
            half = len(lines) // 2
            self._put(run_id, start, lines[:half])
            self._put(run_id, start + half, lines[half:])

    def _end(self, described: Description, run_id: str, end: Place, *, is_last: bool) -> None:
        summary = {**described.summary, "_step": end.rows - 1} if end.rows else described.summary
        exit_code = described.exit_code if is_last else None
        self._project.send(run_id, summary=summary, exit_code=exit_code)

    # Believe only what the server says

    def _finish(self, rows: RunRows, described: Description, run_id: str, end: Place) -> Outcome:
        is_last = end.rows >= rows.total
        there = self._prove(rows, described, run_id, end, is_last=is_last)
        entry = replace(
            self._entry,
            run_id=run_id,
            place=end,
            line=digest(there.last_line),
            state=there.state if is_last else "",
            stamp=self._stamp if is_last and not self.is_live else "",
        )
        self._note(entry)
        if is_last and not self.is_live:
            if self._options.files and not entry.files:
                listing = artifact.listing(self._run.path)
                project = self._project
                artifact.attach(self._client.account, project.entity, project.name, run_id, self._run.path)
                self._tell(described, run_id)
                self._end(described, run_id, end, is_last=True)
                self._prove(rows, described, run_id, end, is_last=True)
                entry = replace(entry, files=listing)
            if entry.superseded:
                self._project.delete(entry.superseded)
                entry = replace(entry, superseded=None)
            self._note(entry)
            return self._outcome("complete", end.rows, self._sent, run_id=run_id)
        return self._outcome("running" if is_last else "pending", end.rows, self._sent, run_id=run_id)

    def _prove(self, rows: RunRows, described: Description, run_id: str, end: Place, *, is_last: bool) -> ServerRun:
        """The run as the server shows it, once that is what was sent; what it lacks is sent again."""
        started = sent_at = time.monotonic()
        resends, pause = 0, FIRST_PAUSE_SECONDS
        last_line: str | None = None
        if end.rows:
            is_known = self._last_line[0] == end.rows
            last_line = self._last_line[1] if is_known else rows.line(end.rows - 1, self._entry.place)
        samples = self._system.total if is_last else 0
        while True:
            there = self._project.find(run_id)
            exact = is_last and not self.is_live
            lack = lacking(there, end, described, last_line, samples=samples, exact=exact)
            if there is not None and lack is None:
                return there
            now = time.monotonic()
            if now - started > self._options.settle or self._client.stopped.is_set():
                raise SyncFailed(f"W&B took everything and does not show it: {lack}; the next sync sends it again")
            if now - sent_at > min(RESEND_SECONDS, self._options.settle / 4) and resends < RESENDS:
                place = rows.place(min(there.rows, there.last_step + 1), START) if there and not resends else START
                self._resend(rows, described, run_id, place or START, end, is_last=is_last)
                resends, sent_at, pause = resends + 1, time.monotonic(), FIRST_PAUSE_SECONDS
            self._client.stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _resend(
        self, rows: RunRows, described: Description, run_id: str, start: Place, end: Place, *, is_last: bool
    ) -> None:
        """Send again what the server does not show."""
        again = self._send_rows(rows, run_id, start, end.rows - start.rows)
        if is_last:
            self._send_system(run_id, 0)
        self._end(described, run_id, end, is_last=is_last and again.rows >= end.rows)

    def _verify(self, rows: RunRows, described: Description, there: ServerRun | None) -> Outcome:
        """Compare everything, change nothing."""
        if there is None:
            raise SyncFailed("it is not in W&B; 'neurockt sync' without --verify uploads it")
        there = self._settled(there.run_id, there)
        problem = difference(self._project, there, rows, described, self._report)
        if problem:
            raise SyncFailed(problem)
        return self._outcome("running" if self.is_live else "complete", there.rows, run_id=there.run_id)

    def _outcome(
        self, status: Status, rows: int = 0, sent: int = 0, *, run_id: str = "", reason: str | None = None
    ) -> Outcome:
        run_id = run_id or self._entry.run_id
        url = f"{self._project.url}/runs/{run_id}" if run_id else None
        return Outcome(self._run.path, self.info.id, self.info.label, status, rows, sent, url, reason)


def _identity_of(there: ServerRun) -> str | None:
    told = there.config.get(CONFIG_KEY)
    value = told.get("value") if isinstance(told, dict) else None
    return value.get("run") if isinstance(value, dict) else None
