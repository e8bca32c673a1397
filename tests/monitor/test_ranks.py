"""Several ranks of one job: real processes under torchrun, over gloo, or with a launcher's environment alone."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import preloaded
import pytest
from monitor.launching import bare_environment, forked_ranks, torchrun
from ports import free_port

from neurockt import list_runs, open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder
from neurockt.monitor.ranks.place import Place, find_place, launch_id

pytestmark = pytest.mark.slow

# Which rank this is


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ({}, Place(0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, Place(3, 4)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, Place(3, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "2"}, Place(1, 2)),
        ({"RANK": "1", "WORLD_SIZE": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, Place(1, 2)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "3"}, Place(2, 3)),
        ({"PMI_RANK": "2", "PMI_SIZE": "3"}, Place(2, 3)),
        ({"RANK": "3"}, Place(0, 1)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "16"}, Place(0, 16)),  # a batch script without srun
        ({"RANK": "-1", "WORLD_SIZE": "many"}, Place(0, 1)),
    ],
)
def test_the_launcher_tells_the_rank(told: dict[str, str], place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun, srun and the mpiruns say which rank this is, and how many there are; nonsense is no rank."""
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert find_place() == place


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ({}, None),
        ({"SLURM_JOB_ID": "77"}, None),  # several launches may share an allocation
        ({"SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}, "slurm-77-0"),
        ({"TORCHELASTIC_RUN_ID": "a/b", "SLURM_JOB_ID": "77", "SLURM_STEP_ID": "0"}, "torchrun-77-a-b"),
        ({"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}, None),
        (
            {
                "TORCHELASTIC_RUN_ID": "none",
                "TORCHELASTIC_ERROR_FILE": "/tmp/torchelastic_x1/none_y2/attempt_0/3/error.json",
                "LOCAL_WORLD_SIZE": "4",
                "WORLD_SIZE": "4",
            },
            "torchrun-torchelastic_x1-none_y2",
        ),
    ],
)
def test_what_all_ranks_of_a_launch_are_told(
    told: dict[str, str], name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id is made of what the launcher tells every rank of this job alone; where that is nothing, there is none."""
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    assert launch_id() == name


SILENT = """
import sys, threading
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], config={"lr": 1})
loss = recorder.track_scalar("loss")(float)
accuracy = recorder.metric("acc")(float)
for _ in range(3):
    with recorder(train=True):
        loss(1)
with recorder(train=False):
    accuracy(1)
recorder.config["more"] = 2
assert (recorder.step, recorder.epoch) == (3, 1)
assert recorder.is_writer or threading.active_count() == 1
recorder.finish()
"""


@pytest.mark.parametrize("names", [("RANK", "WORLD_SIZE"), ("SLURM_PROCID", "SLURM_NTASKS")])
def test_without_torch_distributed_rank_0_alone_leaves_something(names: tuple[str, str], tmp_path: Path) -> None:
    """By the environment alone: rank 0 writes and prints one run; the others print nothing and create nothing."""
    for rank in (3, 0):
        done = preloaded.run(
            [sys.executable, "-c", SILENT, tmp_path / "runs"],
            env=bare_environment(**{names[0]: rank, names[1]: 4}),
        )
        assert done.returncode == 0, done.stderr
        assert (done.stderr == "") == (rank == 3)
        assert (done.stdout == "") == (rank == 3)
        assert (tmp_path / "runs").exists() == (rank == 0)
    (info,) = list_runs(tmp_path / "runs")
    assert (info.steps.rows, info.epochs.rows, info.config) == (3, 1, {"lr": 1, "more": 2})


def test_other_ranks_do_not_mind_that_the_run_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank 0 may have created the run of a given id before another rank makes its recorder."""
    (tmp_path / "named").mkdir()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not Recorder(tmp_path, run_id="named").is_writer


def test_wrong_words_are_refused_at_once() -> None:
    """reduce= and ranks= take their few words, and not each other."""
    with pytest.raises(UsageError, match="mean, sum, min, max"):
        Recorder(reduce="average")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="leave out reduce="):
        Recorder(ranks="all", reduce="mean")


# Over torch.distributed

UNEVEN = """
import os, sys, warnings
import torch
from torch import distributed
from torchmetrics import CatMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
from neurockt.monitor import Recorder, RecorderHelper, torch_mean

recorder = Recorder(sys.argv[1], run_id="uneven", reduce="mean")
distributed.init_process_group("gloo")  # after the recorder was made
rank, size = distributed.get_rank(), distributed.get_world_size()
assert recorder.is_writer == (rank == 0)

train_loss = recorder.track_scalar("train_loss", torch_mean)(lambda x: x)
valid_loss = recorder.metric("valid_loss")(lambda x: x)
largest = recorder.metric("largest", max)(float)
nowhere = recorder.metric("nowhere")(float)
if rank == 1:
    recorder.metric("extra")(float)
for index in range(150):
    recorder.metric(f"many {index}")(float)  # more columns than are exchanged at once
last = recorder.metric("last")(float)
accuracy, first, values = MulticlassAccuracy(3, average="micro"), MulticlassAccuracy(3, average="micro"), CatMetric()
both = MetricCollection({"acc": MulticlassAccuracy(3), "f1": MulticlassF1Score(3)})
local = MulticlassAccuracy(3, average="micro", sync_on_compute=False)
metrics = {"acc": accuracy, "first": first, "values": values, "both": both, "local": local}
for name in reversed(list(metrics)) if rank == 2 else metrics:  # in another order on one rank
    RecorderHelper(recorder).metric(**{name: metrics[name]})
if rank == 3:
    RecorderHelper(recorder).metric(alone=CatMetric())

for step in range(3):
    with recorder(train=True):
        for batch in range(rank + 1):
            train_loss(torch.full((2, batch + 1), float(rank)))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for epoch in range(2):
        with recorder(train=False):
            for batch in range(rank + epoch):  # none at all on rank 0, at first
                valid_loss(rank + 0.5)
                predicted = torch.arange(batch + 1) % 3
                accuracy(predicted, torch.zeros_like(predicted))
                both(predicted, torch.zeros_like(predicted))
                local(predicted, torch.zeros_like(predicted))
            largest(rank)
            last(rank)
            if rank < 2:
                first(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 0]))
                values(1.0)
assert bool(told) == (rank == 0), [str(warning.message) for warning in told]
assert (recorder.step, recorder.epoch) == (3, 2)
recorder.finish()
for warning in told:
    print("told:", warning.message)
distributed.destroy_process_group()  # without which torch itself aborts now and then
"""


def test_metrics_and_means_over_ranks_are_exact(tmp_path: Path) -> None:
    """Unequal batches give the exact mean, unequal shards the exact accuracy, and what differs by rank hangs none."""
    script = tmp_path / "uneven.py"
    script.write_text(UNEVEN)
    done = forked_ranks(4, script, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["uneven"]
    run = open_run(tmp_path / "runs" / "uneven")
    elements = [2 * sum(range(1, rank + 2)) for rank in range(4)]
    mean = sum(rank * count for rank, count in enumerate(elements)) / sum(elements)
    assert run.steps()["train_loss"].to_pylist() == [mean] * 3

    rows = run.epochs().to_pylist()
    assert [row["valid_loss"] for row in rows] == [
        sum((rank + 0.5) * (rank + epoch) for rank in range(4)) / sum(rank + epoch for rank in range(4))
        for epoch in range(2)
    ]
    assert [row["largest"] for row in rows] == [1.5, 1.5]  # a number of the user's own counts once a rank
    assert [row["last"] for row in rows] == [1.5, 1.5]
    assert [row["nowhere"] for row in rows] == [None, None]
    for epoch, row in enumerate(rows):
        batches = [batch for rank in range(4) for batch in range(rank + epoch)]
        right = sum(-(-(batch + 1) // 3) for batch in batches)  # those predicted 0
        assert row["acc"] == pytest.approx(right / sum(batch + 1 for batch in batches), abs=1e-7)
    assert [row["first"] for row in rows] == pytest.approx([1 / 3, 1 / 3])  # two ranks have never called it
    assert [row["values"] for row in rows] == [None, None]  # it keeps lists, which cannot be joined with nothing
    assert rows[0]["both/acc"] is not None
    assert [row["local"] for row in rows] == [None, 1.0]  # rank 0's own, as it asked for
    assert "extra" not in rows[0]
    assert "alone" not in rows[0]

    told = [line for line in done.stdout.splitlines() if line.startswith("told:")]
    assert len(told) == 3
    assert any("'extra' is recorded only on rank 1" in line for line in told)
    assert any("'alone' is declared only on rank 3" in line for line in told)
    assert any("'values' was not called on every rank" in line for line in told)
    assert len([line for line in done.stdout.splitlines() if "valid_loss" in line]) == 1


APART = """
import math, sys, time, warnings
import torch
from torch import distributed
from torchmetrics.classification import MulticlassAccuracy
from neurockt.errors import UsageError
from neurockt.monitor import Recorder, RecorderHelper
from neurockt.monitor.ranks import exchange

distributed.init_process_group("gloo")
rank = distributed.get_rank()
root = sys.argv[1]

for reduction in ("sum", "min", "max"):
    recorder = Recorder(root, run_id=reduction, reduce=reduction, quiet=True)
    value = recorder.track_scalar("value")(float)
    one = recorder.track_scalar("one")(float)
    broken = recorder.track_scalar("broken")(float)
    never = recorder.track_scalar("never")(float)
    with recorder(train=True):
        value(rank), value(rank + 10)
        broken(math.nan if rank else 1)
        if rank:
            one(-3)
    recorder.finish()

plain = Recorder(root, run_id="plain", quiet=True)  # without reduce=: rank 0's values, and torchmetrics' own sync
loss = plain.track_scalar("loss")(float)
accuracy = RecorderHelper(plain).metric(acc=MulticlassAccuracy(2, average="micro"))["acc"]
with plain(train=True):
    loss(rank + 1)
with plain(train=False):
    accuracy(torch.tensor([rank] * (rank + 1)), torch.tensor([0] * (rank + 1)))
plain.finish()

each = Recorder(root, ranks="all", quiet=True)
accuracy = RecorderHelper(each).metric(acc=MulticlassAccuracy(2, average="micro"))["acc"]
with each(train=False):
    accuracy(torch.tensor([rank]), torch.tensor([0]))
each.finish()

exchange.MEETING_SECONDS = 1.0
if rank == 0:
    lonely = Recorder(root, run_id="lonely", quiet=True)
    accuracy = RecorderHelper(lonely).metric(acc=MulticlassAccuracy(2))["acc"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        began = time.monotonic()
        for _ in range(6):
            with lonely(train=False):
                accuracy(torch.tensor([0]), torch.tensor([0]))
    assert 3 < time.monotonic() - began < 30, time.monotonic() - began
    assert len(told) == 1 and "on every rank" in str(told[0].message), told
    lonely.finish()
distributed.barrier()

exchange._ordinals = iter([100])  # which rank 0 alone has counted on
crossed = Recorder(root, run_id="crossed", reduce="mean", quiet=True)
loss = crossed.track_scalar("loss")(float)
exchange.MEETING_SECONDS = 60.0
with crossed(train=True):
    loss(1)
with crossed(train=False):
    pass
try:
    with crossed(train=rank == 0):
        loss(1)
except UsageError as error:
    assert "rank 0 has ended a block of steps, rank 1 one of epochs" in str(error), error
else:
    raise AssertionError("nobody noticed")
crossed.finish()
distributed.destroy_process_group()
"""


def test_ranks_that_part_do_not_wait_for_ever(tmp_path: Path) -> None:
    """Blocks that one rank alone opens, or that differ, end in bounded time; sum, min, max and plain sync are right."""
    script = tmp_path / "apart.py"
    script.write_text(APART)
    root = tmp_path / "runs"
    done = forked_ranks(2, script, root)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    for reduction, value in (("sum", 11.0), ("min", 5.0), ("max", 6.0)):  # of 5 and 6
        (row,) = open_run(root / reduction).steps().to_pylist()
        assert (row["value"], row["one"], row["never"]) == (value, -3.0, None)
        assert row["broken"] != row["broken"]
    assert open_run(root / "plain").steps()["loss"].to_pylist() == [1.0]
    assert open_run(root / "plain").epochs()["acc"].to_pylist() == pytest.approx([1 / 3])
    (each,) = [path for path in root.iterdir() if (path / "rank-000").exists()]
    assert [open_run(each / f"rank-00{rank}").epochs()["acc"].to_pylist() for rank in range(2)] == [[1.0], [0.0]]
    assert open_run(root / "lonely").epochs()["acc"].to_pylist() == [None] * 6


EACH = """
import os, sys
from neurockt.monitor import Recorder

with Recorder(sys.argv[1], ranks="all", quiet=True) as recorder:
    recorder.log({"rank": int(os.environ["RANK"])})
"""


def test_ranks_of_torchrun_need_no_torch_to_find_their_run(tmp_path: Path) -> None:
    """torchrun tells each of them the same."""
    (tmp_path / "each.py").write_text(EACH)
    done = torchrun(2, str(tmp_path / "each.py"), tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    (each,) = (tmp_path / "runs").iterdir()
    assert each.name.startswith("torchrun-")
    assert [open_run(each / f"rank-00{rank}").steps()["rank"].to_pylist() for rank in range(2)] == [[0.0], [1.0]]


BEREFT = """
import os, signal, sys, warnings
from torch import distributed
from neurockt.monitor import Recorder

distributed.init_process_group("gloo")
for _ in range(2):  # nobody but torch.distributed can tell a name that all ranks know: two runs, of both ranks each
    each = Recorder(sys.argv[1], ranks="all", quiet=True)
    with each(train=True):
        pass
    each.finish()
recorder = Recorder(sys.argv[1], run_id="bereft", reduce="mean")
loss = recorder.track_scalar("loss")(float)
with recorder(train=True):
    loss(distributed.get_rank())
if distributed.get_rank() == 1:
    os.kill(os.getpid(), signal.SIGKILL)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(3):
        with recorder(train=True):
            loss(1)
assert len(told) == 1 and "could not exchange steps with the other ranks" in str(told[0].message), told
recorder.finish()
os._exit(0)
"""


def test_a_rank_that_is_killed_does_not_hang_the_others(tmp_path: Path) -> None:
    """Over gloo, the rows after a rank's death are null where all ranks are needed, with one warning."""
    (tmp_path / "bereft.py").write_text(BEREFT)
    root, job = tmp_path / "runs", {"WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": free_port()}
    command = [sys.executable, tmp_path / "bereft.py", root]
    environments = [bare_environment(RANK=rank, **job) for rank in range(2)]
    ranks = [preloaded.Popen(command, preload="torch", env=environment) for environment in environments]
    assert [rank.wait() for rank in ranks] == [0, -signal.SIGKILL]
    assert open_run(root / "bereft").steps()["loss"].to_pylist() == [0.5, None, None, None]
    runs = {info.ranks: open_run(info.path) for info in list_runs(root)}
    assert runs[2].ranks == (0, 1)
    assert len(list_runs(root)) == 3
