"""The Parquet files of a run as an artifact of its W&B run. This is the one thing for which W&B's SDK is needed.

The SDK runs in a process of its own, ``python -m neurockt.sync.artifact``, with a time limit and in an empty directory.
It reads what to attach from stdin, and prints a JSON object: ``done``, or ``error``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from neurockt.errors import MissingExtra, SyncFailed
from neurockt.formatting import clean
from neurockt.store import TABLES, layout
from neurockt.sync.account import Account
from neurockt.sync.ledger import digest

SDK_SECONDS: Final = 60
"""How long the SDK may take to begin, to finish, and to commit an artifact."""
PROCESS_SECONDS: Final = 600.0
"""How long its process may take in all."""


def check_sdk() -> None:
    """Raise ``MissingExtra`` unless W&B's SDK is installed. It is not imported."""
    spec = find_spec("wandb")
    if spec is None or not spec.has_location:  # a directory that W&B left behind is found too, as an empty namespace
        raise MissingExtra("attaching files needs the W&B SDK: pip install 'neurockt[wandb]'")


def listing(run_dir: Path) -> str:
    described = (layout.RUN_FILE, layout.EDITS_FILE)  # they change without a row
    paths = [path for path in _paths(run_dir) if path.name not in described]
    return digest(repr([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]))


def attach(account: Account, entity: str, project: str, run_id: str, run_dir: Path) -> None:
    """Upload the files as the artifact ``run-ID``; ``SyncFailed`` unless W&B has committed it in time."""
    names = [str(path.relative_to(run_dir)) for path in _paths(run_dir)]
    task = {
        "init": {"entity": entity, "project": project, "id": run_id},
        "name": f"run-{run_id}",
        "directory": str(run_dir.absolute()),
        "files": names,
    }
    with tempfile.TemporaryDirectory(prefix="neurockt-wandb-", ignore_cleanup_errors=True) as directory:
        process = subprocess.Popen(
            [sys.executable, "-m", "neurockt.sync.artifact"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=directory,
            env=_environment(account, directory),
            start_new_session=True,
        )
        out = b""
        try:
            with suppress(subprocess.TimeoutExpired):
                out, _ = process.communicate(json.dumps(task).encode(), PROCESS_SECONDS)
        finally:  # it, and the processes it started
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    try:
        answer = json.loads(out)
    except ValueError:
        answer = {"error": "it ended before the files were attached; sync again"}
    if "error" in answer:
        raise SyncFailed(f"W&B's SDK: {clean(str(answer['error']).replace(account.key, '***'), 300)}")


def _paths(run_dir: Path) -> list[Path]:
    """The files of the run, of its ranks, and of what is attached to it."""
    directories = [run_dir, *layout.rank_paths(run_dir).values(), *layout.attached_paths(run_dir).values()]
    paths: list[Path] = []
    for directory in directories:
        edits = directory / layout.EDITS_FILE
        paths += [directory / layout.RUN_FILE, *([edits] if edits.is_file() and not edits.is_symlink() else [])]
        paths += [path for table in TABLES for path in layout.part_paths(directory, table)]
    return paths


def _environment(account: Account, directory: str) -> dict[str, str]:
    """The user's, with W&B's own variables replaced: the server, the key, and no files outside the directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    directories = {f"WANDB_{name}_DIR": directory for name in ("CACHE", "CONFIG", "DATA", "ARTIFACT")}
    return {
        **kept,
        **directories,
        "WANDB_DIR": directory,
        "WANDB_BASE_URL": account.url,
        "WANDB_API_KEY": account.key,
        "WANDB_ERROR_REPORTING": "false",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


# In the SDK's process


def main() -> int:
    answers, sys.stdout = sys.stdout, sys.stderr  # the SDK prints where it likes
    task: dict[str, Any] = json.load(sys.stdin)
    import wandb

    settings = wandb.Settings(
        root_dir=str(Path.cwd()),
        init_timeout=SDK_SECONDS,
        finish_timeout=SDK_SECONDS,
        finish_timeout_raises=True,
        x_update_finish_state=False,
        symlink=False,
        console="off",
        silent=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        disable_git=True,
        disable_code=True,
        save_code=False,
    )
    try:
        run = wandb.init(**task["init"], resume="must", settings=settings)
        artifact = wandb.Artifact(task["name"], type="neurockt-run")
        for name in task["files"]:
            path = os.path.join(task["directory"], name)
            artifact.add_file(path, name=name, skip_cache=True, policy="immutable")
        run.log_artifact(artifact).wait(timeout=SDK_SECONDS)
        run.finish()
    except Exception as error:  # the SDK raises errors of many kinds, and this process ends with any
        print(json.dumps({"error": f"{type(error).__name__}: {error}"[:500]}), file=answers, flush=True)
        return 1
    print(json.dumps({"done": len(task["files"])}), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
