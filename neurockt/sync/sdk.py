"""The way through W&B's public interface: its SDK, in a process of its own that is given rows and a time limit.

Slower than putting lines at their places, and kept for what that cannot do: an SDK whose version is not known to speak
the same protocol, and artifacts.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from neurockt.errors import MissingExtra, SyncFailed
from neurockt.formatting import clean
from neurockt.sync.account import Account
from neurockt.sync.describe import Description
from neurockt.sync.rows import Place, RunRows
from neurockt.sync.sdk_worker import END

KNOWN_VERSIONS: Final = ("0.31.",)
"""SDKs whose protocol ours was compared with, to the byte; with others, rows go through the SDK."""
STALL_SECONDS: Final = 150.0
"""The SDK's process is ended when nothing has come of it for so long."""


@dataclass(frozen=True)
class Target:
    """A run in W&B."""

    account: Account
    entity: str
    project: str
    run_id: str


def sdk_version() -> str:
    """The version of the SDK that is installed, found without loading it.

    Raises:
        MissingExtra: there is none.
    """
    try:
        return importlib.metadata.version("wandb")
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtra("W&B needs its SDK: pip install 'neurockt[wandb]'") from None


def is_needed(through: Literal["auto", "bulk", "public"]) -> bool:
    """Whether rows are to go through the SDK."""
    return through == "public" or (through == "auto" and not sdk_version().startswith(KNOWN_VERSIONS))


def send(target: Target, described: Description, rows: RunRows, start: Place, report: Callable[[int], None]) -> Place:
    """Log the rows after ``start``, or after where the SDK finds the run; gives the place after the last.

    Raises:
        SyncFailed: the SDK did not do it, or not in time.
    """
    spec = {
        "do": "log",
        "init": {
            **_names(target),
            "name": described.name,
            "config": described.config,
            "tags": list(described.tags),
            "notes": described.notes,
            "group": described.group,
            "job_type": described.job_type,
        },
        "host": described.host,
        "axes": described.axes,
        "exit_code": described.exit_code,
    }
    with _helper(target, spec) as helper:
        first = helper.answer()["starting_step"]
        place = rows.place(first, start)
        if place is None:
            raise SyncFailed(f"W&B has {first:,} rows of it, more than there are; sync again later")
        for batch in rows.after(place):
            helper.write("".join(f"{line}\n" for line in batch.lines))
            place = batch.end
            report(place.rows)
        helper.write(END)
        helper.answer()
    return place


def attach(target: Target, directory: Path, names: list[str]) -> None:
    """Upload files as an artifact of the run, and wait until W&B has committed it."""
    spec = {
        "do": "attach",
        "init": _names(target),
        "name": f"run-{target.run_id}",
        "directory": str(directory.absolute()),
        "files": names,
    }
    with _helper(target, spec) as helper:
        helper.answer()


def _names(target: Target) -> dict[str, Any]:
    return {"entity": target.entity, "project": target.project, "id": target.run_id}


class _Helper:
    """The SDK's process, seen from here."""

    def __init__(self, process: subprocess.Popen[str], target: Target) -> None:
        self._process = process
        self._target = target
        self._timer = threading.Timer(0, lambda: None)
        self.was_stalled = False
        self._rewind()

    def write(self, text: str) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        self._rewind()
        try:
            self._process.stdin.write(text)
            self._process.stdin.flush()
        except OSError:
            self.answer()  # says why it has gone
            raise SyncFailed("W&B's SDK ended before it had all rows; sync again") from None

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "it is a pipe"
        self._rewind()
        line = self._process.stdout.readline()
        self._rewind()
        if not line:
            what = f"gave no sign for {STALL_SECONDS:.0f} s" if self.was_stalled else "ended without a word"
            raise SyncFailed(f"W&B's SDK {what}; sync again")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            text = str(answer["error"]).replace(self._target.account.key, "***")
            raise SyncFailed(f"W&B's SDK: {clean(text, 300)}")
        return answer

    def stop(self) -> None:
        """End it, and the processes it started."""
        self._timer.cancel()
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()

    def _rewind(self) -> None:
        self._timer.cancel()
        self._timer = threading.Timer(STALL_SECONDS, self._stalled)
        self._timer.daemon = True
        self._timer.start()

    def _stalled(self) -> None:
        self.was_stalled = True
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)


@contextmanager
def _helper(target: Target, spec: dict[str, Any]) -> Iterator[_Helper]:
    with tempfile.TemporaryDirectory(prefix="neurockt-wandb-", ignore_cleanup_errors=True) as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "neurockt.sync.sdk_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=_environment(target.account, directory),
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        helper = _Helper(process, target)
        try:
            helper.write(json.dumps(spec) + "\n")
            yield helper
        finally:
            helper.stop()


def _environment(account: Account, directory: str) -> dict[str, str]:
    """The user's, with W&B's own variables replaced: where, as whom, and nothing left outside the directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    places = {f"WANDB_{name}_DIR": directory for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    return {
        **kept,
        **places,
        "WANDB_DIR": directory,
        "WANDB_BASE_URL": account.url,
        "WANDB_API_KEY": account.key,
        "WANDB_ERROR_REPORTING": "false",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
