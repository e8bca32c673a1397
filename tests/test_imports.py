"""What importing a part of neurockt loads, and what it must not; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchmetrics", "pyarrow", "numpy", "pandas", "textual", "wandb", "sklearn")


def loaded_by(code: str) -> set[str]:
    """Which of the heavy packages are loaded after ``code``."""
    script = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "module", ["neurockt", "neurockt.monitor", "neurockt.monitor.wandb", "neurockt.catalogue", "neurockt.cli"]
)
def test_light_modules_load_nothing_heavy(module: str) -> None:
    """A training script, a DataLoader worker and `neurockt ls` pay for none of these."""
    assert loaded_by(f"import {module}") == set()


def test_this_test_can_fail() -> None:
    """The check sees a package that is loaded."""
    assert "numpy" in loaded_by("import numpy")


@pytest.mark.slow
def test_recording_loads_neither_torch_nor_a_user_interface(tmp_path: object) -> None:
    """The first row loads pyarrow; recording floats never loads torch; growing a part does not load pandas either.

    An import during the run would hold the interpreter lock and stall the training loop.
    """
    code = f"""
import sys
from neurockt import testing
from neurockt.monitor import Recorder
recorder = Recorder({str(tmp_path)!r}, quiet=True)
loss = recorder.track_scalar("loss")(float)
with recorder(train=True):
    loss(1.0)
early = set(sys.modules)
testing.seal(recorder)
with recorder(train=True):
    pass
recorder.finish()
late = set(sys.modules) - early
assert not late, late
"""
    assert loaded_by(code) == {"numpy", "pyarrow"}


def test_reading_a_list_of_runs_needs_no_pyarrow(tmp_path: object) -> None:
    """``list_runs`` reads JSON alone."""
    assert loaded_by(f"import neurockt; neurockt.list_runs({str(tmp_path)!r})") == set()


@pytest.mark.slow
def test_what_draws_without_a_screen_loads_no_user_interface() -> None:
    """The commands `plot` and `report` work without the viewer's extra."""
    code = "import neurockt_viewer.figures, neurockt_viewer.report.page, neurockt_viewer.report.curves"
    assert not loaded_by(code) & {"textual", "torch", "pandas"}
