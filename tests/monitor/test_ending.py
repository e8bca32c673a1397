"""How a run's end is told: real processes end in every way there is, and their run is read afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from neurockt import open_run
from neurockt.records import RunInfo
from neurockt.store.layout import part_paths

BEGIN = """
import os, signal, sys, threading, time
from neurockt.monitor import Recorder

recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
SIGNAL = getattr(signal, sys.argv[2]) if len(sys.argv) > 2 else None

@recorder.track_scalar("loss")
def loss(value):
    return value

def train(steps=10):
    for step in range(steps):
        with recorder(train=True):
            loss(float(step))

def call(signum=None):
    os.kill(os.getpid(), signum or SIGNAL)
"""

ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SLURM_", "NEUROCKT_"))
}


class Script:
    """A training script in a process of its own."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def start(self, text: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Run it; what it prints can be read while it runs."""
        command = [sys.executable, "-c", BEGIN + text, str(self._root), *arguments]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**ENVIRONMENT, **environment}
        )

    def run(self, text: str, *arguments: str, **environment: str) -> int:
        """Run it to its end; gives its exit status."""
        process = self.start(text, *arguments, **environment)
        self.stdout, self.stderr = process.communicate(timeout=60)
        return process.returncode

    @property
    def info(self) -> RunInfo:
        """The run as a reader sees it."""
        return open_run(self._root / "run").info

    @property
    def told(self) -> tuple[str, str | None, str | None]:
        """The run's state, the cause, and the exception."""
        info = self.info
        assert info.attempt is not None
        return info.state, info.attempt.cause, info.failure.type if info.failure else None

    @property
    def losses(self) -> list[float]:
        """What was recorded."""
        values: list[float] = open_run(self._root / "run").steps()["loss"].to_pylist()
        return values

    @property
    def is_sealed(self) -> bool:
        """Whether all of it is in Parquet."""
        run_dir = self._root / "run"
        return bool(part_paths(run_dir, "steps")) and not list(run_dir.glob("*.journal*"))


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Scripts whose run is in ``tmp_path``."""
    return Script(tmp_path)


TEN = [float(step) for step in range(10)]
SIGNALS = ["SIGTERM", "SIGUSR1", "SIGUSR2"]

# Exceptions and exits


@pytest.mark.parametrize(
    ("ending", "status", "told"),
    [
        ("train()", 0, ("finished", None, None)),
        ("train(); sys.exit(0)", 0, ("finished", None, None)),
        ("train(); sys.exit()", 0, ("finished", None, None)),
        ("train(); raise SystemExit(0)", 0, ("finished", None, None)),
        ("train(); sys.exit(3)", 3, ("failed", "exit 3", "SystemExit")),
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


# Signals


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_nobody_handles_ends_the_process_and_seals_the_run(script: Script, name: str) -> None:
    """With the wait status that it has without recording; everything recorded before is in Parquet."""
    assert script.run("train(); call(); time.sleep(60)", name) == -getattr(signal, name)
    assert script.told == ("preempted", name, None)
    assert script.losses == TEN
    assert script.is_sealed
    assert script.stderr == ""


def test_a_signal_amid_a_busy_loop_loses_no_row(script: Script) -> None:
    """Wherever it interrupts the recorder: within a row, a flush, or while columns are added."""
    text = """
train()
print("go", flush=True)
for number in range(10**9):
    with recorder(train=True):
        loss(float(number))
    os.write(1, b".")
    if number % 50 == 0 and number < 1000:
        recorder.track_scalar(f"late {number}")(float)
"""
    for moment in range(0, 8, 2):
        own = Script(script._root / str(moment))
        process = own.start(text)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.003 * moment)
        process.send_signal(signal.SIGTERM)
        seen = len(process.stdout.read())
        process.communicate(timeout=30)
        assert process.returncode == -signal.SIGTERM
        assert own.told == ("preempted", "SIGTERM", None)
        assert own.is_sealed
        losses = own.losses
        assert losses == TEN + [float(number) for number in range(len(losses) - 10)]
        assert seen <= len(losses) - 10 <= seen + 1


def test_a_stopped_job_that_is_continued_to_be_ended(script: Script) -> None:
    """SLURM preempts a suspended job by SIGCONT and SIGTERM."""
    process = script.start("train(); print('go', flush=True); time.sleep(60)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert script.told == ("preempted", "SIGTERM", None)
    assert script.is_sealed


def test_a_signal_to_a_main_thread_that_is_stuck_in_c_ends_the_process_too(script: Script) -> None:
    """As one that waits for a device or another rank; there no handler in Python can run."""
    text = """
train()
import ctypes
libc = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
print("go", flush=True)
libc.pthread_mutex_lock(mutex)  # waits for ever, whatever signals come
"""
    process = script.start(text)
    assert process.stdout is not None
    process.stdout.readline()
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert time.monotonic() - began < 8
    assert script.told == ("preempted", "SIGTERM", None)
    assert script.losses == TEN


@pytest.mark.parametrize("name", SIGNALS[:2])
@pytest.mark.parametrize("order", ["before", "after"])
def test_the_users_own_handler_runs_and_the_run_goes_on(script: Script, name: str, order: str) -> None:
    """Installed before the first row or after it: it is called once, and the run is preempted when it then ends."""
    install = "signal.signal(SIGNAL, lambda signum, frame: print('handled', signum, frame.f_code.co_name))\n"
    follow = """
while not type(signal.getsignal(SIGNAL)).__name__ == "_Handler":  # ours is put over it when a row has come
    train(1)
    time.sleep(0.01)
"""
    text = install + "train()\n" if order == "before" else "train()\n" + install + follow
    status = script.run(text + "before = recorder.step; call(); train(); assert recorder.step == before + 10", name)
    assert status == 0, script.stderr
    assert script.stdout.split()[:2] == ["handled", str(int(getattr(signal, name)))]
    assert script.stdout.count("handled") == 1
    assert script.told == ("preempted", name, None)
    assert script.losses[-10:] == TEN
    assert script.is_sealed


def test_a_handler_that_is_replaced_and_heard_of_nothing_is_called_all_the_same(script: Script) -> None:
    """In the moment before ours is put over it, it is the only one; the run cannot tell then."""
    text = "train(); signal.signal(SIGNAL, lambda *_: print('handled', flush=True)); call(); train()"
    assert script.run(text, "SIGUSR1") == 0
    assert script.stdout == "handled\n"
    assert script.losses == TEN * 2


@pytest.mark.parametrize(
    ("handler", "status", "told"),
    [
        ("sys.exit(0)", 0, ("preempted", "SIGTERM", None)),
        ("sys.exit(1)", 1, ("preempted", "SIGTERM", "SystemExit")),
        ("int('x')", 1, ("preempted", "SIGTERM", "ValueError")),
        ("os._exit(7)", 7, ("preempted", "SIGTERM", None)),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ("preempted", "SIGTERM", None)),
        ("(recorder.finish(), os._exit(0))", 0, ("preempted", "SIGTERM", None)),
        ("[signal.signal(15, signal.SIG_DFL), os.kill(os.getpid(), 15)]", -15, ("preempted", "SIGTERM", None)),
    ],
)
def test_however_the_users_handler_ends_the_process_the_run_is_preempted(
    script: Script, handler: str, status: int, told: tuple[str, str | None, str | None]
) -> None:
    """The signal is written down before the handler runs, so that even a process that is killed then has told."""
    text = f"signal.signal(signal.SIGTERM, lambda *_: {handler})\ntrain(); call(signal.SIGTERM); time.sleep(60)"
    assert script.run(text) == status, script.stderr
    assert script.told == told
    assert script.losses == TEN


def test_handlers_that_chain_to_what_they_found_do_not_end_the_process(script: Script) -> None:
    """A handler that is put over ours and calls it, as some frameworks do, still decides what happens."""
    text = """
train()
found = signal.getsignal(SIGNAL)
def handler(signum, frame):
    print("handled", flush=True)
    if callable(found):
        found(signum, frame)
signal.signal(SIGNAL, handler)
call()
train()
"""
    assert script.run(text, "SIGUSR1") == 0, script.stderr
    assert script.stdout == "handled\n"
    assert script.told == ("preempted", "SIGUSR1", None)
    assert script.losses == TEN * 2


def test_an_ignored_signal_stays_ignored(script: Script) -> None:
    """Before the first row or after it."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    assert script.run(ignore + "train(); call(signal.SIGTERM); train()") == 0
    assert script.told == ("finished", None, None)
    assert Script(script._root / "after").run("train(); " + ignore + "call(signal.SIGTERM); train()") == 0


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_handler_in_c_stays(script: Script, order: str) -> None:
    """faulthandler prints its traceback as ever."""
    register = "import faulthandler; faulthandler.register(signal.SIGUSR1)\n"
    text = register + "train()\n" if order == "before" else "train()\n" + register
    assert script.run(text + "call(signal.SIGUSR1); train()") == 0, script.stderr
    assert "most recent call first" in script.stderr
    assert script.told == ("finished", None, None)


def test_signals_are_as_they_were_when_the_run_has_finished(script: Script) -> None:
    """The handlers, the wakeup descriptor, ``sys.exit`` and the thread."""
    text = """
before = [signal.getsignal(s) for s in signal.Signals], sys.exit, threading.excepthook
train()
assert threading.active_count() > 1
recorder.finish()
assert before == ([signal.getsignal(s) for s in signal.Signals], sys.exit, threading.excepthook)
assert signal.set_wakeup_fd(-1) == -1
while threading.active_count() > 1:
    time.sleep(0.01)
call(signal.SIGTERM)
"""
    assert script.run(text) == -signal.SIGTERM, script.stderr
    assert script.told == ("finished", None, None)


def test_two_recorders_are_both_sealed(script: Script) -> None:
    """One signal ends both."""
    text = """
other = Recorder(sys.argv[1], run_id="other", quiet=True)
with other(train=True):
    pass
train()
call(signal.SIGTERM)
time.sleep(60)
"""
    assert script.run(text) == -signal.SIGTERM
    assert script.told == ("preempted", "SIGTERM", None)
    assert open_run(script._root / "other").state == "preempted"


def test_a_child_dies_of_its_own_signals_and_the_parent_goes_on(script: Script) -> None:
    """Forked children, such as a DataLoader's workers, have the default action back, and tell the parent nothing."""
    text = """
train()
child = os.fork()
if not child:
    time.sleep(60)
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
train()
"""
    assert script.run(text) == 0, script.stderr
    assert script.told == ("finished", None, None)


def test_a_disk_that_stands_still_does_not_keep_the_process_alive(script: Script) -> None:
    """Sealing has five seconds; the rows are in the journal, and the reader is told as much as was written."""
    text = """
from neurockt.monitor import _signals
from neurockt.store import files
_signals.SEAL_SECONDS = 0.5
train()
files.publish = lambda *_: time.sleep(3600)
began = time.monotonic()
call(signal.SIGTERM)
"""
    began = time.monotonic()
    assert script.run(text) == -signal.SIGTERM
    assert time.monotonic() - began < 10
    assert script.losses == TEN
    assert script.told[0] in ("preempted", "killed")


@pytest.mark.parametrize(("ticks", "state"), [(2, "finished"), (60, "preempted")])
def test_a_signal_while_the_run_is_being_sealed_waits_for_it(script: Script, ticks: int, state: str) -> None:
    """But not for ever: a disk that takes too long leaves the rows in the journal, and the signal written down."""
    text = f"""
from neurockt.monitor import _signals
from neurockt.store.table import TableWriter
_signals.SEAL_SECONDS = 1.0
train()
close = TableWriter.close
def slow_close(self):
    call(signal.SIGTERM)
    for _ in range({ticks}):
        time.sleep(0.05)
    close(self)
TableWriter.close = slow_close
recorder.finish()
time.sleep(60)
"""
    assert script.run(text) == -signal.SIGTERM
    assert (script.told[0], script.losses, script.is_sealed) == (state, TEN, state == "finished")


# The time limit


@pytest.mark.parametrize(
    ("name", "left", "cause"),
    [
        ("SIGUSR1", 90, "time limit"),
        ("SIGUSR1", 7200, "SIGUSR1"),
        ("SIGTERM", 0, "time limit"),
        ("SIGTERM", -60, "time limit"),
        ("SIGTERM", 1800, "SIGTERM"),
    ],
)
def test_a_signal_near_the_jobs_end_is_its_time_limit(script: Script, name: str, left: int, cause: str) -> None:
    """SLURM tells in the environment when that is."""
    end = str(int(time.time()) + left)
    assert script.run("train(); call(); time.sleep(60)", name, SLURM_JOB_END_TIME=end) == -getattr(signal, name)
    assert script.told == ("preempted", cause, None)


def test_a_run_that_outlives_a_signal_was_not_ended_by_it(script: Script) -> None:
    """A signal that only asked for a checkpoint, an hour ago."""
    text = """
from neurockt.monitor import _signals
signal.signal(signal.SIGUSR1, lambda *_: None)
train()
call(signal.SIGUSR1)
_signals.OUTLIVED_SECONDS = 0.0
train()
"""
    assert script.run(text) == 0, script.stderr
    assert script.told == ("finished", None, None)
