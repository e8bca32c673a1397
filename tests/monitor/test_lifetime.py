"""From the first row to the interpreter's exit: how a run begins and how its end is told, in real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import preloaded
import pytest

from neurockt import open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder
from neurockt.store.base.layout import RUN_FILE

pytestmark = pytest.mark.slow

SCRIPT = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=None)

@recorder.track_scalar("loss")
def loss(value):
    return value

for index in range(10):
    with recorder(train=True):
        loss(float(index))
"""


def train(root: Path, ending: str = "", *, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run a script that records ten steps and then does ``ending``."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return preloaded.run(
        [sys.executable, "-c", before + SCRIPT + ending, str(root)],
        env=environment,
        timeout=120,
    )


def test_a_script_that_ends_is_finished_without_being_told(tmp_path: Path) -> None:
    """No ``finish()``: the interpreter's exit seals the run."""
    done = train(tmp_path)
    run = open_run(tmp_path / "run")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert run.state == "finished"
    assert run.steps()["loss"].to_pylist() == [float(index) for index in range(10)]
    assert sorted(path.name for path in run.path.iterdir()) == ["epochs", "origin", "run.json", "steps"]


def test_an_exception_marks_the_run_failed_and_keeps_its_traceback(tmp_path: Path) -> None:
    """The script's own error is printed as ever; the run tells it too."""
    done = train(tmp_path, "raise ValueError('the data is gone')")
    info = open_run(tmp_path / "run").info
    assert done.returncode == 1
    assert "ValueError: the data is gone" in done.stderr
    assert info.state == "failed"
    assert info.failure is not None
    assert (info.failure.type, info.failure.message) == ("ValueError", "the data is gone")
    assert "Traceback" in info.failure.traceback
    assert info.steps.rows == 10


def test_an_exception_that_was_handled_does_not_fail_the_run(tmp_path: Path) -> None:
    """Only what ends the interpreter counts."""
    train(tmp_path, "\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    pass\n")
    assert open_run(tmp_path / "run").state == "finished"


def test_ctrl_c_marks_the_run_failed(tmp_path: Path) -> None:
    """A KeyboardInterrupt is an end like any exception."""
    train(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    info = open_run(tmp_path / "run").info
    assert info.state == "failed"
    assert info.failure is not None
    assert info.failure.type == "KeyboardInterrupt"


def test_a_killed_process_loses_no_row_and_is_told_killed(tmp_path: Path) -> None:
    """SIGKILL right after the last block: every row is there, and the state is inferred, not written."""
    done = train(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    run = open_run(tmp_path / "run")
    assert done.returncode == -signal.SIGKILL
    assert len(run.steps()) == 10
    assert run.state == "killed"
    assert json.loads((run.path / RUN_FILE).read_text())["state"] == "running"


def test_the_default_root_can_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``runs`` in the working directory, or ``$NEUROCKT_DIR``; a root that is given wins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NEUROCKT_DIR", raising=False)
    plain = Recorder()
    monkeypatch.setenv("NEUROCKT_DIR", str(tmp_path / "elsewhere"))
    assert plain.run_dir.parent == tmp_path / "runs"
    assert Recorder().run_dir.parent == tmp_path / "elsewhere"
    assert Recorder("here").run_dir.parent == tmp_path / "here"


@pytest.mark.parametrize("run_id", ["", "../up", "a/b", ".hidden", "a" * 129, "a\nb", "ü", 3])
def test_a_run_id_that_cannot_name_a_directory_is_refused(tmp_path: Path, run_id: Any) -> None:
    """No path tricks."""
    with pytest.raises(UsageError, match="cannot name a directory"):
        Recorder(tmp_path, run_id=run_id)


def test_the_config_may_grow_while_the_run_goes_on(make_recorder: Any) -> None:
    """What is added later is in the run, whatever JSON makes of it."""
    recorder = make_recorder(config={"lr": 1e-3, "path": Path("data"), "nan": float("nan")}, quiet=True)
    with recorder(train=True):
        pass
    recorder.config["late"] = [1, {"nested": (True, None)}]
    recorder.config.update(batch_size=32)
    del recorder.config["path"]
    recorder.finish()
    assert open_run(recorder.run_dir).config == {
        "lr": 1e-3,
        "nan": "NaN",
        "late": [1, {"nested": [True, None]}],
        "batch_size": 32,
    }


def test_what_describes_the_run_is_kept(make_recorder: Any) -> None:
    """Project, name, group, tags and notes."""
    recorder = make_recorder(
        project="digits", name="a näme", group="seeds", tags=["one", "two"], notes="two\nlines", quiet=True
    )
    with recorder(train=True):
        pass
    recorder.finish()
    info = open_run(recorder.run_dir).info
    assert (info.project, info.name, info.group, info.tags, info.notes) == (
        "digits",
        "a näme",
        "seeds",
        ("one", "two"),
        "two\nlines",
    )


def test_a_directory_that_cannot_be_made_does_not_stop_training(tmp_path: Path) -> None:
    """One warning that says what and where; the end prints how many rows were lost, also to who ignores warnings."""
    (tmp_path / "root").write_text("a file is in the way")
    done = train(tmp_path / "root", "print('trained')")
    assert (done.returncode, done.stdout) == (0, "trained\n")
    assert done.stderr.count("NeurocktWarning") == 1
    assert "cannot create" in done.stderr
    assert "lost 10 rows that could not be stored" in done.stderr
    done = train(tmp_path / "root", before="import warnings; warnings.filterwarnings('ignore')\n")
    assert done.stderr == f"neurockt: {tmp_path / 'root/run'}: lost 10 rows that could not be stored\n"


def test_a_fault_raises_under_pytest(make_recorder: Any, tmp_path: Path) -> None:
    """So that a broken set-up does not hide behind a green test."""
    (tmp_path / "runs").write_text("a file is in the way")
    recorder = make_recorder(quiet=True)
    with pytest.raises(OSError, match="runs"), recorder(train=True):
        pass
    (tmp_path / "runs").unlink()


def test_a_current_directory_that_has_been_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root is refused in a sentence; an absolute one is recorded to."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="the current directory has been removed: 'runs' has to be an absolute path"):
        Recorder("runs")
    recorder = Recorder(tmp_path / "runs", quiet=True, system_seconds=None)
    recorder.log({"loss": 1.0})
    recorder.finish()
    assert open_run(recorder.run_dir).steps().num_rows == 1
