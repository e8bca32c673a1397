"""What the machine does, sampled into `system`: real processes, and NVIDIA's own bindings over a stand-in driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_run import wait_until

from neurockt import open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder
from neurockt.store.recovery.sealing import seal_run
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing

pytest.importorskip("psutil")
pytest.importorskip("pynvml")

pytestmark = pytest.mark.slow

HOST = ["cpu_percent", "machine_cpu_percent", "memory_gib", "machine_memory_percent"]

PREAMBLE = """
import sys, time
from neurockt.monitor import Recorder
from neurockt.store.writing import timing
timing.default = timing.Timing(tick=0.005, first_sample=0.02, heartbeat=0.02, first_heartbeat=0.02, seal=0.1)
"""


def run_python(code: str, *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, in a process of its own; without the variables that pytest leaves."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CUDA_"))}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**variables, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first sample comes at once."""
    monkeypatch.setattr(timing, "default", Timing(first_sample=0.02))


def steps(recorder: Recorder) -> Callable[[], None]:
    loss = recorder.track_scalar("loss")(float)

    def step() -> None:
        with recorder(train=True):
            loss(1.0)

    return step


def test_samples_come_while_the_run_goes_on(tmp_path: Path, soon: None) -> None:
    """Each with the last step and the epoch at that moment; `run.json` sums them up at the end."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=0.05)
    step = steps(recorder)
    step()
    run = open_run(recorder.run_dir)
    wait_until(lambda: len(run.system()) >= 2, "two samples")
    for _ in range(9):
        step()
    with recorder(train=False):
        pass
    wait_until(lambda: run.system()["epoch"].to_pylist()[-1] == 2, "a sample of the second epoch")
    recorder.finish()
    rows = run.system()
    columns, gpus = rows.column_names[:8], rows.column_names[8:]
    assert columns == ["sample", "step", "epoch", "time", *HOST]
    assert all(name.startswith("gpu") for name in gpus)  # where this machine has any
    assert rows["sample"].to_pylist() == list(range(1, len(rows) + 1))
    assert (rows["step"][0].as_py(), rows["epoch"][0].as_py()) == (1, 1)
    assert (rows["step"][-1].as_py(), rows["epoch"][-1].as_py()) == (10, 2)
    for name in HOST:
        assert all(value is not None and value >= 0 for value in rows[name].to_pylist())
    assert run.info.system.rows == len(rows)
    assert run.info.system.columns["memory_gib"].max == max(rows["memory_gib"].to_pylist())
    assert (recorder.run_dir / "system" / "part-00000.parquet").exists()
    assert not (recorder.run_dir / "system.journal").exists()


CHILD = """
import sys, time
held = b"x" * (300 * 2**20)
print("ready", flush=True)
sys.stdin.read()
begun = time.process_time()  # memory takes processor time too, on a busy machine most of a second
while time.process_time() - begun < 0.6:
    pass
"""

PARENT = """
import json, subprocess, sys, time
from neurockt.monitor.context.system import system_reader
read = system_reader()
readings = [read()]
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
began = time.monotonic()
readings.append(read())
child.communicate()
readings.append(read())
print(json.dumps([readings, time.monotonic() - began]))
"""


def test_children_count() -> None:
    """A child's memory while it lives, and its processor time also after it has ended."""
    done = run_python(PARENT, CHILD)
    assert not done.stderr
    (before, with_child, after), seconds = json.loads(done.stdout)
    assert "cpu_percent" not in before  # a rate needs two readings
    assert with_child["memory_gib"] - before["memory_gib"] > 0.29
    assert after["memory_gib"] < with_child["memory_gib"] - 0.29
    assert after["cpu_percent"] * seconds / 100 > 0.45


GPUS = """
import json, os, sys
from neurockt.monitor.context.gpus import Gpus, import_nvml
found = []
for wanted in json.loads(sys.argv[1]):
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if wanted is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = wanted
    gpus = Gpus(import_nvml())
    found.append((gpus.names(), dict(gpus.measures())))
print(json.dumps(found))
"""

FIRST, SECOND, SLICE = "Fake H100", "Fake A100", "Fake A100 MIG 1g.5gb"


def test_the_visible_gpus_are_counted_as_cuda_counts_them(driver: Path) -> None:
    """``CUDA_VISIBLE_DEVICES`` by number, by the beginning of an identifier, by slice; what follows an unknown goes."""
    expected: list[tuple[str | None, list[str]]] = [
        (None, [FIRST, SECOND]),
        ("", []),
        ("-1", []),
        ("1", [SECOND]),
        ("1, 0", [SECOND, FIRST]),
        ("0,7,1", [FIRST]),
        ("GPU-bbbb", [SECOND]),
        ("GPU-bbbb2222-0000,GPU-aaaa1111-0000", [SECOND, FIRST]),
        ("MIG-cccc3333-0000", [SLICE]),
        ("MIG-GPU-bbbb2222-0000/1/0", [SECOND]),
        ("NoDevFiles", []),
    ]
    done = run_python(GPUS, json.dumps([wanted for wanted, _ in expected]), LD_LIBRARY_PATH=str(driver))
    assert not done.stderr
    found = json.loads(done.stdout)
    assert [names for names, _ in found] == [names for _, names in expected]
    assert found[0][1] == {
        "gpu0_util_percent": 50.0,
        "gpu0_memory_gib": 10.0,
        "gpu0_power_w": 300.5,
        "gpu0_temperature_c": 60.0,
        "gpu1_util_percent": 51.0,
        "gpu1_memory_gib": 11.0,
        "gpu1_power_w": 301.5,
        "gpu1_temperature_c": 61.0,
    }
    assert found[3][1]["gpu0_temperature_c"] == 61.0  # the second GPU is this process's first
    assert found[8][1] == {"gpu0_memory_gib": 12.0}  # of a slice the driver tells no more


def test_a_gpu_that_is_lost_leaves_the_others(driver: Path) -> None:
    """Its figures are left out."""
    done = run_python(GPUS, "[null]", LD_LIBRARY_PATH=str(driver), FAKE_NVML_LOST="1")
    [(_, measures)] = json.loads(done.stdout)
    assert set(measures) == {f"gpu1_{name}" for name in ("util_percent", "memory_gib", "power_w", "temperature_c")}


HANGING = (
    PREAMBLE
    + """
from neurockt import open_run
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=0.01)
while not recorder.run_dir.exists() or open_run(recorder.run_dir).info.heartbeat < 5:
    with recorder(train=True):
        pass
recorder.finish()
"""
)


def test_a_driver_that_hangs_delays_nothing(driver: Path, tmp_path: Path) -> None:
    """Neither heartbeats nor sealing nor the end of the run and of the process; nothing is said."""
    done = run_python(HANGING, tmp_path, LD_LIBRARY_PATH=str(driver), FAKE_NVML_SECONDS="3600")
    assert (done.returncode, done.stderr) == (0, "")
    assert open_run(tmp_path / "run").state == "finished"


SHORT = (
    PREAMBLE
    + """
for name in sys.argv[2].split():
    sys.modules[name] = None
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=eval(sys.argv[3]))
with recorder(train=True):
    pass
import threading
threads = [thread.name for thread in threading.enumerate()]
print(*threads)
while "neurockt-system" in threads and not (recorder.run_dir / "system").exists():
    time.sleep(0.001)
recorder.finish()
"""
)


@pytest.mark.parametrize(
    ("absent", "seconds", "columns"),
    [
        ("psutil pynvml", "0.01", None),
        ("psutil", "0.01", ["gpu0_util_percent", "gpu1_util_percent"]),
        ("pynvml", "0.01", ["cpu_percent"]),
        ("", "0", None),
        ("", "None", None),
    ],
)
def test_absent_means_absent(
    driver: Path, tmp_path: Path, absent: str, seconds: str, columns: list[str] | None
) -> None:
    """Without a package its columns are not there, without both, or when turned off, no table and no thread."""
    done = run_python(SHORT, tmp_path, absent, seconds, LD_LIBRARY_PATH=str(driver))
    assert (done.returncode, done.stderr) == (0, "")
    assert ("neurockt-system" in done.stdout) == (columns is not None)
    rows = open_run(tmp_path / "run").system()
    assert (tmp_path / "run" / "system").exists() == (columns is not None)
    assert [name for name in rows.column_names if "util" in name or name == "cpu_percent"] == (columns or [])


def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    """And says nothing of it."""
    (tmp_path / "libnvidia-ml.so.1").write_text("hides the one that this machine may have")
    done = run_python(GPUS, "[null]", LD_LIBRARY_PATH=str(tmp_path))
    assert (done.stdout, done.stderr) == ("[[[], {}]]\n", "")


KILLED = (
    PREAMBLE
    + """
import os, signal
from neurockt import open_run
recorder = Recorder(sys.argv[1], run_id="run", quiet=True, system_seconds=0.01)
wanted = int(sys.argv[2]) + (len(open_run(recorder.run_dir).system()) if recorder.step else 0)
with recorder(train=True):
    pass
while len(open_run(recorder.run_dir).system()) < wanted:
    time.sleep(0.001)
os.kill(os.getpid(), signal.SIGKILL)
"""
)


def test_samples_survive_a_kill(tmp_path: Path) -> None:
    """What a reader saw is there after SIGKILL, and after `neurockt seal`, from the first on."""
    assert run_python(KILLED, tmp_path, 15).returncode == -signal.SIGKILL
    run = open_run(tmp_path / "run")
    rows = run.system()
    assert rows["sample"].to_pylist() == list(range(1, len(rows) + 1))
    assert len(rows) >= 15
    seal_run(run.path)
    assert run.system().equals(rows)


def test_samples_count_on_in_a_run_that_is_continued(tmp_path: Path) -> None:
    """The next attempt's follow the last one's, and each attempt tells where it came from."""
    for attempt in (1, 2, 3):
        assert run_python(KILLED, tmp_path, 5, attempt).returncode == -signal.SIGKILL
    run = open_run(tmp_path / "run")
    rows = run.system()
    assert rows["sample"].to_pylist() == list(range(1, len(rows) + 1))
    assert len(rows) >= 15
    assert rows["step"].to_pylist() == sorted(rows["step"].to_pylist())
    assert rows["step"][-1].as_py() == 3
    for attempt in (1, 2, 3):
        if (origin := run.origin(attempt)) is not None:  # the kill may have come first
            assert origin.command[-1] == str(attempt)


def test_an_error_ends_the_sampling_and_nothing_else(tmp_path: Path, soon: None) -> None:
    """It is told once; the rows so far are kept."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=None)
    step = steps(recorder)
    step()
    answers: Iterator[dict[str, float]] = iter([{}, {"a": 1.0}, {"a": 2.0, "b": 3.0}])
    recorder._writer.sample(lambda: next(answers), 0.01)
    wait_until(lambda: recorder._session.faults._kept is not None, "the fault")
    step()
    with pytest.raises(StopIteration):
        recorder.finish()
    run = open_run(recorder.run_dir)
    assert len(run.steps()) == 2
    assert run.system(["a", "b"]).to_pydict() == {"a": [1.0, 2.0], "b": [None, 3.0]}


def test_a_forked_child_samples_nothing(tmp_path: Path, soon: None) -> None:
    """The table is the parent's."""
    recorder = Recorder(tmp_path, quiet=True, system_seconds=0.01)
    steps(recorder)()
    child = os.fork()
    if child == 0:  # pragma: no cover
        os._exit(len(threading.enumerate()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    recorder.finish()


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), "often"])
def test_a_wrong_interval_is_refused(tmp_path: Path, seconds: Any) -> None:
    """At the call that made it."""
    with pytest.raises(UsageError, match="system_seconds"):
        Recorder(tmp_path, system_seconds=seconds)
