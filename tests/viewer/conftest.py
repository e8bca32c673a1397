"""No test of the viewer reads or writes what a user has chosen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_tmux import Tmux


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for settings and logs."""
    directory = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    return directory


@pytest.fixture
def tmux(home: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux; what is written to a terminal is looked at without it too")
    found = Tmux(home.parent / "socket")
    yield found
    found.close()
