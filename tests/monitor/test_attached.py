"""``neurockt.attach``: other processes record beside a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from evaluators import EVALUATE, Process

import neurockt
from neurockt.errors import RunInUse, RunNotFound, UsageError
from neurockt.monitor import Recorder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of three steps."""
    with Recorder(tmp_path / "runs", run_id="run", quiet=True) as recorder:
        for step in (10, 20, 30):
            recorder.log({"loss": 1 / step}, step=step)
    return recorder.run_dir


def table(run: Path, name: str) -> dict[str, list[object]]:
    rows = neurockt.open_run(run).attached[name].epochs()
    return {column: rows[column].to_pylist() for column in rows.column_names if column not in ("epoch", "time")}


def test_values_are_recorded_beside_the_run(run: Path) -> None:
    """At any step, in any order; several calls at one step are one row. The run's own directory stays as it was."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    evaluation = neurockt.attach(run, "mmlu")
    assert not (run / "attached").exists(), "before the first value"
    evaluation.log({"acc": 0.5}, step=30)
    evaluation.log({"acc": 0.25, "task": {"a": 1}}, step=10)
    evaluation.log({"f1": 0.75}, step=10)
    evaluation.finish()
    assert table(run, "mmlu") == {
        "step": [30, 10],
        "acc": [0.5, 0.25],
        "task/a": [None, 1.0],
        "f1": [None, 0.75],
    }
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert (neurockt.open_run(run).attached["mmlu"].state, evaluation.run_dir) == (
        "finished",
        run / "attached" / "mmlu",
    )


def test_without_a_step_it_is_that_of_the_last_row(run: Path) -> None:
    """And in the first one the last step of the run."""
    evaluation = neurockt.attach(run, "mmlu")
    evaluation.log({"a": 1.0})
    evaluation.log({"b": 2.0})
    evaluation.log({"a": 3.0}, step=5)
    evaluation.log({"b": 4.0})
    evaluation.finish()
    again = neurockt.attach(run, "mmlu")
    again.log({"a": 5.0})
    again.finish()
    assert table(run, "mmlu") == {"step": [30, 5, 5], "a": [1.0, 3.0, 5.0], "b": [2.0, 4.0, None]}


def test_train_gives_rows_of_steps(run: Path) -> None:
    """Also late ones."""
    evaluation = neurockt.attach(run, "probe")
    for step in (4, 8, 2):
        evaluation.log({"norm": float(step)}, step=step, train=True)
    evaluation.finish()
    attached = neurockt.open_run(run).attached["probe"]
    assert (attached.steps(["step"])["step"].to_pylist(), attached.late(["step"])["step"].to_pylist()) == ([4, 8], [2])


def test_a_finished_one_goes_on_and_nothing_is_superseded(run: Path) -> None:
    """An evaluator comes back, perhaps for an earlier checkpoint; nothing is sampled, and nothing printed but that."""
    for steps in ((30, 20), (10, 20), (30,)):
        with neurockt.attach(run, "mmlu") as evaluation:
            for step in steps:
                evaluation.log({"acc": float(step)}, step=step)
                evaluation.log({"norm": float(step)}, step=step, train=True)
    attached = neurockt.open_run(run).attached["mmlu"]
    assert attached.epochs(["acc"])["acc"].to_pylist() == [30.0, 20.0, 10.0, 20.0, 30.0]
    assert attached.steps(["norm"])["norm"].to_pylist() + attached.late(["norm"])["norm"].to_pylist() == [
        30.0,
        20.0,
        10.0,
        20.0,
        30.0,
    ]
    assert not (attached.path / "superseded").exists()
    assert len(attached.info.attempts) == 3
    assert len(attached.system()) == 0


def test_an_exception_makes_it_failed(run: Path) -> None:
    with pytest.raises(ZeroDivisionError), neurockt.attach(run, "mmlu") as evaluation:
        evaluation.log({"acc": 0.5}, step=1)
        raise ZeroDivisionError
    attached = neurockt.open_run(run).attached["mmlu"]
    assert (attached.state, neurockt.open_run(run).state) == ("failed", "finished")


@pytest.mark.parametrize("name", ["", "..", ".x", "a/b", "../../x", "a\nb", "x" * 200, "\x1b[31m", None, 3])
def test_a_name_is_that_of_a_directory_and_no_path(run: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"name .* cannot name a directory"):
        neurockt.attach(run, name)
    assert not (run / "attached").exists()


def test_there_has_to_be_a_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path, or by its id where runs are."""
    with pytest.raises(RunNotFound):
        neurockt.attach(tmp_path / "nowhere", "mmlu")
    monkeypatch.chdir(tmp_path)
    assert neurockt.attach("run", "mmlu").run_dir == run / "attached" / "mmlu"
    monkeypatch.setenv("NEUROCKT_DIR", "elsewhere")
    with pytest.raises(RunNotFound):
        neurockt.attach("run", "mmlu")


@pytest.mark.slow
def test_a_name_that_a_live_process_has_is_refused(run: Path) -> None:
    """Whether that is another process or this one; once it is dead or has finished, the name is free."""
    holder = Process(EVALUATE, run, "mmlu", 1)
    assert holder.acknowledged() == 1
    with pytest.raises(RunInUse, match=f"process {holder.process.pid}"):
        neurockt.attach(run, "mmlu")
    neurockt.attach(run, "other").log({"acc": 1.0}, step=1)
    holder.kill()
    evaluation = neurockt.attach(run, "mmlu")
    evaluation.log({"acc": 2.0}, step=2)
    with pytest.raises(RunInUse, match=r", this one; attach under another name"):
        neurockt.attach(run, "mmlu")
    evaluation.finish()
    neurockt.attach(run, "mmlu").log({"acc": 3.0}, step=3)
    assert table(run, "mmlu")["acc"] == [1.0, 2.0, 3.0]


def test_of_two_that_begin_at_once_one_is_refused(run: Path) -> None:
    """By the first value at the latest."""
    first, second = neurockt.attach(run, "mmlu"), neurockt.attach(run, "mmlu")
    first.log({"acc": 1.0}, step=1)
    with pytest.raises(RunInUse):
        second.log({"acc": 2.0}, step=2)
    first.log({"acc": 3.0}, step=3)
    first.finish()
    assert table(run, "mmlu")["acc"] == [1.0, 3.0]


@pytest.mark.parametrize("name", ["attached", "attached/mmlu"])
def test_nothing_is_written_through_a_link(run: Path, tmp_path: Path, name: str) -> None:
    """It may lead anywhere, and readers ignore what is behind it."""
    (tmp_path / "elsewhere").mkdir()
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is a link"):
        neurockt.attach(run, "mmlu")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_in_its_place_is_left_alone(run: Path) -> None:
    (run / "attached").mkdir()
    (run / "attached" / "mmlu").write_text("text")
    with pytest.raises(UsageError, match="exists and is not a run"):
        neurockt.attach(run, "mmlu")
    assert (run / "attached" / "mmlu").read_text() == "text"


def test_of_the_ranks_of_an_evaluator_the_first_records(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may call the same lines."""
    first = neurockt.attach(run, "mmlu")
    first.log({"acc": 1.0}, step=1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    other = neurockt.attach(run, "mmlu")
    other.log({"acc": 2.0}, step=2)
    other.finish()
    first.finish()
    assert table(run, "mmlu")["acc"] == [1.0]
