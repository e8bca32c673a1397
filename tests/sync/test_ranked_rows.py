"""A run whose ranks keep their own rows, as lines of one history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurockt import open_run
from neurockt.monitor import Recorder
from neurockt.sync.rows import START, RunRows

pytestmark = pytest.mark.slow


def test_a_line_is_the_mean_of_the_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By step, over the ranks that have a value, up to the last step of the slowest rank that lives."""
    monkeypatch.setenv("WORLD_SIZE", "3")
    live = []
    for rank, steps in ((0, 4), (1, 4), (2, 3)):
        monkeypatch.setenv("RANK", str(rank))
        recorder = Recorder(tmp_path, run_id="ranked", ranks="all", quiet=True)
        loss = recorder.track_scalar("loss")(float)
        for step in range(1, steps + 1):
            with recorder(train=True):
                if step != 2 or rank == 0:
                    loss("nan" if step == 3 and rank == 0 else step + rank)
        live.append(recorder)
    run = open_run(tmp_path / "ranked")
    rows = RunRows(run, run.info)
    assert rows.total == 3
    lines = [json.loads(line) for lines in rows.after(START) for line in lines.lines]
    assert [(line["_step"], line["step"], line["epoch"]) for line in lines] == [(0, 1, 1), (1, 2, 1), (2, 3, 1)]
    assert [line["loss"] for line in lines[:2]] == [2.0, 2.0]
    assert lines[2]["loss"] != lines[2]["loss"]
    for recorder in live:
        recorder.finish()
    rows = RunRows(run, run.info)
    assert rows.total == 4
    assert json.loads(next(rows.after(START)).lines[-1])["loss"] == 4.5


def test_names_that_pyarrow_takes_for_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with Recorder(tmp_path, run_id="ranked", ranks="all", quiet=True) as recorder:
        recorder.log({"..": 1.0, ".x": 2.0, "[x]": 3.0})
    run = open_run(tmp_path / "ranked")
    line = json.loads(next(RunRows(run, run.info).after(START)).lines[0])
    assert (line[".."], line[".x"], line["[x]"]) == (1.0, 2.0, 3.0)
