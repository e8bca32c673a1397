"""The runs that a command changes or reads, where it takes several: named, or found by a filter."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from neurockt.catalogue import find_run, list_runs
from neurockt.cli import WrongUsage, completers, output
from neurockt.query.filter import parse
from neurockt.run_info import RunInfo
from neurockt.store import default_root, expanded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    named = parser.add_argument("runs_named", metavar="RUN", nargs="*", help="by path, or part of its id or name")
    completers.add(named, completers.run_names)
    filtered = parser.add_argument("-f", "--filter", metavar="QUERY", help="all matching runs (see 'neurockt ls')")
    completers.add(filtered, completers.filters)
    parser.add_argument("--root", metavar="ROOT", help="where to look for them (default: $NEUROCKT_DIR, else runs)")


def selected(
    arguments: argparse.Namespace, *, archived: bool = False, also: Callable[[RunInfo], bool] | None = None
) -> list[RunInfo]:
    """The runs that are named, or all there are, as far as they match the filter and ``also``; a note if none does.

    Of archived runs only those that are named, unless ``archived`` or the filter asks for them, as ``archived=true``.

    Raises:
        WrongUsage: neither names nor a filter are given.
        RunNotFound: a name names no run.
    """
    if not arguments.runs_named and arguments.filter is None and also is None:
        raise WrongUsage(f"which runs? neurockt {arguments.command} RUN, or --filter QUERY")
    query = parse(arguments.filter or "")
    if arguments.runs_named:
        named = [find_run(name, arguments.root).info for name in arguments.runs_named]
        runs = list({info.path.resolve(): info for info in named}.values())
        where = "those named"
    else:
        root = expanded(arguments.root) if arguments.root else default_root()
        runs = list_runs(root, archived=archived or any(field.name == "archived" for field in query.fields))
        where = f"{len(runs):,} in {root}"
    found = [info for info in runs if query.matches(info) and (also is None or also(info))]
    if not found:
        output.note(f"no run matches ({where})")
    return found
