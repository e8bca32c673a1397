"""One run to W&B while it is being written, by a process beside the one that trains, which never waits for it.

Run as ``python -m neurockt.sync.live RUN``. It reads the run directory as any reader does, and sends new rows as
``neurockt sync`` does, so that either continues where the other stopped. A line on stdin means that the run has ended;
so does the end of the process that started this one. Each line of stdout is a JSON
object: ``url`` and ``rows`` once W&B was seen to have so many, ``error`` when something went wrong, ``complete``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from neurockt.store import Run
    from neurockt.sync.client import Client
    from neurockt.sync.upload import Outcome

LOOK_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 30.0
LONGEST_RETRY_SECONDS: Final = 300.0
"""How long to wait before the next try when the server did not take the rows: at first, and at most."""
PATIENCE_SECONDS: Final = 30.0
LAST_PATIENCE_SECONDS: Final = 6.0
LOST_PATIENCE_SECONDS: Final = 3.0
"""How long a request is repeated: while the run goes on; once it has ended, and somebody waits; the same where the
server did not answer before."""
RANKS_SECONDS: Final = 2.0
"""How often to check, once the run has ended here, whether its other ranks have ended."""
PARENT_SECONDS: Final = 1.0
"""How often to check that the process that trains is still there. A fork of it may hold our stdin open."""
NICENESS: Final = 10
"""Training comes first."""


class Live:
    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._parent = os.getppid()
        self._ended = threading.Event()
        self._run: Run | None = None
        self._client: Client | None = None
        self._entity: str | None = None
        self._reported: tuple[str | None, int] = (None, 0)

    def end(self) -> None:
        self._ended.set()
        client = self._client
        if client is not None:
            client.stopped.set()

    def follow(self) -> bool:
        """Send what is new until the run has ended; returns whether all of it is proved to be in W&B."""
        from neurockt.sync.batch import failed
        from neurockt.sync.client import Unreachable

        retry, is_lost = RETRY_SECONDS, False
        while True:
            is_orphan, is_last = os.getppid() != self._parent, self._has_ended()
            try:
                outcome = self._send(is_last=is_last, is_lost=is_lost)
            except Exception as error:  # training goes on, and so do we
                if self._has_ended() and not is_last:
                    is_lost = isinstance(error, Unreachable)
                    continue  # the end of the run interrupted it; the last one follows
                report(error=failed(self._run_dir, error).reason)
                if is_last:
                    return False
                pause, retry, is_lost = retry, min(retry * 2, LONGEST_RETRY_SECONDS), True
            else:
                if outcome.status == "complete":
                    report(complete=outcome.rows, url=outcome.url)
                    return True
                if (outcome.url, outcome.rows) != self._reported:
                    self._reported = (outcome.url, outcome.rows)
                    report(rows=outcome.rows, url=outcome.url)
                # as of before the send: a process that dies closes our stdin while it still seems to live
                if is_orphan:
                    return False
                # where ranks keep their own rows, others may not have ended yet
                pause = RANKS_SECONDS if is_last else LOOK_SECONDS
                retry, is_lost = RETRY_SECONDS, False
            self._wait(pause)

    def _send(self, *, is_last: bool, is_lost: bool) -> Outcome:
        from neurockt.store import open_run
        from neurockt.sync.account import find_account
        from neurockt.sync.client import Client
        from neurockt.sync.upload import Options, Upload

        if is_last:  # with a client that nobody stops
            client = Client(find_account(), patience=LOST_PATIENCE_SECONDS if is_lost else LAST_PATIENCE_SECONDS)
        else:
            client = self._client = self._client or Client(find_account(), patience=PATIENCE_SECONDS)
            if self._has_ended():
                client.stopped.set()
        if self._entity is None:
            self._entity = client.greet()
        self._run = self._run or open_run(self._run_dir)  # kept: liveness follows from what was seen before
        return Upload(self._run, client, self._entity, Options(running=True)).run()

    def _has_ended(self) -> bool:
        return self._ended.is_set() or os.getppid() != self._parent

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        if self._has_ended():
            time.sleep(seconds)
        while not self._has_ended() and (left := until - time.monotonic()) > 0:
            self._ended.wait(min(left, PARENT_SECONDS))


def report(**what: Any) -> None:
    """Print one line for the process that trains; it may be gone."""
    with suppress(OSError):
        os.write(1, json.dumps(what).encode() + b"\n")


def main() -> int:
    """Follow the run that the command line names; returns the exit status."""
    # signals that end a job are for the process that trains; W&B still has to get how the run ended
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICENESS)
    live = Live(Path(sys.argv[1]))

    def listen() -> None:
        sys.stdin.readline()
        live.end()

    threading.Thread(target=listen, daemon=True).start()
    os._exit(int(not live.follow()))  # the thread still holds stdin


if __name__ == "__main__":
    sys.exit(main())
