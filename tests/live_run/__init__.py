"""Runs of a real child process that records at a steady rate, reports how far it got, and is killed when it suits.

Every value is a function of its row and column, so that a reader can check each of them to the last bit.
"""

from __future__ import annotations

import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import preloaded
import pyarrow as pa

from neurockt import open_run
from neurockt.store.base.layout import AXES
from neurockt.store.journal.records import NULL_BITS

REPORT: Final = struct.Struct("<II")
"""What the child writes to its standard output after each block: the steps and the validations that have ended."""

STEPS_AN_EPOCH: Final = 100
LATE: Final = 250
"""The step before which the columns called ``late`` do not exist."""

PATIENCE: Final = 60.0
"""Seconds after which an event that should have come has not."""


def value_at(number: int, column: str) -> float | None:
    """What a column holds in a row: any bit pattern of a float64, or now and then nothing."""
    bits = blake2b(f"{column} {number}".encode(), digest_size=8).digest()
    special = [None, math.nan, math.inf, -math.inf, -0.0, 5e-324]
    return special[bits[0] // 5] if bits[0] < 5 * len(special) else float(struct.unpack("<d", bits)[0])


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return once it holds.

    Raises:
        TimeoutError: it did not within a minute.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {PATIENCE:.0f} s for {what}")
        time.sleep(0.001)


def bits(table: pa.Table) -> dict[str, npt.NDArray[np.uint64]]:
    """Each column as bits, so that NaN equals itself and -0.0 does not equal 0.0; null has bits of its own."""
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if pa.types.is_floating(column.type):
            array = np.array(column.to_numpy(zero_copy_only=False)).view(np.uint64)
            array[np.asarray(column.is_null())] = NULL_BITS
        else:
            array = np.array(column.cast(pa.int64()).to_numpy()).view(np.uint64)
        columns[name] = array
    return columns


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables are equal to the last bit."""
    first, second = bits(one), bits(other)
    return list(first) == list(second) and all(np.array_equal(first[name], second[name]) for name in first)


def joined(pieces: Iterable[pa.Table]) -> pa.Table:
    """Pieces of a table as one; a column that came later is null before."""
    return pa.concat_tables(pieces, promote_options="default")


def numbers(steps: pa.Table) -> list[int]:
    """The numbers of the rows."""
    return steps["step"].to_pylist()


def expected_bits(column: str, rows: int) -> npt.NDArray[np.uint64]:
    """The bits of the first rows of a metric."""
    first = LATE if column.startswith("late") else 1
    null = struct.unpack("<d", struct.pack("<Q", NULL_BITS))[0]
    values = [value_at(number, column) if number >= first else None for number in range(1, rows + 1)]
    return np.array([null if value is None else value for value in values], np.float64).view(np.uint64)


def check_steps(table: pa.Table) -> None:
    """Every row of `steps` from the first on is there, once, in order, and is what was recorded."""
    found = bits(table)
    steps = np.arange(1, len(table) + 1)
    assert np.array_equal(found["step"], steps)
    assert np.array_equal(found["epoch"], (steps - 1) // STEPS_AN_EPOCH + 1)
    _check_metrics(found, len(table))


def check_epochs(table: pa.Table) -> None:
    """Likewise of `epochs`."""
    found = bits(table)
    epochs = np.arange(1, len(table) + 1)
    assert np.array_equal(found["epoch"], epochs)
    assert np.array_equal(found["step"], epochs * STEPS_AN_EPOCH)
    _check_metrics(found, len(table))


def check_whole(path: Path, steps: int) -> None:
    """A finished run with every row, all of them in parts."""
    run = open_run(path)
    assert (run.state, run.info.dropped) == ("finished", 0)
    assert (run.info.steps.rows, run.info.epochs.rows) == (steps, steps // 100)
    assert len(run.steps()) == steps
    check_steps(run.steps())
    check_epochs(run.epochs())
    assert not [*path.glob("*.journal*"), *path.rglob("*.tmp")]


def _check_metrics(found: dict[str, npt.NDArray[np.uint64]], rows: int) -> None:
    assert np.all(np.diff(found["time"].view(np.int64)) >= 0)
    for name, array in found.items():
        if name not in AXES:
            assert np.array_equal(array, expected_bits(name, rows)), name


class LiveRun:
    """A child process that records until it is killed, or until it has recorded enough."""

    def __init__(self, root: Path, *, rate: float = 2000.0, steps: int = 0, run_id: str = "live") -> None:
        """Start it; the first report comes when its first row is stored.

        Args:
            rate: steps a second; 0 for as many as it can.
            steps: finish the run after this many; 0 to go on for ever.
        """
        self.path = root / run_id
        self.steps = 0
        """Training blocks that have ended, as far as was reported."""
        self.epochs = 0
        """Validation blocks that have ended, as far as was reported."""
        script = Path(__file__).with_name("writer.py")
        paths = [str(script.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._child = preloaded.Popen(
            [sys.executable, script, root, run_id, str(rate), str(steps)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def __enter__(self) -> LiveRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.poll() is None

    def wait_for(self, steps: int) -> None:
        """Return when this many steps were reported."""
        wait_until(lambda: self.steps >= steps or not self.alive, f"step {steps}")
        assert self.steps >= steps, f"the child ended with {self._child.returncode} at step {self.steps}"

    def kill_after(self, seconds: float) -> None:
        """Have it killed then, wherever it will be."""
        timer = threading.Timer(seconds, self._child.send_signal, [signal.SIGKILL])
        timer.daemon = True
        timer.start()

    def kill(self) -> int:
        """End it with SIGKILL if it lives, and hear its last report; gives its exit status."""
        self._child.kill()
        return self.wait()

    def wait(self) -> int:
        """Wait for its end and hear its last report; gives its exit status."""
        status = self._child.wait(PATIENCE)
        self._listener.join()
        return status

    def _listen(self) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as pipe:
            while report := pipe.read(REPORT.size):
                self.steps, self.epochs = REPORT.unpack(report)
