"""Recorders in temporary directories, finished when the test ends so that no thread outlives it, and scripts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from monitor.launching import LAUNCHERS
from monitor.scripts import Script

from neurockt.monitor import Recorder

MakeRecorder = Callable[..., Recorder]


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves run under no launcher."""
    for name in list(os.environ):
        if name.startswith(LAUNCHERS):
            monkeypatch.delenv(name)


@pytest.fixture
def make_recorder(tmp_path: Path) -> Iterator[MakeRecorder]:
    """Makes recorders that write below ``tmp_path/runs``."""
    made: list[Recorder] = []

    def make(**options: Any) -> Recorder:
        recorder = Recorder(tmp_path / "runs", **options)
        made.append(recorder)
        return recorder

    yield make
    for recorder in made:
        recorder.finish()


@pytest.fixture
def recorder(make_recorder: MakeRecorder) -> Recorder:
    """A recorder that prints nothing."""
    return make_recorder(quiet=True)


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a driver library for two GPUs."""
    directory = tmp_path_factory.mktemp("nvml")
    source = Path(__file__).parents[1] / "fake_nvml" / "nvml.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", directory / "libnvidia-ml.so.1", source], check=True)
    return directory


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Scripts whose run is in ``tmp_path``."""
    return Script(tmp_path)
