"""``neurockt rm``: moves runs to the trash of their directory, after asking, and empties it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from neurockt.catalogue import run_paths
from neurockt.cli import FAILED, WrongUsage, output, parsing, selecting
from neurockt.errors import NeurocktError
from neurockt.formatting import clean, clip, display_width, format_bytes, format_count, format_elapsed, pad, utc_now
from neurockt.query.comparing import parse_duration
from neurockt.run_info import RunInfo, State
from neurockt.store import Trash, default_root, empty_trash, expanded, open_run, size_of, trash_of

SHOWN: Final = 20
"""Runs that are listed before the question."""
LABEL_WIDTH: Final = 40

_DESCRIPTION: Final = """\
Move runs to the trash of their directory. Until that is emptied, they can be taken back: mv runs/.trash/TIME/RUN runs/

Runs are named, or all that match are taken. The command asks first, and prints what goes and how much that is. Runs
that are still written are left alone. Copies in W&B stay.
"""
_EXAMPLE: Final = """\
  neurockt rm brave-otter
  neurockt rm --filter 'steps<100' --state killed --older 30d
  neurockt rm --synced --older 90d --yes
  neurockt rm --empty-trash
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "rm", "move runs to the trash", _EXAMPLE, _DESCRIPTION)
    selecting.add_arguments(parser)
    parser.add_argument("--state", choices=get_args(State), action="append", help="only in this state; may be repeated")
    parser.add_argument("--older", metavar="AGE", type=_age, help="only if they ended longer ago, such as 30d or 12h")
    parser.add_argument("--synced", action="store_true", help="only if all of them was seen to be in W&B")
    parser.add_argument("--empty-trash", action="store_true", help="delete for good what is in the trash")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _age(text: str) -> float:
    seconds = parse_duration(text)
    if seconds is None or not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age such as 30d, 12h or 90m")
    return seconds


@dataclass(frozen=True)
class _Chosen:
    path: Path
    trash: Trash
    label: str
    about: str
    size: int


def run(arguments: argparse.Namespace) -> int:
    conditions = _conditions(arguments)
    if arguments.empty_trash:
        if arguments.runs_named or arguments.filter is not None or conditions:
            raise WrongUsage("--empty-trash frees all that is in the trash; leave the rest out")
        return _empty(arguments)
    chosen, status = _choose(arguments, conditions)
    if not chosen:
        return status
    total = format_bytes(sum(each.size for each in chosen))
    _list(chosen)
    if not _confirmed(f"Move {format_count(len(chosen), 'run')}, {total}, to the trash?", arguments):
        return FAILED
    moved: list[tuple[_Chosen, Path]] = []
    try:
        for each in sorted(
            chosen, key=lambda each: not each.path.is_symlink()
        ):  # a link first, while it leads somewhere
            try:
                moved.append((each, each.trash.move(each.path)))
            except (NeurocktError, OSError) as error:
                output.note(_reason(each.path, error))
                status = FAILED
    finally:
        _report(moved, arguments)
    return status


# Which runs


def _conditions(arguments: argparse.Namespace) -> list[Callable[[RunInfo], bool]]:
    conditions: list[Callable[[RunInfo], bool]] = []
    if arguments.state:
        conditions.append(lambda info: info.state in arguments.state)
    if arguments.older is not None:
        conditions.append(lambda info: (utc_now() - _end(info)).total_seconds() > arguments.older)
    if arguments.synced:
        from neurockt.sync.ledger import is_synced

        conditions.append(is_synced)
    return conditions


def _end(info: RunInfo) -> datetime:
    return info.ended or info.updated or info.created


def _choose(
    arguments: argparse.Namespace, conditions: Sequence[Callable[[RunInfo], bool]]
) -> tuple[list[_Chosen], int]:
    """The runs to move, without those that cannot be; these are named, and make the status 1 if they were before."""
    damaged: list[Path] = []
    also = (lambda info: all(holds(info) for holds in conditions)) if conditions else None
    infos = selecting.selected(arguments, also=also, damaged=damaged)
    runs = [(info.path, info.label, f"{info.state}, {format_elapsed(_end(info))}, {_extent(info)}") for info in infos]
    runs += [(path, path.name, "its run.json is damaged") for path in damaged]
    root = _absolute(expanded(arguments.root) if arguments.root else default_root())
    trashes: dict[Path, Trash] = {}
    chosen, status = [], 0
    for given, label, about in runs:
        path = _absolute(given)
        home = root if root in path.parents else path.parent
        trash = trashes.setdefault(home, Trash(home))
        try:
            trash.check(path)
        except (NeurocktError, OSError) as error:
            output.note(_reason(given, error))
            status = FAILED if arguments.runs_named else status
            continue
        chosen.append(_Chosen(path, trash, label, about, size_of(path)))
    return chosen, status


def _extent(info: RunInfo) -> str:
    with suppress(NeurocktError, OSError):  # run.json of a run that was killed is older than its rows
        return open_run(info.path).current_info().extent
    return info.extent


def _absolute(path: Path) -> Path:
    """The path from the root of the file system; if it is a link, that of the link."""
    absolute = path.absolute()
    if ".." not in absolute.parts:
        return absolute
    return absolute.resolve() if absolute.name == ".." else absolute.parent.resolve() / absolute.name


def _reason(path: Path, error: Exception) -> str:
    return f"{path} stays: {error.strerror}" if isinstance(error, OSError) else str(error)


# Asking


def _list(chosen: Sequence[_Chosen]) -> None:
    labels = [clip(clean(each.label), LABEL_WIDTH) for each in chosen[:SHOWN]]
    sizes = [format_bytes(each.size) for each in chosen[:SHOWN]]
    width, size_width = max(map(display_width, labels)), max(map(len, sizes))
    for each, label, size in zip(chosen, labels, sizes, strict=False):
        _print(f"  {pad(label, width)}  {size:>{size_width}}  {clean(each.about)}")
    if len(chosen) > SHOWN:
        _print(f"  and {len(chosen) - SHOWN:,} more")


def _confirmed(question: str, arguments: argparse.Namespace) -> bool:
    if arguments.yes:
        return True
    if not output.is_terminal(sys.stdin):
        raise WrongUsage(f"{question} Not a terminal, so nobody can answer: --yes does it without asking")
    _print(f"{question} [y/N]", end=" ")
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    output.note("nothing is removed")
    return False


def _print(line: str, end: str = "\n") -> None:
    print(line, end=end, file=sys.stderr, flush=True)


# What was done


def _report(moved: Sequence[tuple[_Chosen, Path]], arguments: argparse.Namespace) -> None:
    if arguments.json:
        runs = [{"path": str(each.path), "trash": str(to), "bytes": each.size} for each, to in moved]
        output.print_json({"moved": runs})
        return
    for home in dict.fromkeys(each.trash.root for each, _ in moved):
        here = [(each, to) for each, to in moved if each.trash.root == home]
        trash = here[0][0].trash.path
        size = format_bytes(sum(each.size for each, _ in here))
        print(f"moved {format_count(len(here), 'run')}, {size}, to {clean(_short(trash), 1000)}")
        for line in _way_back(here):
            print(f"  to undo: {clean(line, 4000)}")
        root = [] if home == _absolute(default_root()) else ["--root", _short(home)]
        print(f"  to free the space: {clean(shlex.join(['neurockt', 'rm', '--empty-trash', *root]), 2000)}")


def _way_back(moved: Sequence[tuple[_Chosen, Path]]) -> Iterator[str]:
    """The commands that take runs back from the trash: one for each directory that they were in."""
    for parent in dict.fromkeys(to.parent for _, to in moved):
        here = [(each, to) for each, to in moved if to.parent == parent]
        what = f"{shlex.quote(_short(parent))}/*" if len(here) > 1 else shlex.quote(_short(here[0][1]))
        yield f"mv {what} {shlex.quote(_short(here[0][0].path.parent))}/"


def _short(path: Path | None) -> str:
    """The path from here, where that is below."""
    text = str(path)
    return text.removeprefix(f"{Path.cwd()}{os.sep}")


# The trash


def _empty(arguments: argparse.Namespace) -> int:
    root = expanded(arguments.root) if arguments.root else default_root()
    there = trash_of(root)
    runs = sum(len(run_paths(batch)) for path in there for batch in path.iterdir() if batch.is_dir())
    size = sum(size_of(path) for path in there)
    document: dict[str, Any] = {"runs": runs, "bytes": size}
    if not there:
        output.note(f"nothing is in the trash of {root}")
    elif not _confirmed(f"Delete {format_count(runs, 'run')}, {format_bytes(size)}, for good?", arguments):
        return FAILED
    else:
        empty_trash(root)
    if arguments.json:
        output.print_json(document)
    elif there:
        print(f"deleted {format_count(runs, 'run')}, {format_bytes(size)}")
    return 0
