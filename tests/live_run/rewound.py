"""A run that died, for tests that rewind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurockt.monitor import Recorder

from .dying import die


def train(root: Path, steps: int, value: float, resume: int | None = None) -> Recorder:
    """Record steps, and a validation after each tenth, and do not finish."""
    recorder = Recorder(root, run_id="run", resume=True, quiet=True)
    loss, accuracy = recorder.track_scalar("loss")(float), recorder.metric("acc")(float)
    if resume is not None:
        recorder.resume(resume)
    for _ in range(steps):
        with recorder(train=True):
            loss(value)
        if recorder.step % 10 == 0:
            with recorder(train=False):
                accuracy(value)
    return recorder


@pytest.fixture
def dead_run(tmp_path: Path) -> Path:
    """Fifty steps and five validations, of value 1."""
    die(lambda: train(tmp_path, 50, 1.0))
    return tmp_path / "run"
