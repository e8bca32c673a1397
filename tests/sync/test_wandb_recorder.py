"""WandbRecorder: the run directory of a Recorder, the run in W&B while it is made, and training that nothing stops."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb_server import Fault, StoredRun, WandbServer, wait_until

import neurockt
from neurockt.errors import NeurocktWarning, UsageError
from neurockt.monitor.wandb import WandbRecorder
from neurockt.sync import client, live

from .conftest import Sync

MakeWandbRecorder = Callable[..., WandbRecorder]

SCRIPT = """
import random, sys, time
from neurockt.monitor{module} import {recorder} as Chosen
recorder = Chosen(sys.argv[1], run_id="run", project="digits", name="a name", config={{"lr": 0.1}}, tags=("t",),
                  notes="n", group="g"{more})

@recorder.track_scalar("loss")
def loss(value):
    return value

@recorder.metric("acc")
def accuracy(value):
    return value

numbers = random.Random(0)

def train(steps):
    for _ in range(steps):
        with recorder(train=True):
            loss(numbers.gauss(0, 1))
    with recorder(train=False):
        accuracy(numbers.random())

train(50)
train(50)
"""


def run_script(
    root: Path, ending: str = "", *, recorder: str = "WandbRecorder", more: str = "", arguments: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Train in a process of its own, and do ``ending``."""
    module = ".wandb" if recorder == "WandbRecorder" else ""
    script = SCRIPT.format(module=module, recorder=recorder, more=f", {more}" if more else "")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(
        [sys.executable, *arguments, "-c", script + ending, str(root)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=100,
    )


@pytest.fixture
def make_recorder(root: Path) -> Iterator[MakeWandbRecorder]:
    """Makes recorders in this process, which are finished when the test ends."""
    made: list[WandbRecorder] = []

    def make(**options: Any) -> WandbRecorder:
        made.append(WandbRecorder(root, **{"quiet": True, **options}))
        return made[-1]

    yield make
    for recorder in made:
        recorder.finish()


def train(recorder: WandbRecorder, steps: int = 50) -> None:
    """Record so many steps and a validation."""
    loss = recorder.track_scalar("loss")(float)
    accuracy = recorder.metric("acc")(float)
    for step in range(steps):
        with recorder(train=True):
            loss(random.random() + step)
    with recorder(train=False):
        accuracy(random.random())


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


def check_completed(sync: Sync, server: WandbServer, rows: int = 102) -> None:
    """A sync sends what W&B lacks, and each row is there once."""
    assert [(outcome.status, outcome.rows) for outcome in sync()] == [("complete", rows)]
    assert (server.only_run.is_exact, server.only_run.state) == (True, "finished")


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
    started = time.monotonic()
    check_one_warning(run_script(root), "cannot reach")
    assert time.monotonic() - started < 20
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
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=False)
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
    with subprocess.Popen(
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
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    wait_until(lambda: server.only_run.state == "failed")
    run = server.only_run
    assert (run.tags, len(run.rows), run.is_exact) == (["t", "preempted"], 153, True)


def test_finish_waits_within_bounds_and_says_so(server: WandbServer, root: Path, sync: Sync) -> None:
    """A server that takes everything and answers nothing: ``finish_timeout`` is how long."""
    server.faults = [Fault("hang", times=1000)]
    started = time.monotonic()
    done = run_script(root, more="settings={'finish_timeout': 2}")
    assert time.monotonic() - started < 15
    check_one_warning(done, "does not have the last rows after 2.0s")
    first, *_, last = [line for line in done.stderr.splitlines() if line.startswith("neurockt:")]
    assert first == "neurockt: the last rows go to W&B, for 2.0s at most; Ctrl-C leaves them here"
    assert last == f"neurockt: W&B does not have all of this run; 'neurockt sync {root}/run' sends the rest"
    server.stop()
    server.start()
    server.faults = []
    check_completed(sync, server)


@pytest.mark.parametrize("by", ["argument", "variable", "settings"])
@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_modes_that_send_nothing(
    mode: str,
    by: str,
    server: WandbServer,
    make_recorder: MakeWandbRecorder,
    sync: Sync,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both record the run; a sync of an offline run honours where it was to go."""
    if by == "variable":
        monkeypatch.setenv("WANDB_MODE", mode)
    options = {"argument": {"mode": mode}, "settings": {"settings": {"mode": mode}}, "variable": {}}[by]
    recorder = make_recorder(
        **options, project="p", entity="team", id="my id", job_type="train", tags=["a", "b"], name="n"
    )
    train(recorder)
    recorder.finish()
    assert recorder.url is None
    assert server.requests == []
    assert len(neurockt.open_run(recorder.run_dir).steps()) == 50
    assert sync()[0].status == "complete"
    run = server.only_run
    assert (run.project, run.tags, run.display_name, run.is_exact) == ("p", ["a", "b"], "n", True)
    if mode == "offline":
        assert (run.entity, run.job_type) == ("team", "train")
        assert run.name.startswith("my-id-")
    else:
        assert (run.entity, run.name) == ("tester", recorder.run_dir.name)


def test_where_the_run_is_to_go_is_honoured(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """Entity, id and job type have no place in a run directory, and are kept beside it for every sync."""
    recorder = make_recorder(project="p", entity="team", id="chosen", job_type="train")
    train(recorder)
    recorder.finish()
    run = server.only_run
    assert (run.entity, run.project, run.name, run.job_type) == ("team", "p", "chosen", "train")


def test_arguments_before_settings_before_the_environment(
    server: WandbServer, make_recorder: MakeWandbRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``wandb.init`` has it; the real ``wandb.Settings`` counts for what was set in it."""
    from wandb import Settings

    for name in ("PROJECT", "NAME", "NOTES", "TAGS"):
        monkeypatch.setenv(f"WANDB_{name}", "from,environment")
    settings = Settings(run_name="from settings", project="from settings", mode="offline")
    recorder = make_recorder(project="argument", settings=settings)
    train(recorder)
    info = neurockt.open_run(recorder.run_dir).info
    assert (info.project, info.name, info.notes) == ("argument", "from settings", "from,environment")
    assert info.tags == ("from", "environment")


def test_a_key_and_a_server_may_come_from_settings(
    server: WandbServer, make_recorder: MakeWandbRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in no file."""
    key, url = os.environ["WANDB_API_KEY"], os.environ["WANDB_BASE_URL"]
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    recorder = make_recorder(settings={"api_key": key, "base_url": url})
    train(recorder)
    recorder.finish()
    assert server.only_run.state == "finished"
    files = [path for path in recorder.run_dir.rglob("*") if path.is_file()]
    assert not [path for path in files if key.encode() in path.read_bytes()]


def test_a_config_may_be_a_file_and_be_chosen_from(make_recorder: MakeWandbRecorder, tmp_path: Path) -> None:
    """As for ``wandb.init``: YAML whose values may be wrapped, and keys to keep or to leave out."""
    path = tmp_path / "config.yaml"
    path.write_text("wandb_version: 1\nlr:\n  desc: rate\n  value: 0.1\nwidth: 3\nseed: 0\n")
    assert make_recorder(config=str(path), mode="offline").config == {"lr": 0.1, "width": 3, "seed": 0}
    assert make_recorder(config=str(path), config_exclude_keys=["seed"], mode="offline").config.keys() == {
        "lr",
        "width",
    }
    assert make_recorder(config={"a": 1, "b": 2}, config_include_keys=["b"], mode="offline").config == {"b": 2}
    for wrong, message in ((tmp_path / "none.yaml", "cannot read"), (Path(__file__), "no YAML|no mapping")):
        with pytest.raises(UsageError, match=message):
            make_recorder(config=wrong, mode="offline")


def test_whatever_wandb_init_takes_is_taken(make_recorder: MakeWandbRecorder) -> None:
    """Every argument of the installed SDK; one warning names those that ask for what is not done."""
    import inspect

    import wandb

    taken: dict[str, Any] = dict.fromkeys(inspect.signature(wandb.init).parameters)
    make_recorder(**{**taken, "mode": "offline", "reinit": True, "dir": "/nowhere", "force": False})
    with pytest.warns(NeurocktWarning, match="does nothing about sync_tensorboard=True$"):
        make_recorder(mode="offline", sync_tensorboard=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mode": "of"}, "'online', 'offline' or 'disabled'"),
        ({"resume": "perhaps"}, "no way to resume"),
        ({"settings": 3}, "a wandb.Settings or a dict"),
        ({"id": 3}, "is no text"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    wrong: dict[str, Any], message: str, make_recorder: MakeWandbRecorder
) -> None:
    """At the call that said it."""
    with pytest.raises(UsageError, match=message):
        make_recorder(**wrong)


def test_an_unknown_argument_is_an_error(make_recorder: MakeWandbRecorder) -> None:
    """As everywhere in Python."""
    with pytest.raises(TypeError, match="projct"):
        make_recorder(projct="p")


def test_without_the_sdk_there_is_a_sentence(server: WandbServer, root: Path) -> None:
    """It says what to install, and which mode does without."""
    absent = "import importlib.util as util; find = util.find_spec\n"
    absent += "util.find_spec = lambda name, *rest: None if name == 'wandb' else find(name, *rest)\n"
    script = absent + SCRIPT.format(module=".wandb", recorder="WandbRecorder", more="")
    done = subprocess.run([sys.executable, "-c", script, root], capture_output=True, text=True, check=False)
    assert "MissingExtra: W&B needs its SDK: pip install 'neurockt[wandb]'" in done.stderr
    done = subprocess.run([sys.executable, "-c", script.replace('"g"', '"g", mode="offline"'), root], check=False)
    assert done.returncode == 0


def test_workers_of_a_data_loader_are_no_runs(server: WandbServer, tmp_path: Path) -> None:
    """Spawned ones import the script, forked ones hold the recorder: there is one run, sent by one process."""
    script = tmp_path / "train.py"
    script.write_text(
        f"""
import torch
from torch.utils.data import DataLoader
from neurockt.monitor.wandb import WandbRecorder

recorder = WandbRecorder({str(tmp_path / "runs")!r}, run_id="run", quiet=True)

@recorder.track_scalar("loss")
def loss(batch):
    return batch.mean()

class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor(float(index))

if __name__ == "__main__":
    for context in ("spawn", "fork"):
        for batch in DataLoader(Data(), num_workers=1, multiprocessing_context=context):
            with recorder(train=True):
                loss(batch)
"""
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    run = server.only_run
    assert [row["loss"] for row in run.rows] == [0.0, 1.0, 2.0, 3.0] * 2
    assert (run.state, run.is_exact, server.requested("Viewer")) == ("finished", True, 1)


def test_a_fork_that_outlives_training_does_not_keep_the_process_alive(server: WandbServer, root: Path) -> None:
    """It inherits the pipes; the death of the process that trains is seen all the same."""
    ending = """
import os
while not recorder.url:
    time.sleep(0.01)
if os.fork() == 0:
    os.close(1), os.close(2)
    time.sleep(30)
    os._exit(0)
os.kill(os.getpid(), 9)
"""
    run_script(root, ending)
    wait_until(lambda: server.only_run.tags == ["t", "killed"])
    assert json.loads((root / "run" / "run.json").read_text())["state"] == "running"


def test_a_sync_at_the_same_time_does_no_harm(
    server: WandbServer, make_recorder: MakeWandbRecorder, sync: Sync, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both send the same lines to the same places."""
    monkeypatch.setattr(client, "FIRST_PAUSE_SECONDS", 0.02)
    recorder = make_recorder()
    for _ in range(5):
        train(recorder, 400)
        assert sync(running=True)[0].status == "running"
    recorder.finish()
    check_completed(sync, server, 2005)


def test_a_requeued_run_goes_on_in_wandb(server: WandbServer, make_recorder: MakeWandbRecorder, root: Path) -> None:
    """The next attempt sends its rows after those of the one before, to where that one's user wanted them."""
    first = make_recorder(run_id="run", project="p", id="chosen")
    train(first)
    first.finish()
    second = make_recorder(run_id="run", project="p")
    train(second)
    second.finish()
    run = server.only_run
    assert (run.name, run.project, run.state, len(run.rows), run.received) == ("chosen", "p", "finished", 102, 102)
    assert run.is_exact


def test_an_id_that_resumes_names_the_directory(server: WandbServer, make_recorder: MakeWandbRecorder) -> None:
    """As scripts do that W&B is to continue: ``id=`` and ``resume=`` are all it takes to continue both."""
    for _ in range(2):
        recorder = make_recorder(id="job-17", resume="allow")
        train(recorder)
        recorder.finish()
    assert recorder.run_dir.name == "job-17"
    assert (server.only_run.name, len(server.only_run.rows), server.only_run.is_exact) == ("job-17", 102, True)


RANKS = """
import os, sys, time
from neurockt.monitor.wandb import WandbRecorder

rank = int(os.environ["RANK"])
recorder = WandbRecorder(sys.argv[1], run_id="run", quiet=True, ranks=sys.argv[2])
loss = recorder.track_scalar("loss")(float)
for step in range(30):
    with recorder(train=True):
        loss(step + rank)
if rank == 1:
    time.sleep(1.5)
recorder.finish()
"""


@pytest.mark.parametrize(("ranks", "offset"), [("first", 0.0), ("all", 0.5)])
def test_ranks_are_one_run(ranks: str, offset: float, server: WandbServer, root: Path) -> None:
    """One process sends it, beside rank 0: its rows, or where each rank keeps its own, their means."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RANKS, root, ranks],
            env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"},
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    run = server.only_run
    assert [row["loss"] for row in run.rows] == [step + offset for step in range(30)]
    assert (run.state, run.is_exact, server.requested("Viewer")) == ("finished", True, 1)
