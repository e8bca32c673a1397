"""Processes that are ranks of one job, by torchrun or by a launcher's variables alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LAUNCHERS = ("RANK", "WORLD_SIZE", "SLURM_", "OMPI_", "PMI_", "TORCHELASTIC_", "LOCAL_", "MASTER_")


def bare_environment(**variables: object) -> dict[str, str]:
    """The environment without what a launcher would have told, and with what one tells here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return {**kept, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in variables.items()}}


def torchrun(size: int, script: str, root: Path) -> subprocess.CompletedProcess[str]:
    """A script on so many ranks; one that hangs fails the test."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size), script, root],
        capture_output=True,
        text=True,
        timeout=300,
        env=bare_environment(),
    )
