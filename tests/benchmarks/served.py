"""A W&B server on this machine for a measurement, in a process of its own, and an environment that points to it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.harness import REPOSITORY, clean_environment


@contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """The environment in which ``neurockt`` and ``wandb`` know nothing but that server; ``home`` is theirs."""
    environment = {name: value for name, value in clean_environment().items() if not name.startswith("WANDB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "wandb_server"],
        cwd=REPOSITORY / "tests",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        url, key = process.stdout.readline().split()
        yield {
            **environment,
            "HOME": str(home),
            "XDG_STATE_HOME": str(home / "state"),
            "WANDB_BASE_URL": url,
            "WANDB_API_KEY": key,
            "WANDB_ERROR_REPORTING": "false",
            "PYTHONPATH": str(REPOSITORY),
        }
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
