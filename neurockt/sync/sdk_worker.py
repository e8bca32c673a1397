"""W&B's own SDK, in a process of its own: logs rows that come on stdin, or attaches files. Nothing else imports it.

Run as ``python -m neurockt.sync.sdk_worker``, in an empty directory. The first line of stdin says what to do, the rows
follow as lines of W&B's history, then ``end``; without it, because whoever writes them was killed, it stays as it is.
Each line of stdout is a JSON object: ``starting_step`` when the rows may come, ``done``, or ``error``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Final, TextIO

END: Final = "end\n"
"""The line after the last row."""
TIMEOUT_SECONDS: Final = 60
"""How long the SDK may take to begin, to finish, and to commit an artifact."""


def main() -> int:
    """Do what stdin says; gives the exit status."""
    answers, sys.stdout = sys.stdout, sys.stderr  # the SDK prints where it likes
    spec: dict[str, Any] = json.loads(sys.stdin.readline())
    import wandb

    try:
        if spec["do"] == "log":
            _log(wandb, spec, answers)
        else:
            _attach(wandb, spec, answers)
    except (wandb.errors.Error, TimeoutError, ValueError) as error:
        _answer(answers, error=f"{type(error).__name__}: {error}"[:500])
        return 1
    return 0


def _log(wandb: Any, spec: dict[str, Any], answers: TextIO) -> None:
    exit_code = spec["exit_code"]
    run = wandb.init(**spec["init"], resume="allow", settings=_settings(wandb, spec, exit_code is not None))
    for axis in ("step", "epoch"):
        run.define_metric(axis, hidden=True)
    for name, axis in spec["axes"]:
        if "*" not in name:  # the SDK would take it for a pattern
            run.define_metric(name.replace(".", "\\."), step_metric=axis)
    _answer(answers, starting_step=run.starting_step)
    logged = 0
    for line in sys.stdin:
        if line == END:
            break
        row = json.loads(line)
        step = row.pop("_step")
        del row["_runtime"]  # the SDK puts its own in its place
        run.log(row, step=step)
        logged += 1
    else:
        os._exit(1)  # whoever sends the rows is gone: say nothing of the run's end
    run.finish(exit_code=exit_code or 0)
    _answer(answers, done=logged)


def _attach(wandb: Any, spec: dict[str, Any], answers: TextIO) -> None:
    run = wandb.init(**spec["init"], resume="must", settings=_settings(wandb, spec, False))
    artifact = wandb.Artifact(spec["name"], type="neurockt-run")
    for name in spec["files"]:
        artifact.add_file(os.path.join(spec["directory"], name), name=name, skip_cache=True, policy="immutable")
    run.log_artifact(artifact).wait(timeout=TIMEOUT_SECONDS)
    run.finish()
    _answer(answers, done=len(spec["files"]))


def _settings(wandb: Any, spec: dict[str, Any], finishes: bool) -> Any:
    """Nothing about the machine that uploads, nothing printed, nothing outside the directory, every wait bounded."""
    return wandb.Settings(
        host=spec.get("host"),
        root_dir=str(Path.cwd()),
        init_timeout=TIMEOUT_SECONDS,
        finish_timeout=TIMEOUT_SECONDS,
        finish_timeout_raises=True,
        x_file_stream_transmit_interval=1,
        x_update_finish_state=finishes,
        symlink=False,
        console="off",
        silent=True,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=spec.get("host") is None,  # else no host would be told at all
        x_save_requirements=False,
        disable_git=True,
        disable_code=True,
        save_code=False,
    )


def _answer(answers: TextIO, **what: Any) -> None:
    print(json.dumps(what), file=answers, flush=True)


if __name__ == "__main__":
    sys.exit(main())
