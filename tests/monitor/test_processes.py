"""Other processes of a training script: forked or spawned, they record nothing and leave the run's files alone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import preloaded
import pytest
from monitor.scripts import LOADERS

from neurockt import open_run
from neurockt.monitor import Recorder

pytestmark = pytest.mark.slow


def run_script(path: Path, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script from a file, as multiprocessing needs it."""
    path.write_text(text)
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return preloaded.run([sys.executable, path, *map(str, arguments)], env=environment, timeout=120)


def digests(run_dir: Path) -> dict[str, str]:
    """What every file of a run holds."""
    return {
        str(path.relative_to(run_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run_dir.rglob("*")
        if path.is_file()
    }


FORKS = """
import os, sys, traceback
from neurockt.monitor import Recorder
from neurockt.store.writing import timing

timing.default = timing.Timing(tick=3600.0)  # the parent's files stand still
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
ending = sys.argv[2]

@recorder.track_scalar("loss")
def loss(value):
    return value

def train(steps):
    for step in range(steps):
        with recorder(train=True):
            loss(float(step))

def in_child():
    train(10)
    with recorder(train=False):
        pass
    recorder.finish()
    if ending == "raise":
        raise RuntimeError("in the child")
    sys.exit(0)

def wait_for(child):
    before = digests()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (1 if ending == "raise" else 0), status
    assert digests() == before

def digests():
    return {path: open(path, "rb").read() for path, in map(lambda entry: [entry.path], os.scandir(recorder.run_dir))
            if os.path.isfile(path)}

train(3)
child = os.fork()
if not child:
    in_child()
wait_for(child)
with recorder(train=True):  # amid a block
    loss(3.0)
    child = os.fork()
    if not child:
        in_child()
    wait_for(child)
with recorder._writer.tables["steps"]._lock:  # amid the background thread's work
    child = os.fork()
    if not child:
        in_child()
wait_for(child)
train(1)
"""


@pytest.mark.parametrize("ending", ["exit", "raise"])
def test_a_forked_child_records_nothing_and_leaves_the_files_alone(tmp_path: Path, ending: str) -> None:
    """Whatever the parent was amid at the fork, and however the child ends, with or without handlers at its exit."""
    done = run_script(tmp_path / "script.py", FORKS, tmp_path, ending)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("RuntimeError: in the child") == (3 if ending == "raise" else 0)
    run = open_run(tmp_path / "run")
    assert (run.state, run.info.failure) == ("finished", None)
    assert run.steps()["loss"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 0.0]
    assert len(run.epochs()) == 0


MULTIPROCESSING = """
import multiprocessing, sys
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1] + "/parents", quiet=True)

@recorder.track_scalar("loss")
def loss(value):
    return value

def work(value):
    if recorder._session.life.name != "ELSEWHERE":
        return loss(value)
    with recorder(train=True):
        return loss(value)

def train(root):
    own = Recorder(root, run_id=f"run-{multiprocessing.current_process().name}", quiet=True)
    with own(train=True):
        own.track_scalar("loss")(float)(1.0)
    if "raises" in root:
        raise ValueError("the data is gone")
    if "exits" in root:
        sys.exit(3)

if __name__ == "__main__":
    for method in sys.argv[2:]:
        context = multiprocessing.get_context(method)
        with recorder(train=True):
            loss(1.0)
            with context.Pool(2) as pool:
                assert pool.map(work, [2.0, 3.0]) == [2.0, 3.0]
        for root in ("/children", "/raises", "/exits"):
            child = context.Process(target=train, args=(sys.argv[1] + root,), name=method)
            child.start()
            child.join()
    with recorder(train=True):
        loss(4.0)
"""


def test_children_of_multiprocessing_record_nothing_to_their_parents_run(tmp_path: Path) -> None:
    """However they are started. A recorder that a child makes is the child's own, and sealed when the child ends."""
    methods = ["fork", "spawn", "forkserver"]
    done = run_script(tmp_path / "script.py", MULTIPROCESSING, tmp_path, *methods)
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "parents").iterdir()
    run = open_run(run_dir)
    assert run.state == "finished"
    assert run.steps()["loss"].to_pylist() == [1.0] * len(methods) + [4.0]
    for method in methods:
        roots = ("children", "raises", "exits")
        finished, failed, exited = (open_run(tmp_path / root / f"run-{method}").info for root in roots)
        assert (finished.state, finished.steps.rows) == ("finished", 1)
        assert failed.state == exited.state == "failed"
        assert failed.failure is not None
        assert (failed.failure.type, failed.failure.message) == ("ValueError", "the data is gone")
        assert exited.attempt is not None
        assert exited.attempt.cause == "exit 3"


def test_persistent_data_loader_workers_record_nothing(tmp_path: Path) -> None:
    """Forked, also amid the run, or spawned, and though their dataset calls what is recorded."""
    pytest.importorskip("torch")
    (tmp_path / "script.py").write_text(LOADERS)
    done = preloaded.run([sys.executable, tmp_path / "script.py", tmp_path / "runs"], preload="torch")
    assert done.returncode == 0, done.stderr
    (run_dir,) = (tmp_path / "runs").iterdir()
    run = open_run(run_dir)
    assert run.state == "finished"
    assert run.steps()["loss"].to_pylist() == [0.0, 1.0, 2.0, 3.0] * 4


def test_a_training_loop_in_a_thread_is_recorded(recorder: Recorder) -> None:
    """Also one that begins in one thread and goes on in another."""
    loss = recorder.track_scalar("loss")(float)

    def train() -> None:
        for step in range(100):
            with recorder(train=True):
                loss(step)

    for _ in range(2):
        thread = threading.Thread(target=train)
        thread.start()
        thread.join()
    recorder.finish()
    assert open_run(recorder.run_dir).steps()["loss"].to_pylist() == [*map(float, range(100))] * 2
