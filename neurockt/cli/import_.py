"""``neurockt import``: convert the runs of other trackers into runs of neurockt."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from neurockt.cli import WrongUsage, output, parsing
from neurockt.errors import UsageError
from neurockt.formatting import clean, format_count, pad
from neurockt.importing import FORMATS
from neurockt.shortening import shorten
from neurockt.store import default_root, expanded

if TYPE_CHECKING:
    from neurockt.importing.importer import Importer, Outcome

PAUSE: Final = 10.0
"""Seconds between two passes of ``--watch``, at least."""
SHARE: Final = 10.0
"""A pause is at least so many times as long as the pass before it."""

_DESCRIPTION: Final = """\
Convert runs of TensorBoard and Weights & Biases, CSV files, JSON lines and the HF Trainer's state into runs of
neurockt.

Directories are searched; the sources stay as they are. Steps, times, numbers and the config are taken over exactly.
Importing again converts only what has changed. Metrics named as validations (val, valid, eval, test, dev) go to the
table of the validations; --epochs names them.
"""
_EXAMPLE: Final = """\
  neurockt import lightning_logs wandb
  neurockt import old/runs --dry-run
  neurockt import log.csv --from csv --step iter
  neurockt import runs/live --watch
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    summary = "convert runs of TensorBoard, W&B, CSV and others"
    parser = parsing.add_command(subparsers, "import", summary, _EXAMPLE, _DESCRIPTION)
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a directory that is searched, or a file")
    parser.add_argument("--from", dest="format", choices=FORMATS, help="take files of this format alone")
    parser.add_argument("--into", metavar="ROOT", help="directory of runs (default: $NEUROCKT_DIR, else runs)")
    parser.add_argument("--project", metavar="NAME", help="the project of the runs (default: their own)")
    parser.add_argument("--step", metavar="COLUMN", help="the column of a table that numbers its rows")
    parser.add_argument(
        "--epochs", metavar="GLOB", action="append", default=[], help="metrics that are validations, such as 'dev*'"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be imported, and write nothing")
    parsing.add_watch(parser, PAUSE, f"import again and again, every {PAUSE:.0f} seconds at most")
    parser.add_argument("--force", action="store_true", help="convert also what has not changed")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    from neurockt.importing.importer import Importer, Options

    root = expanded(arguments.into) if arguments.into else default_root()
    options = Options(
        arguments.format,
        arguments.project,
        arguments.step,
        tuple(arguments.epochs),
        arguments.force,
        arguments.dry_run,
        arguments.watch is not None,
    )
    importer = Importer([expanded(path) for path in arguments.paths], root, options)
    failed, lines = False, _Lines()
    while True:
        begun = time.monotonic()
        try:
            failed |= _once(importer, arguments, lines)
        except UsageError as error:
            if lines.is_first_pass:
                raise WrongUsage(str(error)) from None
            lines.show(str(error), output.note)  # a job that begins again may make its directory again
        lines.end_pass()
        if arguments.watch is None:
            return int(failed)
        sys.stdout.flush()
        time.sleep(max(arguments.watch, SHARE * (time.monotonic() - begun)))


class _Lines:
    """Shows the lines of each pass that the pass before it did not have."""

    def __init__(self) -> None:
        self._before: set[str] = set()
        self._now: set[str] = set()
        self.is_first_pass = True

    def show(self, line: str, write: Callable[[str], object]) -> None:
        self._now.add(line)
        if line not in self._before:
            write(line)

    def end_pass(self) -> None:
        self._before, self._now, self.is_first_pass = self._now, set(), False


_WAITING: Final = "another import writes to this directory of runs: waiting for its end"


def _once(importer: Importer, arguments: argparse.Namespace, lines: _Lines) -> bool:
    """Import what there is now; whether some of it cannot be read."""
    outcomes: list[Outcome] = []
    size = importer.find()
    with _bar(size) as bar:
        for outcome in importer.run(bar.update if bar else lambda size: None, lambda: output.note(_WAITING)):
            outcomes.append(outcome)
            if not arguments.json and (arguments.watch is None or outcome.done != "unchanged"):
                if bar:
                    bar.clear()
                lines.show(_line(outcome), print)
    for remark in _remarks(importer, outcomes):
        lines.show(remark, output.note)
    if arguments.json:
        print(json.dumps([{**asdict(each), "path": str(each.path)} for each in outcomes], indent=2))
    return bool(importer.sources.faults) or any(outcome.damaged for outcome in outcomes)


def _bar(size: int) -> AbstractContextManager[Any]:
    """A progress bar on a terminal; elsewhere nothing."""
    if not output.is_terminal(sys.stderr):
        return nullcontext()
    from tqdm import tqdm

    return tqdm(total=size, desc="import", unit="B", unit_scale=True, leave=False, file=sys.stderr)


def _line(outcome: Outcome) -> str:
    (name,) = shorten([clean(outcome.id or outcome.path.name)], 60)
    begin = f"{pad(name, 36)}  {outcome.format:13}"
    if outcome.done in ("unchanged", "left out"):
        return f"{begin}  {outcome.done}"
    rows = f"{format_count(outcome.steps, 'step')}, {format_count(outcome.epochs, 'epoch')}"
    return f"{begin}  {outcome.values:>11,} values  {rows}  {outcome.done}"


def _remarks(importer: Importer, outcomes: Iterable[Outcome]) -> list[str]:
    found = [*importer.sources.faults, *importer.sources.remarks]
    for outcome in outcomes:
        if outcome.left_out and outcome.done != "unchanged":
            kinds = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(outcome.left_out.items()))
            found.append(f"{outcome.id}: left out {kinds}")
        found += [f"{outcome.id}: {remark}" if outcome.id else remark for remark in outcome.remarks if remark]
    return list(dict.fromkeys(found))
