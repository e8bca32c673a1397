"""Real processes that log at steps that jump, while a reader looks on: each row is seen at once, and followed once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import preloaded
import pyarrow.parquet as pq
import pytest
from live_run import joined, numbers, same, wait_until
from live_run.jumping import column

from neurockt import open_run
from neurockt.cli import main
from neurockt.store.recovery.sealing import seal_run

pytestmark = pytest.mark.slow

SCRIPT = """
import random, sys
from neurockt.monitor import Recorder
from neurockt.store.writing import timing

timing.default = timing.Timing(tick=0.01, seal=0.05, seal_rows=50)
gaps, step = random.Random(int(sys.argv[2])), 0
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
for index in range(int(sys.argv[3])):
    recorder.log({"loss": step}, step=step)
    if index % 3 == 0:
        recorder.log({"lr": step}, step=step)
    if index % 50 == 0:
        recorder.log({"acc": step}, step=step, train=False)
    print(step, flush=True)
    step += gaps.choice([1, 2, 1000, 10**9])
recorder.finish()
"""


def start(root: Path, seed: int, rows: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(root), str(seed), str(rows)]
    return preloaded.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_logged_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    """Each step once, the last one too, before it is sealed and after; who follows gets each once."""
    process = start(tmp_path, seed, 10**6)
    path = tmp_path / "run"
    assert process.stdout is not None
    printed = [int(process.stdout.readline())]
    run = open_run(path)
    followed = [run.follow().steps]
    for _ in range(random.Random(seed).randrange(10, 400)):
        printed.append(int(process.stdout.readline()))
        if len(printed) % 20 == 0:
            seen = numbers(run.steps())
            assert seen[: len(printed)] == printed
            followed.append(run.follow().steps)
    process.send_signal(signal.SIGKILL)
    printed += map(int, process.communicate()[0].split())
    steps, epochs = run.steps(), run.epochs()
    assert numbers(steps)[: len(printed)] == printed
    assert len(steps) - len(printed) in (0, 1)
    assert column(steps, "loss") == numbers(steps)
    assert len(epochs) == 1 + (len(steps) - 1) // 50
    followed += [run.follow().steps, run.follow().steps]
    assert same(joined(followed), steps)
    seal_run(path)
    assert same(run.steps(), steps)
    assert same(run.epochs(), epochs)
    assert same(pq.read_table(path / "steps"), steps)
    assert not list(path.glob("*.open"))
    assert len(run.follow().steps) == 0


def test_a_run_that_finishes_is_followed_to_its_last_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The row that was open is final then, and its last step is what a list shows."""
    process = start(tmp_path, 0, 300)
    assert process.stdout is not None
    printed = [int(process.stdout.readline())]
    run = open_run(tmp_path / "run")
    followed = [run.follow().steps]

    def ended() -> bool:
        followed.append(run.follow().steps)
        return process.poll() is not None

    wait_until(ended, "the end of the run")
    printed += map(int, process.communicate()[0].split())
    followed.append(run.follow().steps)
    assert numbers(joined(followed)) == numbers(run.steps()) == printed
    assert main(["ls", str(tmp_path), "--columns", "steps,epochs"]) == 0
    assert capsys.readouterr().out.split()[2:] == [f"{printed[-1]:,}", "6"]
    assert main(["show", str(tmp_path / "run"), "--steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"300 steps up to {printed[-1]:,}, 6 epochs" in shown
    assert f"{printed[-2]:,}" in shown
