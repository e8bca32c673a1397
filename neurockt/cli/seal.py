"""``neurockt seal``: what dead runs left in their journals becomes Parquet."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from neurockt.catalogue import find_run, run_paths
from neurockt.cli import output, parsing
from neurockt.errors import NeurocktError, RunInUse
from neurockt.store import TABLES, Liveness, ask_scheduler, default_root, layout, read_info, scheduler

_DESCRIPTION = """\
Turn the journals of dead runs into Parquet, so that they read as plain Parquet without neurockt too.

A killed run loses nothing and reads in full without this. A run that is still being written is left alone.
"""
SCHEDULER_SECONDS = 5.0
"""How long SLURM may take to say how the jobs of all the dead runs ended."""

_EXAMPLE = """\
  neurockt seal runs
  neurockt seal runs/20261123-101500-brave-otter
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = parsing.add_command(subparsers, "seal", "turn dead runs' journals into Parquet", _EXAMPLE, _DESCRIPTION)
    parser.add_argument(
        "targets",
        metavar="RUN|ROOT",
        nargs="*",
        help="default: $NEUROCKT_DIR, else runs",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Seal the runs; one that cannot be sealed does not keep the others from it."""
    from neurockt.store import seal_run

    status = 0
    done: list[dict[str, Any]] = []
    paths = list(_paths(arguments.targets or [str(default_root())]))
    _ask_scheduler(path for path, _ in paths)
    for path, was_named in paths:
        try:
            sealed = seal_run(path)
        except RunInUse as error:
            output.note(str(error))
            status = max(status, int(was_named))
        except (NeurocktError, OSError) as error:
            output.note(f"{path}: {error}" if isinstance(error, OSError) else str(error))
            status = 1
        else:
            done.append({"path": str(path), **{name: getattr(sealed, name) for name in (*TABLES, "already")}})
            if not arguments.json:
                moved = f"sealed {sealed.steps:,} steps, {sealed.epochs:,} epochs"
                print(f"{output.show(str(path))}: {'already sealed' if sealed.already else moved}")
    if arguments.json:
        output.print_json(done)
    return status


def _ask_scheduler(paths: Iterable[Path]) -> None:
    """What is sealed is written down for good: give the scheduler some time to say what became of the jobs."""
    liveness = Liveness()
    infos = []
    for path in paths:
        with contextlib.suppress(NeurocktError):  # told when it is sealed
            infos.append(liveness.infer(read_info(path)))
    ask_scheduler(infos)
    scheduler.wait(SCHEDULER_SECONDS)


def _paths(targets: list[str]) -> Iterator[tuple[Path, bool]]:
    """The runs, and whether each was named rather than found in a directory."""
    for target in targets:
        path = Path(target)
        if path.is_dir() and not (path / layout.RUN_FILE).exists():
            yield from ((found, False) for found in run_paths(path))
        else:
            yield find_run(target).path, True
