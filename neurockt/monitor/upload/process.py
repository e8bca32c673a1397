"""The process that sends a run to W&B (``neurockt.sync.live``), as the process that trains starts and stops it.

One thread here starts it and reads what it prints, a few times a minute. The training loop waits for neither. However
it ends, the run directory is complete, and ``neurockt sync`` sends what W&B lacks.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from neurockt.errors import NeurocktWarning
from neurockt.formatting import clean, format_duration
from neurockt.monitor.lifetime.faults import Faults, print_to_stderr

LISTEN_SECONDS: Final = 1.0
"""How often to check whether the process has died: a fork of ours may hold its pipe open."""
SILENT_SECONDS: Final = 1.0
"""How long ``finish`` waits before it prints that it waits."""


class Uploader:
    def __init__(self, run_dir: Path, environment: Mapping[str, str], faults: Faults) -> None:
        """Start the process. There is one warning at most, from another thread."""
        self.url: str | None = None
        self.rows = 0
        """Number of rows that W&B was seen to have."""
        self.is_complete = False
        self._run_dir = run_dir
        self._environment = environment
        self._faults = faults
        self._process: subprocess.Popen[bytes] | None = None
        self._begun, self._over = threading.Event(), threading.Event()
        self._pid = os.getpid()
        threading.Thread(target=self._run, name="neurockt-wandb", daemon=True).start()

    def finish(self, seconds: float, note: Callable[[str], None]) -> None:
        """The run has ended: wait until W&B has all of it, for at most ``seconds``; ``note`` prints a line.

        0 does not wait, and lets the process end by itself soon after this one.
        """
        if os.getpid() != self._pid:
            return
        try:
            self._begun.wait(seconds)
            self._send_end()
            if not seconds:
                return
            if not self._over.wait(min(seconds, SILENT_SECONDS)):
                note(f"sending the last rows to W&B, for {format_duration(seconds)} at most; Ctrl-C leaves them here")
                if not self._over.wait(seconds - SILENT_SECONDS):
                    self._warn_once(f"it does not have the last rows after {format_duration(seconds)}")
        finally:
            if seconds:
                self._stop()
        if self.is_complete:
            note(f"W&B has all {self.rows:,} rows: {self.url}")
        else:
            note(f"W&B does not have all of this run; 'neurockt sync {self._run_dir}' sends the rest")

    def _send_end(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):
                process.stdin.write(b"end\n")
                process.stdin.flush()

    def _stop(self) -> None:
        """End the process; what it has not sent, the next sync sends."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()
            self._over.wait(LISTEN_SECONDS * 2)
            for stream in (process.stdin, process.stdout):
                with suppress(OSError, ValueError):
                    if stream is not None:
                        stream.close()

    # In the thread

    def _run(self) -> None:
        try:
            self._process = self._start()
            self._begun.set()
            self._listen(self._process)
        except (OSError, ValueError) as error:
            self._warn_once(f"cannot start or read the process that sends the run to W&B ({error})")
        finally:
            self._begun.set()
            self._over.set()

    def _start(self) -> subprocess.Popen[bytes]:
        package = str(Path(__file__).parents[2])
        environment = {
            **os.environ,
            **self._environment,
            "PYTHONPATH": os.pathsep.join([*(path for path in sys.path if path), package]),
            "PYTHONSAFEPATH": "1",  # a module in the working directory must not take the place of one of ours
        }
        return subprocess.Popen(
            [sys.executable, "-m", "neurockt.sync.live", str(self._run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the process that trains
        )

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it is a pipe"
        source, unread = process.stdout.fileno(), b""
        poller = select.poll()
        poller.register(source, select.POLLIN)
        while True:
            has_died = process.poll() is not None  # what it printed before is still to be read
            if poller.poll(0 if has_died else LISTEN_SECONDS * 1000):
                data = os.read(source, 65_536)
                if not data:
                    break
                *lines, unread = (unread + data).split(b"\n")
                for line in lines:
                    self._read(json.loads(line))
            elif has_died:
                break
        status = process.wait()
        if not self.is_complete:
            self._warn_once(f"the process that sends the run to W&B has ended (status {status})")

    def _read(self, line: dict[str, Any]) -> None:
        self.url = line.get("url") or self.url
        self.rows = line.get("complete", line.get("rows", self.rows))
        self.is_complete = "complete" in line
        if "error" in line:
            self._warn_once(clean(line["error"], 400))

    def _warn_once(self, what: str) -> None:
        try:
            self._faults.warn_once(
                "W&B",
                f"W&B: {what}. Training goes on, and all of it is recorded in {self._run_dir}; "
                f"'neurockt sync {self._run_dir}' sends what W&B lacks. (shown once)",
            )
        except NeurocktWarning as warning:  # under pytest; this thread goes on
            print_to_stderr(str(warning))
