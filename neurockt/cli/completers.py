"""What the shell completes: the names of runs, and the fields that these runs have."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from neurockt.catalogue import run_paths
from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt.query.comparing import as_texts
from neurockt.query.fields import AGGREGATES, FIELD_NAMES, parse_field, quoted
from neurockt.query.known import KnownFields
from neurockt.run_info import RunInfo
from neurockt.store import AXES, default_root, read_listed

RUNS_READ: Final = 300
"""Runs whose names and fields are read: the last ones by id. A shell waits for the answer."""


def add(action: argparse.Action, completer: Any) -> None:
    """Have the shell complete an argument's value: ``completer(prefix=..., parsed_args=...)`` gives what it may be."""
    action.completer = completer  # type: ignore[attr-defined]  # argcomplete looks there


def run_names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """The ids and names of runs, and directories, any of which may be a run."""
    from argcomplete.completers import DirectoriesCompleter

    paths = _paths(parsed_args)
    names = dict.fromkeys(path.name for path in paths)
    names |= dict.fromkeys(info.name for info in _read(paths) if info.name)
    yield from (name for name in names if clean(name, len(name)) == name)
    yield from DirectoriesCompleter()(prefix)


def fields(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """The fields of runs: their own, those of their configs, and their metrics."""
    known = KnownFields(_infos(parsed_args))
    names = [*FIELD_NAMES, *known.keys, *map(quoted, known.metrics)]
    names += [f"{each}({quoted(metric)})" for metric in known.metrics for each in AGGREGATES]
    yield from (name for name in names if clean(name, len(name)) == name)


def values_of(field: str) -> Any:
    """Completes the values that runs have in a field, such as their tags."""

    def values(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
        read = parse_field(field).value
        texts = dict.fromkeys(text for info in _infos(parsed_args) for text in as_texts(read(info)))
        yield from (text for text in texts if clean(text, len(text)) == text)

    return values


def field_lists(prefix: str, **about: Any) -> Iterator[str]:
    """Fields with commas between them: the last one is completed."""
    return _listed(prefix, fields(prefix, **about))


def metric_lists(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """Metrics, as columns of tables, with commas between them."""
    return _listed(prefix, map(quoted, KnownFields(_infos(parsed_args)).metrics))


def column_lists(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """The columns of exported rows, with commas between them: metrics, what numbers the rows, and config keys."""
    known = KnownFields(_infos(parsed_args))
    return _listed(prefix, [*AXES, "time", *map(quoted, known.metrics), *known.keys])


def attached(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """The names under which other processes have recorded beside runs."""
    names = dict.fromkeys(name for info in _infos(parsed_args) for name in info.attached)
    return (name for name in names if clean(name, len(name)) == name)


def _listed(prefix: str, names: Iterable[str]) -> Iterator[str]:
    start = prefix.rpartition(",")[0]
    start += "," if start else ""
    return (f"{start}{name}" for name in names if clean(name, len(name)) == name)


def filters(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> Iterator[str]:
    """The field or the value at the end of a filter."""
    from neurockt.query.completing import Vocabulary

    infos = _infos(parsed_args)
    found = Vocabulary(infos, fields("", parsed_args)).complete(prefix, len(prefix))
    return (f"{prefix[: found.start]}{word}" for word in found.words)


def _infos(arguments: argparse.Namespace) -> list[RunInfo]:
    return list(_read(_paths(arguments)))


def _paths(arguments: argparse.Namespace) -> list[Path]:
    with suppress(NeurocktError, OSError):
        given = vars(arguments)
        return run_paths(given.get("root") or given.get("as_elsewhere") or default_root())
    return []


def _read(paths: Iterable[Path]) -> Iterator[RunInfo]:
    for path in sorted(paths, key=lambda path: path.name)[-RUNS_READ:]:
        with suppress(NeurocktError, OSError):
            yield read_listed(path)
