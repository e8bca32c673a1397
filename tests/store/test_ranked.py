"""A run whose ranks keep their own rows: four real processes that talk to nobody, one of them killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import preloaded
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from neurockt import list_runs, open_run
from neurockt.cli import main
from neurockt.errors import ColumnNotFound, RunInUse, RunNotFound, UsageError
from neurockt.monitor import Recorder
from neurockt.run_info import RunInfo
from neurockt.store.base import layout
from neurockt.store.base.run_file import write_info
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.tables import parts

pytestmark = pytest.mark.slow

RANKS = """
import os, signal, sys
from neurockt.monitor import Recorder

rank = int(os.environ["SLURM_PROCID"])
recorder = Recorder(sys.argv[1], ranks="all", quiet=True, config={"lr": 0.1})
loss = recorder.track_scalar("loss")(float)
accuracy = recorder.metric("acc")(float)
if rank == 1:
    extra = recorder.track_scalar("extra")(float)
for step in range(1, 41):
    with recorder(train=True):
        if step != 5 or rank == 0:
            loss("nan" if step == 7 and rank == 3 else 10 * step + rank)
        if rank == 1:
            extra(step)
    if step % 20 == 0:
        with recorder(train=False):
            accuracy(rank / 10)
    if rank == 2 and step == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    if step == 35 and len(sys.argv) > 2:  # say that all is recorded, and wait to go on
        print("here", flush=True)
        sys.stdin.readline()
recorder.finish()
"""


def start(
    root: Path, rank: int, *more: str, job: str = "77", script: str = RANKS, **told: str
) -> subprocess.Popen[str]:
    """A rank as ``srun`` starts it."""
    told |= {"SLURM_JOB_ID": job, "SLURM_STEP_ID": "0", "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "4"}
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "RANK", "TORCHELASTIC"))
    }
    return preloaded.Popen(
        [sys.executable, "-c", script, root, *more],
        env={**kept, **told},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def ranked_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four ranks, 40 steps and 2 validations each; rank 2 was killed after 30 steps."""
    root = tmp_path_factory.mktemp("runs")
    processes = [start(root, rank) for rank in reversed(range(4))]
    for process in processes:
        process.communicate(timeout=120)
    codes = [process.returncode for process in processes]
    assert codes == [0, -signal.SIGKILL, 0, 0]
    return root / "slurm-77-0"


def test_ranks_meet_in_one_directory_without_talking(ranked_run: Path) -> None:
    """The job step names the run; it is listed once, and each rank is laid out as a run."""
    assert sorted(path.name for path in ranked_run.iterdir()) == [*(f"rank-00{rank}" for rank in range(4)), "run.json"]
    (info,) = list_runs(ranked_run.parent)
    assert (info.id, info.ranks, info.rank, info.state, info.config) == ("slurm-77-0", 4, None, "finished", {"lr": 0.1})
    assert list(ranked_run.parent.glob("*/steps/*.parquet")) == []
    plain = pq.read_table(ranked_run / "rank-003" / "steps" / "part-00000.parquet")
    assert plain["loss"].to_pylist()[:2] == [13.0, 23.0]


def test_the_whole_has_the_rows_of_all_ranks(ranked_run: Path) -> None:
    """By step, then by rank; a rank that has died ends early, and a metric of one rank is null in the others."""
    run = open_run(ranked_run)
    rows = run.steps()
    assert rows.column_names == ["rank", "step", "epoch", "time", "loss", "extra"]
    assert rows.schema.field("rank").type == pa.int64()
    expected = [(step, rank) for step in range(1, 41) for rank in range(4) if rank != 2 or step <= 30]
    assert list(zip(rows["step"].to_pylist(), rows["rank"].to_pylist(), strict=True)) == expected
    for row in rows.to_pylist():
        step, rank = row["step"], row["rank"]
        if (step, rank) == (7, 3):
            assert row["loss"] != row["loss"]
        else:
            assert row["loss"] == (None if step == 5 and rank else 10 * step + rank)
        assert row["extra"] == (step if rank == 1 else None)
        assert row["epoch"] == 1 + (step > 20)
    assert run.epochs().select(["rank", "epoch", "acc"]).to_pydict() == {
        "rank": [0, 1, 2, 3, 0, 1, 3],
        "epoch": [1, 1, 1, 1, 2, 2, 2],
        "acc": [0.0, 0.1, 0.2, 0.3, 0.0, 0.1, 0.3],
    }
    assert run.steps(["loss", "rank"]).slice(0, 2).to_pydict() == {"loss": [10.0, 11.0], "rank": [0, 1]}


def test_one_rank_is_a_run_of_its_own(ranked_run: Path) -> None:
    """Its rows to the last before its death, how it stands, and which others there are."""
    run = open_run(ranked_run)
    assert run.ranks == (0, 1, 2, 3)
    assert run.rank_states() == {0: "finished", 1: "finished", 2: "killed", 3: "finished"}
    origin = run.origin()
    assert origin is not None
    assert origin == run.rank(0).origin()
    assert run.rank(2).steps()["step"].to_pylist() == list(range(1, 31))
    assert (run.rank(2).info.rank, run.rank(2).info.ranks, run.rank(2).ranks) == (2, 4, ())
    with pytest.raises(RunNotFound, match=r"no rank 7 .*there are 0, 1, 2, 3"):
        run.rank(7)
    with pytest.raises(ColumnNotFound, match="did you mean 'loss'"):
        run.steps(["los"])


def test_every_way_to_read_gives_the_same_rows(ranked_run: Path) -> None:
    """steps, batches, window, last_rows, follow, rows, outline and the summary agree."""
    run = open_run(ranked_run)
    whole = run.steps()
    schema, pieces = run.batches("steps")
    assert _same(pa.concat_tables(list(pieces)), whole)
    assert schema == whole.schema
    assert _same(run.window("steps", after=10, until=20), whole.slice(40, 40))
    assert _same(run.last_rows("steps", 3), whole.slice(147))
    assert _same(run.follow().steps, whole)
    assert len(run.follow().steps) == 0
    rows = run.rows("steps")
    assert rows.refresh()
    assert not rows.refresh()
    assert rows.columns == tuple(whole.column_names)
    assert rows.groups.starts == (0, 150)
    assert rows.read(0, ["rank"])["rank"].values.tolist() == whole["rank"].to_pylist()
    assert rows.position_of(33) == whole["step"].to_pylist().index(33)
    assert rows.bounds(0, "loss") == (10.0, 403.0)
    outline = run.outline("steps")
    assert (outline.total, max(outline.axes["step"][1]), list(outline.metrics)) == (150, 40, ["loss", "extra"])
    summary = run.current_info().steps
    loss, extra = summary.columns["loss"], summary.columns["extra"]
    assert (summary.rows, loss.last, loss.count, loss.min, loss.max, extra.last) == (40, 400, 147, 10, 403, 40)


def test_long_ranks_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In row groups of three, and in groups of 64 numbers, the order is the same."""
    monkeypatch.setattr("neurockt.store.tables.parts.row_group_rows", lambda columns: 3)
    counts = (200, 150, 7)
    for rank, count in enumerate(counts):
        path = layout.rank_path(tmp_path, rank)
        now = datetime.now(timezone.utc)
        (path / "steps").mkdir(parents=True)
        write_info(RunInfo(path=path, id="long", created=now, rank=rank, ranks=3, state="finished"))
        numbers = np.arange(1, count + 1)
        columns = {"step": numbers, "epoch": np.ones_like(numbers), "time": numbers, "loss": numbers / 2}
        table = pa.table([pa.array(column) for column in columns.values()], names=list(columns))
        parts.append(path, "steps", table.cast(parts.table_schema(["loss"])))
    run = open_run(tmp_path)
    expected = sorted((step, rank) for rank, count in enumerate(counts) for step in range(1, count + 1))
    table = run.steps(["step", "rank"])
    assert list(zip(*table.to_pydict().values(), strict=True)) == expected
    monkeypatch.setattr("neurockt.store.tables.parts.ROW_GROUP_ROWS", 192)
    rows = run.rows("steps")
    rows.refresh()
    found = [rows.read(group, ["step", "rank"]) for group in range(len(rows.groups))]
    assert len(found) == 4
    each = [np.concatenate([blocks[name].values for blocks in found]).tolist() for name in ("step", "rank")]
    assert list(zip(*each, strict=True)) == expected
    assert [rows.position_of(number) for number in (1, 8, 151, 999)] == [0, 21, 307, 356]


def test_a_rank_whose_description_is_damaged_does_not_hide_the_others(ranked_run: Path, tmp_path: Path) -> None:
    """Its rows are read, and it counts as killed."""
    copy = Path(shutil.copytree(ranked_run, tmp_path / "copy"))
    (copy / "rank-001" / "run.json").write_text("{")
    run = open_run(copy)
    assert run.rank_states() == {0: "finished", 1: "killed", 2: "killed", 3: "finished"}
    assert (len(run.steps()), run.settled("steps"), len(run.follow().steps)) == (150, 40, 150)
    assert run.current_info().steps.columns["loss"].count == 108
    (copy / "rank-001" / "run.json").unlink()
    (copy / "rank-001" / "run.json").symlink_to("run.json")
    assert run.rank_states()[1] == "killed"


def _same(left: pa.Table, right: pa.Table) -> bool:
    """Whether tables hold the same, NaN being the same as NaN."""
    return str(left.to_pydict()) == str(right.to_pydict())


def test_the_command_line_shows_the_whole_or_one_rank(ranked_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """show says which rank has died; show and export take --rank."""
    assert main(["show", str(ranked_run)]) == 0
    shown = capsys.readouterr().out
    assert "ranks     4; rank 2 killed" in shown
    assert "40 steps, 2 epochs" in shown
    assert main(["show", str(ranked_run), "--rank", "2"]) == 0
    assert "30 steps, 1 epoch" in capsys.readouterr().out
    export = ["export", str(ranked_run), "--columns", "step,loss"]
    assert main([*export, "--rank", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "1,13.0"
    assert main(export) == 0
    assert capsys.readouterr().out.splitlines()[1:3] == ["1,10.0", "1,11.0"]
    assert main([*export, "--rank", "4"]) == 1
    assert "no rank 4" in capsys.readouterr().err


def test_a_live_run_is_followed_rank_by_rank(tmp_path: Path) -> None:
    """Rows of a rank that goes ahead are given at once; settled are those of the slowest that lives."""
    fast, slow = start(tmp_path, 0, "wait", job="78"), start(tmp_path, 1, "wait", job="78")
    run_dir = tmp_path / "slurm-78-0"
    for process in (fast, slow):
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    run = open_run(run_dir)
    assert len(run.follow().steps) == 70
    fast.communicate("on\n", timeout=120)
    assert run.rank(0).state == "finished"
    new = run.follow().steps
    assert (new["step"].to_pylist(), new["rank"].to_pylist()) == ([36, 37, 38, 39, 40], [0] * 5)
    assert (run.state, run.settled("steps"), len(run.steps())) == ("running", 35, 75)
    with pytest.raises(RunInUse):
        seal_run(run_dir)
    slow.kill()
    slow.communicate(timeout=120)
    assert (run.state, run.settled("steps"), len(run.follow().steps)) == ("finished", 40, 0)
    assert run.rank_states() == {0: "finished", 1: "killed"}
    assert seal_run(run_dir).steps <= 35  # the rank may have sealed some itself
    assert pq.read_table(run_dir / "rank-001" / "steps").num_rows == 35
    assert len(run.steps()) == 75


RESTARTED = """
import os, sys
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], ranks="all", quiet=True)
loss = recorder.track_scalar("loss")(float)
recorder.resume(step=25)  # from the checkpoint
assert (recorder.step, recorder.epoch) == (25, 1), (recorder.step, recorder.epoch)
for step in range(26, 29):
    with recorder(train=True):
        loss(1000)
recorder.finish()
"""


def test_a_restarted_job_continues_each_rank(tmp_path: Path) -> None:
    """All ranks of a requeued job resume from the checkpoint, whatever launches them; readers see the whole rewound."""
    for process in [start(tmp_path, rank, job="79") for rank in range(4)]:
        process.communicate(timeout=120)
    run = open_run(tmp_path / "slurm-79-0")
    assert len(run.follow().steps) == 150
    rows = run.rows("steps")
    rows.refresh()
    before = run.rewind_token
    restarted = [
        start(tmp_path, rank, job="79", script=RESTARTED, SLURM_RESTART_COUNT="1", TORCHELASTIC_RUN_ID="another")
        for rank in range(4)
    ]
    for process in restarted:
        process.communicate(timeout=120)
    assert [process.returncode for process in restarted] == [0] * 4
    new = run.follow()
    assert (new.rewound, new.kept) == (True, (25, 1))
    steps = [step for step in (26, 27, 28) for _ in range(4)]
    assert (new.steps["step"].to_pylist(), new.steps["loss"].to_pylist()) == (steps, [1000.0] * 12)
    assert rows.refresh()
    assert rows.rewinds > 0
    assert rows.groups.total == 4 * 28
    assert run.rewind_token != before
    (info,) = list_runs(tmp_path)
    assert (info.state, info.ranks, [attempt.restart for attempt in info.attempts]) == ("finished", 4, [0, 1])


def test_without_an_id_that_all_ranks_know_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to pass; and a run that is there already is not written into."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "RANK", "WORLD_SIZE", "TORCHELASTIC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    recorder = Recorder(tmp_path, ranks="all")
    with pytest.raises(UsageError, match="pass run_id="), recorder(train=True):
        pass
    assert list(tmp_path.iterdir()) == []
    named = Recorder(tmp_path, ranks="all", run_id="named", quiet=True)
    assert named.run_dir == tmp_path / "named"
    with named(train=True):
        pass
    named.finish()
    assert [path.name for path in (tmp_path / "named").iterdir()] == ["rank-001"]
