"""No test of the viewer reads or writes what a user has chosen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_tmux import Tmux
from textual import app, pilot
from viewing import PATIENCE, idle

from neurockt_viewer import app as viewer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for settings and logs."""
    directory = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    return directory


@pytest.fixture(autouse=True)
def _patient_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys have done what they do before a test goes on, also on a busy machine, and notices stay to be read."""
    for module in (app, pilot):
        monkeypatch.setattr(module, "wait_for_idle", idle)
    monkeypatch.setattr(app.App, "NOTIFICATION_TIMEOUT", 2 * PATIENCE)
    monkeypatch.setattr(viewer, "SETTLING_SECONDS", PATIENCE)


@pytest.fixture
def tmux(home: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("there is no tmux; what is written to a terminal is looked at without it too")
    found = Tmux(home.parent / "socket")
    yield found
    found.close()
