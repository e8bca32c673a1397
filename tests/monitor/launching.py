"""Processes that are ranks of one job, by torchrun or by a launcher's variables alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import preloaded
from ports import free_port

LAUNCHERS = ("RANK", "WORLD_SIZE", "SLURM_", "OMPI_", "PMI_", "TORCHELASTIC_", "LOCAL_", "MASTER_")


def bare_environment(**variables: object) -> dict[str, str]:
    """The environment without what a launcher would have told, and with what one tells here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return {**kept, "OMP_NUM_THREADS": "1", **{name: str(value) for name, value in variables.items()}}


FORKS = """
import importlib, os, runpy, sys

for name in sys.argv[2].split():
    importlib.import_module(name)
pids = []
for rank in range(int(sys.argv[1])):
    pids.append(os.fork())
    if not pids[-1]:
        os.environ["RANK"] = os.environ["LOCAL_RANK"] = str(rank)
        sys.argv = sys.argv[3:]
        runpy.run_path(sys.argv[0], run_name="__main__")
        sys.exit()
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""


def forked_ranks(
    size: int, script: Path, root: Path, *, preload: str = "", **variables: object
) -> subprocess.CompletedProcess[str]:
    """A script on so many ranks, as ``torchrun`` does it, but torch and these modules are loaded once for all."""
    forks = script.with_name("forks.py")
    forks.write_text(FORKS)
    environment = bare_environment(WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port(), **variables)
    return preloaded.run([sys.executable, forks, str(size), preload, script, root], preload="torch", env=environment)


def torchrun(size: int, script: str, root: Path) -> subprocess.CompletedProcess[str]:
    """A script on so many ranks; one that hangs fails the test."""
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size), script, root],
        capture_output=True,
        text=True,
        timeout=300,
        env=bare_environment(),
    )
