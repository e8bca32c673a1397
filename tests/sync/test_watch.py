"""``neurockt sync --watch``: many passes over the same runs."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from real_terminal import RealTerminal
from wandb_server import WandbServer, wait_until

from neurockt.sync.account import find_account
from neurockt.sync.batch import Batch
from neurockt.sync.client import Client
from neurockt.sync.upload import Options

from .conftest import MakeRun, Sync

pytestmark = pytest.mark.slow


def open_sockets() -> int:
    """Of this process; those of the server in it too, and none of the files that the recorders open."""
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by another thread
            count += str(descriptor.readlink()).startswith("socket:")
    return count


def test_passes_open_no_more_connections(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """Every pass over runs that still train uses the connections of the one before; the end closes all."""
    for name in "abc":
        make_run(run_id=name, finish=False)
    client = Client(find_account())
    before, threads = open_sockets(), threading.active_count()
    batch = Batch([root], client, client.greet(), Options(running=True), jobs=3)
    counts = []
    for _ in range(6):
        assert [outcome.status for outcome in batch.sync()] == ["running"] * 3
        counts.append(open_sockets())
    client.close()
    assert max(counts) <= before + 2 * 4, "at most one for each run and one to begin with, at both ends"
    server.stop()
    wait_until(lambda: open_sockets() <= before and threading.active_count() <= threads)


def test_the_reports_of_a_watch_stay_on_the_terminal(server: WandbServer, make_run: MakeRun, root: Path) -> None:
    """The bars of one pass are erased, and nothing else; what is counted is counted anew in each."""

    def add(name: str, steps: int) -> None:
        """At once, so that no pass sees it running."""
        make_run(steps=steps, run_id=name, where=root.with_name("made")).rename(root / name)

    make_run(steps=100, run_id="a")
    watch = [sys.executable, "-m", "neurockt", "sync", root, "--watch", "0.2"]
    with RealTerminal(*watch, width=100, height=20) as terminal:
        terminal.wait_for("1 of 1 complete; 110 rows sent")
        add("b", 200)
        terminal.wait_for("2 of 2 complete; 220 rows sent")
        add("c", 300)
        between = terminal.wait_for(lambda text: "3 of 3 complete; 330 rows sent" in text and "runs:" not in text)
        terminal.press("ctrl+c")
        assert terminal.wait() == 130
    assert [line[21:].rstrip() for line in between.splitlines() if line.strip()] == [
        "1 of 1 complete; 110 rows sent",
        "2 of 2 complete; 220 rows sent",
        "3 of 3 complete; 330 rows sent",
    ]
    totals = re.findall(rb"runs: .* [\d.]+/([\d.]+) ", terminal.written)
    assert set(totals) <= {b"1.00", b"2.00", b"3.00"}


def test_a_pass_reads_only_what_is_new(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Rows that W&B was seen to have are not read again, however long the run is: their file may even be damaged."""
    path = make_run(steps=100, run_id="run")
    sync()
    make_run(steps=20, run_id="run", resume=100, finish=False)
    (part, *_) = sorted(path.glob("steps/*.parquet"))
    data = bytearray(part.read_bytes())
    data[4:400] = bytes(396)
    part.write_bytes(data)
    (outcome,) = sync(running=True)
    assert (outcome.status, outcome.rows, outcome.sent) == ("running", 132, 22)
    assert sync(running=True)[0].status == "running"
    assert server.only_run.is_exact
