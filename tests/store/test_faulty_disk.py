"""A disk that fails: training goes on, one warning tells it, and every row is there once the disk works again."""

from __future__ import annotations

import errno
import random
import warnings
from pathlib import Path

import pytest
from faulty_disk import FSYNC, OPEN, READ, RENAME, TRUNCATE, WRITE, WRITING, FaultyDisk, recording
from live_run import check_epochs, check_steps

from neurockt import open_run

ERRORS = (errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EDQUOT, errno.EROFS)


FAULTY_RUNS = 8
"""How many runs have faults at random, unless ``--kills`` says so."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--kills") or FAULTY_RUNS))


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    """Below ``tmp_path/runs``."""
    return FaultyDisk(tmp_path / "runs", tmp_path / "plan")


def check_whole(path: Path, steps: int) -> None:
    """A finished run with every row, all of them sealed."""
    run = open_run(path)
    assert (run.state, run.info.dropped) == ("finished", 0)
    assert (run.info.steps.rows, run.info.epochs.rows) == (steps, steps // 100)
    assert len(run.steps()) == steps
    check_steps(run.steps())
    check_epochs(run.epochs())
    assert sorted(entry.name for entry in path.iterdir() if not entry.name.endswith(".damaged")) == [
        "epochs",
        "origin",
        "run.json",
        "steps",
    ]


def check_prefix(path: Path, written: int) -> int:
    """What a reader sees meanwhile begins with the first row and has none that was not recorded; gives how many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a part that is being replaced, a torn journal
        rows = open_run(path).steps()
    assert len(rows) <= written
    check_steps(rows)
    return len(rows)


def test_faults_at_random_lose_no_row(tmp_path: Path, disk: FaultyDisk, seed: int) -> None:
    """Whichever operations fail, and however: readers see a prefix meanwhile, and in the end every row, to the bit."""
    chance = random.Random(seed)
    with recording(tmp_path / "runs", disk.environment) as child:
        child.do("steps 10")
        step, seen = 10, 0
        for _ in range(12):
            which = chance.choice([WRITING, WRITING | READ, WRITE, FSYNC, OPEN, RENAME, TRUNCATE, WRITE | FSYNC, 255])
            if chance.random() < 0.3:
                disk.make_stale()
            else:
                disk.fail(
                    chance.choice(ERRORS),
                    which,
                    one_in=chance.choice([1, 2, 5, 20]),
                    short_writes=chance.randint(0, 1),
                    seed=chance.randrange(2**30),
                )
            count = chance.choice([1, 30, 200])
            step = child.do(f"steps {count}")["step"]
            seen = max(seen, check_prefix(child.path, step))
            if chance.random() < 0.5:
                disk.heal()
                child.do("settle")
                assert check_prefix(child.path, step) == step
        disk.heal()
        answer = child.do("finish")
        assert disk.failures > 0
        assert (answer["dropped"], answer["step"]) == (0, step)
        assert seen > 0
    check_whole(child.path, step)
