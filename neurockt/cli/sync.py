"""``neurockt sync``: runs to Weights & Biases, each row exactly once, and proved to be there."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neurockt.cli import output
from neurockt.cli.ls import count
from neurockt.errors import MissingExtra
from neurockt.store.base.layout import default_root

if TYPE_CHECKING:
    from neurockt.sync.batch import Batch
    from neurockt.sync.options import Outcome

JOBS: Final = 4
WATCH_SECONDS: Final = 60.0
SHOWN_IN_A_REASON: Final = 8
"""Runs that are named where several failed for the same reason."""

_DESCRIPTION = """\
Upload runs to Weights & Biases.

Only what W&B lacks is sent. A run counts as complete once the server was asked, and has all of its rows, the right
last step and the right state. Interrupted at any moment, the next sync goes on from there; two at once do no harm.
"""
_EXAMPLE = """\
  neurockt sync runs
  neurockt sync runs --running --watch        on a login node, while jobs train
  neurockt sync runs --verify                 compare every number, upload nothing
"""


def add_parser(subparsers: output.Subparsers[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = output.add_command(subparsers, "sync", "upload runs to Weights & Biases", _EXAMPLE, _DESCRIPTION)
    parser.add_argument(
        "paths", metavar="PATH", nargs="*", help="runs, or directories of runs (default: $NEUROCKT_DIR, else runs)"
    )
    parser.add_argument("--running", action="store_true", help="also runs that still train, as far as they are")
    parser.add_argument(
        "--watch",
        metavar="SECONDS",
        nargs="?",
        type=_seconds,
        const=WATCH_SECONDS,
        help=f"keep doing it, every so many seconds ({WATCH_SECONDS:.0f})",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    parser.add_argument("--verify", action="store_true", help="compare everything with the server, and send nothing")
    parser.add_argument("--project", metavar="NAME", help="W&B project (default: the run's)")
    parser.add_argument("--entity", metavar="NAME", help="W&B user or team (default: yours)")
    parser.add_argument("--jobs", metavar="N", type=count, default=JOBS, help=f"runs at a time ({JOBS})")
    parser.add_argument("--files", action="store_true", help="attach the Parquet files as an artifact")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="upload a run anew that was resumed from an earlier checkpoint, then delete the old upload",
    )
    parser.add_argument(
        "--patience", metavar="SECONDS", type=_seconds, help="how long to go on while the server does not answer (120)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Upload the runs."""
    try:
        from neurockt.sync.account import find_account
        from neurockt.sync.batch import TURN_ROWS, Batch
        from neurockt.sync.client import PATIENCE_SECONDS, Client
        from neurockt.sync.options import Options
        from neurockt.sync.sdk import sdk_version
    except ImportError as error:
        if error.name != "requests":
            raise
        raise MissingExtra("W&B needs its SDK: pip install 'neurockt[wandb]'") from error
    sdk_version()
    from neurockt.progress import Bars

    bars = Bars()
    client = Client(find_account(), patience=arguments.patience or PATIENCE_SECONDS, on_wait=bars.note)
    options = Options(
        entity=arguments.entity,
        project=arguments.project,
        running=arguments.running,
        dry_run=arguments.dry_run,
        verify=arguments.verify,
        files=arguments.files,
        replace=arguments.replace,
        turn_rows=TURN_ROWS if arguments.watch else None,
    )
    paths = [Path(path) for path in arguments.paths] or [default_root()]
    try:
        batch = Batch(
            paths,
            client,
            client.greet()[0],
            options,
            jobs=max(1, arguments.jobs),
            on_run=bars.update,
            on_outcome=lambda outcome: bars.finish(outcome.path),
        )
        if arguments.watch:
            return _watch(batch, bars.begin, arguments)
        bars.begin(len(batch.find()[0]))
        outcomes = batch.sync()
    finally:
        bars.close()
        client.close()
    _tell(outcomes, arguments)
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _watch(batch: Batch, begin: Callable[[int], None], arguments: argparse.Namespace) -> int:
    """Sync until interrupted; a pass in which nothing happened says nothing."""
    told: dict[Path, tuple[str, str | None, int]] = {}
    while True:
        started = time.monotonic()
        outcomes = batch.sync()
        news = [
            outcome
            for outcome in outcomes
            if told.get(outcome.path) != (outcome.status, outcome.reason, outcome.rows) and outcome.status != "pending"
        ]
        told = {outcome.path: (outcome.status, outcome.reason, outcome.rows) for outcome in outcomes}
        if news:
            if not arguments.json:
                print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  ", end="")
            _tell(outcomes, arguments)
            sys.stdout.flush()
        time.sleep(max(0.0, arguments.watch - (time.monotonic() - started)))


def _tell(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> None:
    if arguments.json:
        from neurockt.sync.batch import to_json

        counts = {status: sum(outcome.status == status for outcome in outcomes) for status in _STATUSES}
        output.print_json({**counts, "runs": [to_json(outcome) for outcome in outcomes]})
        return
    for outcome in outcomes:
        if arguments.dry_run and outcome.status == "pending":
            what = f"would send {outcome.sent:,} rows" if outcome.reason == "dry run" else outcome.reason
            print(f"{output.show(outcome.label)}: {what}")
    print(_verdict(outcomes, arguments))
    for line in _reasons(outcomes):
        print(line)


_STATUSES = ("complete", "running", "pending", "failed")


def _verdict(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> str:
    """One line such as ``412 of 415 complete, 3 failed:``."""
    number = {status: sum(outcome.status == status for outcome in outcomes) for status in _STATUSES}
    parts = [f"{number['complete']:,} of {len(outcomes):,} complete"]
    if number["running"]:
        parts.append(f"{number['running']:,} running")
    if number["pending"]:
        parts.append(f"{number['pending']:,} {'to be sent' if arguments.dry_run else 'still running'}")
    if number["failed"]:
        parts.append(f"{number['failed']:,} failed:")
    text = ", ".join(parts)
    sent = sum(outcome.sent for outcome in outcomes)
    return text if number["failed"] or not sent or arguments.dry_run else f"{text}; {sent:,} rows sent"


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Why runs failed; those that failed alike together."""
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == "failed":
            failed.setdefault(outcome.reason or "", []).append(output.show(outcome.label))
    lines = []
    for reason, labels in failed.items():
        more = f" and {len(labels) - SHOWN_IN_A_REASON:,} more" if len(labels) > SHOWN_IN_A_REASON else ""
        lines.append(f"  {', '.join(labels[:SHOWN_IN_A_REASON])}{more}: {output.show(reason)}")
    return lines
