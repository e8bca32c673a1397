"""``neurockt diff``: what differs between runs: their config, their metrics, and where they came from."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from neurockt.catalogue import find_run
from neurockt.cli import WrongUsage, completers, output, parsing
from neurockt.formatting import display_width
from neurockt.query.fields import Field, aggregate, config_value, flat_config, parse_field
from neurockt.query.metrics import metrics_by_table
from neurockt.run_info import RunInfo
from neurockt.store import facts

OWN: Final = ("project", "group", "tags", "notes", "state", "cause", "attempts", "steps", "epochs", "duration")

_DESCRIPTION: Final = """\
Print what differs between two or more runs: config keys, the last and best values of metrics, state and origin.
"""
_EXAMPLE: Final = """\
  neurockt diff adam-0.003-s0 adamw-wide --root sample_runs
  neurockt diff brave-otter proud-crow --json | jq .config
"""

INDENT: Final = "  "

Differences = dict[str, list[Any]]


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "diff", "print what differs between runs", _EXAMPLE, _DESCRIPTION)
    named = parser.add_argument("runs_named", metavar="RUN", nargs="+", help="two or more runs")
    parser.add_argument("--root", metavar="ROOT", help="where to look for them (default: $NEUROCKT_DIR, else runs)")
    parser.add_argument("--json", action="store_true", help="print JSON: a list for each key, in the order of the runs")
    completers.add(named, completers.run_names)


def run(arguments: argparse.Namespace) -> int:
    if len(arguments.runs_named) < 2:
        raise WrongUsage("diff compares two runs or more: neurockt diff A B")
    found = [find_run(name, arguments.root) for name in arguments.runs_named]
    infos = [each.current_info() for each in found]
    origins = [facts(origin) if (origin := each.origin()) else {} for each in found]
    metrics = _metrics(infos)
    sections = {
        "run": _differing(OWN, infos, lambda info, name: parse_field(name).value(info)),
        "config": _differing(
            [key for info in infos for key, _ in flat_config(info.config)],
            infos,
            lambda info, key: config_value(info.config, key),
        ),
        "metrics": _differing(metrics, infos, lambda info, name: metrics[name].value(info)),
        "origin": _differing([key for origin in origins for key in origin], origins, lambda each, key: each.get(key)),
    }
    if arguments.json:
        runs = [{"id": info.id, "name": info.name, "path": str(info.path)} for info in infos]
        output.print_json({"runs": runs, **{title: _to_json(section) for title, section in sections.items()}})
    elif any(sections.values()):
        _print(infos, sections)
    else:
        output.note("nothing differs")
    return 0


def _differing(keys: Iterable[str], runs: Sequence[Any], read: Callable[[Any, str], Any]) -> Differences:
    values = {key: [read(each, key) for each in runs] for key in dict.fromkeys(keys)}
    return {key: some for key, some in values.items() if any(repr(value) != repr(some[0]) for value in some)}


def _metrics(infos: Sequence[RunInfo]) -> dict[str, Field]:
    """The last and the best value of each metric."""
    fields: dict[str, Field] = {}
    for name in metrics_by_table(infos):
        fields[name] = aggregate("last", name, name)
        fields[f"best({name})"] = aggregate("best", name, name)
    return fields


def _to_json(section: Differences) -> Differences:
    return {key: [output.value_to_json(value) for value in values] for key, values in section.items()}


def _print(infos: Sequence[RunInfo], sections: Mapping[str, Differences]) -> None:
    labels = [info.label for info in infos]
    if len(set(labels)) < len(labels):
        labels = [info.id for info in infos]
    across = _across(sections) if output.is_terminal(sys.stdout) else len(infos) + 1
    with_change = len(infos) == 2 and across > 2 and bool(sections["metrics"])
    header = ["", *labels, *(["change"] if with_change else [])]
    rows = [row for title, section in sections.items() for row in _rows(title, section, with_change=with_change)]
    right = [*[False] * (len(infos) + 1), *[True] * with_change]
    for begin in range(1, len(header), across):  # one table below the other, so that no run is left out
        block = [0, *range(begin, min(begin + across, len(header)))]
        if begin > 1:
            print()
        cells = [[row[at] for at in block] for row in rows]
        titles, numbers = [header[at] for at in block], [right[at] for at in block]
        for line in output.table_lines(
            titles, cells, right=numbers, least={"": output.terminal_width(sys.stdout) // 2}
        ):
            print(line)


def _across(sections: Mapping[str, Differences]) -> int:
    """How many columns fit the terminal beside the names of what differs."""
    width = output.terminal_width(sys.stdout)
    names = max(display_width(output.show(name)) for section in sections.values() for name in section)
    room = width - min(len(INDENT) + names, width // 2)
    return max(1, room // (output.SMALLEST_WIDTH + len(output.GAP)))


def _rows(title: str, section: Differences, *, with_change: bool) -> Iterator[list[str]]:
    width = len(next(iter(section.values()), ()))
    if section:
        yield [title, *[""] * (width + with_change)]
    for key, values in section.items():
        if title == "metrics" and key.startswith("best(") and values == section.get(key[5:-1]):
            continue  # they are the last ones
        kind = parse_field(key).kind if title == "run" else "number" if title == "metrics" else "any"
        shown = [output.show(value, kind) for value in values]
        if len(set(shown)) == 1:
            if kind == "duration":
                continue
            shown = [output.show_exact(value) for value in values]
        change = [_change(values) if title == "metrics" else ""] if with_change else []
        yield [f"{INDENT}{output.show(key)}", *shown, *change]


def _change(values: Sequence[Any]) -> str:
    first, second = values
    return "" if first is None or second is None else output.show(second - first, "number")
