"""``neurockt report``: runs as one HTML file, which opens offline in any browser."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neurockt.catalogue import find_run, list_runs
from neurockt.cli import FAILED, WrongUsage, completers, ls, output, parsing, selecting, show
from neurockt.cli.export import check_target
from neurockt.formatting import alternatives, format_bytes, format_count, listed
from neurockt.query.fields import flat_config, matching, parse_field, split_names, titles
from neurockt.query.filter import parse
from neurockt.query.metrics import shown_of_epochs
from neurockt.run_info import RunInfo
from neurockt.store import RUN_FILE, ask_scheduler, default_root, expanded, facts, files, open_run, scheduler

if TYPE_CHECKING:
    from neurockt_viewer.charts.source import Metric
    from neurockt_viewer.report.page import Entry

METRICS_SHOWN: Final = 8
KEYS_SHOWN: Final = 12
"""Metrics and config keys in the table of runs; the page has all of them further down."""
NAMES_SHOWN: Final = 3
"""Directories in the heading."""
LARGE: Final = 20_000_000
"""Bytes that many mail servers refuse."""

_DESCRIPTION: Final = """\
Write a report of runs: one HTML file with a table of the runs, their configs, charts, notes and origins. It opens in
any browser, without a network, and loads and sends nothing. It has the command lines, hosts and directories of the
runs.

Of long runs the charts have every extreme, and the mean of what lies between.
"""
_EXAMPLE: Final = """\
  neurockt report runs -o report.html
  neurockt report adam-s0 adam-s1 -f 'best(acc)>0.9'
  neurockt report runs/sweep --metrics 'loss,val/*' --title Sweep
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "report", "write runs as a page to mail", _EXAMPLE, _DESCRIPTION)
    paths = parser.add_argument(
        "paths",
        metavar="PATH|RUN",
        nargs="*",
        help="directories of runs, or runs by any part of a name (default: ROOT)",
    )
    query = parser.add_argument(
        "-f", "--filter", metavar="QUERY", default="", help="only matching runs (see 'neurockt ls')"
    )
    metrics = parser.add_argument(
        "--metrics", metavar="NAMES", help="charts of only these, separated by commas; * is any text"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading (default: the names of the directories)")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        default="report.html",
        help="where to write, - for stdout (default: report.html)",
    )
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    parser.add_argument("--archived", action="store_true", help="also the archived runs of directories")
    parser.add_argument("--root", metavar="ROOT", help="where to look for RUN (default: $NEUROCKT_DIR, else runs)")
    completers.add(paths, completers.run_names)
    completers.add(query, completers.filters)
    completers.add(metrics, completers.metric_lists)


def run(arguments: argparse.Namespace) -> int:
    from neurockt_viewer.report.curves import read
    from neurockt_viewer.report.page import page

    target = expanded(arguments.output) if arguments.output != "-" else None
    if target is not None:
        check_target(target, force=arguments.force)
    from tqdm import tqdm

    infos = _selected(arguments)
    if not infos:
        return FAILED
    wanted = _Wanted(arguments.metrics)
    ask_scheduler(infos)
    with tqdm(total=len(infos), desc="report", unit="run", leave=False, disable=None, file=sys.stderr) as bar:
        curves = read(infos, wanted, bar.update)
    wanted.check()
    for problem in dict.fromkeys(curves.problems):
        output.note(problem)
    scheduler.wait(show.SCHEDULER_SECONDS)
    entries = [_entry(info) for info in infos]
    infos = [entry.info for entry in entries]
    fields = [parse_field(name) for name in ls.default_columns(infos, METRICS_SHOWN, KEYS_SHOWN)]
    columns = dict(zip(titles(fields, shown_of_epochs(infos)), fields, strict=True))
    text = page(arguments.title or _title(arguments), entries, columns, curves)
    if target is None:
        sys.stdout.write(text)
        return FAILED if curves.problems else 0
    files.publish(target, lambda path: path.write_text(text, encoding="utf-8", errors="replace"))
    size = target.stat().st_size
    hint = ": fewer with --metrics or --filter make it smaller" if size > LARGE else ""
    output.note(f"{format_count(len(infos), 'run')} written to {target}, {format_bytes(size)}{hint}")
    return FAILED if curves.problems else 0


def _selected(arguments: argparse.Namespace) -> list[RunInfo]:
    """The runs of the directories, and those that are named, as far as they match; a note if none does."""
    query = parse(arguments.filter)
    root = expanded(arguments.root) if arguments.root else default_root()
    archived = arguments.archived or any(field.name == "archived" for field in query.fields)
    found: dict[Path, RunInfo] = {}
    for name in arguments.paths or [str(root)]:
        path = expanded(name)
        is_directory = os.path.isdir(path) and not os.path.lexists(path / RUN_FILE)  # noqa: PTH112  (never raises)
        some = list_runs(path, archived=archived) if is_directory or not arguments.paths else []
        if is_directory and not some:
            output.note(ls.no_runs(path))
        if not is_directory and arguments.paths:
            some = [find_run(name, root).info]
        found |= {info.path.resolve(): info for info in some}
    infos = list(found.values())
    matching = selecting.matching(infos, query)
    if infos and not matching:
        output.note(f"no run matches ({format_count(len(infos), 'run')})")
    return matching


class _Wanted:
    """The metrics that are asked for, by their names, ``NAME@TABLE`` or patterns; without any, all."""

    def __init__(self, names: str | None) -> None:
        self._names = None if names is None else split_names(names)
        self._seen: dict[str, None] = {}
        self._used: set[str] = set()

    def __call__(self, metric: Metric) -> bool:
        if self._names is None:
            return True
        self._seen[metric.name] = None
        fitting = {name for name in self._names if matching(name, (metric.name, f"{metric.name}@{metric.table}"))}
        self._used |= fitting
        return bool(fitting)

    def check(self) -> None:
        """Raise WrongUsage where a name is that of no metric that was seen."""
        for name in self._names or ():
            if name not in self._used:
                raise WrongUsage(f"no run has the metric {name!r}; {alternatives(name, self._seen)}")


def _title(arguments: argparse.Namespace) -> str:
    """The names of the directories and runs, where they are few."""
    names = [Path(name).resolve().name or name for name in arguments.paths or [str(arguments.root or default_root())]]
    return listed(names, NAMES_SHOWN)


def _entry(info: RunInfo) -> Entry:
    from neurockt_viewer.report.page import Entry

    found = open_run(info.path)
    origin = found.origin()
    info = found.current_info()
    summary = show.summary_rows(info)
    failure = info.failure
    return Entry(
        info,
        show.description(info, show.ranks(found), _moment),
        facts(origin) if origin else {},
        [show.describe_attempt(attempt) for attempt in info.attempts] if len(info.attempts) > 1 else [],
        {key: output.show_exact(value) for key, value in flat_config(info.config)},
        [show.SUMMARY, *summary] if summary else [],
        f"{failure.type}: {failure.message}" if failure else "",
        failure.traceback if failure else "",
    )


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"
