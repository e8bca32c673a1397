"""No test of the viewer reads or writes what a user has chosen."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for settings and logs."""
    directory = tmp_path / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(directory / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(directory / "state"))
    return directory
