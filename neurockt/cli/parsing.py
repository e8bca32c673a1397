"""Parsers of the commands, and the arguments that several of them have."""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from itertools import groupby
from typing import Final

from neurockt.catalogue import find_run
from neurockt.cli import completers, output
from neurockt.errors import RunNotFound
from neurockt.formatting import alternatives
from neurockt.store import Run

Subparsers = argparse._SubParsersAction  # argparse has no public name for it


WIDEST_HELP: Final = 120
"""Columns of the help on a wider terminal, where longer lines are hard to read."""


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the help at the terminal's width; indented lines, such as examples, stay as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(output.terminal_width(sys.stdout) - 1, WIDEST_HELP))
        # argparse forgets that commands are indented, and breaks the line after the longest one
        self._action_max_length = 14

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
    parser.add_argument("--root", metavar="ROOT", help="where to look for it (default: $NEUROCKT_DIR, else runs)")
    add_part_arguments(parser)


def add_runs_or_roots(parser: argparse.ArgumentParser) -> None:
    what = "runs, or directories of runs (default: $NEUROCKT_DIR, else runs)"
    completers.add(parser.add_argument("paths", metavar="RUN|ROOT", nargs="*", help=what), completers.run_names)


def add_watch(parser: argparse.ArgumentParser, pause: float, what: str) -> None:
    parser.add_argument("--watch", metavar="SECONDS", nargs="?", type=seconds, const=pause, help=what)


def add_part_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rank", metavar="N", type=int, help="one rank of a run whose ranks keep their own rows")
    what = "what another process has recorded beside the run"
    attached = parser.add_argument("--attached", metavar="NAME", help=what)
    completers.add(attached, completers.attached)


def find(arguments: argparse.Namespace) -> Run:
    return part(find_run(arguments.run_named, arguments.root), arguments)


def part(run: Run, arguments: argparse.Namespace) -> Run:
    """The rank, or what is attached, that the arguments ask for; by default the run itself."""
    if arguments.rank is not None:
        run = run.rank(arguments.rank)
    return run if arguments.attached is None else _attached(run, arguments.attached)


def _attached(run: Run, name: str) -> Run:
    if (found := run.attached.get(name)) is not None:
        return found
    raise RunNotFound(f"nothing called {name!r} is attached to {run.path}; {alternatives(name, run.attached)}")


def count(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def seconds(text: str) -> float:
    value = number(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value
