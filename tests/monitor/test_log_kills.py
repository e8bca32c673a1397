"""A process that logs is killed at a random moment: each value whose call had returned is there, each row is whole."""

from __future__ import annotations

import mmap
import random
import struct
import sys
import time
from pathlib import Path

import numpy as np
import preloaded
import pytest

from neurockt import open_run

pytestmark = pytest.mark.slow

METRICS = 600
"""So many that a row takes more than a page: the kernel may write a part of it."""
COUNTER = struct.Struct("<q")
SCRIPT = f"""
import mmap, struct, sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=None)
file = open(sys.argv[2], "r+b")
returned = mmap.mmap(file.fileno(), {COUNTER.size})
call = 0
while True:
    call += 1
    recorder.log(dict.fromkeys(map(str, range({METRICS})), float(call)), step=10 * (call // 2))
    struct.pack_into("<q", returned, 0, call)
"""


@pytest.mark.parametrize("attempt", range(6))
def test_no_value_whose_call_had_returned_is_lost(tmp_path: Path, attempt: int) -> None:
    """Of two calls a row; the numbers of the rows jump."""
    counter = tmp_path / "returned"
    counter.write_bytes(bytes(COUNTER.size))
    process = preloaded.Popen([sys.executable, "-c", SCRIPT, tmp_path, counter])
    with counter.open("r+b") as file, mmap.mmap(file.fileno(), COUNTER.size) as returned:
        while COUNTER.unpack_from(returned)[0] < 1 + random.randrange(2000) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        (calls,) = COUNTER.unpack_from(returned)
    run = open_run(tmp_path / "run")
    rows = run.steps()
    values = np.array([rows[str(name)].to_numpy() for name in range(METRICS)])
    assert calls > 0
    assert (values == values[0]).all()
    assert rows["step"].to_pylist() == [10 * row for row in range(len(rows))]
    last = values[0].tolist()
    assert last[:-1] == [2.0 * row + 1 for row in range(len(rows) - 1)]
    assert last[-1] in (calls, calls + 1)
    assert not run.damaged
