"""What the shell completes: the names of runs, and the fields that these runs have."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from neurockt.catalogue import run_paths
from neurockt.errors import NeurocktError
from neurockt.formatting import clean
from neurockt.query.fields import AGGREGATES, FIELD_NAMES, flat_config, quoted
from neurockt.run_info import RunInfo
from neurockt.store import default_root, read_listed

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
    metrics: dict[str, None] = {}
    keys: dict[str, None] = {}
    for info in _read(_paths(parsed_args)):
        metrics |= info.metrics
        keys |= dict.fromkeys(f"cfg.{key}" for key, _ in flat_config(info.config))
    names = [*FIELD_NAMES, *keys, *map(quoted, metrics)]
    names += [f"{each}({metric})" for metric in metrics for each in AGGREGATES]
    yield from (name for name in names if clean(name, len(name)) == name)


def field_lists(prefix: str, **about: Any) -> Iterable[str]:
    """Fields with commas between them: the last one is completed."""
    return _last(prefix, re.compile(r".*,", re.DOTALL), **about)


def filters(prefix: str, **about: Any) -> Iterable[str]:
    """The field at the end of a filter."""
    return _last(prefix, re.compile(r".*[\s(-]", re.DOTALL), **about)


def _last(prefix: str, before: re.Pattern[str], **about: Any) -> Iterator[str]:
    found = before.match(prefix)
    start = found[0] if found else ""
    return (f"{start}{name}" for name in fields(prefix[len(start) :], **about))


def _paths(arguments: argparse.Namespace) -> list[Path]:
    with suppress(NeurocktError, OSError):
        return run_paths(getattr(arguments, "root", None) or default_root())
    return []


def _read(paths: Iterable[Path]) -> Iterator[RunInfo]:
    for path in sorted(paths, key=lambda path: path.name)[-RUNS_READ:]:
        with suppress(NeurocktError, OSError):
            yield read_listed(path)
