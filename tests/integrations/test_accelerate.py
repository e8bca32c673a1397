"""NeurocktTracker in a real Accelerator."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor.launching import forked_ranks

from neurockt import list_runs, open_run
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor import Recorder

pytest.importorskip("accelerate", reason="accelerate is not installed: tests/requirements-frameworks.txt has it")

import torch
from accelerate import Accelerator, tracking
from accelerate.state import AcceleratorState, PartialState

from neurockt.integrations import accelerate as adapter
from neurockt.integrations.accelerate import NeurocktTracker

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Accelerate keeps one state for a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def accelerator(tracker: Any = "neurockt", config: Any = None, **options: Any) -> Accelerator:
    """One that has begun to track; ``options`` are those of the tracker, by its name."""
    made = Accelerator(cpu=True, log_with=tracker)
    made.init_trackers("toy", config, {"neurockt": options})
    return made


def rows(run_dir: Path, table: str) -> list[dict[str, Any]]:
    found = getattr(open_run(run_dir), table)().drop_columns(["epoch", "time"])
    return [{name: value for name, value in row.items() if value is not None} for row in found.to_pylist()]


def test_by_name_the_run_has_the_project_and_the_options_of_init_trackers(tmp_path: Path) -> None:
    config = {"lr": 0.1, "nested": {"a": [1, 2]}}
    made = accelerator(config=config, root=tmp_path / "runs", name="first", tags=["x"])
    made.log({"loss": 0.5}, step=1)
    made.end_training()
    (run,) = list_runs(tmp_path / "runs")
    assert (run.project, run.name, run.tags, run.state) == ("toy", "first", ("x",), "finished")
    assert run.config == config


def test_nothing_is_on_disk_before_the_first_row(tmp_path: Path) -> None:
    made = accelerator(config={"lr": 0.1}, root=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    made.end_training()
    assert not (tmp_path / "runs").exists()


def test_rows_have_the_steps_of_the_user_from_0(tmp_path: Path) -> None:
    made = accelerator(root=tmp_path / "runs", run_id="toy")
    made.log({"loss": 3.0}, step=0)
    made.log({"loss": 2.0}, step=10)
    made.log({"lr": 0.1}, step=10)
    made.log({"acc": 0.5}, step=10, log_kwargs={"neurockt": {"train": False}})
    made.log({"loss": 1.0})
    made.end_training()
    assert rows(tmp_path / "runs" / "toy", "steps") == [
        {"step": 0, "loss": 3.0},
        {"step": 10, "loss": 2.0, "lr": 0.1},
        {"step": 11, "loss": 1.0},
    ]
    assert rows(tmp_path / "runs" / "toy", "epochs") == [{"step": 10, "acc": 0.5}]


def test_tensors_are_recorded_without_their_graph_and_text_is_left_out(tmp_path: Path) -> None:
    made = accelerator(root=tmp_path / "runs", run_id="toy")
    weight = torch.ones(2, requires_grad=True)
    with pytest.warns(NeurocktWarning, match="note"):
        made.log({"loss": weight.sum() * 2, "note": "good", "both": weight, "none": None}, step=1)
    made.end_training()
    assert rows(tmp_path / "runs" / "toy", "steps") == [{"step": 1, "loss": 4.0, "both/0": 1.0, "both/1": 1.0}]


def test_the_unwrapped_tracker_is_the_recorder(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "runs", quiet=True)
    made = accelerator(NeurocktTracker(recorder))
    assert made.get_tracker("neurockt", unwrap=True) is recorder
    assert made.get_tracker("neurockt").recorder is recorder
    made.end_training()


def test_a_tracker_that_is_used_again_records_a_new_run(tmp_path: Path) -> None:
    tracker = NeurocktTracker(root=tmp_path / "runs", run_id="toy")
    for loss in (1.0, 2.0):
        made = accelerator(tracker)
        made.log({"loss": loss}, step=1)
        made.end_training()
    assert rows(tmp_path / "runs" / "toy", "steps") == [{"step": 1, "loss": 1.0}]
    assert rows(tmp_path / "runs" / "toy-2", "steps") == [{"step": 1, "loss": 2.0}]


def test_a_run_that_is_continued_goes_on_from_the_first_step_that_is_logged(tmp_path: Path) -> None:
    for losses in ({1: 1.0, 2: 2.0, 3: 3.0}, {2: 2.5}):
        made = accelerator(root=tmp_path / "runs", run_id="toy", resume=True)
        for step, loss in losses.items():
            made.log({"loss": loss}, step=step)
        made.end_training()
    assert rows(tmp_path / "runs" / "toy", "steps") == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.5}]


def test_the_state_of_accelerate_is_left_alone_until_the_tracker_starts(tmp_path: Path) -> None:
    """Its process group can still be set up, by an Accelerator that is made afterwards."""
    NeurocktTracker(root=tmp_path / "runs").recorder.config["lr"] = 0.1
    assert PartialState._shared_state == {}


def test_mistakes_raise_where_they_are_made_or_name_what_is_ignored(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="rot"):
        accelerator(rot=tmp_path)
    with pytest.raises(UsageError, match="give name"):
        NeurocktTracker(Recorder(tmp_path), name="a")
    with pytest.raises(UsageError, match="logs on its main process"):
        NeurocktTracker(ranks=1)
    made = accelerator(root=tmp_path / "runs")
    with pytest.warns(NeurocktWarning, match="does nothing about commit"):
        made.log({"loss": 1.0}, step=1, log_kwargs={"neurockt": {"commit": False}})
    made.end_training()


def test_versions_without_a_registry_take_an_instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(tracking, "register_tracker_class")
    tracker = importlib.reload(adapter).NeurocktTracker(root=tmp_path / "runs")
    made = accelerator(tracker)
    made.log({"loss": 1.0}, step=1)
    made.end_training()
    assert rows(tracker.recorder.run_dir, "steps") == [{"step": 1, "loss": 1.0}]


def test_of_two_ranks_the_first_records(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import sys\n"
        "from accelerate import Accelerator\n"
        "from neurockt.integrations.accelerate import NeurocktTracker\n"
        "tracker = NeurocktTracker(root=sys.argv[1], run_id='toy')\n"
        "accelerator = Accelerator(cpu=True, log_with=tracker)\n"
        "accelerator.init_trackers('toy', {'lr': 0.1})\n"
        "assert accelerator.num_processes == 2\n"
        "accelerator.log({'rank': accelerator.process_index}, step=1)\n"
        "tracker.log({'again': accelerator.process_index}, 1)\n"
        "accelerator.end_training()\n"
    )
    done = forked_ranks(2, tmp_path / "script.py", tmp_path / "runs", preload="accelerate")
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(tmp_path / "runs")
    assert rows(run.path, "steps") == [{"step": 1, "rank": 0.0, "again": 0.0}]
