"""``neurockt sync``: uploads runs to Weights & Biases, each row exactly once, and asks the server to prove it."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from neurockt.catalogue import find_run
from neurockt.cli import WrongUsage, output, parsing
from neurockt.errors import MissingExtra, NeurocktError
from neurockt.formatting import clean, clip, format_count, listed
from neurockt.store import default_root, expanded

if TYPE_CHECKING:
    from tqdm import tqdm

    from neurockt.sync.batch import Batch
    from neurockt.sync.upload import Outcome

JOBS: Final = 4
WATCH_SECONDS: Final = 60.0
LABEL_WIDTH: Final = 28
SHOWN_BARS: Final = 20

_DESCRIPTION = """\
Upload runs to Weights & Biases.

Only what W&B lacks is sent. A run counts as complete once the server shows all of its rows, the right last step and
the right state. Interrupted at any moment, the next sync goes on from there; two at once do no harm.
"""
_EXAMPLE = """\
  neurockt sync runs
  neurockt sync runs --running --watch     on a login node, while jobs train
  neurockt sync runs --verify              compare every number, upload nothing
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "sync", "upload runs to Weights & Biases", _EXAMPLE, _DESCRIPTION)
    parsing.add_runs_or_roots(parser)
    parser.add_argument("--running", action="store_true", help="also upload what there is of runs that still train")
    often = f"repeat every SECONDS (default: {WATCH_SECONDS:.0f}) until interrupted; each line is about one pass"
    parsing.add_watch(parser, WATCH_SECONDS, often)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be sent; needs neither key nor network"
    )
    parser.add_argument("--verify", action="store_true", help="compare everything with the server, and send nothing")
    parser.add_argument("--project", metavar="NAME", help="W&B project (default: the run's)")
    parser.add_argument("--entity", metavar="NAME", help="W&B user or team (default: yours)")
    parser.add_argument(
        "--jobs", metavar="N", type=parsing.count, default=JOBS, help=f"runs at a time (default: {JOBS})"
    )
    parser.add_argument("--files", action="store_true", help="attach the Parquet files as an artifact")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="upload a run again that was resumed from an earlier checkpoint, then delete the old upload; "
        "of a run whose project was changed, delete that in the earlier project",
    )
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=parsing.seconds,
        help="how long to repeat a request while the server does not answer (default: 120)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    for one, other in (("dry-run", "verify"), ("dry-run", "watch"), ("verify", "files"), ("verify", "replace")):
        if all(vars(arguments)[name.replace("-", "_")] for name in (one, other)):
            raise WrongUsage(f"--{one} and --{other} exclude each other; leave one out")
    try:
        from neurockt.sync.account import find_account
        from neurockt.sync.artifact import check_sdk
        from neurockt.sync.batch import TURN_ROWS, Batch
        from neurockt.sync.client import PATIENCE_SECONDS, Client
        from neurockt.sync.plan import planned
        from neurockt.sync.upload import Options
    except ImportError as error:
        if error.name != "requests":
            raise
        raise MissingExtra("sync needs the package requests: pip install 'neurockt[wandb]'") from error
    paths = [_path(text) for text in arguments.paths] or [default_root()]
    options = Options(
        entity=arguments.entity,
        project=arguments.project,
        running=arguments.running,
        verify=arguments.verify,
        files=arguments.files,
        replace=arguments.replace,
        turn_rows=TURN_ROWS if arguments.watch else None,
    )
    if arguments.dry_run:
        outcomes = list(planned(paths, find_account(with_key=False), options))
        _report(outcomes, arguments)
        return int(any(outcome.status == "failed" for outcome in outcomes))
    if arguments.files:
        check_sdk()
    bars = _Bars()
    client = Client(find_account(), patience=arguments.patience or PATIENCE_SECONDS, on_wait=bars.note)
    try:
        batch = Batch(
            paths,
            client,
            client.greet(),
            options,
            jobs=arguments.jobs,
            on_begin=bars.begin,
            on_rows=bars.update,
            on_outcome=bars.finish,
        )
        if arguments.watch:
            _watch(batch, bars, arguments)
        outcomes = batch.sync()
    finally:
        bars.close()
        client.close()
    _report(outcomes, arguments)
    return int(any(outcome.status == "failed" for outcome in outcomes))


def _path(text: str) -> Path:
    """A directory, or that of the run of this name; as it is where there is neither, which the sync reports."""
    try:
        if os.path.isdir(expanded(text)):  # noqa: PTH112  (never raises)
            return Path(text)
        return find_run(text).path
    except NeurocktError as error:
        if os.sep not in text:  # it may be a name
            output.note(str(error))
        return Path(text)


def _watch(batch: Batch, bars: _Bars, arguments: argparse.Namespace) -> None:
    """Sync until interrupted. A pass that changed nothing prints nothing."""
    reported: dict[Path, tuple[str, str | None, int]] = {}
    while True:
        started = time.monotonic()
        outcomes = batch.sync()
        bars.close()
        before, reported = reported, {each.path: (each.status, each.reason, each.rows) for each in outcomes}
        if any(reported[each.path] != before.get(each.path) and each.status != "pending" for each in outcomes):
            if not arguments.json:
                print(f"{datetime.now():%Y-%m-%d %H:%M:%S}  ", end="")
            _report(outcomes, arguments)
            sys.stdout.flush()
        time.sleep(max(0.0, arguments.watch - (time.monotonic() - started)))


class _Bars:
    """A progress bar for the pass, and one for each run that is being sent; on a terminal only. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pass: tqdm[Any] | None = None
        self._runs: dict[Path, tqdm[Any]] = {}

    def begin(self, total: int) -> None:
        if output.is_terminal(sys.stderr):
            self._pass = _bar("runs", total)

    def update(self, path: Path, label: str, done: int, total: int) -> None:
        with self._lock:
            if self._pass is not None:
                bar = self._runs.get(path)
                if bar is None:
                    bar = self._runs[path] = _bar(clip(clean(label), LABEL_WIDTH), total)
                bar.total = total
                bar.update(done - bar.n)

    def finish(self, outcome: Outcome) -> None:
        with self._lock:
            if outcome.path in self._runs:
                self._runs.pop(outcome.path).close()
            if self._pass is not None:
                self._pass.set_postfix_str("", refresh=False)
                self._pass.update()

    def note(self, text: str) -> None:
        """Show beside the bar why nothing happens for a while."""
        with self._lock:
            if self._pass is not None:
                self._pass.set_postfix_str(clean(text))

    def close(self) -> None:
        with self._lock:
            for bar in [*self._runs.values(), *([self._pass] if self._pass is not None else [])]:
                bar.close()
            self._runs, self._pass = {}, None


def _bar(name: str, total: int) -> tqdm[Any]:
    from tqdm import tqdm

    # on a terminal without a size, tqdm itself draws nothing
    width = output.terminal_width(sys.stderr) - 1
    return tqdm(desc=name, total=total, leave=False, ncols=width, nrows=SHOWN_BARS, unit_scale=True)


def _report(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> None:
    from neurockt.sync.plan import DRY_RUN

    if arguments.json:
        counts = {status: sum(outcome.status == status for outcome in outcomes) for status in _STATUSES}
        runs = [{**vars(outcome), "path": str(outcome.path)} for outcome in outcomes]
        output.print_json({**counts, "runs": runs})
        return
    for outcome in outcomes:
        if arguments.dry_run and outcome.status == "pending":
            rows = (
                f"would send {format_count(outcome.sent, 'row')}"
                if outcome.sent
                else "would send its changed description"
            )
            what = rows if outcome.reason == DRY_RUN else outcome.reason
            print(f"{output.show(outcome.label)}: {what}")
    print(_verdict(outcomes, arguments))
    for line in _reasons(outcomes):
        print(line)
    for outcome in outcomes:
        if outcome.status == "complete" and outcome.reason:
            output.note(f"{outcome.label}: {outcome.reason}")


_STATUSES = ("complete", "running", "pending", "failed")


def _verdict(outcomes: Sequence[Outcome], arguments: argparse.Namespace) -> str:
    """One line such as ``412 of 415 complete, 3 failed:``."""
    from neurockt.sync.upload import STILL_RUNNING

    number = {status: sum(outcome.status == status for outcome in outcomes) for status in _STATUSES}
    training = sum(outcome.reason == STILL_RUNNING for outcome in outcomes)
    parts = [f"{number['complete']:,} of {len(outcomes):,} complete"]
    for count, what in (
        (number["running"], "running"),
        (number["pending"] - training, "to be sent"),
        (training, "still running"),
        (number["failed"], "failed:"),
    ):
        if count:
            parts.append(f"{count:,} {what}")
    text = ", ".join(parts)
    sent = sum(outcome.sent for outcome in outcomes)
    return text if number["failed"] or not sent or arguments.dry_run else f"{text}; {format_count(sent, 'row')} sent"


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status == "failed":
            failed.setdefault(outcome.reason or "", []).append(output.show(outcome.label))
    lines = []
    for reason, labels in failed.items():
        lines.append(f"  {listed(labels)}: {output.show(reason)}")
    return lines
