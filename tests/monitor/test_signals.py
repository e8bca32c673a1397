"""What signals and the time limit do to a run: real processes get them, and their run is read afterwards."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from live_run import wait_until
from monitor.scripts import NO_THREADS, TEN, Script

from neurockt import open_run

pytestmark = pytest.mark.slow

SIGNALS = ["SIGTERM", "SIGUSR1", "SIGUSR2"]

# Signals


@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_that_nobody_handles_ends_the_process_and_seals_the_run(script: Script, name: str) -> None:
    """With the wait status that it has without recording; everything recorded before is in Parquet."""
    assert script.run("train(); call(); time.sleep(60)", name) == -getattr(signal, name)
    assert script.told == ("preempted", name, None)
    assert script.losses == TEN
    assert script.is_sealed
    assert script.stderr == ""


@pytest.mark.parametrize("limit", ["", NO_THREADS])
def test_a_signal_while_the_interpreter_exits_seals_the_run(script: Script, limit: str) -> None:
    """Also where no thread can be started any more, as in Python 3.12.1, or by the system's limit."""
    text = f"train()\nimport atexit\natexit.register(call)\n{limit}"
    assert script.run(text, "SIGTERM") == -signal.SIGTERM
    assert script.told == ("preempted", "SIGTERM", None)
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
        process.communicate(timeout=120)
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
    wait_until(lambda: ") T " in Path(f"/proc/{process.pid}/stat").read_text(), "the process to stop")
    process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
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
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGTERM
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
assert type(SystemExit.__dict__["code"]).__name__ == "member_descriptor"
assert threading.active_count() == 1
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
from neurockt.store.base import files
signals.SEAL_SECONDS = 0.5
train()
files.publish = lambda *_: time.sleep(3600)
call(signal.SIGTERM)
"""
    assert script.run(text) == -signal.SIGTERM
    assert script.losses == TEN
    assert script.told[0] in ("preempted", "killed")


@pytest.mark.parametrize(("seconds", "state"), [(60.0, "finished"), (0.5, "preempted")])
def test_a_signal_while_the_run_is_being_sealed_waits_for_it(script: Script, seconds: float, state: str) -> None:
    """But not for ever: a disk that takes too long leaves the rows in the journal, and the signal written down."""
    text = f"""
from neurockt.store.writing.table_writer import TableWriter
signals.SEAL_SECONDS = {seconds}
train()
close = TableWriter.close
def slow_close(self, **options):
    call(signal.SIGTERM)
    for _ in range(2 if {seconds} > 1 else 1200):
        time.sleep(0.05)
    close(self, **options)
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
signal.signal(signal.SIGUSR1, lambda *_: None)
train()
call(signal.SIGUSR1)
signals.OUTLIVED_SECONDS = 0.0
train()
"""
    assert script.run(text) == 0, script.stderr
    assert script.told == ("finished", None, None)
