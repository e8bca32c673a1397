"""``neurockt sql``: ask the runs of a directory in SQL, once or at a prompt."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import chain, count
from threading import Event
from typing import TYPE_CHECKING, Any, Final, TypeVar

from neurockt.cli import WrongUsage, output, parsing
from neurockt.formatting import clean_block

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

ROWS_SHOWN: Final = 200
"""Rows of a result that are printed on a terminal, without --csv or --json."""
PROMPT: Final = "neurockt> "
CONTINUED: Final = "     ...> "

_DESCRIPTION: Final = """\
Ask the runs of a directory in SQL, with DuckDB. There are the views runs (id, name, project, group, state, config,
metrics and others), steps, epochs, late and system; these have a column run. config and metrics are structures, as in
config.lr and metrics.acc.max. Without a query there is a prompt; a query ends with a semicolon there.
"""
_EXAMPLE: Final = """\
  neurockt sql 'SELECT run, max(acc) FROM epochs GROUP BY run'
  neurockt sql 'SELECT config.lr, avg(acc) FROM epochs
                JOIN runs ON run = id GROUP BY ALL'
  neurockt sql --csv 'FROM runs' > runs.csv
"""


def add_parser(subparsers: parsing.Subparsers[argparse.ArgumentParser]) -> None:
    parser = parsing.add_command(subparsers, "sql", "ask the runs in SQL", _EXAMPLE, _DESCRIPTION)
    parser.add_argument("query", metavar="QUERY", nargs="?", help="what to ask; without it, a prompt")
    parser.add_argument("--root", metavar="ROOT", help="directory of runs (default: $NEUROCKT_DIR, else runs)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV")
    form.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    from neurockt.sql import connect

    connection = connect(arguments.root)
    if arguments.query is not None:
        _answer(connection, arguments.query, arguments)
        return 0
    if output.is_terminal(sys.stdin):
        with suppress(ImportError):
            import readline  # noqa: F401  (input() edits lines with it)
        output.note(
            "the views are runs, steps, epochs, late and system; a query ends with ;, and the prompt with Ctrl-D"
        )
    failed = False
    for query in _queries():
        try:
            _answer(connection, query, arguments)
        except WrongUsage as error:
            print(error, file=sys.stderr)
            failed = True
        except KeyboardInterrupt:
            if not output.is_terminal(sys.stdin):
                raise
            print("interrupted", file=sys.stderr)
    return int(failed and not output.is_terminal(sys.stdin))


def _queries() -> Iterator[str]:
    """What is typed, or comes from a pipe, up to each semicolon."""
    is_asked = output.is_terminal(sys.stdin)
    query = ""
    while True:
        try:
            line = input((CONTINUED if query else PROMPT) if is_asked else "")
        except EOFError:
            if query.strip():
                yield query
            print(end="\n" if is_asked else "")
            return
        except KeyboardInterrupt:
            query = ""
            print()
            continue
        if is_asked and not query and line.strip().rstrip(";").lower() in ("exit", "quit"):
            return
        query += line + "\n"
        if query.rstrip().endswith(";"):
            yield query
            query = ""


def _answer(connection: duckdb.DuckDBPyConnection, query: str, arguments: argparse.Namespace) -> None:
    """Print the result of a query. Raises WrongUsage where DuckDB refuses it."""
    import duckdb

    shortened = not (arguments.csv or arguments.json) and output.is_terminal(sys.stdout)
    try:
        columns, rows = _interruptible(
            connection, lambda: _execute(connection, query, ROWS_SHOWN + 1 if shortened else None)
        )
    except duckdb.InterruptException:
        raise KeyboardInterrupt from None
    except duckdb.Error as error:
        raise WrongUsage(clean_block(str(error))) from None
    if not columns:  # there is only a comment, or nothing
        return
    names, kinds = [column[0] for column in columns], [str(column[1]) for column in columns]
    if arguments.json:
        names = _distinct(names)
        output.print_json([dict(zip(names, map(output.value_to_json, row), strict=True)) for row in rows])
    elif arguments.csv:
        output.print_csv(names, rows)
    else:
        numbers = [kind in _NUMBERS or kind.startswith("DECIMAL") for kind in kinds]
        shown = [
            [_shown(value, number) for value, number in zip(row, numbers, strict=True)]
            for row in (rows[:ROWS_SHOWN] if shortened else rows)
        ]
        output.print_table(names, shown, right=numbers)
        if len(rows) > ROWS_SHOWN and shortened:
            output.note(f"the first {ROWS_SHOWN:,} rows; --csv and --json print all")


def _interruptible(connection: duckdb.DuckDBPyConnection, ask: Callable[[], T]) -> T:
    """What ``ask`` returns. It runs in a thread: in this one, Ctrl-C would be seen when the query has ended."""
    is_interrupted = Event()
    before = signal.signal(signal.SIGINT, lambda *_: is_interrupted.set())
    try:
        with ThreadPoolExecutor(1) as thread:
            asked = thread.submit(ask)
            while wait([asked], 0.1).not_done:
                if is_interrupted.is_set():
                    connection.interrupt()
            return asked.result()
    finally:
        signal.signal(signal.SIGINT, before)


def _execute(
    connection: duckdb.DuckDBPyConnection, query: str, most: int | None
) -> tuple[Sequence[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The columns of the result, each with its name and type, and all rows, or so many."""
    found = connection.execute(query)
    if found is None or found.description is None:
        return [], []
    return found.description, found.fetchall() if most is None else found.fetchmany(most)


def _distinct(names: list[str]) -> list[str]:
    """Names of columns as keys: those that are there already are followed by a number, as in DuckDB's own tables."""
    found: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in count(1))
        found[next(each for each in chain([name], numbered) if each not in found)] = None
    return [*found]


_NUMBERS: Final = ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "HUGEINT", "UBIGINT", "SMALLINT", "TINYINT", "UINTEGER")


def _shown(value: Any, number: bool) -> str:
    if number and value is not None:
        return output.show(value if isinstance(value, int) else float(value), "number")
    return output.show(value)
