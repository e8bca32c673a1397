"""``neurockt seal``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import preloaded
import pyarrow.parquet as pq
import pytest

from .conftest import Done

pytestmark = pytest.mark.slow

Command = Callable[..., Done]

KILLED = """
import os, signal, sys
from neurockt.monitor import Recorder
from neurockt.store.writing import timing

timing.default = timing.Timing(tick=3600.0)  # nothing is sealed
recorder = Recorder(sys.argv[1], run_id="dead", quiet=True)
loss = recorder.track_scalar("loss")(lambda value: value)
for step in range(25):
    with recorder(train=True):
        loss(float(step))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def dead_run(tmp_path: Path) -> Path:
    """A run whose process was killed after 25 steps."""
    done = preloaded.run([sys.executable, "-c", KILLED, str(tmp_path / "runs")], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    return tmp_path / "runs" / "dead"


def test_a_dead_runs_journal_becomes_parquet(neurockt: Command, dead_run: Path) -> None:
    """All its rows, once; the second time there is nothing to do."""
    assert neurockt("seal", dead_run) == Done(0, f"{dead_run}: sealed 25 steps, 0 epochs\n", "")
    assert pq.read_metadata(dead_run / "steps" / "part-00000.parquet").num_rows == 25
    assert neurockt("seal", "dead") == Done(0, f"{Path('runs/dead')}: already sealed\n", "")
    assert neurockt("ls", "-f", "state:killed", "--columns", "steps", "--json").json == [{"steps": 25}]


def test_before_sealing_it_is_shown_and_exported_in_full(neurockt: Command, dead_run: Path) -> None:
    """A killed run reads as any other."""
    assert len(neurockt("export", "dead").out.splitlines()) == 26
    shown = neurockt("show", "dead", "--json").json
    assert (shown["state"], shown["steps"]["rows"]) == ("killed", 25)


def test_a_directory_of_runs_leaves_the_live_ones_alone(neurockt: Command, dead_run: Path, live_run: Path) -> None:
    """They are named on stderr; that is no failure."""
    done = neurockt("seal", dead_run.parent, "--json")
    assert done.status == 0
    assert done.json == [{"path": str(dead_run), "steps": 25, "epochs": 0, "system": 0, "late": 0, "already": False}]
    assert "still being written" in done.err


def test_a_live_run_that_is_named_is_refused(neurockt: Command, live_run: Path) -> None:
    """Exit status 1."""
    done = neurockt("seal", live_run)
    assert (done.status, done.out) == (1, "")
    assert "still being written" in done.err


def test_one_broken_run_does_not_keep_the_others(neurockt: Command, dead_run: Path) -> None:
    """It is named, and the exit status tells."""
    broken = dead_run.parent / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{}")
    done = neurockt("seal")
    assert done.status == 1
    assert "broken" in done.err
    assert "dead: sealed 25 steps" in done.out


def test_a_directory_without_runs_is_noted(neurockt: Callable[..., Done], tmp_path: Path) -> None:
    assert neurockt("seal", tmp_path) == Done(0, "", f"neurockt: no runs in {tmp_path}\n")


def test_one_wrong_target_does_not_stop_the_others(neurockt: Callable[..., Done], runs: Path, tmp_path: Path) -> None:
    """Wherever it is among them; the exit status says that there was one."""
    for wrong in (tmp_path / "nowhere", "~nobody-here/runs", "a" * 5000, "x\0y"):
        done = neurockt("seal", wrong, runs / "r0", wrong, runs / "r1")
        assert done.status == 1
        assert done.out.count("already sealed") == 2
        assert "Traceback" not in done.err
