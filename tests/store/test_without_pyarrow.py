"""Where pyarrow is not installed the recorder still records; its rows become Parquet where it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neurockt import open_run
from neurockt.store.base.run_file import read_info
from neurockt.store.recovery.sealing import seal_run

pytestmark = pytest.mark.slow

WITHOUT = """
import os, sys
sys.modules["pyarrow"] = None
from neurockt.monitor import Recorder
from neurockt.store.writing import timing

timing.default = timing.Timing(tick=0.005, heartbeat=0.01, first_heartbeat=0.01, sync=0.01, seal=0.0)
"""

RECORD = (
    WITHOUT
    + """
recorder = Recorder(sys.argv[1], run_id="run", quiet=True)
loss = recorder.track_scalar("loss")(float)
accuracy = recorder.metric("acc")(float)
for step in range(1, 301):
    with recorder(train=True):
        loss(step)
    if step % 100 == 0:
        with recorder(train=False):
            accuracy(step)
"""
)


def run_python(code: str, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, env=environment)


def test_a_run_is_recorded_into_journals_and_sealed_elsewhere(tmp_path: Path) -> None:
    """With one warning that says how; run.json has the summary of all rows."""
    done = run_python(RECORD + "recorder.finish()", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Warning") == 1
    assert "run 'neurockt seal' where pyarrow is installed to turn them into Parquet" in done.stderr
    info = read_info(tmp_path / "run")
    assert (info.state, info.steps.rows, info.epochs.rows, info.dropped) == ("finished", 300, 3, 0)
    assert info.steps.columns["loss"].max == 300.0
    before = open_run(tmp_path / "run").steps()
    assert before["step"].to_pylist() == list(range(1, 301))
    sealed = seal_run(tmp_path / "run")
    assert (sealed.steps, sealed.epochs, sealed.already) == (300, 3, False)
    assert open_run(tmp_path / "run").steps().equals(before)
    assert read_info(tmp_path / "run").state == "finished"
    assert not list((tmp_path / "run").glob("*.journal*"))


def test_a_run_cannot_be_continued_there_and_a_sentence_says_so(tmp_path: Path) -> None:
    """Nothing is changed."""
    assert run_python(RECORD + "os._exit(1)", tmp_path).returncode == 1
    before = (tmp_path / "run" / "steps.journal").read_bytes()
    done = run_python(RECORD, tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("neurockt.errors.MissingExtra")
    assert f"continuing the run {tmp_path / 'run'} needs pyarrow" in last
    assert (tmp_path / "run" / "steps.journal").read_bytes() == before
