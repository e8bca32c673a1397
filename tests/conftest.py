"""For all tests: hypothesis profiles, small runs, and the number of kills of the kill tests."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import preloaded
import pytest
from hypothesis import settings

from neurockt import testing
from neurockt.monitor import Recorder

# A busy machine is not a failure. The same examples each time, so that what fails is what was changed; `make search`
# tries others.
settings.register_profile("search", deadline=None, max_examples=50)
settings.register_profile("neurockt", settings.get_profile("search"), derandomize=True)
settings.load_profile("neurockt")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

KILLS = 20

CRASH = """
import os, signal, sys
from neurockt.monitor import Recorder
from neurockt.store.writing import timing

timing.default = timing.Timing(tick=3600.0)  # nothing is sealed
recorder = Recorder(sys.argv[1], run_id="crashed", quiet=True, config={"lr": 0.1})
loss = recorder.track_scalar("loss")(float)
accuracy = recorder.metric("acc")(float)
for step in range(1, 31):
    with recorder(train=True):
        loss(1 / step)
    if step % 10 == 0:
        with recorder(train=False):
            accuracy(step / 30)
os.kill(os.getpid(), signal.SIGKILL)
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=KILLS, help=f"how many times the kill tests kill (default: {KILLS})")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Modules that are slow as a whole are not even imported where slow tests are left out; imports take long too."""
    is_module = collection_path.suffix == ".py" and config.option.markexpr == "not slow"
    return True if is_module and "\npytestmark = pytest.mark.slow\n" in collection_path.read_text() else None


@pytest.fixture(autouse=True, scope="module")
def unburdened() -> None:
    """Leave what is there before a module's tests out of garbage collections, which would take half of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many times to kill."""
    return int(request.config.getoption("--kills"))


@pytest.fixture
def count_kill(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Adds the figures of one kill to the summary, for example ``lost`` and ``rows``."""
    return lambda **figures: request.node.user_properties.append(("kill", figures))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line on all the kills."""
    reports = [report for found in ("passed", "failed") for report in terminalreporter.stats.get(found, [])]
    kills = [figures for report in reports for name, figures in report.user_properties if name == "kill"]
    if kills:
        total = {name: sum(figures[name] for figures in kills) for name in kills[0]}
        terminalreporter.write_line(
            f"{len(kills)} kills, {total['sealing']} during a sealing: {total['lost']} of {total['rows']:,} rows "
            f"lost, {total['looks']:,} reads meanwhile"
        )


@pytest.fixture
def tiny_run(tmp_path: Path) -> Path:
    """A finished run: five steps with ``loss`` and, from the third on, ``lr``; two validations with ``acc``."""
    recorder = Recorder(tmp_path / "runs", run_id="tiny", name="tiny", quiet=True, config={"lr": 0.1})
    losses = [1 / step for step in range(1, 6)]
    testing.record(recorder, {"loss": losses, "lr": [None, None, 0.3, 0.4, 0.5]}, {"acc": [0.4, 0.8]}, every=2)
    recorder.finish()
    return recorder.run_dir


@pytest.fixture
def crashed_run(tmp_path: Path) -> Path:
    """A run whose process died of SIGKILL: 30 steps with ``loss``, 3 validations with ``acc``, all in the journals."""
    done = preloaded.run([sys.executable, "-c", CRASH, tmp_path / "runs"])
    assert done.returncode == -signal.SIGKILL
    return tmp_path / "runs" / "crashed"
