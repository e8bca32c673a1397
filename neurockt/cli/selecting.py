"""The runs that a command changes or reads, where it takes several: named, or found by a filter."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from neurockt.catalogue import find_run, list_runs
from neurockt.cli import WrongUsage, completers, output
from neurockt.errors import CorruptRun
from neurockt.query.filter import Query, parse
from neurockt.query.known import KnownFields
from neurockt.run_info import RunInfo
from neurockt.store import RUN_FILE, default_root, expanded


def add_arguments(parser: argparse.ArgumentParser, *, or_latest: bool = False) -> None:
    what = "by path, or part of its id or name" + " (default: the latest)" * or_latest
    named = parser.add_argument("runs_named", metavar="RUN", nargs="*", help=what)
    completers.add(named, completers.run_names)
    filtered = parser.add_argument("-f", "--filter", metavar="QUERY", help="all matching runs (see 'neurockt ls')")
    completers.add(filtered, completers.filters)
    parser.add_argument("--root", metavar="ROOT", help="where to look for them (default: $NEUROCKT_DIR, else runs)")


def selected(
    arguments: argparse.Namespace,
    *,
    archived: bool = False,
    also: Callable[[RunInfo], bool] | None = None,
    damaged: list[Path] | None = None,
) -> list[RunInfo]:
    """The runs that are named, or all there are, as far as they match the filter and ``also``; a note if none does.

    Of archived runs only those that are named, unless ``archived`` or the filter asks for them, as ``archived=true``.
    Named runs whose ``run.json`` is damaged are added to the list ``damaged``, where there is one and no filter.

    Raises:
        WrongUsage: neither names nor a filter are given.
        QueryError: no run has a field of the filter.
        RunNotFound: a name names no run.
        CorruptRun: it names one that cannot be read.
    """
    if not arguments.runs_named and arguments.filter is None and also is None:
        raise WrongUsage(f"which runs? neurockt {arguments.command} RUN, or --filter QUERY")
    query = parse(arguments.filter or "")
    root = expanded(arguments.root) if arguments.root else default_root()
    if arguments.runs_named:
        infos: dict[Path, RunInfo] = {}
        for name in arguments.runs_named:
            try:
                info = find_run(name, arguments.root).info
            except CorruptRun as error:
                path = _damaged(name, root)
                if damaged is None or path is None or arguments.filter or also or isinstance(error.__cause__, OSError):
                    raise
                damaged.append(path)
            else:
                infos[info.path.resolve()] = info
        runs = list(infos.values())
        where = "those named"
    else:
        runs = list_runs(root, archived=archived or any(field.name == "archived" for field in query.fields))
        where = f"{len(runs):,} in {root}"
    found = [info for info in matching(runs, query) if also is None or also(info)]
    if not found and not damaged:
        output.note(f"no run matches ({where})")
    return found


def matching(runs: Sequence[RunInfo], query: Query) -> list[RunInfo]:
    """The runs that a filter matches. Raises QueryError where none has a field of it."""
    known = KnownFields(runs)
    for field in dict.fromkeys(query.fields):
        known.check(field)  # misspelt, it may match all: -val_los>1
    return [info for info in runs if query.matches(info)]


def selected_or_latest(arguments: argparse.Namespace) -> list[Path]:
    """The directories of the runs that are selected; where none is asked for, of the one that began last."""
    if arguments.runs_named or arguments.filter is not None:
        return [info.path for info in selected(arguments)]
    latest = find_run(None, arguments.root).path
    output.note(f"this is {latest}, which began last")
    return [latest]


def _damaged(name: str, root: Path) -> Path | None:
    """The run that a path names; one that cannot be read has no other name."""
    return next((path for path in (expanded(name), root / name) if (path / RUN_FILE).is_file()), None)
