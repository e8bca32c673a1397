"""How a run's end is told: real processes return, raise, exit and are killed, and their run is read afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from monitor.scripts import BEGIN, ENVIRONMENT, TEN, Script

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        ("train()", 0, ("finished", None, None)),
        ("train(); sys.exit(0)", 0, ("finished", None, None)),
        ("train(); sys.exit()", 0, ("finished", None, None)),
        ("train(); raise SystemExit(0)", 0, ("finished", None, None)),
        ("train(); sys.exit(3)", 3, ("failed", "exit 3", "SystemExit")),
        ("train(); raise SystemExit(3)", 3, ("failed", "exit 3", "SystemExit")),
        ("train(); raise SystemExit", 0, ("finished", None, None)),
        ("def main():\n    train()\n    return 3\nraise SystemExit(main())", 3, ("failed", "exit 3", "SystemExit")),
        ("train()\nwith recorder(train=True): raise SystemExit(3)", 3, ("failed", "exit 3", "SystemExit")),
        ("train(); exit(3)", 3, ("failed", "exit 3", "SystemExit")),
        ("from sys import exit as leave\ntrain(); leave(3)", 3, ("failed", "exit 3", "SystemExit")),
        ("train()\ntry: raise SystemExit(3)\nexcept SystemExit as e: print(e.code)", 0, ("finished", None, None)),
        ("train(); sys.exit('no data')", 1, ("failed", "exit 1", "SystemExit")),
        ("train()\ntry: 1 / 0\nexcept Exception: sys.exit(2)", 2, ("failed", "exception", "ZeroDivisionError")),
        ("train()\ntry: sys.exit(3)\nexcept SystemExit: train()", 0, ("finished", None, None)),
        ("train(); 1 / 0", 1, ("failed", "exception", "ZeroDivisionError")),
        ("train()\nwith recorder(train=True): 1 / 0", 1, ("failed", "exception", "ZeroDivisionError")),
        ("train()\ntry: 1 / 0\nexcept Exception: train()", 0, ("finished", None, None)),
        ("train(); bytes(2**62)", 1, ("failed", "out of memory", "MemoryError")),
        ("train(); call(signal.SIGINT)", -signal.SIGINT, ("failed", "KeyboardInterrupt", "KeyboardInterrupt")),
        ("train(); os._exit(0)", 0, ("killed", "killed", None)),
        ("train(); os._exit(5)", 5, ("killed", "killed", None)),
        ("train(); call(signal.SIGKILL)", -signal.SIGKILL, ("killed", "killed", None)),
        ("train(); os.abort()", -signal.SIGABRT, ("killed", "killed", None)),
    ],
)
def test_an_end_is_told(script: Script, ending: str, status: int, told: tuple[str, str | None, str | None]) -> None:
    """The exit status is what it is without recording, and the run says how it ended and why."""
    assert script.run(ending) == status, script.stderr
    assert script.told == told
    assert script.losses[:10] == TEN
    assert script.is_sealed == (told[0] != "killed")
    assert "Warning" not in script.stderr


def test_a_run_is_sealed_at_exit_where_pandas_is_installed(script: Script, tmp_path: Path) -> None:
    """pyarrow imports it in some of its functions; while the interpreter exits that fails. Here it always does."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pandas.py").write_text("raise RuntimeError('pandas is imported')\n")
    text = """
@recorder.metric("valid")
def valid(value):
    return value

train()
late = recorder.track_scalar("late")(float)
with recorder(train=True): late(1)
with recorder(train=False): valid(1.0)
"""
    assert script.run(text, PYTHONPATH=str(tmp_path / "modules")) == 0
    assert script.is_sealed, script.stderr
    assert "Warning" not in script.stderr


def test_the_exception_that_ends_a_training_thread_has_ended_the_run(script: Script) -> None:
    """Though the main thread exits in peace; its message and traceback are kept, and printed as ever."""
    ending = "def body():\n    train()\n    raise ValueError('in a thread')\n"
    assert script.run(f"{ending}t = threading.Thread(target=body); t.start(); t.join()") == 0
    assert script.told == ("failed", "exception", "ValueError")
    assert script.info.failure is not None
    assert "in body" in script.info.failure.traceback
    assert script.stderr.count("ValueError: in a thread") == 1


def test_an_exception_in_another_thread_is_not_the_runs(script: Script) -> None:
    """Only the thread that trains counts."""
    ending = "train(); t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join(); train()"
    assert script.run(ending) == 0
    assert script.told == ("finished", None, None)


def test_a_failing_test_or_cell_is_no_failing_run(script: Script, tmp_path: Path) -> None:
    """pytest catches what its tests raise: a run that another test left open has finished, not failed."""
    test = BEGIN.replace("sys.argv[1]", repr(str(tmp_path))).replace("SIGNAL = ", "SIGNAL = None and ")
    (tmp_path / "test_it.py").write_text(f"{test}\ndef test_train():\n    train()\ndef test_other():\n    1 / 0\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "test_it.py"],
        capture_output=True,
        env=ENVIRONMENT,
    )
    assert done.returncode == 1
    assert script.told == ("finished", None, None)


def test_a_child_that_the_kernel_kills_for_memory_is_the_cause(script: Script) -> None:
    """What the exception tells is that some worker has gone; the control group tells why."""
    cgroup = memory_cgroup()
    if cgroup is None:
        pytest.skip("needs a memory control group of one's own")
    try:
        ending = f"""
open({str(cgroup / "cgroup.procs")!r}, "w").write(str(os.getpid()))
train()
child = os.fork()
if not child:
    open("/proc/self/oom_score_adj", "w").write("1000")
    eaten = bytearray(400 * 2**20)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 9
raise RuntimeError("a worker has gone")
"""
        assert script.run(ending) == 1, script.stderr
        assert script.told == ("failed", "out of memory", "RuntimeError")
    finally:
        cgroup.rmdir()


def test_a_process_that_the_kernel_kills_for_memory_is_told_so(script: Script) -> None:
    """A reader on the same machine finds it in the control group, as long as that is there."""
    cgroup = memory_cgroup()
    if cgroup is None:
        pytest.skip("needs a memory control group of one's own")
    try:
        ending = f"""
open({str(cgroup / "cgroup.procs")!r}, "w").write(str(os.getpid()))
train()
eaten = bytearray(400 * 2**20)
"""
        assert script.run(ending) == -signal.SIGKILL
        assert script.told == ("killed", "out of memory", None)
        assert script.losses == TEN
    finally:
        cgroup.rmdir()


def memory_cgroup() -> Path | None:
    """A control group of 200 MiB below ours, where the system lets us make one."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    name = f"neurockt-test-{os.getpid()}-{time.monotonic_ns()}"
    for root, group, limit in (
        (Path("/sys/fs/cgroup/memory"), groups.get("memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), groups.get(""), "memory.max"),
    ):
        if group is None:
            continue
        made = root / group.lstrip("/") / name
        try:
            made.mkdir()
        except OSError:
            continue
        try:
            (made / limit).write_text(str(200 * 2**20))
            return made
        except OSError:
            made.rmdir()
    return None
