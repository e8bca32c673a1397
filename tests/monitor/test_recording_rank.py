"""The one rank that records: of ``ranks=`` a number, and its edges."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import preloaded
import pytest
from monitor.launching import bare_environment, forked_ranks

from neurockt import list_runs, open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder
from neurockt.monitor.ranks.place import Place

pytestmark = pytest.mark.slow

PIPELINE = """
import sys
import torch
from torch import distributed
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], run_id="pipeline", ranks=1, config={"stages": 2})
distributed.init_process_group("gloo")
rank = distributed.get_rank()
loss = recorder.track_scalar("loss")(lambda stage: stage)
valid = recorder.metric("valid")(lambda stage: stage)
for step in range(3):
    with recorder(train=True):
        if rank == 1:  # the last stage alone has a loss
            loss(torch.tensor(float(step)))
with recorder(train=False):
    if rank == 1:
        valid(0.5)
assert recorder.is_writer == (rank == 1)
assert (recorder.step, recorder.epoch) == (3, 1)
recorder.finish()
distributed.destroy_process_group()
"""


def test_the_last_stage_of_a_pipeline_records(tmp_path: Path) -> None:
    """Rank 1 writes and prints; rank 0 counts, and leaves nothing."""
    script = tmp_path / "pipeline.py"
    script.write_text(PIPELINE)
    done = forked_ranks(2, script, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["pipeline"]
    run = open_run(tmp_path / "runs" / "pipeline")
    assert run.steps()["loss"].to_pylist() == [0.0, 1.0, 2.0]
    assert run.epochs()["valid"].to_pylist() == [0.5]
    assert (run.state, run.config) == ("finished", {"stages": 2})
    assert len([line for line in done.stdout.splitlines() if "valid" in line]) == 1
    assert len([line for line in done.stderr.splitlines() if "neurockt: recording" in line]) == 1


RECORDING = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], ranks=int(sys.argv[2]))
loss = recorder.track_scalar("loss")(float)
with recorder(train=True):
    loss(1)
print(recorder.is_writer)
"""


@pytest.mark.parametrize(("ranks", "rank"), [(2, 2), (-1, 3), (-4, 0)])
def test_one_rank_by_its_number(tmp_path: Path, ranks: int, rank: int) -> None:
    """By the launcher's environment alone; negative numbers count from the end."""
    for each in {0, rank, 3}:
        environment = bare_environment(RANK=each, WORLD_SIZE=4)
        command = [sys.executable, "-c", RECORDING, str(tmp_path), str(ranks)]
        done = preloaded.run(command, env=environment)
        assert done.stdout == f"{each == rank}\n"
        assert ("recording" in done.stderr) == (each == rank)
    (info,) = list_runs(tmp_path)
    assert info.steps.rows == 1


@pytest.mark.parametrize("ranks", [4, -5])
def test_a_number_that_no_rank_has_is_refused_on_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    """Else nobody would record. The message names the ranks there are."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank in "03":
        monkeypatch.setenv("RANK", rank)
        recorder = Recorder(tmp_path, ranks=ranks)
        with pytest.raises(UsageError, match=f"ranks={ranks}, but the ranks of this job are 0 to 3"):
            recorder(train=True).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ranks", [3, -1])
def test_the_only_process_records(tmp_path: Path, ranks: int) -> None:
    """A script for many ranks that is tried on one."""
    recorder = Recorder(tmp_path, ranks=ranks, quiet=True)
    loss = recorder.track_scalar("loss")(float)
    with recorder(train=True):
        loss(1)
    assert recorder.is_writer
    recorder.finish()
    assert open_run(recorder.run_dir).steps().num_rows == 1


@pytest.mark.parametrize("ranks", ["each", True, 1.0, None, [0]])
def test_what_is_not_a_rank_is_refused_at_once(ranks: Any) -> None:
    with pytest.raises(UsageError, match="is not 'first', 'all' or the number of a rank"):
        Recorder(ranks=ranks)


@pytest.mark.parametrize("size", range(1, 5))
@pytest.mark.parametrize("ranks", [*range(-4, 4), "first"])
def test_exactly_one_rank_records(size: int, ranks: Any) -> None:
    assert sum(Place(rank, size).records(ranks) for rank in range(size)) == 1
