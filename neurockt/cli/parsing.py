"""Parsers of the commands, and the arguments that several of them have."""

from __future__ import annotations

import argparse

from neurockt.catalogue import find_run
from neurockt.store import Run

Subparsers = argparse._SubParsersAction  # argparse has no public name for it


def add_command(
    subparsers: Subparsers[argparse.ArgumentParser], name: str, summary: str, example: str, description: str = ""
) -> argparse.ArgumentParser:
    """The parser of a command, with an example at the end of its help."""
    return subparsers.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_named", metavar="RUN", help="its directory, its id, the beginning of its id, or its name")
    parser.add_argument("--root", metavar="ROOT", help="where to look for it (default: $NEUROCKT_DIR, else runs)")
    parser.add_argument("--rank", metavar="N", type=int, help="one rank of a run whose ranks keep their own rows")


def find(arguments: argparse.Namespace) -> Run:
    found = find_run(arguments.run_named, arguments.root)
    return found if arguments.rank is None else found.rank(arguments.rank)


def count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number
