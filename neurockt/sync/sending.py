"""Sends one run to one id in W&B, and believes only what the server shows of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from neurockt.errors import SyncFailed
from neurockt.sync.client import Client, Refused
from neurockt.sync.compare import lacking
from neurockt.sync.describe import Description, wandb_config
from neurockt.sync.history import History
from neurockt.sync.marks import Marks
from neurockt.sync.project import SYSTEM, Project, ServerRun
from neurockt.sync.rows import START, Place, Row, SystemLines

RESEND_SECONDS: Final = 3.0
"""What the server does not show after so long is sent again. That changes nothing if it was there after all."""
RESENDS: Final = 3
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0

TOO_LARGE: Final = 413

Report = Callable[[int, int], None]
"""Called with the number of rows sent so far, and of all rows."""


@dataclass
class Sending:
    client: Client
    project: Project
    run_id: str
    described: Description
    rows: History
    system: SystemLines
    last: Row | None
    """The last row that the server has, or was sent; None for none."""
    report: Report
    changes: Mapping[str, Any]
    """What W&B is to have in place of its name, notes, group and tags."""
    marks: Marks
    sent: int = 0
    _has_sent_all: bool = False
    """Whether no more rows can be sent now."""

    @property
    def end(self) -> Place:
        return self.last.after if self.last else START

    @property
    def is_all(self) -> bool:
        """Whether the server was sent all there is; of a live run, without the rows that wait for others."""
        is_live = self.described.exit_code is None
        return self.end.rows >= self.rows.total or (is_live and self._has_sent_all)

    def describe(self) -> None:
        described = self.described
        more = {
            "config": json.dumps(wandb_config(described), allow_nan=False),
            "jobType": described.job_type,
            "host": described.host,
        }
        self.project.upsert(self.run_id, {**self.changes, **more})

    def send_rest(self, limit: int | None, samples: int, start: Place | None = None) -> None:
        """Send about ``limit`` rows after ``start``, and what belongs to the end. W&B has the first ``samples``."""
        self._send_rows(start or self.end, limit)
        if self.is_all:
            for position, lines in self.system.after(samples):
                self.project.send(self.run_id, position, lines, file=SYSTEM)
        self.finish()

    def finish(self) -> None:
        """Send the summary; and the exit code, where all rows were sent and the run has ended."""
        summary = self.described.summary
        if self.end.rows:
            summary = {**summary, "_step": self.end.rows - 1}
        self.project.send(self.run_id, summary=summary, exit_code=self.described.exit_code if self.is_all else None)

    def prove(self, settle: float) -> ServerRun:
        """The run once the server shows all that was sent. What it lacks is sent again; ``settle`` is in seconds.

        Raises ``Rewound`` if the run was rewound meanwhile: then what the server shows proves nothing.
        """
        started = sent_at = time.monotonic()
        resends, pause = 0, FIRST_PAUSE_SECONDS
        line = self.last.line if self.last else None
        samples = self.system.total if self.is_all else 0
        exact = self.is_all and self.described.exit_code is not None
        while True:
            there = self.project.find(self.run_id)
            self.marks.check()
            lack = lacking(there, self.end, self.described, line, samples=samples, exact=exact)
            if there is not None and lack is None:
                return there
            now = time.monotonic()
            if now - started > settle or self.client.stopped.is_set():
                raise SyncFailed(f"W&B took everything and does not show it: {lack}; the next sync sends it again")
            if now - sent_at > min(RESEND_SECONDS, settle / 4) and resends < RESENDS:
                self._resend(min(there.rows, there.last_step + 1) if there and not resends else 0)
                resends, sent_at, pause = resends + 1, time.monotonic(), FIRST_PAUSE_SECONDS
            self.client.stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _resend(self, count: int) -> None:
        row = self.rows.row(count - 1, START) if count else None
        start = row.after if row else START
        self.send_rest(self.end.rows - start.rows, 0, start)

    def _send_rows(self, start: Place, limit: int | None) -> None:
        self.report(start.rows, self.rows.total)
        for batch in self.rows.after(start) if limit != 0 else ():
            self.marks.put()
            self._put(batch.start, batch.lines)
            self.sent += len(batch.lines)
            self.last = batch.last
            self.report(self.end.rows, self.rows.total)
            if limit is not None and self.end.rows - start.rows >= limit:
                return
        self._has_sent_all = limit != 0

    def _put(self, start: int, lines: list[str]) -> None:
        try:
            self.project.send(self.run_id, start, lines)
        except Refused as error:
            if error.status != TOO_LARGE or len(lines) == 1:
                raise
            half = len(lines) // 2
            self._put(start, lines[:half])
            self._put(start + half, lines[half:])
