"""``neurockt seal``: turns the journals of dead runs into Parquet."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from neurockt.catalogue import find_run, run_paths
from neurockt.cli import output, parsing
from neurockt.errors import NeurocktError, RunInUse
from neurockt.formatting import format_count
from neurockt.store import TABLES, Liveness, ask_scheduler, default_root, expanded, layout, read_info, scheduler

_DESCRIPTION = """\
Turn the journals of dead runs into Parquet, so that other programs can read all rows as plain Parquet.

neurockt reads a killed run in full without this. A run that is still being written is left alone.
"""
SCHEDULER_SECONDS = 5.0
"""How long SLURM may take to report how the jobs of all the dead runs ended."""

_EXAMPLE = """\
  neurockt seal runs
  neurockt seal runs/20261123-101500-brave-otter
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "seal", "turn dead runs' journals into Parquet", _EXAMPLE, _DESCRIPTION)
    parsing.add_runs_or_roots(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Seal the runs; one that cannot be sealed does not stop the others."""
    from neurockt.store import seal_run

    paths, status = _find(arguments.paths or [str(default_root())])
    _ask_scheduler(paths)
    done: list[dict[str, Any]] = []
    for path, was_named in paths.items():
        try:
            result = seal_run(path)
        except RunInUse as error:
            output.note(str(error))
            status = max(status, int(was_named))
        except (NeurocktError, OSError) as error:
            output.note(f"{path}: {error}" if isinstance(error, OSError) else str(error))
            status = 1
        else:
            done.append({"path": str(path), **{name: getattr(result, name) for name in (*TABLES, "already")}})
    if arguments.json:
        output.print_json(done)
    else:  # after all are sealed: output that nobody reads does not stop that
        for sealed in done:
            moved = f"sealed {format_count(sealed['steps'], 'step')}, {format_count(sealed['epochs'], 'epoch')}"
            print(f"{output.show(sealed['path'])}: {'already sealed' if sealed['already'] else moved}")
    return status


def _ask_scheduler(paths: Iterable[Path]) -> None:
    """Give the scheduler some time to report how the jobs ended: a sealed run records that for good."""
    liveness = Liveness()
    infos = []
    for path in paths:
        with contextlib.suppress(NeurocktError):  # reported when it is sealed
            infos.append(liveness.infer(read_info(path)))
    ask_scheduler(infos)
    scheduler.wait(SCHEDULER_SECONDS)


def _find(targets: list[str]) -> tuple[dict[Path, bool], int]:
    """The runs and what is attached to them, and whether each was named, not found; 1 where a target is neither."""
    paths: dict[Path, bool] = {}
    status = 0
    for target in targets:
        try:
            path = expanded(target)
            if os.path.isdir(path) and not os.path.exists(path / layout.RUN_FILE):  # noqa: PTH112  (never raise)
                found = run_paths(path)
                paths.update((each, False) for each in found if each not in paths)
                if not found:
                    output.note(f"no runs in {path}")
            else:
                paths[find_run(target).path] = True
        except (NeurocktError, OSError) as error:
            output.note(str(error))
            status = 1
    for path in list(paths):
        paths.update((attached, False) for attached in layout.attached_paths(path).values() if attached not in paths)
    return paths, status
