"""``neurockt show``: one run: its facts, config, table of epochs, and a summary of its metrics."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from neurockt.cli import output, parsing
from neurockt.formatting import clean, clean_block, format_count, format_duration, format_elapsed, format_number, pad
from neurockt.progress import progress_facts
from neurockt.query.fields import flat_config
from neurockt.run_info import Attempt, ColumnSummary, RunInfo, TableSummary
from neurockt.store import AXES, KEY, Origin, Run, TableName, ask_scheduler, facts, plain, scheduler

if TYPE_CHECKING:
    import pyarrow as pa

STEPS_SHOWN = 10
SUMMARY = ("metric", "rows", "last", "smallest", "at", "largest", "at")

SCHEDULER_SECONDS = 1.0
"""How long SLURM may take to report how the run's job ended; it is asked only where the run has not recorded that."""

_EXAMPLE = """\
  neurockt show runs/20261123-101500-brave-otter
  neurockt show brave-otter-lr3 --steps 20
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "show", "show one run: table, config and summary", _EXAMPLE)
    parsing.add_run_arguments(parser)
    parser.add_argument(
        "--steps",
        metavar="N",
        nargs="?",
        type=parsing.count,
        const=STEPS_SHOWN,
        help=f"also its last N steps ({STEPS_SHOWN})",
    )
    parser.add_argument("--traceback", action="store_true", help="also the traceback of the exception that ended it")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    found = parsing.find(arguments)
    ask_scheduler([found.info])
    rows = _rows(found, arguments.steps)
    rows_of_attached = {name: _rows(run, arguments.steps) for name, run in found.attached.items()}
    origin = found.origin()
    scheduler.wait(SCHEDULER_SECONDS)
    info = found.current_info()
    if arguments.json:
        document = {**output.run_to_json(info), "origin": origin and plain(origin), "rows": _rows_to_json(rows)}
        for name, attached in document.get("attached", {}).items():
            attached["rows"] = _rows_to_json(rows_of_attached.get(name, {}))
        output.print_json(document)
        return 0
    sections = [
        list(_description(info, ranks(found))),
        list(_attempts(info)),
        list(_origin(origin)),
        list(_config(info)),
        list(_epochs(rows["epochs"])),
        list(_summary(info)),
        *_last_rows(rows),
    ]
    for name, some in rows_of_attached.items():
        if attached := info.attached.get(name):
            title = f"{output.show(name)}, {output.show(attached.standing)}"
            sections.append([title, *_cells(some["epochs"], ("step",))])
            sections += _last_rows(some)
    sections.append(list(_failure(info, with_traceback=arguments.traceback)))
    print("\n\n".join("\n".join(lines) for lines in sections if lines))
    return 0


def _rows(run: Run, steps: int | None) -> dict[str, pa.Table]:
    """The rows to show: the epochs, the last ``steps`` if they are asked for, and the last late rows, if any."""
    rows = {"epochs": run.epochs(), **({"steps": run.last_rows("steps", steps)} if steps else {})}
    late = run.last_rows("late", steps or STEPS_SHOWN)
    return rows | ({"late": late} if len(late) else {})


def _rows_to_json(rows: dict[str, pa.Table]) -> dict[str, Any]:
    from neurockt.store import arrays  # loads numpy

    return {
        table: [{name: output.value_to_json(value) for name, value in row.items()} for row in arrays.rows(some)]
        for table, some in rows.items()
    }


def ranks(found: Run) -> str | None:
    """How many ranks keep their own rows, and which of them have another state than the whole."""
    states = found.rank_states()
    if not states:
        return None
    whole = found.state
    others = [f"rank {rank} {state}" for rank, state in states.items() if state != whole]
    return "; ".join([str(len(states)), *([", ".join(others)] if others else [])])


def description(info: RunInfo, ranks: str | None, moment: Callable[[datetime], str]) -> dict[str, object]:
    """What is known of a run but its config, metrics and notes; ``moment`` writes a time."""
    attempt = info.attempt
    known = {
        "id": info.id,
        "path": str(info.path),
        "state": info.standing,
        "project": info.project,
        "group": info.group,
        "tags": ", ".join(info.tags),
        "archived": "yes" if info.archived else None,
        "imported": info.imported_from or None,
        "started": moment(info.created),
        "ended": moment(info.ended) if info.ended else None,
        "duration": format_duration(info.seconds),
        "host": attempt.place if attempt else None,
        "ranks": ranks,
        "progress": ", ".join(progress_facts(info)),
        "rows": info.extent
        + (f", {format_count(info.system.rows, 'sample')} of the machine" if info.system.rows else ""),
        "attached": ", ".join(f"{name} ({each.standing})" for name, each in info.attached.items()),
        "lost": f"{format_count(info.dropped, 'row')} that could not be stored" if info.dropped else None,
    }
    return {name: value for name, value in known.items() if value}


def _description(info: RunInfo, ranks: str | None) -> Iterator[str]:
    yield clean(info.label, output.WHOLE)
    yield from _pairs(description(info, ranks, _moment))
    if info.notes:
        yield ""
        yield clean_block(info.notes)


def _attempts(info: RunInfo) -> Iterator[str]:
    """The processes that wrote the run, where it was continued."""
    if len(info.attempts) < 2:
        return
    yield "attempts"
    for attempt in info.attempts:
        yield f"  {attempt.number}  {clean(describe_attempt(attempt), output.WHOLE)}"


def describe_attempt(attempt: Attempt) -> str:
    until = f"{attempt.ended.astimezone():%Y-%m-%d %H:%M:%S}" if attempt.ended else "-"
    since = f"{attempt.started.astimezone():%Y-%m-%d %H:%M:%S}"
    return ", ".join(filter(None, [attempt.place, f"{since} to {until}", attempt.circumstances]))


def _moment(moment: datetime) -> str:
    """Date and time in the reader's time zone, and how long ago."""
    text, ago = f"{moment.astimezone():%Y-%m-%d %H:%M:%S}", format_elapsed(moment)
    return f"{text}, {ago}" if ago else text


def _origin(origin: Origin | None) -> Iterator[str]:
    if origin is not None and (known := facts(origin)):
        yield "origin"
        yield from _pairs(known)


def _config(info: RunInfo) -> Iterator[str]:
    if info.config:
        yield "config"
        yield from _pairs({key: output.show_exact(value) for key, value in flat_config(info.config)})


def _pairs(values: dict[str, Any]) -> Iterator[str]:
    names = [clean(name, output.WHOLE) for name in values]
    width = min(40, max(map(len, names)))
    for name, value in zip(names, values.values(), strict=True):
        text = clean(value, output.WHOLE)
        yield f"  {pad(name, width)}  {output.paint_state(text) if name == 'state' else text}"


def _epochs(rows: pa.Table) -> Iterator[str]:
    yield from _cells(rows, ("epoch",))


def _last_rows(rows: dict[str, pa.Table]) -> list[list[str]]:
    found = ((table, rows[table]) for table in ("steps", "late") if table in rows)
    return [list(_table(some, "late row" if table == "late" else "step")) for table, some in found]


def _table(rows: pa.Table, what: str) -> Iterator[str]:
    yield f"the last {format_count(len(rows), what)}" if len(rows) else f"no {what}s"
    yield from _cells(rows, ("step", "epoch"))


def _cells(rows: pa.Table, shown: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table: ``shown`` of its axes, and its metrics."""
    names = [name for name in rows.column_names if name not in (*AXES, KEY["late"])]
    axes = [[f"{number:,}" for number in rows[name].to_pylist()] for name in shown]
    values = [[format_number(value) for value in rows[name].to_pylist()] for name in names]
    cells = list(zip(*axes, *values, strict=True))
    if cells:
        header = [*shown, *names]
        yield from output.table_lines(header, cells, right=[True] * len(header))


def _summary(info: RunInfo) -> Iterator[str]:
    if rows := summary_rows(info):
        yield from output.table_lines(SUMMARY, rows, right=[False, True, True, True, False, True, False])


def summary_rows(info: RunInfo) -> list[tuple[str, ...]]:
    """Of each metric what is under the titles ``SUMMARY``, as text."""
    tables: dict[TableName, TableSummary] = {"epochs": info.epochs, "steps": info.steps, "late": info.late}
    number = Counter(name for table in tables.values() for name in table.columns)
    rows: list[tuple[str, ...]] = []
    for table, summary in tables.items():
        columns = summary.columns.items()
        named = {f"{name}@{table}" if number[name] > 1 else name: column for name, column in columns}
        rows += _summary_rows(KEY[table], named)
    rows += _summary_rows("sample", info.system.columns)
    shown = {whose: name for name, whose in info.attached_metrics.items()}
    for name, each in info.attached.items():
        for key, summary in (("row", each.epochs), ("step", each.steps), ("arrival", each.late)):
            rows += _summary_rows(key, {shown[name, metric]: column for metric, column in summary.columns.items()})
    return rows


def _summary_rows(key: str, columns: Mapping[str, ColumnSummary]) -> Iterator[tuple[str, ...]]:
    for name, column in columns.items():
        yield (
            clean(name, output.WHOLE),
            f"{column.count:,}",
            format_number(column.last),
            format_number(column.min),
            f"{key} {column.min_at:,}" if column.min_at is not None else "-",
            format_number(column.max),
            f"{key} {column.max_at:,}" if column.max_at is not None else "-",
        )


def _failure(info: RunInfo, *, with_traceback: bool) -> Iterator[str]:
    if info.failure:
        yield f"failed with {clean(info.failure.type)}: {clean_block(info.failure.message, 1000)}"
        if with_traceback:
            yield clean_block(info.failure.traceback, output.WHOLE)
        else:
            yield "(--traceback shows where)"
    elif with_traceback:
        yield "no exception ended this run"
