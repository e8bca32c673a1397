"""The life of a run within a process: trials one after the other, ``with Recorder()``, and nothing left behind."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from leftovers import nothing_left
from monitor.scripts import TEN, Script

from neurockt import list_runs, open_run
from neurockt.errors import UsageError
from neurockt.monitor import Recorder, RecorderHelper, torch_mean

pytestmark = pytest.mark.slow

MakeRecorder = Callable[..., Recorder]


def trial(root: Path, name: str) -> None:
    """A trial of a sweep, as the README writes a training script."""
    recorder = Recorder(root, run_id=name, quiet=True, system_seconds=60)
    loss = recorder.track_scalar("loss")(float)
    for step in range(3):
        with recorder(train=True):
            loss(step)


def trial_with_a_class(root: Path, name: str) -> None:
    """A class refers to itself: only the garbage collector finds that it is gone."""
    recorder = Recorder(root, run_id=name, quiet=True, system_seconds=None)

    class Loss:
        @recorder.track_scalar("loss")
        def forward(self) -> float:
            return 1.0

    with recorder(train=True):
        Loss().forward()


def test_a_recorder_that_nothing_refers_to_ends_its_run(tmp_path: Path) -> None:
    """At once, and nothing of it is left: no thread, no descriptor."""
    trial(tmp_path, "first")
    with nothing_left():
        for number in range(5):
            trial(tmp_path, f"trial-{number}")
            assert open_run(tmp_path / f"trial-{number}").state == "finished"


@pytest.mark.parametrize("kind", ["Metric", "Metric with an aggregator", "MetricCollection", "module"])
def test_metrics_and_modules_do_not_keep_a_run_alive(tmp_path: Path, kind: str) -> None:
    """Though a torchmetrics metric is a reference cycle of its own, and has a hook of ours."""
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics")

    def trial() -> None:
        recorder = Recorder(tmp_path, run_id="run", quiet=True, system_seconds=None)
        made = {
            "module": lambda: torch.nn.L1Loss(),
            "MetricCollection": lambda: torchmetrics.MetricCollection({"mae": torchmetrics.MeanAbsoluteError()}),
        }.get(kind, torchmetrics.MeanAbsoluteError)()
        aggregator = torch_mean if kind == "Metric with an aggregator" else None
        metric = RecorderHelper(recorder).metric(aggregator, metric=made)["metric"]
        with recorder(train=False):
            metric(torch.ones(2), torch.zeros(2))

    gc.disable()
    try:
        trial()
        assert open_run(tmp_path / "run").state == "finished"
    finally:
        gc.enable()


def test_a_recorder_in_a_reference_cycle_ends_its_run_when_the_next_begins(tmp_path: Path) -> None:
    """As where the model's class is defined in the function that trains it."""
    gc.disable()
    try:
        trial_with_a_class(tmp_path, "first")
        trial_with_a_class(tmp_path, "second")
        assert open_run(tmp_path / "first").state == "finished"
    finally:
        gc.enable()
        gc.collect()
    assert open_run(tmp_path / "second").state == "finished"


@pytest.mark.parametrize("kept", ["function", "block"])
def test_what_can_record_keeps_the_run_alive(tmp_path: Path, kept: str) -> None:
    """A decorated function or a block, though the recorder itself is gone."""
    recorder = Recorder(tmp_path, run_id="run", quiet=True, system_seconds=None)
    things = {
        "function": recorder.track_scalar("loss")(float),
        "block": recorder(train=True),
    }
    with things["block"]:
        pass
    thing = things[kept]
    del recorder, things
    gc.collect()
    assert open_run(tmp_path / "run").state == "running"
    del thing
    gc.collect()
    assert open_run(tmp_path / "run").state == "finished"


def test_a_recorder_that_goes_in_another_thread_ends_its_run(tmp_path: Path) -> None:
    """Its signal handlers are given back by the main thread."""
    with nothing_left():
        thread = threading.Thread(target=trial, args=(tmp_path, "run"))
        thread.start()
        thread.join()
        assert open_run(tmp_path / "run").state == "finished"
        recorder = Recorder(tmp_path, run_id="other", quiet=True, system_seconds=None)
        with recorder(train=True):
            pass
        thread = threading.Thread(target=recorder.finish)
        thread.start()
        thread.join()
        assert open_run(tmp_path / "other").state == "finished"


def test_with_a_recorder_the_run_ends_with_the_block(tmp_path: Path) -> None:
    """As finished; an exception makes it failed, and is the caller's as ever."""
    with Recorder(tmp_path, run_id="good", quiet=True) as recorder, recorder(train=True):
        pass
    assert open_run(tmp_path / "good").state == "finished"
    with (
        pytest.raises(ZeroDivisionError),
        Recorder(tmp_path, run_id="bad", quiet=True) as recorder,
        recorder(train=True),
    ):
        assert 1 / 0
    with Recorder(tmp_path, run_id="unused", quiet=True):
        pass
    assert not (tmp_path / "bad").exists()  # there was no row


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("1 / 0", ("failed", "exception", "ZeroDivisionError")),
        ("sys.exit(3)", ("failed", "exit 3", "SystemExit")),
        ("sys.exit(0)", ("finished", None, None)),
        ("raise KeyboardInterrupt", ("failed", "KeyboardInterrupt", "KeyboardInterrupt")),
        ("recorder.finish(); 1 / 0", ("finished", None, None)),
        ("pass", ("finished", None, None)),
    ],
)
def test_with_a_recorder_an_exception_is_how_the_run_ended(
    script: Script, error: str, told: tuple[str, str | None, str | None]
) -> None:
    """Though the script catches it further out, and goes on."""
    text = f"try:\n    with recorder:\n        train()\n        {error}\nexcept BaseException: pass\n"
    assert script.run(text + "print(threading.active_count())") == 0, script.stderr
    assert script.told == told
    assert script.losses == TEN
    assert script.stdout == "1\n"


@pytest.mark.parametrize(
    ("call", "state"),
    [
        ("os.execv(sys.executable, [sys.executable, '-c', 'pass'])", "finished"),
        ("os.execlp('python3', 'python3', '-c', 'pass')", "finished"),
        ("from posix import execve; execve(sys.executable, [sys.executable, '-c', 'pass'], {})", "finished"),
        ("threading.Thread(target=os.execv, args=(sys.executable, ['x', '-c', 'pass'])).start()", "finished"),
        ("\ntry: 1 / 0\nexcept Exception: os.execv(sys.executable, [sys.executable, '-c', 'pass'])", "failed"),
        ("os.fork() or os.execv(sys.executable, [sys.executable, '-c', '1/0']); os.wait(); train()", "finished"),
        ("\ntry: os.execv('/nowhere', ['x'])\nexcept OSError: train()", "finished"),
    ],
)
def test_a_process_that_becomes_another_program_ends_its_run(script: Script, call: str, state: str) -> None:
    """A child that does so ends nothing, and neither does a program that is not there."""
    assert script.run("train(); " + call) == 0, script.stderr
    assert script.told[0] == state
    assert script.losses == (TEN * 2 if "train()" in call else TEN)
    assert script.is_sealed


def test_many_recorders_at_once_and_the_process_ends(script: Script) -> None:
    """Each run has its own end; those of before are not waited for."""
    text = """
def trial(number):
    with Recorder(sys.argv[1] + "/trials", run_id=f"trial-{number}", quiet=True) as recorder:
        loss = recorder.track_scalar("loss")(float)
        for step in range(number + 1):
            with recorder(train=True): loss(step)
        if number % 2: raise ValueError
for number in range(4):
    try: trial(number)
    except ValueError: pass
train()
"""
    assert script.run(text) == 0, script.stderr
    runs = {info.id: (info.state, info.steps.rows) for info in list_runs(script._root / "trials")}
    assert runs == {f"trial-{n}": ("failed" if n % 2 else "finished", n + 1) for n in range(4)}
    assert script.told == ("finished", None, None)


# What continues, and what says so


def test_a_finished_run_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """``resume=True`` continues it, ``resume=False`` wants none of that name."""
    with Recorder(tmp_path, run_id="run", quiet=True) as recorder, recorder(train=True):
        pass
    recorder.finish()
    with pytest.raises(UsageError, match="has finished; resume=True continues it, another run_id"):
        Recorder(tmp_path, run_id="run")
    with pytest.raises(UsageError, match="exists; resume=True continues it"):
        Recorder(tmp_path, run_id="run", resume=False)
    with Recorder(tmp_path, run_id="run", resume=True, quiet=True) as recorder, recorder(train=True):
        assert recorder.step == 1
    with Recorder(tmp_path, run_id="new", resume=False, quiet=True) as recorder, recorder(train=True):
        pass
    assert len(open_run(tmp_path / "run").steps()) == 2


def test_a_recorder_has_a_name_and_shows_its_run(make_recorder: MakeRecorder, tmp_path: Path) -> None:
    """In a notebook, in a log."""
    recorder = make_recorder(run_id="run", name="seed 3", quiet=True)
    assert (recorder.id, recorder.name, recorder.run_dir) == ("run", "seed 3", tmp_path / "runs/run")
    assert repr(recorder) == f"<Recorder {tmp_path / 'runs/run'}, unopened>"
    with recorder(train=True):
        pass
    assert repr(recorder) == f"<Recorder {tmp_path / 'runs/run'}, recording>"


def test_the_first_row_prints_where_the_run_is(
    make_recorder: MakeRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, on stderr, as a path to copy; what continues a run also prints from where, and what has changed."""
    monkeypatch.chdir(tmp_path)
    recorder = make_recorder(run_id="run", config={"lr": 1, "seed": 2, "model": {"depth": 3}})
    assert capsys.readouterr().err == ""
    for _ in range(3):
        with recorder(train=True):
            pass
    assert capsys.readouterr() == ("", "neurockt: recording runs/run\n")
    recorder.finish()
    config = {"lr": 5, "seed": 2, "model": {"depth": 4}, "new": 1}
    recorder = make_recorder(run_id="run", config=config, resume=True, quiet=True)
    with recorder(train=True):
        pass
    expected = "neurockt: continuing runs/run after step 3, epoch 0; changed in its config: lr, model, new\n"
    assert capsys.readouterr() == ("", expected)


@pytest.mark.parametrize("stream", ["None", "open('/dev/full', 'w')", "closed", "object()"])
def test_streams_that_cannot_be_written_to_do_not_stop_training(script: Script, stream: str) -> None:
    """Missing, full, closed, or something that only looks like a stream."""
    text = f"""
def closed():
    stream = open(os.devnull, "w")
    stream.close()
    return stream
real = sys.stderr
sys.stdout = sys.stderr = {stream if stream != "closed" else "closed()"}
recorder = Recorder(sys.argv[1], run_id="run")
valid = recorder.metric("välid")(float)
for step in range(3):
    with recorder(train=True): pass
    with recorder(train=False): valid(1.0)
recorder.finish()
sys.stdout = sys.stderr = real
"""
    assert script.run(text) == 0, script.stderr
    assert (script.info.state, script.info.epochs.rows) == ("finished", 3)
