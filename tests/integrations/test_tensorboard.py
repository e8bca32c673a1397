"""SummaryWriter, by the calls that scripts make; it needs neither tensorboard nor torch."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neurockt import list_runs, open_run
from neurockt.errors import NeurocktWarning, RunInUse, UsageError
from neurockt.integrations.tensorboard import SummaryWriter
from neurockt.monitor import Recorder


def rows(run_dir: Path, *columns: str, table: str = "steps") -> list[tuple[Any, ...]]:
    found = getattr(open_run(run_dir), table)(["step", *columns])
    return list(zip(*(found[name].to_pylist() for name in ("step", *columns)), strict=True))


def test_calls_at_one_step_are_one_row(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    for step in (0, 10):
        writer.add_scalar("train/loss", 1 / (step + 1), step)
        writer.add_scalars("acc", {"train": 0.5, "val": 0.25}, step)
    assert rows(tmp_path / "run", "train/loss", "acc/train", "acc/val") == [
        (0, 1.0, 0.5, 0.25),
        (10, 1 / 11, 0.5, 0.25),
    ]


def test_without_a_step_each_call_is_the_next_one(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    for loss in (3.0, 2.0, 1.0):
        writer.add_scalar("loss", loss)
    assert [loss for _, loss in rows(tmp_path / "run", "loss")] == [3.0, 2.0, 1.0]


def test_an_earlier_step_is_kept(tmp_path: Path) -> None:
    """As where an epoch is the step of some calls, and the iteration that of others."""
    writer = SummaryWriter(tmp_path / "run")
    writer.add_scalar("loss", 1.0, 100)
    writer.add_scalar("val", 0.5, 1)
    assert [(row["step"], row["val"]) for row in open_run(tmp_path / "run").late().to_pylist()] == [(1, 0.5)]


def test_hyperparameters_are_the_config_and_their_metrics_a_row_of_epochs(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    writer.add_scalar("loss", 1.0, 7)
    writer.add_hparams({"lr": 0.1, "act": "relu"}, {"hparam/acc": 0.9})
    writer.close()
    run = open_run(tmp_path / "run")
    assert run.config == {"lr": 0.1, "act": "relu"}
    assert rows(tmp_path / "run", "hparam/acc", table="epochs") == [(7, 0.9)]


def test_a_vector_is_a_metric_for_each_element(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    writer.add_tensor("grad", [0.5, 0.25], 1)
    assert rows(tmp_path / "run", "grad/0", "grad/1") == [(1, 0.5, 0.25)]


def test_what_is_not_numbers_is_left_out_with_one_warning_of_each_kind(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")

    def log(step: int) -> None:
        writer.add_text("note", "text", step)
        writer.add_image("picture", [[0.0]], step)
        writer.add_images("pictures", [[[0.0]]], step)
        writer.add_scalar("loss", 1.0, step)

    with pytest.warns(NeurocktWarning) as warned:
        log(0)
    log(1)
    assert [str(warning.message) for warning in warned] == [
        "SummaryWriter records numbers: texts are left out",
        "SummaryWriter records numbers: images are left out",
    ]
    assert len(rows(tmp_path / "run", "loss")) == 2


def test_a_time_of_the_users_is_left_out_with_a_warning(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    with pytest.warns(NeurocktWarning, match="walltime is left out"):
        writer.add_scalar("loss", 1.0, 1, walltime=0.0)
    writer.add_scalar("loss", 1.0, 2, walltime=1.0)
    assert rows(tmp_path / "run", "loss") == [(1, 1.0), (2, 1.0)]


def test_a_log_dir_that_the_script_has_made_is_no_obstacle(tmp_path: Path) -> None:
    """Empty, or with what it saves beside its logs."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "events.out.tfevents.1").touch()
    for name in ("empty", "used"):
        SummaryWriter(tmp_path / name).add_scalar("loss", 1.0, 1)
    assert sorted(info.id for info in list_runs(tmp_path)) == ["empty", "used"]


def test_log_dir_is_the_directory_of_the_run(tmp_path: Path) -> None:
    writer = SummaryWriter(str(tmp_path / "runs" / "exp1"))
    writer.add_scalar("loss", 1.0, 1)
    assert writer.get_logdir() == writer.log_dir == str(tmp_path / "runs" / "exp1")
    assert open_run(tmp_path / "runs" / "exp1").info.id == "exp1"


def test_a_log_dir_that_cannot_be_an_id_is_the_name(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "lr=0.1, bs=32")
    writer.add_scalar("loss", 1.0, 1)
    (info,) = list_runs(tmp_path)
    assert (info.id, info.name) == ("lr-0.1-bs-32", "lr=0.1, bs=32")


def test_without_a_log_dir_the_comment_is_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROCKT_DIR", str(tmp_path))
    SummaryWriter(comment="_lr_0.1").add_scalar("loss", 1.0, 1)
    (info,) = list_runs(tmp_path)
    assert info.name == "lr_0.1"


def test_log_dir_and_root_are_refused_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give log_dir= or root=, not both"):
        SummaryWriter(tmp_path / "run", root=tmp_path)


def test_purge_step_supersedes_what_was_recorded_from_it_on(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path / "run") as writer:
        for step in range(10):
            writer.add_scalar("loss", 0.0, step)
    with SummaryWriter(tmp_path / "run", purge_step=5) as writer:
        for step in range(5, 8):
            writer.add_scalar("loss", 1.0, step)
    assert rows(tmp_path / "run", "loss") == [(step, float(step >= 5)) for step in range(8)]


def test_a_writer_for_a_finished_run_adds_to_it(tmp_path: Path) -> None:
    """As an evaluation does after the training."""
    with SummaryWriter(tmp_path / "run") as writer:
        for step in range(5):
            writer.add_scalar("loss", 0.0, step)
    with SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("test/acc", 0.5, 3)
        writer.add_scalar("test/acc", 0.75, 5)
    run = open_run(tmp_path / "run")
    assert run.steps()["step"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert [(row["step"], row["test/acc"]) for row in run.late().to_pylist()] == [(3, 0.5)]


def test_writers_of_one_directory_record_one_run(tmp_path: Path) -> None:
    """As those of a training and of its evaluation, or of a notebook cell that is run again."""
    training, evaluation = SummaryWriter(tmp_path / "run"), SummaryWriter(f"{tmp_path}/run/")
    training.add_scalar("loss", 1.0, 1)
    evaluation.add_scalar("acc", 0.5, 1)
    training.add_scalar("loss", 0.5, 2)
    training.close()
    evaluation.add_scalar("acc", 0.75, 2)
    again = SummaryWriter(tmp_path / "run")
    again.add_scalar("loss", 0.25, 3)
    assert rows(tmp_path / "run", "loss") == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert [acc for _, acc in rows(tmp_path / "run", "acc")][:1] == [0.5]
    assert [(row["step"], row["acc"]) for row in open_run(tmp_path / "run").late().to_pylist()] == [(2, 0.75)]
    purging = SummaryWriter(tmp_path / "run", purge_step=2)
    purging.add_scalar("loss", 2.0, 2)
    again.add_scalar("loss", 3.0, 3)
    evaluation.close()
    assert rows(tmp_path / "run", "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert open_run(tmp_path / "run").state == "finished"


def test_a_forked_child_shares_no_writer(tmp_path: Path) -> None:
    """The directory is its parent's, which it is told."""
    writer = SummaryWriter(tmp_path / "run")
    writer.add_scalar("loss", 1.0, 1)
    child = os.fork()
    if child == 0:  # pragma: no cover
        try:
            SummaryWriter(tmp_path / "run").add_scalar("loss", 2.0, 2)
            os._exit(0)
        except RunInUse:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    writer.close()
    assert rows(tmp_path / "run", "loss") == [(1, 1.0)]


def test_closing_finishes_the_run_and_a_later_call_continues_it(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "run")
    writer.add_scalar("loss", 1.0, 1)
    writer.close()
    assert open_run(tmp_path / "run").state == "finished"
    writer.add_scalar("loss", 0.5, 2)
    writer.close()
    run = open_run(tmp_path / "run")
    assert (run.state, run.steps()["step"].to_pylist()) == ("finished", [1, 2])


def test_closing_leaves_a_given_recorder_to_its_owner(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, quiet=True)
    with SummaryWriter(recorder=recorder) as writer:
        writer.add_scalar("loss", 1.0, 1)
    recorder.log({"loss": 0.5}, step=2)
    recorder.finish()
    assert rows(recorder.run_dir, "loss") == [(1, 1.0), (2, 0.5)]


def test_an_exception_in_the_with_block_makes_the_run_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", 1 / 1, 1)
        writer.add_scalar("loss", 1 / 0, 2)
    assert open_run(tmp_path / "run").state == "failed"


def test_a_writer_without_a_call_leaves_no_run(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path / "runs" / "run") as writer:
        writer.flush()
    assert not (tmp_path / "runs").exists()


def test_it_loads_neither_torch_nor_tensorboard() -> None:
    code = "import sys, neurockt.integrations.tensorboard; print({'torch', 'tensorboard'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
def test_it_has_the_methods_and_arguments_of_torchs() -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: tests/requirements-frameworks.txt has it")
    from torch.utils.tensorboard import SummaryWriter as Torchs

    for name, method in inspect.getmembers(Torchs, inspect.isfunction):
        if name == "__init__" or not name.startswith("_"):
            ours = inspect.signature(getattr(SummaryWriter, name)).parameters
            takes_all = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in ours.values())
            theirs = list(inspect.signature(method).parameters)
            assert takes_all or list(ours)[: len(theirs)] == theirs, name
