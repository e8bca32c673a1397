"""Real processes that record 2,000 steps a second and are killed at random moments, while a reader looks on."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from live_run import LiveRun, bits, check_epochs, check_steps, joined, same, wait_until

from neurockt import list_runs, open_run
from neurockt.catalogue import RunWatcher
from neurockt.errors import RunNotFound
from neurockt.store.base.layout import KEY, TableName
from neurockt.store.journal.records import NULL_BITS
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts

pytestmark = pytest.mark.slow

KILLS = 20
"""How many runs to kill unless ``--kills`` says so."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--kills") or KILLS))


class Watcher:
    """Reads a run in every way again and again; raises when a row changes, goes away, or comes twice."""

    def __init__(self, path: Path) -> None:
        self.looks = 0
        self.states: set[str] = set()
        """Every state that the run was said to be in."""
        self._run = open_run(path)
        self._catalogue = RunWatcher(path.parent)
        self._seen: dict[TableName, dict[str, npt.NDArray[np.uint64]]] = {"steps": {}, "epochs": {}}
        self._counted: Counter[tuple[str, TableName]] = Counter()
        """Rows by who counted them: a list goes by ``run.json``, a watcher by the newest rows too."""
        self.followed: dict[TableName, list[pa.Table]] = {"steps": [], "epochs": []}
        """The rows that ``follow`` gave."""

    def look(self) -> None:
        """Look once, in every way."""
        self.looks += 1
        self._look_at("steps", self._run.steps())
        self._look_at("epochs", self._run.epochs())
        new = self._run.follow()
        self.followed["steps"].append(new.steps)
        self.followed["epochs"].append(new.epochs)
        (listed,) = list_runs(self._run.path.parent)
        list(self._catalogue.look())
        counted = [("listed", listed), *(("watched", info) for info in self._catalogue.runs)]
        for who, info in counted:
            self.states.add(info.state)
            for table, summary in (("steps", info.steps), ("epochs", info.epochs)):
                assert summary.rows >= self._counted[who, table]
                self._counted[who, table] = summary.rows

    def _look_at(self, table: TableName, rows: pa.Table) -> None:
        before, self._seen[table] = self._seen[table], bits(rows)
        key = KEY[table]
        assert np.array_equal(self._seen[table][key], np.arange(1, len(rows) + 1))
        for name, column in self._seen[table].items():
            nothing = np.full(len(before.get(key, ())), NULL_BITS, np.uint64)
            earlier = before.get(name, nothing)  # a new column has no values in the rows there were
            assert np.array_equal(column[: len(earlier)], earlier), f"{table}: {name} has changed"
        assert before.keys() <= self._seen[table].keys()


def plain(path: Path, table: TableName) -> pa.Table:
    """What the parts hold, read by Arrow alone."""
    pieces = [pq.read_table(part) for part in sorted((path / table).iterdir())]
    return joined([parts.table_schema(()).empty_table(), *pieces])


def test_no_row_is_lost_to_a_kill(tmp_path: Path, seed: int, count_kill: Callable[..., None]) -> None:
    """Every row whose block had ended is there to the last bit, before it is sealed and after.

    The one row more that there may be is that of the block whose end was not reported any more.
    """
    with LiveRun(tmp_path) as live:
        live.wait_for(steps=1)
        watcher = Watcher(live.path)
        live.kill_after(random.Random(seed).uniform(0, 1))
        while live.alive:
            watcher.look()
        assert live.wait() == -signal.SIGKILL
    watcher.look()
    run = open_run(live.path)
    steps, epochs = run.steps(), run.epochs()
    more = len(steps) - live.steps, len(epochs) - live.epochs
    sealing = any(live.path.rglob("*.next")) or any(live.path.rglob("*.tmp"))
    count_kill(lost=-min(0, *more), rows=len(steps) + len(epochs), looks=watcher.looks, sealing=sealing)
    assert more in ((0, 0), (1, 0), (0, 1))
    check_steps(steps)
    check_epochs(epochs)
    assert same(joined(watcher.followed["steps"]), steps)
    assert same(joined(watcher.followed["epochs"]), epochs)
    assert run.state == "killed"
    assert watcher.states - {"running"} == {"killed"}

    seal_run(live.path)
    watcher.look()
    assert same(run.steps(), steps)
    assert same(run.epochs(), epochs)
    assert not list(live.path.glob("*.journal*"))
    assert same(plain(live.path, "steps"), steps)
    assert same(plain(live.path, "epochs"), epochs)


def test_a_run_that_finishes_is_read_whole_at_every_moment(tmp_path: Path) -> None:
    """From its first row to its last, through all of its sealing and its end."""
    with LiveRun(tmp_path, steps=1850) as live:
        live.wait_for(steps=1)
        watcher = Watcher(live.path)
        while live.alive:
            watcher.look()
        assert live.wait() == 0
    watcher.look()
    steps, epochs = plain(live.path, "steps"), plain(live.path, "epochs")
    assert (len(steps), len(epochs)) == (1850, 18)
    check_steps(steps)
    check_epochs(epochs)
    assert same(joined(watcher.followed["steps"]), steps)
    assert same(joined(watcher.followed["epochs"]), epochs)
    assert watcher.states - {"running"} == {"finished"}


@pytest.mark.parametrize("moment", ["", ".run.json.tmp", "run.json", "steps.journal", "epochs.journal"])
def test_a_process_killed_at_its_very_beginning_leaves_nothing_odd(tmp_path: Path, moment: str) -> None:
    """A run with what was reported, or a directory that is no run yet and is passed over."""
    with LiveRun(tmp_path) as live:
        wait_until(lambda: (live.path / moment).exists() or live.steps, f"{live.path / moment}")
        live.kill()
    try:
        rows = open_run(live.path).steps()
    except RunNotFound:
        assert live.steps == 0
        assert list_runs(tmp_path) == []
        return
    assert live.steps <= len(rows) <= live.steps + 1
    check_steps(rows)
    assert [info.state for info in list_runs(tmp_path)] == ["killed"]
    seal_run(live.path)
    assert same(open_run(live.path).steps(), rows)
