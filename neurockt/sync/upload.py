"""One run to W&B: find what is there, send the rest, and note what the server shows.

The rows of a run have one order (``neurockt.sync.rows``), and each line a position of its own. So an upload that was
interrupted anywhere, or that someone else is doing at the same time, is continued by sending from where the server
is; what it had after all is sent to the same position again, unchanged.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from neurockt.errors import NeurocktWarning, SyncFailed
from neurockt.formatting import format_count
from neurockt.run_info import RunInfo
from neurockt.store import Run, edits_of, read_info
from neurockt.sync import artifact
from neurockt.sync.client import Client, Refused
from neurockt.sync.compare import all_rows, difference, same_row
from neurockt.sync.describe import (
    CONFIG_KEY,
    About,
    Description,
    about,
    changes,
    describe,
    identity,
    run_ids,
    safe_project,
)
from neurockt.sync.history import History
from neurockt.sync.ledger import Entry, Ledger, documents_of, is_growing, is_proved, stamp_of
from neurockt.sync.marks import LOST_SECONDS, Rewound
from neurockt.sync.project import Project, ServerRun
from neurockt.sync.rows import START, Place, Row, SystemLines
from neurockt.sync.sending import LONGEST_PAUSE_SECONDS, RESEND_SECONDS, Report, Sending

DELETED: Final = 409
"""Status of an answer about a run whose id was deleted."""
SETTLE_SECONDS: Final = 30.0
"""How long the server may take to show what it was sent; it may be some seconds behind."""

STILL_RUNNING: Final = "still running; --running uploads what there is"

Status = Literal["complete", "running", "pending", "failed"]
"""*complete*: all of it is proved to be in W&B; *running*: all there is so far of a run that still trains; *pending*:
there is more to send, which this sync was not asked to do."""


@dataclass(frozen=True)
class Options:
    entity: str | None = None
    project: str | None = None
    running: bool = False
    verify: bool = False
    files: bool = False
    replace: bool = False
    turn_rows: int | None = None
    """Rows that a run may send before the others have their turn; None for all."""
    settle: float = SETTLE_SECONDS


@dataclass(frozen=True)
class Outcome:
    path: Path
    id: str
    label: str
    status: Status
    rows: int = 0
    """Rows that are proved to be in W&B."""
    sent: int = 0
    """Rows that this sync sent, or of a plan that it would send."""
    url: str | None = None
    reason: str | None = None


class Upload:
    def __init__(
        self, run: Run, client: Client, entity: str, options: Options, report: Report = lambda done, total: None
    ) -> None:
        """Read the run and its ledger. ``entity`` counts where neither options nor run name one."""
        self._run = run
        self._client = client
        self._entity = entity
        self._options = options
        self._report = report
        documents = documents_of(run.path)  # before the rows that it describes
        self.info: RunInfo = run.info
        self.ledger = Ledger(run.path, identity(self.info))
        if self.ledger.foreign:
            message = f"{self.ledger.foreign} is not neurockt's and is left alone; sync keeps its notes elsewhere"
            warnings.warn(message, NeurocktWarning, stacklevel=2)
        self._wishes = wishes = self.ledger.wishes()
        self._recorded = read_info(run.path)
        edits_of(self._recorded)  # without them, W&B would get what people have changed
        entity = options.entity or wishes.entity or client.account.entity or entity
        own = (self._recorded if self.is_live else self.info).project  # while it trains it stays where it is
        name = safe_project(options.project or wishes.project or own or client.account.project)
        self._project = Project(client, entity, name)
        self._destinations = f"{client.account.url}/{entity}/"
        self._destination = f"{self._destinations}{name}"
        self._stamp = stamp_of(documents, self.info)
        self._marks = self.ledger.marks(self._destination, self._state)  # before its rows
        self._entry = self.ledger.entries.get(self._destination) or Entry("")

    @property
    def is_live(self) -> bool:
        return self.info.state == "running"

    @property
    def is_proved(self) -> bool:
        """Whether the ledger says that all of the run as it is now is in W&B, and that no more is to be done."""
        is_left = bool(self._options.replace and self._earlier) or self._marks.are_doubtful
        return is_proved(self._entry, self.info, self._stamp, files=self._options.files) and not is_left

    def run(self) -> Outcome:
        """Do what the options ask for; ``SyncFailed`` if the server does not take it, or does not show it."""
        try:
            return self._run_once()
        except Rewound:
            outcome = Upload(self._run, self._client, self._entity, self._options, self._report).run()
            if outcome.status != "pending":  # the rows were compared
                self._marks.remove()
            return outcome
        except Refused:
            self._marks.remove()  # what was sent before has been answered
            raise

    def _run_once(self) -> Outcome:
        if self.is_live and not self._options.running:
            return self._outcome("pending", reason=STILL_RUNNING)
        if self.is_proved and not self._options.verify:
            return self._outcome("complete", self._entry.rows)
        self.info = self._run.current_info()
        rows = self._rows(START if self._options.verify else self._entry.place)
        system = SystemLines(self._run, self.info.created)
        if self._run.damaged:
            raise SyncFailed(f"{self._run.damaged[0]}; 'neurockt seal' repairs a dead run's journal")
        described = describe(self.info, rows.names, self._wishes.job_type, others=rows.others(self.info))
        run_id, there = self._find()
        if self._options.verify:
            return self._verify(rows, described, there)
        if self._options.replace and rows.lacks_rows(there.rows if there else 0):
            run_id, there = self._begin_again(there.storage_id if there else None), None
            rows = self._rows(START)
        rows, last, there, run_id = self._start(rows, run_id, there)
        changed = changes(described.about, self._entry.about, about(self._recorded), there.about if there else None)
        sending = Sending(
            self._client, self._project, run_id, described, rows, system, last, self._report, changed, self._marks
        )
        samples = there.samples if there else 0
        if there is None or not sending.is_all or samples < system.total or changed or not _knows(there, described):
            self._send(sending, samples)
        elif self.is_live:
            self._project.send(run_id)  # W&B shows a run that it does not hear of as crashed
        return self._finish(sending)

    def _rows(self, known: Place) -> History:
        order = self.ledger.order(self._destination, self._entry.generation, self._run.rewind_token)
        rows = History(self._run, order, self.info, known)
        rows.is_fixed = self._options.verify
        return rows

    def _state(self) -> str:
        """Changes when rows that were read may not be the run's any more."""
        return f"{sorted(self._run.rewind_token)} {read_info(self._run.path).revision}"

    # See what is there

    def _find(self) -> tuple[str, ServerRun | None]:
        candidates = run_ids(self.info, self._entry.generation, self._wishes.run_id)
        for candidate in dict.fromkeys([*filter(None, [self._entry.run_id]), *candidates]):
            there = self._project.find(candidate)
            if there is not None and _identity_of(there) == identity(self.info):
                return candidate, there
            if there is None and candidate in candidates:
                return candidate, None
        raise SyncFailed(
            f"other runs of {self._project.name} have its ids {' and '.join(candidates)}; use another --project"
        )

    def _start(
        self, rows: History, run_id: str, there: ServerRun | None
    ) -> tuple[History, Row | None, ServerRun | None, str]:
        """The last row that the server has, None where all are to be sent; and the id to send to."""
        if there is None or not (there.rows or there.last_line):
            if rows.order.is_stale:
                rows.order.replace((), {})
            return rows, None, there, run_id
        there = self._settled(run_id, there)
        is_doubtful = rows.order.is_stale or self._marks.are_doubtful
        if not there.is_settled and not is_doubtful:
            return rows, None, there, run_id  # it has some of the rows, we cannot know which: send all of them again
        last = rows.row(there.rows - 1, self._entry.place)
        if not _is_last(there, last) and self._entry.place != START:  # the ledger is old, or the run was rewound
            rows = self._rows(START)
            last = rows.row(there.rows - 1, START)
        is_revised = bool(self._entry.rows) and self._entry.revision != self.info.revision
        fits = _is_last(there, last) and not is_revised
        if not is_revised and (is_doubtful or (rows.is_mixed and not fits)):
            fits = rows.find_order(all_rows(self._project, there))
            last = rows.row(there.rows - 1, START)
        if fits:
            return rows, last, there, run_id
        if last is None and self.is_live and not self._run.rewind_token:
            raise SyncFailed("W&B has more rows than can be seen from here; the file system lags, sync again later")
        if not self._options.replace:
            why = (
                "the source that it is imported from has changed rows that had been uploaded"
                if is_revised
                else "some are no longer this run's: it was resumed from an earlier checkpoint after these rows had "
                "been uploaded"
            )
            raise SyncFailed(
                f"W&B has {format_count(there.rows, 'row')}, and {why}. --replace uploads it as a new run, then "
                "deletes the old one"
            )
        run_id = self._begin_again(there.storage_id)
        return self._rows(START), None, None, run_id

    def _begin_again(self, superseded: str | None) -> str:
        """A new id for the run; the upload that it supersedes is deleted when the new one is complete."""
        generation = self._entry.generation + 1
        run_id = run_ids(self.info, generation, self._wishes.run_id)[0]
        self._entry = Entry(run_id, generation=generation, superseded=superseded)
        self.ledger.write(self._destination, self._entry)
        self._marks.remove(-math.inf)  # they are of an earlier upload
        return run_id

    def _settled(self, run_id: str, there: ServerRun) -> ServerRun:
        """The run once its count and its last row agree, or as it is when they have not for long enough."""
        deadline = time.monotonic() + min(RESEND_SECONDS, self._options.settle)
        while not there.is_settled and time.monotonic() < deadline:
            self._client.stopped.wait(LONGEST_PAUSE_SECONDS / 4)
            there = self._project.find(run_id) or there
        return there

    # Send the rest, and have it proved

    def _send(self, sending: Sending, samples: int) -> None:
        try:
            sending.describe()
        except Refused as error:
            if error.status != DELETED or not self._options.replace:
                raise self._explained(error, sending.run_id) from error
            sending.run_id, samples = self._begin_again(None), 0
            sending.rows = self._rows(START)
            sending.changes = changes(sending.described.about, None, About(), None)
            sending.describe()
        sending.send_rest(self._options.turn_rows, samples)

    def _explained(self, error: Refused, run_id: str) -> SyncFailed:
        if error.status == DELETED:
            return SyncFailed(f"{error}; the id {run_id} was deleted in W&B: --replace gives it another")
        if error.status in (403, 404):
            return SyncFailed(
                f"{error}; W&B has no entity {self._project.entity!r}, or you may not write to its project "
                f"{self._project.name!r}: name others with --entity and --project"
            )
        return error

    def _finish(self, sending: Sending) -> Outcome:
        there = sending.prove(self._options.settle)
        self._marks.remove(LOST_SECONDS)
        reason = None
        is_complete = sending.is_all and not self.is_live
        is_proved = is_complete and not is_growing(self.info) and not self._marks.are_doubtful
        entry = replace(
            self._entry,
            run_id=sending.run_id,
            rows=sending.end.rows,
            place=sending.last.before if sending.last else START,
            state=there.state if sending.is_all else "",
            about=sending.described.about,
            stamp=self._stamp if is_proved else "",
            revision=self.info.revision,
        )
        self._note(entry)
        if is_complete:
            if self._options.files and entry.files != (listing := artifact.listing(self._run.path)):
                project = self._project
                artifact.attach(self._client.account, project.entity, project.name, sending.run_id, self._run.path)
                sending.describe()  # the SDK has left the run open
                sending.finish()
                sending.prove(self._options.settle)
                entry = replace(entry, files=listing)
            if entry.superseded:
                self._project.delete(entry.superseded)
                entry = replace(entry, superseded=None)
            self._note(entry)
            reason = self._leave_earlier()
        status: Status = "complete" if is_complete else "running" if sending.is_all else "pending"
        return self._outcome(status, sending.end.rows, sending.sent, run_id=sending.run_id, reason=reason)

    # Where people have changed its project since

    @property
    def _earlier(self) -> dict[str, Entry]:
        """The uploads to projects that the run had before, by the project's name."""
        if self._options.project or self._wishes.project or self.info.project == self._recorded.project:
            return {}
        return {
            destination.removeprefix(self._destinations): entry
            for destination, entry in self.ledger.entries.items()
            if destination.startswith(self._destinations) and destination != self._destination
        }

    def _leave_earlier(self) -> str | None:
        """Delete the uploads to earlier projects if they are to be replaced; else a sentence that names them."""
        if not (earlier := self._earlier):
            return None
        if not self._options.replace:
            return f"its upload to {', '.join(earlier)} stays; 'neurockt sync --replace' deletes it"
        for name, entry in earlier.items():
            project = Project(self._client, self._project.entity, name)
            there = project.find(entry.run_id)
            if there is not None and _identity_of(there) == identity(self.info):
                project.delete(there.storage_id)
            self.ledger.forget(f"{self._destinations}{name}")
        return None

    def _note(self, entry: Entry) -> None:
        if entry != self._entry:
            self.ledger.write(self._destination, entry)
            self._entry = entry

    def _verify(self, rows: History, described: Description, there: ServerRun | None) -> Outcome:
        if there is None:
            raise SyncFailed("the run is not in W&B; 'neurockt sync' without --verify uploads it")
        there = self._settled(there.run_id, there)
        if rows.is_mixed and (rows.order.is_stale or rows.order.rows < there.rows):
            rows.find_order(all_rows(self._project, there))
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


def _is_last(there: ServerRun, row: Row | None) -> bool:
    return row is not None and same_row(row.line, there.last_line)


def _knows(there: ServerRun, described: Description) -> bool:
    """Whether the server knows all of the run but the rows, and what people may change there."""
    known = all(there.config.get(key) == {"value": value} for key, value in described.config.items())
    return known and there.state == described.state


def _identity_of(there: ServerRun) -> str | None:
    found = there.config.get(CONFIG_KEY)
    value = found.get("value") if isinstance(found, dict) else None
    return value.get("run") if isinstance(value, dict) else None
