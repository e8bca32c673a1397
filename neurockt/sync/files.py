"""The Parquet files of a run as an artifact of its W&B run."""

from __future__ import annotations

from pathlib import Path

from neurockt.store.base import layout
from neurockt.store.base.layout import TABLES
from neurockt.sync import sdk
from neurockt.sync.ledger import digest


def listing(run_dir: Path) -> str:
    """Digest of which files there are, and how they stand."""
    return digest(repr([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in _paths(run_dir)]))


def attach(target: sdk.Target, run_dir: Path) -> None:
    """Upload the files as the artifact ``run-ID``, and wait until W&B has committed it.

    Raises:
        SyncFailed: it did not.
    """
    names = [str(path.relative_to(run_dir)) for path in _paths(run_dir)]
    sdk.attach(target, run_dir, [layout.RUN_FILE, *names])


def _paths(run_dir: Path) -> list[Path]:
    return [path for table in TABLES for path in layout.part_paths(run_dir, table)]
