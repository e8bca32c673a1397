"""The marks of syncs that send rows: beside the run, and only as long as they may mean something."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from wandb_server import Fault, WandbServer

from neurockt import open_run
from neurockt.store import layout
from neurockt.sync.describe import identity
from neurockt.sync.ledger import Ledger, is_synced
from neurockt.sync.marks import LOST_SECONDS, Marks, Rewound

from .conftest import MakeRun, Sync


def marks(*directories: Path, upload: str = "there", state: str = "a") -> Marks:
    return Marks(directories, upload, lambda: state)


def names(directory: Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.startswith(layout.SENDING)]


def test_marks_of_another_state_of_the_run_make_doubtful(tmp_path: Path) -> None:
    """Until they are removed, as each one's own is by itself, or all because the upload begins again."""
    first, second = marks(tmp_path), marks(tmp_path)
    first.put()
    second.put()
    assert not second.are_doubtful
    assert marks(tmp_path, state="b").are_doubtful
    assert not marks(tmp_path, upload="elsewhere", state="b").are_doubtful
    first.remove()
    assert marks(tmp_path, state="b").are_doubtful
    marks(tmp_path, state="b").remove(-1.0)
    assert not names(tmp_path)


def test_one_that_sends_after_a_rewind_stops(tmp_path: Path) -> None:
    """Its mark is there before it looks: whoever sees the rewind sees the mark."""
    state = ["a"]
    ours = Marks([tmp_path], "there", lambda: state[0])
    ours.put()
    ours.check()
    ours.remove()
    state[0] = "b"
    with pytest.raises(Rewound):
        ours.put()
    assert marks(tmp_path, state="b").are_doubtful


def test_where_the_run_cannot_be_written_they_lie_elsewhere(tmp_path: Path) -> None:
    gone, elsewhere = tmp_path / "gone", tmp_path / "state" / "run"
    marks(gone, elsewhere).put()
    assert len(names(elsewhere)) == 1
    assert marks(gone, elsewhere, state="b").are_doubtful
    assert not gone.exists()
    marks(gone).put()  # then there is none


@pytest.mark.slow
def test_a_mark_that_is_left_makes_each_sync_look_until_it_is_old(
    server: WandbServer, make_run: MakeRun, sync: Sync
) -> None:
    run = make_run(steps=10)
    sync()
    info = open_run(run).info
    assert is_synced(info)
    assert not names(run)
    ledger = Ledger(run, identity(info))
    with pytest.raises(Rewound):
        ledger.marks(*ledger.entries, iter(["another", "this"]).__next__).put()
    left = run.joinpath(*names(run))
    asked = server.requested("HistoryPage")
    assert [sync()[0].status for _ in range(2)] == ["complete", "complete"]
    assert server.requested("HistoryPage") == asked + 2
    assert left.exists()
    old = left.stat().st_mtime - LOST_SECONDS - 1
    os.utime(left, (old, old))
    server.faults = [Fault("status", "Run ", status=403)]
    assert sync()[0].status == "failed"
    assert left.exists(), "nobody has looked"
    assert sync()[0].status == "complete"
    assert not left.exists()
    assert sync()[0].status == "complete"
    assert server.requested("HistoryPage") == asked + 3
    assert is_synced(info)


@pytest.mark.slow
def test_a_sync_that_is_refused_leaves_no_mark(server: WandbServer, make_run: MakeRun, sync: Sync) -> None:
    """Nothing of it is under way."""
    run = make_run(steps=10)
    server.faults = [Fault("status", status=403)]
    assert sync()[0].status == "failed"
    assert not names(run)
