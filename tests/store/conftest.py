"""Runs that are sealed by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_run.by_hand import Recording, shrink


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of nine rows in row groups of three."""
    shrink(monkeypatch)


@pytest.fixture
def recording(tmp_path: Path, small_parts: None) -> Iterator[Recording]:
    """A run that is being written."""
    made = Recording(tmp_path / "runs")
    yield made
    made.recorder.finish()


@pytest.fixture
def long_run(recording: Recording) -> Path:
    """Twelve rows in two parts, eight in the journal."""
    recording.write(12)
    recording.seal()
    recording.write(8)
    return recording.path


@pytest.fixture(scope="session")
def copied_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``long_run`` is, a copy for many looks."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        recording = Recording(root)
        recording.write(12)
        recording.seal()
        recording.write(8)
        copy = Path(shutil.copytree(recording.path, root / "copy"))
        recording.recorder.finish()
    return copy
