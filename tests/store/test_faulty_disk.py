"""A disk that fails: training goes on, one warning tells it, and every row is there once the disk works again."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from faulty_disk import FSYNC, MKDIR, OPEN, READ, RENAME, STAT, TRUNCATE, WRITE, WRITING, FaultyDisk, recording
from live_run import check_steps, check_whole, value_at

from neurockt import open_run
from neurockt.store.recovery.sealing import seal_run

pytestmark = pytest.mark.slow

ERRORS = (errno.ENOSPC, errno.EIO, errno.ESTALE, errno.EDQUOT, errno.EROFS)


FAULTY_RUNS = 0.4
"""How many runs have faults at random, for each one that ``--kills`` would kill."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(int(FAULTY_RUNS * (metafunc.config.getoption("--kills") or 20))))


@pytest.fixture
def disk(tmp_path: Path) -> FaultyDisk:
    """Below ``tmp_path/runs``."""
    return FaultyDisk(tmp_path / "runs", tmp_path / "plan")


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


def test_a_process_killed_amid_faults_leaves_a_prefix(tmp_path: Path, disk: FaultyDisk, seed: int) -> None:
    """What was stored before the disk failed is there, what follows is whole rows, and sealing keeps both."""
    chance = random.Random(seed)
    with recording(tmp_path / "runs", disk.environment) as child:
        stored = child.do("steps 120")["step"]
        disk.fail(
            chance.choice(ERRORS),
            chance.choice([WRITING, WRITE, RENAME | TRUNCATE]),
            one_in=chance.choice([1, 3, 10]),
            short_writes=chance.randint(0, 1),
            seed=chance.randrange(2**30),
        )
        child.do("steps 100")
        child.do(f"ticks {chance.randint(1, 5)}")
        step = child.do("steps 100")["step"]
        child.kill()
    left = check_prefix(child.path, step)
    assert stored <= left <= step
    seal_run(child.path)
    run = open_run(child.path)
    assert len(run.steps()) == left
    check_steps(run.steps())
    assert run.state == "killed"


def test_what_finds_no_room_in_memory_is_counted(
    tmp_path: Path, disk: FaultyDisk, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rows before it and after it are kept, under their own numbers; the run and its end tell how many are lost."""
    with recording(tmp_path / "runs", disk.environment, BACKLOG_BYTES=4096) as child:
        child.do("steps 90")
        disk.fail(errno.EIO, WRITE)
        child.do("steps 500")
        answer = child.do("ticks 3")
        dropped = answer["dropped"]
        assert 300 < dropped < 450
        disk.heal()
        child.do("settle")
        child.do("steps 60")
        answer = child.do("finish")
        assert answer["dropped"] == dropped
        assert f"lost {dropped:,} rows that could not be stored" in capfd.readouterr().err
    run = open_run(child.path)
    numbers = run.steps()["step"].to_pylist()
    first, last = 590 - dropped, 591
    assert numbers == [*range(1, first + 1), *range(last, 651)]
    assert run.info.dropped == dropped
    assert run.info.steps.rows == len(numbers)
    assert run.epochs()["epoch"].to_pylist() == [1, 2, 3, 4, 5, 6]
    values = run.steps()["loss"].to_pylist()
    assert values == pytest.approx([value_at(number, "loss") for number in numbers], rel=0, nan_ok=True)


def test_the_loop_waits_for_no_more_than_its_own_row(tmp_path: Path, disk: FaultyDisk) -> None:
    """On a disk that takes its time, fsync, sealing and run.json are the background's; a row is its block's."""
    with recording(tmp_path / "runs", disk.environment, PART_ROWS=10**6) as child:

        def is_within(steps: int, least: float, most: float) -> bool:
            """Whether the longest step took so many seconds, in one of three tries: the machine may be busy."""
            return any(least <= child.do(f"steps {steps}")["longest"] < most for _ in range(3))

        child.do("steps 100")
        disk.fail(which=FSYNC | OPEN | RENAME | TRUNCATE | MKDIR, delay_ms=150)
        assert is_within(2000, 0.0, 0.14)  # it seals as often as it can, fsyncs, and writes run.json
        child.do("ticks 1")
        assert is_within(2000, 0.0, 0.14)
        disk.heal()
        child.do("sealed")
        disk.fail(which=WRITE, delay_ms=300)
        assert is_within(3, 0.3, 0.8)
        disk.heal()
        answer = child.do("finish")
        assert answer["warnings"] == []
    check_whole(child.path, answer["step"])


def test_a_stale_journal_is_opened_again_by_its_name(tmp_path: Path, disk: FaultyDisk) -> None:
    """After a file server has failed over, descriptors are dead for ever; the rows go on in the same file."""
    with recording(tmp_path / "runs", disk.environment, seal_rows=10**9, seal=1e9) as child:
        child.do("steps 50")
        child.do("sealed")
        child.do("steps 50")
        journal = (child.path / "steps.journal").stat().st_ino
        disk.make_stale()
        (told,) = child.do("steps 50")["warnings"]
        assert "Stale file handle" in told
        assert str(child.path) in told
        child.do("settle")
        assert (child.path / "steps.journal").stat().st_ino == journal
        assert check_prefix(child.path, 150) == 150
        assert len(child.do("finish")["warnings"]) == 1
    check_whole(child.path, 150)


def test_a_file_system_without_fsync_is_no_fault(tmp_path: Path, disk: FaultyDisk) -> None:
    """Some FUSE file systems have none for a journal that grows; nothing is told."""
    with recording(tmp_path / "runs", disk.environment, seal=1e9) as child:
        child.do("steps 50")
        child.do("sealed")
        disk.fail(errno.EINVAL, FSYNC)
        child.do("steps 50")
        child.do("ticks 5")
        disk.heal()
        assert child.do("finish")["warnings"] == []
    check_whole(child.path, 100)


# Those who read


def neurockt(disk: FaultyDisk, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "neurockt", *map(str, arguments)],
        env=disk.environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("error", "which"), [(errno.EIO, READ), (errno.EACCES, OPEN), (errno.ESTALE, OPEN | STAT)])
def test_a_run_that_cannot_be_read_is_a_sentence_and_the_others_are_listed(
    tmp_path: Path, tiny_run: Path, error: int, which: int
) -> None:
    """In a list of many it is named on stderr; asked for itself it is an error that says what and where."""
    sound = shutil.copytree(tiny_run, tiny_run.with_name("sound"))
    disk = FaultyDisk(tiny_run, tmp_path / "plan")
    disk.fail(error, which)
    listed = neurockt(disk, "ls", tiny_run.parent, "--columns", "path")
    assert listed.returncode == 1  # not everything could be listed
    assert listed.stdout.split() == ["path", str(sound)]
    assert "Traceback" not in listed.stderr
    assert f"{tiny_run}/run.json" in listed.stderr
    assert os.strerror(error) in listed.stderr
    for command in ("show", "export", "seal"):
        done = neurockt(disk, command, tiny_run)
        assert done.returncode == 1, command
        assert "Traceback" not in done.stderr
        assert str(tiny_run) in done.stderr, command
        assert os.strerror(error) in done.stderr, command


def test_tables_that_cannot_be_read_are_named(tmp_path: Path, tiny_run: Path) -> None:
    """``run.json`` is readable and the parts are not: what there is is shown, and what is missing is told."""
    disk = FaultyDisk(tiny_run / "epochs", tmp_path / "plan")
    disk.fail(errno.EIO, READ | OPEN)
    done = neurockt(disk, "show", tiny_run)
    assert "Traceback" not in done.stderr
    assert "Input/output error" in done.stderr
    assert "epochs" in done.stderr
    assert "loss" in done.stdout


WATCH = """
import sys
from neurockt.catalogue import RunWatcher

watcher = RunWatcher(sys.argv[1])
list(watcher.look())
print([run.path.name for run in watcher.runs], watcher.problems)
"""


def test_who_watches_a_directory_is_told_of_the_run_that_cannot_be_read(tmp_path: Path, tiny_run: Path) -> None:
    """As the viewer does: the others are there, and the problem is at hand."""
    shutil.copytree(tiny_run, tiny_run.with_name("sound"))
    disk = FaultyDisk(tiny_run, tmp_path / "plan")
    for which in (READ, OPEN, STAT):
        disk.fail(errno.ESTALE, which)
        command = [sys.executable, "-c", WATCH, tiny_run.parent]
        done = subprocess.run(command, env=disk.environment, stdout=subprocess.PIPE, text=True, check=True)
        assert "['sound']" in done.stdout
        assert "tiny" in done.stdout
        assert "Stale file handle" in done.stdout
