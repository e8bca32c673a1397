"""WandbRecorder: the run directory of a Recorder, the run in W&B while it is made, and training that nothing stops."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import preloaded
import pytest
from sync.recording import SCRIPT, check_completed, run_script, train
from wandb_server import Fault, StoredRun, WandbServer, wait_until

import neurockt
from neurockt.errors import NeurocktWarning
from neurockt.monitor.wandb import WandbRecorder
from neurockt.sync import live

from .conftest import MakeWandbRecorder, Sync

pytestmark = pytest.mark.slow


def the_process(recorder: WandbRecorder) -> subprocess.Popen[bytes]:
    """The one that sends the run."""
    assert recorder._uploader is not None
    wait_until(lambda: recorder._uploader and recorder._uploader._process)
    assert recorder._uploader._process is not None
    return recorder._uploader._process


def test_the_recorders_swap(server: WandbServer, root: Path) -> None:
    """The same script records and prints the same with either, and with one of them the run is in W&B too."""
    plain = run_script(root / "plain", recorder="Recorder")
    live = run_script(root / "live")
    assert (plain.returncode, live.returncode, live.stdout) == (0, 0, plain.stdout)
    assert plain.stdout.count("\n") == 3
    one, other = (neurockt.open_run(root / name / "run") for name in ("plain", "live"))
    for table in ("steps", "epochs"):
        assert getattr(one, table)().drop(["time"]) == getattr(other, table)().drop(["time"])
    assert {path.name for path in other.path.iterdir()} == {path.name for path in one.path.iterdir()} | {"wandb.json"}
    described = ("project", "name", "config", "tags", "notes", "group", "state")
    assert [getattr(one.info, what) for what in described] == [getattr(other.info, what) for what in described]
    run = server.only_run
    assert (run.project, run.display_name, run.tags, run.notes, run.group) == ("digits", "a name", ["t"], "n", "g")
    assert (run.state, run.is_exact, len(run.rows), run.config["lr"]) == ("finished", True, 102, {"value": 0.1})
    assert live.stderr.splitlines()[-1] == f"neurockt: W&B has all 102 rows: {server.url}/tester/digits/runs/run"
    assert "Warning" not in live.stderr


def test_both_axes_are_defined(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """Training metrics are drawn over steps, validations over epochs."""
    recorder = make_recorder()
    train(recorder)
    recorder.finish()
    metrics = server.only_run.config["_wandb"]["value"]["m"]
    axes = {metric["1"]: metrics[metric["5"] - 1]["1"] for metric in metrics if "5" in metric}
    assert axes == {"loss": "step", "acc": "epoch"}


def test_rows_are_there_while_the_run_goes_on(
    server: WandbServer, make_recorder: MakeWandbRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Look after look, what is new is sent, also what is told of the run; without anything new, a sign of life."""
    recorder = make_recorder(mode="offline", config={"early": 1})
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.05)
    train(recorder, 10)
    following = live.Live(recorder.run_dir)
    thread = threading.Thread(target=following.follow)
    thread.start()
    wait_until(lambda: server.runs and len(server.only_run.rows) == 11)
    beats = server.requested("file_stream")
    wait_until(lambda: server.requested("file_stream") > beats + 2)
    assert (server.only_run.received, server.only_run.state) == (11, "running")
    recorder.config["late"] = 2
    wait_until(lambda: "late" in server.only_run.config)
    train(recorder, 10)
    wait_until(lambda: len(server.only_run.rows) == 22)
    recorder.finish()
    following.end()
    thread.join()
    run = server.only_run
    assert (run.state, run.received, run.is_exact) == ("finished", 22, True)


def test_the_process_is_begun_by_the_first_row(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """It shows the run, and the recorder says where."""
    recorder = make_recorder(project="digits")
    assert recorder._uploader is None
    train(recorder)
    wait_until(lambda: recorder.url)
    assert recorder.url == f"{server.url}/tester/digits/runs/{recorder.run_dir.name}"
    assert server.only_run.state == "running"


def check_one_warning(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """The script went through, and was told of one thing."""
    assert (done.returncode, done.stdout.count("\n")) == (0, 3), done.stderr
    assert done.stderr.count("NeurocktWarning") == 1, done.stderr
    assert all(word in done.stderr for word in (*words, "Training goes on", "neurockt sync")), done.stderr


@pytest.mark.parametrize(("key", "word"), [("x" * 40, "refuses the API key"), ("", "no API key")])
def test_a_bad_key_is_one_warning(
    key: str, word: str, server: WandbServer, root: Path, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is recorded; with a good key, sync sends it."""
    with monkeypatch.context() as patch:
        patch.setenv("WANDB_API_KEY", key)
        check_one_warning(run_script(root), word)
    assert neurockt.open_run(root / "run").state == "finished"
    check_completed(sync, server)


def test_no_network_is_one_warning(server: WandbServer, root: Path, sync: Sync) -> None:
    """The end of training does not wait for what never answered."""
    server.stop()
    check_one_warning(run_script(root), "cannot reach")
    server.start()
    check_completed(sync, server)


def test_a_server_that_dies_mid_run_is_one_warning(
    server: WandbServer, make_recorder: MakeWandbRecorder, sync: Sync
) -> None:
    """What it has is kept, the rest comes later, each row once."""
    recorder = make_recorder()
    train(recorder)
    wait_until(lambda: recorder.url)
    server.stop()
    train(recorder)
    with pytest.warns(NeurocktWarning, match="cannot reach") as told:
        recorder.finish()
    assert len(told) == 1
    assert len(neurockt.open_run(recorder.run_dir).steps()) == 100
    server.start()
    check_completed(sync, server)
    assert server.only_run.received == 102


def test_a_process_that_is_killed_is_one_warning(
    server: WandbServer, make_recorder: MakeWandbRecorder, sync: Sync
) -> None:
    """SIGKILL of what sends the run: training goes on, nothing waits, and sync sends the rest."""
    recorder = make_recorder()

    def lose_it_amid_training() -> None:
        train(recorder)
        the_process(recorder).kill()
        assert recorder._uploader is not None
        wait_until(recorder._uploader._over.is_set)
        train(recorder)
        recorder.finish()

    with pytest.warns(NeurocktWarning, match="has ended") as told:
        lose_it_amid_training()
    assert len(told) == 1
    assert recorder.step == 100
    check_completed(sync, server)


def test_a_process_that_cannot_be_started_is_one_warning(server: WandbServer, root: Path, sync: Sync) -> None:
    """Some nodes allow none."""
    broken = "import sys; sys.executable = '/nowhere/python'\n"
    script = broken + SCRIPT.format(module=".wandb", recorder="WandbRecorder", more="")
    done = preloaded.run([sys.executable, "-c", script, root])
    check_one_warning(done, "cannot start")
    check_completed(sync, server)


def test_training_that_is_killed_is_told(server: WandbServer, root: Path) -> None:
    """The process that sends the run outlives it for as long as it takes to say so, and no longer."""
    ending = "import os, signal; os.write(1, b'%d' % recorder._uploader._process.pid); os.kill(os.getpid(), 9)"
    wait = "\nwhile not recorder.url: time.sleep(0.01)\n"
    done = run_script(root, wait + ending)
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: server.only_run.state == "failed")
    run = server.only_run
    assert run.tags == ["t", "killed"]
    assert (run.is_exact, len(run.rows)) == (True, 102)
    pid = int(done.stdout.splitlines()[-1])
    wait_until(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())


LIVE = """
import sys
from neurockt.monitor import Recorder
recorder = Recorder(sys.argv[1], run_id="live", quiet=True)
loss = recorder.track_scalar("loss")(float)
for step in range(10):
    with recorder(train=True):
        loss(step)
print("ready", flush=True)
sys.stdin.read()
"""


def test_training_that_dies_amid_the_last_look_is_looked_at_again(server: WandbServer, root: Path) -> None:
    """A process that dies closes its pipes before it is seen to be dead: that it seemed to live is no last word."""
    with preloaded.Popen(
        [sys.executable, "-c", LIVE, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "ready\n"
        follower = live.Live(root / "live")
        follower.end()

        def die(run: StoredRun) -> None:
            training.kill()
            training.wait()
            follower._parent = -1

        server.on_history = die
        assert follower.follow()
    assert (server.only_run.state, server.only_run.tags, len(server.only_run.rows)) == ("failed", ["killed"], 10)


def test_ctrl_c_reaches_training_alone(server: WandbServer, root: Path) -> None:
    """The end is told: W&B shows the run as failed, with all of its rows."""
    done = run_script(root, "import os, signal; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")
    assert "KeyboardInterrupt" in done.stderr
    run = server.only_run
    assert (run.state, run.tags, run.is_exact, len(run.rows)) == ("failed", ["t", "failed"], True, 102)
    assert run.config["neurockt"]["value"]["failure"]["type"] == "KeyboardInterrupt"


def test_preemption_is_told(server: WandbServer, root: Path) -> None:
    """SIGTERM to all processes of the job, as SLURM sends it: training ends at once, and W&B gets all of the run."""
    ending = """
import os, signal
while not recorder.url:
    time.sleep(0.01)
train(50)
os.kill(recorder._uploader._process.pid, signal.SIGTERM)
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
"""
    done = run_script(root, ending)
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, f"neurockt: recording {root}/run\n")
    wait_until(lambda: server.only_run.state == "failed")
    run = server.only_run
    assert (run.tags, len(run.rows), run.is_exact) == (["t", "preempted"], 153, True)


def test_finish_waits_within_bounds_and_says_so(server: WandbServer, root: Path, sync: Sync) -> None:
    """A server that takes everything and answers nothing: ``finish_timeout`` is how long."""
    server.faults = [Fault("hang", times=1000)]
    done = run_script(root, more="settings={'finish_timeout': 2}")
    check_one_warning(done, "does not have the last rows after 2s")
    _, first, *_, last = [line for line in done.stderr.splitlines() if line.startswith("neurockt:")]
    assert first == "neurockt: sending the last rows to W&B, for 2s at most; Ctrl-C leaves them here"
    assert last == f"neurockt: W&B does not have all of this run; 'neurockt sync {root}/run' sends the rest"
    server.stop()
    server.start()
    server.faults = []
    check_completed(sync, server)


def test_without_requests_there_is_a_sentence(server: WandbServer, root: Path) -> None:
    """It says what to install, and which mode does without."""
    absent = "import importlib.util as util; find = util.find_spec\n"
    absent += "util.find_spec = lambda name, *rest: None if name == 'requests' else find(name, *rest)\n"
    script = absent + SCRIPT.format(module=".wandb", recorder="WandbRecorder", more="")
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=False)
    assert "MissingExtra: sending a run to W&B needs the package requests: pip install 'neurockt[wandb]'" in done.stderr
    done = subprocess.run([sys.executable, "-c", script.replace('"g"', '"g", mode="offline"'), root], check=False)
    assert done.returncode == 0


def test_what_is_logged_is_live_when_its_row_is_final(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """Rows of steps that jump, validations and late ones; each once, and all at the end."""
    recorder = make_recorder()
    for step in range(0, 500, 10):
        recorder.log({"loss": 1 / (step + 1)}, step)
        recorder.log({"lr": 0.1}, step)
        if step % 100 == 0:
            recorder.log({"val": {"acc": 0.5}}, step, train=False)
    recorder.log({"loss": 0.25}, step=5)
    wait_until(lambda: server.runs and len(server.only_run.rows) >= 50)
    recorder.log({"loss": 0.0}, step=10**9)
    recorder.finish()
    run = server.only_run
    assert (run.state, run.is_exact) == ("finished", True)
    losses = {row["step"]: row["loss"] for row in run.rows if "loss" in row}
    assert losses == {**{step: 1 / (step + 1) for step in range(0, 500, 10)}, 5: 0.25, 10**9: 0.0}
    assert sum("val/acc" in row for row in run.rows) == 5
