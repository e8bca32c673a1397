"""A process that records on command, to a disk that fails on command.

``faulty_disk.c`` is compiled once and preloaded into the process: it makes the operations below one directory fail, be
cut short, go stale, or take long. The test changes the plan while the process runs; what it writes holds at once.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import preloaded
import pytest

WRITE, FSYNC, OPEN, RENAME, TRUNCATE, READ, MKDIR, STAT = (1 << bit for bit in range(8))
WRITING: Final = WRITE | FSYNC | OPEN | RENAME | TRUNCATE | MKDIR
"""Everything but looking."""

_HERE: Final = Path(__file__).parent
_FIELDS: Final = ("error", "which", "one_in", "delay_ms", "stale", "failed", "short_writes", "seed")


@cache
def _library() -> str:
    """The compiled library; skips the test where it cannot be made."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    directory = Path(tempfile.mkdtemp(prefix="neurockt-faulty-disk-"))
    library = directory / "faulty_disk.so"
    source = _HERE / "faulty_disk.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return str(library)


class FaultyDisk:
    """The plan of a directory: what fails there, from the next operation on, in processes with its environment."""

    def __init__(self, directory: Path, plan: Path) -> None:
        plan.write_bytes(bytes(4 * len(_FIELDS)))
        with plan.open("r+b") as file:
            self._numbers = np.frombuffer(mmap.mmap(file.fileno(), 0), np.int32)
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
            "LD_PRELOAD": _library(),
            "FAULTY_DIR": str(directory),
            "FAULTY_PLAN": str(plan),
            "PYTHONPATH": str(_HERE.parent),
        }

    def fail(self, error: int = 0, which: int = WRITING, **more: int) -> None:
        """These operations fail from now on.

        Args:
            error: the errno; 0 to only delay them.
            which: bits of operations.
            more: one in ``one_in`` fails by chance, ``delay_ms``, ``short_writes``, ``seed``.
        """
        self.heal()
        for name, value in {"error": error, "one_in": 1, **more, "which": which}.items():
            self._set(name, value)

    def heal(self) -> None:
        """Nothing fails but what is stale."""
        for name in ("which", "error", "delay_ms", "short_writes"):
            self._set(name, 0)

    def make_stale(self) -> None:
        """Every descriptor that is open now is dead for ever: a file server has failed over."""
        self._set("stale", self._get("stale") + 1)

    @property
    def failures(self) -> int:
        """Operations that have failed."""
        return self._get("failed")

    def _set(self, name: str, value: int) -> None:
        self._numbers[_FIELDS.index(name)] = value

    def _get(self, name: str) -> int:
        return int(self._numbers[_FIELDS.index(name)])


class Recording:
    """A process that records steps whose values ``live_run.check_steps`` knows."""

    def __init__(self, root: Path, environment: dict[str, str], settings: dict[str, float]) -> None:
        self.path = root / "run"
        popen = subprocess.Popen if "LD_PRELOAD" in environment else preloaded.Popen
        self._process = popen(
            [sys.executable, _HERE / "child.py", root, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPATH": str(_HERE.parent)},
            text=True,
        )

    def do(self, command: str) -> dict[str, Any]:
        """Has the process do it: ``steps N``, ``settle``, ``seal``, ``run_file``, ``finish``.

        Returns:
            ``warnings`` so far, rows ``dropped``, ``step``, and the seconds of the ``longest`` block.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, f"the process ended during {command!r}"
        result: dict[str, Any] = json.loads(answer)
        return result

    def kill(self) -> None:
        """SIGKILL, if it lives."""
        self._process.kill()
        with self._process:  # waits, and closes the pipes
            pass


def break_journal(run_dir: Path) -> None:
    """Have writes to the journal of `steps` in this process fail: its descriptor is a full device's from now on."""
    for link in Path("/proc/self/fd").iterdir():
        if link.exists() and link.resolve().name.startswith("steps.journal") and run_dir in link.resolve().parents:
            full = os.open("/dev/full", os.O_RDWR)
            os.dup2(full, int(link.name), inheritable=False)
            os.close(full)


@contextmanager
def recording(root: Path, environment: dict[str, str] | None = None, **settings: float) -> Iterator[Recording]:
    """A recording process; ``settings`` are a ``Timing``'s; in capitals, constants of the store's modules."""
    started = Recording(root, environment or {**os.environ}, settings)
    try:
        yield started
    finally:
        started.kill()
