"""``neurockt ls``: lists the runs in a directory, or groups of them; filters and sorts."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from neurockt.catalogue import list_runs
from neurockt.cli import completers, output, parsing
from neurockt.formatting import format_count
from neurockt.progress import live_fields
from neurockt.query.fields import (
    FIELD_NAMES,
    Field,
    differing,
    differing_keys,
    parse_field,
    quoted,
    sort_runs,
    split_names,
    titles,
    usual_metrics,
)
from neurockt.query.filter import parse
from neurockt.query.grouping import Group, Spread, group_runs, sort_groups
from neurockt.query.known import KnownFields
from neurockt.query.metrics import shown_of_epochs
from neurockt.run_info import RunInfo
from neurockt.store import default_root, expanded

METRICS_SHOWN: Final = 4
CONFIG_SHOWN: Final = 4
"""Metrics and config keys in the table when no columns are asked for."""

_DESCRIPTION: Final = f"""\
List the runs in a directory, the newest last. With --group, list groups of them: the number of runs, and of each
metric the mean ± the standard deviation.

A field is {", ".join(FIELD_NAMES)}; a config's key such as cfg.lr or cfg.optimizer.lr; or a metric:

  valid_loss                  its last value
  best(acc), min(x), max(x)   its best, smallest or largest value
  acc@best(valid_loss)        its value where another one is best
  epoch@best(acc)             the epoch, or the step, where one is best
  loss@steps, loss@epochs     that of one table, where both have it
  "val/acc", mmlu/acc         of any name; of what is attached under that name

As a column, val/* or cfg.* is all that match. A filter compares fields with = != < <= > >=, searches names for words,
takes name: id: project: group: tag: note: state: cause: host: config: has:, and combines all with and, or, not, - and
parentheses. Of losses, errors, times and the like the smallest value is best, of all else the largest.
"""
_EXAMPLE: Final = """\
  neurockt ls runs -f 'resnet cfg.lr>=1e-3 -state:running' -s 'best(acc)' -r
  neurockt ls --group cfg.lr,cfg.optimizer --sort valid_loss
  neurockt ls --columns 'name,state,duration,cfg.*,best(acc)'
  neurockt ls --csv > runs.csv
  neurockt ls --json | jq -r '.[].path'
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "ls", "list, filter, sort and group runs", _EXAMPLE, _DESCRIPTION)
    parser.add_argument("root", metavar="ROOT", nargs="?", help="directory of runs (default: $NEUROCKT_DIR, else runs)")
    parser.add_argument(
        "--root", metavar="ROOT", dest="as_elsewhere", help=argparse.SUPPRESS
    )  # as other commands have it
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
    group = parser.add_argument(
        "-g", "--group", metavar="FIELDS", help="a line for all runs that have the same values of these fields"
    )
    parser.add_argument(
        "-n", "--limit", metavar="N", type=parsing.count, help="show N runs (the newest, or with --sort the first)"
    )
    parser.add_argument("--archived", action="store_true", help="also the archived runs")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV with exact values, without --columns all of them")
    form.add_argument("--json", action="store_true", help="print JSON")
    completers.add(query, completers.filters)
    completers.add(sort, completers.fields)
    completers.add(columns, completers.field_lists)
    completers.add(group, completers.field_lists)


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
    root = arguments.root or arguments.as_elsewhere or default_root()
    archived = arguments.archived or any(field.name == "archived" for field in query.fields)
    arguments.runs_read = everything = list_runs(root, archived=archived)
    known = KnownFields(everything)
    columns = known.expand(split_names(arguments.columns)) if arguments.columns is not None else None
    groups = known.expand(split_names(arguments.group)) if arguments.group is not None else []
    sorting = known.check(parse_field(arguments.sort)) if arguments.sort is not None else None
    for problem in filter(None, map(known.problem, dict.fromkeys(query.fields))):
        output.note(problem)
    runs = [info for info in everything if query.matches(info)]
    if groups:
        _print_groups(_groups(runs, groups, sorting, arguments), columns, arguments)
    else:
        _print_runs(_in_order(runs, sorting, arguments), columns, arguments)
    if not runs and not arguments.json:
        output.note(_why_empty(root, everything, archived=archived))
    return 0


def _in_order(runs: list[RunInfo], sorting: Field | None, arguments: argparse.Namespace) -> list[RunInfo]:
    if sorting:
        return sort_runs(runs, sorting.name, reverse=arguments.reverse)[: arguments.limit]
    runs = runs[-arguments.limit :] if arguments.limit else runs
    return runs[::-1] if arguments.reverse else runs


def _why_empty(root: str | Path, everything: Sequence[RunInfo], *, archived: bool) -> str:
    if everything:
        return f"no run in {root} matches ({format_count(len(everything), 'run')})"
    if not archived and (hidden := list_runs(root, archived=True)):
        return f"{format_count(len(hidden), 'run')} in {root}, archived; --archived shows them"
    return no_runs(root)


def no_runs(root: str | Path) -> str:
    """Says that a directory has no runs, and what could be imported from it."""
    from neurockt.importing.discover import hint

    found = hint(expanded(root))
    return f"no runs in {root}" + (f", but {found}" if found else "")


# Runs


def default_columns(runs: Sequence[RunInfo], metrics: int = METRICS_SHOWN, keys: int = CONFIG_SHOWN) -> list[str]:
    """What tells the runs apart first: names, states, the metrics most of them have, and the config keys that differ.

    A narrow terminal shows no more than the first of them.
    """
    is_named = any(info.name not in (None, info.id) for info in runs)
    is_ambiguous = len({info.label for info in runs}) < len(runs)
    names = ["name", *(["id"] if is_ambiguous else []), *differing(runs, ["state"]), *live_fields(runs)]
    names += usual_metrics(runs, metrics)
    names += differing_keys(runs)[:keys]
    names += ["started", "duration", "steps", "epochs", "state"]
    names += differing(runs, ("cause", "tags", "group", "project", "archived"))
    names += ["id"] if is_named else []
    return list(dict.fromkeys(names))


def _all_columns(runs: Sequence[RunInfo]) -> list[str]:
    known = KnownFields(runs)
    return [*FIELD_NAMES, *known.keys, *map(quoted, known.metrics)]


def _print_runs(runs: Sequence[RunInfo], columns: Sequence[Field] | None, arguments: argparse.Namespace) -> None:
    if arguments.json:
        output.print_json([_to_json(info, columns) for info in runs])
    elif arguments.csv:
        fields = columns or list(map(parse_field, _all_columns(runs)))
        output.print_csv([field.label for field in fields], ([field.value(info) for field in fields] for info in runs))
    elif runs:
        fields = columns or list(map(parse_field, default_columns(runs)))
        values = [[field.value(info) for info in runs] for field in fields]
        right = [_is_number(field, some) for field, some in zip(fields, values, strict=True)]
        texts = [output.show_all(some, field.kind) for field, some in zip(fields, values, strict=True)]
        output.print_table(titles(fields, shown_of_epochs(runs)), list(zip(*texts, strict=True)), right=right)


def _is_number(field: Field, values: Sequence[Any]) -> bool:
    return field.is_measured or all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)) for value in values
    )


def _to_json(info: RunInfo, columns: Sequence[Field] | None) -> object:
    if columns is None:
        return output.run_to_json(info)
    return {field.label: output.value_to_json(field.value(info)) for field in columns}


# Groups of runs


def _groups(
    runs: Sequence[RunInfo], fields: Sequence[Field], sorting: Field | None, arguments: argparse.Namespace
) -> list[Group]:
    groups = sort_groups(group_runs(runs, fields), sorting, reverse=arguments.reverse)
    return groups[: arguments.limit]


def _print_groups(groups: Sequence[Group], columns: Sequence[Field] | None, arguments: argparse.Namespace) -> None:
    own = list(groups[0].fields) if groups else []
    shown = columns if columns is not None else _measured(groups)
    shown = [field for field in shown if field not in own]
    if arguments.json:
        output.print_json([_group_to_json(group, own, shown) for group in groups])
    elif arguments.csv:
        header = [*(field.label for field in own), "runs", *(name for field in shown for name in _csv_names(field))]
        output.print_csv(header, (_csv_values(group, shown) for group in groups))
    elif groups:
        fields = [*own, *shown]
        values = [[group.summary(field) for group in groups] for field in fields]
        texts = [[_show(value, field) for value in some] for field, some in zip(fields, values, strict=True)]
        right = [_is_number(field, some) for field, some in zip(fields, values, strict=True)]
        at = len(own)
        output.print_table(
            [
                *(field.label for field in own),
                "runs",
                *titles(shown, shown_of_epochs(chain(*(group.runs for group in groups)))),
            ],
            list(zip(*texts[:at], [f"{len(group.runs):,}" for group in groups], *texts[at:], strict=True)),
            right=[*right[:at], True, *right[at:]],
        )


def _measured(groups: Sequence[Group]) -> list[Field]:
    """The metrics of the groups' runs, those that most of them have first."""
    runs = [info for group in groups for info in group.runs]
    return [parse_field(name) for name in usual_metrics(runs, max((len(info.metrics) for info in runs), default=0))]


def _show(value: Any, field: Field) -> str:
    return value.text(field.kind) if isinstance(value, Spread) else output.show(value, field.kind)


def _group_to_json(group: Group, own: Sequence[Field], shown: Sequence[Field]) -> dict[str, Any]:
    document = {field.label: output.value_to_json(group.summary(field)) for field in own}
    document |= {"runs": len(group.runs), "ids": [info.id for info in group.runs]}
    for field in shown:
        value = group.summary(field)
        if isinstance(value, Spread):
            value = {"mean": value.mean, "std": value.std, "count": value.count}
        document[field.label] = output.value_to_json(value)
    return document


def _csv_names(field: Field) -> list[str]:
    return [f"{which}({field.label})" for which in ("mean", "std", "count")] if field.is_measured else [field.label]


def _csv_values(group: Group, shown: Sequence[Field]) -> list[Any]:
    values = [*group.values, len(group.runs)]
    for field in shown:
        value = group.summary(field)
        if not field.is_measured:
            values.append(value)
        else:
            values += [value.mean, value.std, value.count] if isinstance(value, Spread) else [None, None, 0]
    return values
