"""A training and two evaluators that are killed and begin again while syncs watch them, which are killed too."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import preloaded
import pytest
from evaluators import EVALUATE, TRAIN, Process
from wandb_server import WandbServer

import neurockt

from .conftest import Sync

pytestmark = pytest.mark.slow


class Life:
    """A script that is killed now and then, and goes on after what it has acknowledged."""

    def __init__(self, script: str, *arguments: object) -> None:
        self._script, self._arguments = script, arguments
        self.acknowledged: list[int] = []
        self.kills = 0
        self._begin()

    def _begin(self) -> None:
        self._process = Process(self._script, *self._arguments, max(self.acknowledged, default=0) + 1)
        self.acknowledged.append(self._process.acknowledged())

    def go_on(self) -> None:
        self._process.ask()
        self.acknowledged.append(self._process.acknowledged())

    def kill(self, seconds: float) -> None:
        """In the middle of its next value, or soon after it."""
        self._process.ask()
        threading.Event().wait(seconds)
        self.acknowledged += self._process.kill()
        self.kills += 1
        self._begin()

    def end(self) -> None:
        self.acknowledged += self._process.end()


def start_sync(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "neurockt", "sync", str(root), "--running", "--watch", "0.1"]
    return preloaded.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_no_value_is_lost_and_each_row_is_sent_once(root: Path, server: WandbServer, sync: Sync, kills: int) -> None:
    """All that was logged is there, in the run and in W&B. Evaluators go on after the end; a quarter of ``--kills``.

    The training goes on after the last row that it knows of. So it may supersede one that W&B has, as it was sent while
    the run was dead: that is noticed, however the syncs were killed.
    """
    moments = random.Random(kills)
    run = root / "run"
    training = Life(TRAIN, root, "run")
    evaluators = {name: Life(EVALUATE, run, name) for name in ("a", "b")}
    watching = [start_sync(root) for _ in range(2)]
    try:
        for living in ([training, *evaluators.values()], list(evaluators.values())):
            for turn in range(max(3, kills // 4)):
                for life in living:
                    for _ in range(moments.randrange(4)):
                        life.go_on()
                living[turn % len(living)].kill(moments.random() * 0.003)
                if turn % 2:
                    at = moments.randrange(len(watching))
                    watching[at].kill()
                    watching[at].wait()
                    watching[at] = start_sync(root)
            if training in living:
                training.end()
        for life in evaluators.values():
            life.end()
    finally:
        for process in watching:
            process.kill()
            process.wait()
    assert training.kills
    assert all(life.kills for life in evaluators.values())
    opened = neurockt.open_run(run)
    assert opened.state == "finished"
    steps = opened.steps(["step", "loss"]).to_pydict()
    assert steps["step"] == steps["loss"] == sorted(set(training.acknowledged))
    late = Counter(opened.late(["late"])["late"].to_pylist())
    assert late.keys() >= {step for step in training.acknowledged if step % 3 == 0}
    total = len(steps["step"]) + late.total()
    for name, life in evaluators.items():
        rows = opened.attached[name].epochs(["step", "acc"]).to_pydict()
        found = Counter(rows["step"])
        assert rows["step"] == rows["acc"]
        assert found.keys() >= set(life.acknowledged)
        assert sum(found.values()) - len(found) <= life.kills, "one that was not acknowledged is logged again"
        total += sum(found.values())
    (outcome,) = sync()
    if outcome.status == "failed":
        assert "resumed from an earlier checkpoint" in (outcome.reason or "")
        (outcome,) = sync(replace=True)
    assert (outcome.status, outcome.rows) == ("complete", total), outcome.reason
    assert server.only_run.is_exact, server.only_run.overwritten[:3]
    (verified,) = sync(verify=True)
    assert verified.status == "complete", verified.reason
