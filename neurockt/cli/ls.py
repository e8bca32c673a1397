"""``neurockt ls``: lists the runs in a directory; filters and sorts them."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from typing import Final

from neurockt.catalogue import list_runs
from neurockt.cli import completers, output, parsing
from neurockt.query.fields import Field, differing, parse_field, sort_runs, split_names, usual_metrics
from neurockt.query.filter import parse
from neurockt.query.known import KnownFields
from neurockt.run_info import RunInfo
from neurockt.store import default_root

METRICS_SHOWN: Final = 4
"""Metrics in the table when no columns are asked for: the most common ones."""

_DESCRIPTION: Final = """\
List the runs in a directory, the newest last.

A field is id, name, project, group, state, cause, host, tags, notes, path, started, ended, updated, duration, age,
steps, epochs, attempts, dropped; a config's key such as cfg.lr or cfg.optimizer.lr; or a metric such as valid_loss (its
last value), best(acc), min(x), max(x), "val/acc", or mmlu/acc of what is attached under the name mmlu. A filter
compares fields with = != < <= > >=, searches names for words, takes name: id: project: group: tag: note: state: cause:
host: config: has:, and combines all with and, or, not, - and parentheses. As a column, val/* is all that match.
"""
_EXAMPLE: Final = """\
  neurockt ls runs -f 'resnet cfg.lr>=1e-3 -state:running' -s 'best(acc)' -r
  neurockt ls --columns name,state,duration,cfg.lr,'best(acc)'
  neurockt ls --json | jq -r '.[].path'
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "ls", "list, filter and sort runs", _EXAMPLE, _DESCRIPTION)
    parser.add_argument("root", metavar="ROOT", nargs="?", help="directory of runs (default: $NEUROCKT_DIR, else runs)")
    query = parser.add_argument(
        "-f",
        "--filter",
        metavar="QUERY",
        default="",
        help="only matching runs; write --filter=-x for one that begins with a dash",
    )
    sort = parser.add_argument("-s", "--sort", metavar="FIELD", help="sort by a field; runs without a value come last")
    parser.add_argument("-r", "--reverse", action="store_true", help="reverse the order")
    columns = parser.add_argument("-c", "--columns", metavar="FIELDS", help="fields to show, separated by commas")
    parser.add_argument(
        "-n", "--limit", metavar="N", type=parsing.count, help="show N runs (the newest, or with --sort the first)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    completers.add(query, completers.filters)
    completers.add(sort, completers.fields)
    completers.add(columns, completers.field_lists)


def run(arguments: argparse.Namespace) -> int:
    collecting = gc.isenabled()
    gc.disable()  # ten thousand runs are a million objects without a cycle; searching for one takes a fifth of the time
    try:
        return _list(arguments)
    finally:
        if collecting:
            gc.enable()


def _list(arguments: argparse.Namespace) -> int:
    query = parse(arguments.filter)
    root = arguments.root or default_root()
    everything = list_runs(root)
    known = KnownFields(everything)
    columns = known.expand(split_names(arguments.columns)) if arguments.columns is not None else None
    sorting = known.check(parse_field(arguments.sort)) if arguments.sort is not None else None
    for problem in filter(None, map(known.problem, dict.fromkeys(query.fields))):
        output.note(problem)
    runs = [info for info in everything if query.matches(info)]
    if sorting:
        runs = sort_runs(runs, sorting.name, reverse=arguments.reverse)[: arguments.limit]
    else:
        runs = runs[-arguments.limit :] if arguments.limit else runs
        runs = runs[::-1] if arguments.reverse else runs
    if arguments.json:
        output.print_json([_to_json(info, columns) for info in runs])
    elif runs:
        _print_runs(runs, columns or default_columns(runs))
    else:
        output.note(f"no run in {root} matches ({len(everything):,} runs)" if everything else f"no runs in {root}")
    return 0


def default_columns(runs: Sequence[RunInfo]) -> list[Field]:
    """What differs between the runs, their state, and the metrics most of them have."""
    names = ["id"]
    if any(info.name not in (None, info.id) for info in runs):
        names.append("name")
    names += differing(runs, ("project", "group", "tags"))
    names.append("state")
    if any(info.standing != info.state for info in runs):
        names.append("cause")
    names += usual_metrics(runs, METRICS_SHOWN)
    names += ["epochs", "steps", "duration", "started"]
    return [parse_field(name) for name in names]


def _print_runs(runs: Sequence[RunInfo], columns: Sequence[Field]) -> None:
    right = [field.kind in ("number", "share", "duration") or _all_numbers(field, runs) for field in columns]
    rows = [[output.show(field.value(info), field.kind) for field in columns] for info in runs]
    for line in output.table_lines([field.label for field in columns], rows, right=right, uncut=("id", "path")):
        print(line)


def _all_numbers(field: Field, runs: Sequence[RunInfo]) -> bool:
    values = [field.value(info) for info in runs]
    return all(value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values)


def _to_json(info: RunInfo, columns: Sequence[Field] | None) -> object:
    if columns is None:
        return output.run_to_json(info)
    return {field.label: output.value_to_json(field.value(info)) for field in columns}
