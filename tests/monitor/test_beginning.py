"""A run whose beginning meets errors: training goes on, each costs one warning, and there is one run in the end."""

from __future__ import annotations

from pathlib import Path

import pytest
from monitor.scripts import NO_THREADS, TEN, Script

from neurockt import list_runs, open_run

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("options", ['run_id="run"', 'run_id="run", name="x"', ""])
def test_threads_that_cannot_be_started_do_not_stop_training(script: Script, options: str) -> None:
    """Rows wait until they can; there is one run then, with all rows."""
    text = f"""{NO_THREADS}
from neurockt.monitor.lifetime import session
session.RETRY_SECONDS = 0.0
recorder = Recorder(sys.argv[1], quiet=True{", " * bool(options)}{options})
loss = recorder.track_scalar("loss")(float)
for step in range(10):
    if step == 6:
        threading.Thread.start = start
    with recorder(train=True): loss(step)
"""
    assert script.run(text) == 0, script.stderr
    (info,) = list_runs(script._root)
    assert (info.state, info.dropped) == ("finished", 0)
    assert open_run(info.path).steps()["loss"].to_pylist() == [float(step) for step in range(10)]
    assert script.stderr.count("NeurocktWarning") == 1
    assert "can't start new thread" in script.stderr


@pytest.mark.parametrize("part", ["signals.listen", "system", "origin"])
def test_what_recording_does_not_depend_on_may_fail(script: Script, part: str) -> None:
    """The signals, the machine, where the run came from: a warning, and the rows are stored."""
    text = {
        "signals.listen": "from neurockt.monitor.lifetime import signals\nsignals.listen = broken\n",
        "system": "from neurockt.store.writing.run_writer import RunWriter\nRunWriter.sample = broken\n",
        "origin": "from neurockt.store.writing.run_writer import RunWriter\nRunWriter.store_origin = broken\n",
    }[part]
    begin = "def broken(*arguments): raise KeyError('what is broken')\n"
    assert script.run(f"{begin}{text}train(); train()") == 0, script.stderr
    assert script.told == ("finished", None, None)
    assert len(script.losses) == 20
    assert len(list_runs(script._root)) == 1
    assert script.stderr.count("NeurocktWarning") == 1


def test_rows_that_find_no_room_while_the_directory_is_missing_keep_their_numbers(script: Script) -> None:
    """``recorder.step`` goes on counting, and the rows after the gap have the right steps."""
    (script._root / "late").write_text("in the way")
    text = """
from neurockt.monitor.lifetime import row_queue, session
row_queue.WAITING_ROWS = 5
session.RETRY_SECONDS = 0.0
recorder = Recorder(sys.argv[1] + "/late", run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
while recorder.step < 12:
    with recorder(train=True): loss(recorder.step + 1)
os.unlink(sys.argv[1] + "/late")
while recorder.step < 15:
    with recorder(train=True): loss(recorder.step + 1)
"""
    assert script.run(text) == 0, script.stderr
    run = open_run(script._root / "late/run")
    rows = run.steps()
    assert rows["step"].to_pylist() == [1, 2, 3, 4, 5, 13, 14, 15]
    assert rows["loss"].to_pylist() == rows["step"].to_pylist()
    assert (run.state, run.info.dropped) == ("finished", 7)
    assert "lost 7 rows that could not be stored" in script.stderr


@pytest.mark.parametrize("is_in_the_way", [False, True])
def test_rows_of_log_wait_for_the_directory_too(script: Script, is_in_the_way: bool) -> None:
    """Those of each table; where it stays missing, all are counted."""
    (script._root / "late").write_text("in the way")
    text = f"""
recorder = Recorder(sys.argv[1] + "/late", run_id="run", quiet=True)
for step in 5, 6, 3:
    recorder.log({{"loss": step}}, step)
recorder.log({{"acc": 0.5}}, train=False)
{is_in_the_way} or os.unlink(sys.argv[1] + "/late")
"""
    assert script.run(text) == 0, script.stderr
    if is_in_the_way:
        assert "lost 4 rows that could not be stored" in script.stderr
    else:
        run = open_run(script._root / "late/run")
        assert [table.num_rows for table in (run.steps(), run.late(), run.epochs())] == [2, 1, 1]


@pytest.mark.parametrize("limit", ["", NO_THREADS])
def test_a_run_may_begin_while_the_interpreter_exits(script: Script, limit: str) -> None:
    """Also where no thread can be started any more, as in Python 3.12.1."""
    text = f"import atexit\natexit.register(recorder.finish)\natexit.register(train)\n{limit}"
    assert (script.run(text), script.stderr) == (0, "")
    assert script.told == ("finished", None, None)
    assert script.losses == TEN
    assert script.is_sealed
    assert open_run(script._root / "run").origin() is not None


@pytest.mark.parametrize("name", ["a) S 1 (b", "\udcff", "entraînement-é"])
def test_a_process_may_have_any_name(script: Script, name: str) -> None:
    """Linux cuts it after 15 bytes, where a character may be cut, too."""
    text = f"""
import ctypes
from neurockt import open_run
ctypes.CDLL(None).prctl(15, os.fsencode({name!r}), 0, 0, 0)
train()
print(open_run(recorder.run_dir).state)
"""
    assert (script.run(text), script.stdout, script.stderr) == (0, "running\n", "")
    assert script.losses == TEN


def test_a_metric_that_is_declared_while_rows_wait_is_in_later_rows(script: Script) -> None:
    """The rows before it have their own columns."""
    (script._root / "late").write_text("in the way")
    text = """
from neurockt.monitor.lifetime import session
session.RETRY_SECONDS = 0.0
recorder = Recorder(sys.argv[1] + "/late", run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
for step in range(2):
    with recorder(train=True): loss(step)
lr = recorder.track_scalar("lr")(float)
for step in range(2):
    with recorder(train=True): loss(step), lr(step)
os.unlink(sys.argv[1] + "/late")
with recorder(train=True): lr(5)
"""
    assert script.run(text) == 0, script.stderr
    rows = open_run(script._root / "late/run").steps()
    assert rows["loss"].to_pylist() == [0.0, 1.0, 0.0, 1.0, None]
    assert rows["lr"].to_pylist() == [None, None, 0.0, 1.0, 5.0]


def test_every_kind_of_fault_is_reported_once(script: Script) -> None:
    """A closed stdout does not hide a row that could not be written."""
    text = """
from neurockt.store.writing import appending
recorder = Recorder(sys.argv[1], run_id="both")
valid = recorder.metric("valid")(float)
real, sys.stdout = sys.stdout, open(os.devnull, "w")
sys.stdout.close()
def validate():
    with recorder(train=False): valid(1)
validate(); validate()
write = appending.write
def refuse(*arguments): raise OSError(28, "No space left on device")
appending.write = refuse
validate(); validate()
appending.write = write
"""
    assert script.run(text) == 0, script.stderr
    assert script.stderr.count("cannot print the table") == 1
    assert script.stderr.count("a row could not be written") == 1


def test_the_table_is_printed_though_nothing_can_be_stored(script: Script, tmp_path: Path) -> None:
    """Warnings off and a directory that cannot be made: the validations' lines, and the number of lost rows."""
    (tmp_path / "root").write_text("in the way")
    text = """
import warnings; warnings.filterwarnings("ignore")
recorder = Recorder(sys.argv[1] + "/root")
valid = recorder.metric("valid")(float)
for _ in range(2):
    with recorder(train=True): pass
    with recorder(train=False): valid(0.5)
"""
    assert script.run(text) == 0, script.stderr
    assert script.stdout.split() == ["valid", "0.5000", "0.5000"]
    assert "lost 4 rows that could not be stored" in script.stderr


def test_ctrl_c_while_the_run_begins_leaves_one_run(script: Script) -> None:
    """The next row begins it again, in the same directory."""
    text = """
from neurockt.store.writing.run_writer import RunWriter
create = RunWriter._create_table
def interrupted(*arguments):
    RunWriter._create_table = create
    raise KeyboardInterrupt
RunWriter._create_table = interrupted
try: train(1)
except KeyboardInterrupt: print("interrupted")
train()
"""
    assert script.run(text) == 0, script.stderr
    assert script.stdout == "interrupted\n"
    assert script.told == ("finished", None, None)
    assert script.losses[-10:] == TEN
    assert len(list_runs(script._root)) == 1
