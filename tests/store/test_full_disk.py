"""A file system that is really full, or really gone: a tmpfs of the test's own, mounted, resized and unmounted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_disk import recording
from live_run import check_steps, check_whole

from neurockt import open_run
from neurockt.store.base import layout
from neurockt.store.recovery.sealing import seal_run

pytestmark = pytest.mark.slow

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


class SmallDisk:
    """A tmpfs."""

    def __init__(self, path: Path, options: str) -> None:
        self.path = path
        path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def fill(self) -> None:
        """Leave not one block, nor any room in the last block of a file that grows: that is the test's to use up."""
        with (self.path / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def free(self) -> None:
        (self.path / "filler").unlink()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Any]:
    """Mounts a tmpfs with these options."""
    path = tmp_path / "disk"

    def mounted(options: str = "size=2m") -> SmallDisk:
        return SmallDisk(path, options)

    yield mounted
    subprocess.run(["umount", "-l", path], capture_output=True)


def test_rows_wait_for_a_disk_that_is_full_and_none_is_lost(mount: Any) -> None:
    """One warning says what and where; what is stored stays readable; when there is room again all is written."""
    disk = mount()
    with recording(disk.path / "runs", ENVIRONMENT) as child:
        child.do("steps 150")
        child.do("sealed")
        disk.fill()
        answer = child.do("steps 2000")
        answer = child.do("ticks 20")
        assert answer["dropped"] == 0
        (told,) = answer["warnings"]
        assert str(child.path) in told
        assert "No space left on device" in told
        assert "Training goes on" in told
        kept = open_run(child.path).steps()
        assert 150 <= len(kept) < 2150
        check_steps(kept)
        disk.free()
        child.do("settle")
        check_steps(open_run(child.path).steps())
        assert len(open_run(child.path).steps()) == 2150
        assert child.do("steps 50")["step"] == 2200
        assert len(child.do("finish")["warnings"]) == 1
        check_whole(child.path, 2200)


def test_what_is_logged_waits_for_a_disk_that_is_full(mount: Any) -> None:
    """Final rows and the open one, also where their columns change meanwhile; none is lost to a kill afterwards."""
    disk = mount()
    with recording(disk.path / "runs", ENVIRONMENT) as child:
        child.do("log 50")
        disk.fill()
        child.do("log 300")
        answer = child.do("ticks 5")
        assert answer["dropped"] == 0
        assert len(answer["warnings"]) == 1
        disk.free()
        child.do("settle")
        child.do("ticks 5")
        child.kill()
        rows = open_run(child.path).steps().to_pylist()
        steps = [float(step) for step in range(10, 3510, 10)]
        assert [row["step"] for row in rows] == steps
        assert [row["first"] for row in rows] == [row["second"] for row in rows] == steps
        assert not open_run(child.path).damaged


def test_a_disk_that_fills_up_at_any_moment_costs_no_row(mount: Any) -> None:
    """The run itself fills the disk, amid a row, a part or run.json; then it grows, and fills up again."""
    disk = mount("size=64k")
    with recording(disk.path / "runs", ENVIRONMENT) as child:
        for size in (128, 192, 256, 384, 512):
            child.do("steps 1500")
            child.do("ticks 10")
            disk.remount(f"size={size}k")
            child.do("ticks 3")
        disk.remount("size=16m")
        answer = child.do("finish")
        assert answer["dropped"] == 0
        assert len(answer["warnings"]) == 1
        check_whole(child.path, 7500)


def test_finishing_on_a_full_disk_ends_soon_and_reports_what_is_lost(
    mount: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows that no disk takes are counted; the journal keeps what it holds, and sealing it later makes it Parquet."""
    disk = mount()
    with recording(disk.path / "runs", ENVIRONMENT, seal_rows=10**9, seal=1e9) as child:
        child.do("steps 150")
        child.do("sealed")
        child.do("steps 50")
        disk.fill()
        answer = child.do("steps 1000")
        answer = child.do("finish")
        assert answer["longest"] < 30
        run = open_run(child.path)
        kept = len(run.steps())
        check_steps(run.steps())
        assert 200 <= kept < 1200
        lost = 1200 - kept + 12 - len(run.epochs())
        assert answer["dropped"] == lost
        fault, unfinished = answer["warnings"]
        assert "No space left on device" in fault
        assert f"lost {lost:,} rows that could not be stored" in capfd.readouterr().err
        assert (
            "could not seal steps; its rows are in the journal; 'neurockt seal' turns them into Parquet" in unfinished
        )
        assert not list(child.path.rglob("*.tmp"))
        child.kill()
        disk.free()
        seal_run(child.path)
        assert len(open_run(child.path).steps()) == kept
        check_steps(open_run(child.path).steps())


@pytest.mark.parametrize("options", ["size=64k", "size=2m,nr_inodes=3", "size=2m,nr_inodes=4", "size=2m,nr_inodes=6"])
def test_a_disk_that_is_full_when_the_run_begins_costs_no_row(mount: Any, options: str) -> None:
    """Whether it lacks blocks or inodes, and however much of the run directory there was room for."""
    disk = mount(options)
    disk.fill() if "inodes" not in options else None
    with recording(disk.path / "runs", ENVIRONMENT) as child:
        answer = child.do("steps 300")
        assert len(answer["warnings"]) == 1
        assert str(child.path) in answer["warnings"][0]
        assert "No space left on device" in answer["warnings"][0]
        child.do("ticks 5") if child.path.exists() else None
        disk.remount("size=2m,nr_inodes=1000")
        child.do("steps 300")
        child.do("settle")
        answer = child.do("finish")
        assert (answer["dropped"], len(answer["warnings"])) == (0, 1)
        check_whole(child.path, 600)


def test_a_file_system_that_is_unmounted_and_comes_back_costs_no_row(mount: Any, tmp_path: Path) -> None:
    """Nothing is written in its place meanwhile, where it would be hidden afterwards."""
    disk = mount()
    point = tmp_path / "mounted here"
    point.mkdir()
    subprocess.run(["mount", "--bind", disk.path, point], check=True)
    try:
        with recording(point / "runs", ENVIRONMENT) as child:
            child.do("steps 150")
            child.do("sealed")
            subprocess.run(["umount", "-l", point], check=True)
            child.do("steps 150")
            answer = child.do("noticed")
            child.do("ticks 10")
            child.do("steps 100")
            assert str(child.path) in answer["warnings"][0]
            assert list(point.iterdir()) == []
            subprocess.run(["mount", "--bind", disk.path, point], check=True)
            child.do("steps 100")
            child.do("sealed")
            answer = child.do("finish")
            assert (answer["dropped"], len(answer["warnings"])) == (0, 1)
            check_whole(child.path, 500)
    finally:
        subprocess.run(["umount", "-l", point], capture_output=True)


def test_a_run_that_was_removed_is_made_again_with_the_rows_that_were_not_sealed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """One warning names it; the rows that are gone are counted as lost, and every later one is there."""
    with recording(tmp_path / "runs", ENVIRONMENT, heartbeat=1e9) as child:
        child.do("steps 200")
        child.do("sealed")
        shutil.rmtree((tmp_path / "runs").rename(tmp_path / "going"))
        child.do("noticed")
        child.do("settle")
        child.do("steps 300")
        answer = child.do("finish")
        told = answer["warnings"]
        assert str(child.path) in told[0]
        assert "No such file" in told[0] or "removed" in told[0]
        run = open_run(child.path)
        steps = run.steps()["step"].to_pylist()
        assert steps == list(range(steps[0], 501))
        assert steps[0] == 201
        assert run.info.dropped == answer["dropped"] == 202
        assert (run.state, run.info.steps.rows) == ("finished", 300)
        assert "lost 202 rows that could not be stored" in capfd.readouterr().err
        assert len(told) == 1


def test_a_journal_that_was_removed_loses_nothing(tmp_path: Path) -> None:
    """Its rows are read from the open file, also where the parts' directory went with it."""
    with recording(tmp_path / "runs", ENVIRONMENT, seal_rows=10**9, seal=1e9, sync=1e9) as child:
        child.do("steps 150")
        child.do("sealed")
        child.do("steps 150")
        layout.journal_path(child.path, "steps").unlink()
        child.do("steps 100")
        answer = child.do("finish")
        assert answer["dropped"] == 0
        check_whole(child.path, 400)
