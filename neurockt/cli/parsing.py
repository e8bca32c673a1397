"""Parsers of the commands, and the arguments that several of them have."""

from __future__ import annotations

import argparse
import sys
import textwrap
from itertools import groupby
from typing import Final

from neurockt.catalogue import find_run, list_runs
from neurockt.cli import completers, output
from neurockt.errors import NeurocktError, RunNotFound
from neurockt.query.filter import parse
from neurockt.store import Run, default_root, open_run

Subparsers = argparse._SubParsersAction  # argparse has no public name for it


class WrongUsage(NeurocktError):
    """The command was called in a way that cannot work."""


WIDEST_HELP: Final = 120
"""Columns of the help on a wider terminal, where longer lines are hard to read."""


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the help at the terminal's width; indented lines, such as examples, stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(output.terminal_width(sys.stdout) - 1, WIDEST_HELP))
        self._action_max_length = (
            14  # argparse forgets that commands are indented, and breaks the line after the longest
        )

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for stays, group in groupby(text.splitlines(), lambda line: not line or line.startswith(" ")):
            some = list(group)
            lines += some if stays else textwrap.wrap(" ".join(some), width)
        return "\n".join(indent + line for line in lines)


def add_command(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, summary: str, example: str, description: str = ""
) -> argparse.ArgumentParser:
    """The parser of a command, with an example at the end of its help."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n{example}",
        formatter_class=HelpFormatter,
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    named = parser.add_argument(
        "run_named",
        metavar="RUN",
        nargs="?",
        help="its directory, or any unique part of its id or name (default: the latest)",
    )
    completers.add(named, completers.run_names)
    _add_place_arguments(parser)


def add_runs_arguments(parser: argparse.ArgumentParser) -> None:
    """For a command that takes several runs, by their names or by a filter."""
    named = parser.add_argument("runs_named", metavar="RUN", nargs="*", help="as in show (default: the latest)")
    query = parser.add_argument("-f", "--filter", metavar="QUERY", help="all runs that match, as in ls --filter")
    completers.add(named, completers.run_names)
    completers.add(query, completers.filters)
    _add_place_arguments(parser)


def _add_place_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", metavar="ROOT", help="where to look for it (default: $NEUROCKT_DIR, else runs)")
    parser.add_argument("--rank", metavar="N", type=int, help="one rank of a run whose ranks keep their own rows")
    parser.add_argument("--attached", metavar="NAME", help="what another process has recorded beside the run")


def find(arguments: argparse.Namespace) -> Run:
    return _part(find_run(arguments.run_named, arguments.root), arguments)


def find_all(arguments: argparse.Namespace) -> list[Run]:
    """The runs that are named, or that match the filter; ``RunNotFound`` where there is none."""
    if arguments.filter is None:
        found = [find_run(name, arguments.root) for name in arguments.runs_named or [None]]
        return [_part(each, arguments) for each in {each.path.resolve(): each for each in found}.values()]
    if arguments.runs_named:
        raise WrongUsage("name runs, or choose them with --filter, not both")
    query = parse(arguments.filter)
    root = arguments.root or default_root()
    runs = list_runs(root)
    matching = [info for info in runs if query.matches(info)]
    if not matching:
        raise RunNotFound(f"no run in {root} matches ({len(runs):,} runs)")
    return [_part(open_run(info.path), arguments) for info in matching]


def _part(run: Run, arguments: argparse.Namespace) -> Run:
    if arguments.rank is not None:
        run = run.rank(arguments.rank)
    return run if arguments.attached is None else _attached(run, arguments.attached)


def _attached(run: Run, name: str) -> Run:
    if (found := run.attached.get(name)) is not None:
        return found
    there = f"there is {', '.join(run.attached)}" if run.attached else "nothing is"
    raise RunNotFound(f"nothing called {name!r} is attached to {run.path}: {there}")


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number
