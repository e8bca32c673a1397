"""The parts of measures: a fresh process for each measurement, rounds that alternate, medians and their spread."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

REPOSITORY = Path(__file__).parents[2]

T = TypeVar("T")


@dataclass(frozen=True)
class Effort:
    """How much to measure."""

    rounds: int
    quick: bool
    minutes: float = 60.0
    """Of what takes as long as it is given."""

    def of(self, full: int, quick: int) -> int:
        """The number to use of two."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    measure: str
    value: str
    target: str = ""
    met: bool | None = None
    """None where there is no target."""
    beside: str = ""
    """What the value is to be read with."""


@dataclass(frozen=True)
class Measure:
    """What can be measured under one name."""

    name: str
    about: str
    run: Callable[[Effort], Iterable[Figure]]


@dataclass(frozen=True)
class Spread:
    """The median of some rounds, and their extremes."""

    median: float
    low: float
    high: float

    def text(self, places: int = 2) -> str:
        """As the table shows it."""
        return f"{self.median:,.{places}f} ({self.low:,.{places}f}-{self.high:,.{places}f})"


def spread(values: Iterable[float]) -> Spread:
    """Of one value a round."""
    rounds = list(values)
    return Spread(statistics.median(rounds), min(rounds), max(rounds))


def ratios(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The ratio of each round: what slows the machine for a while slows both."""
    return spread(a / b for a, b in zip(over, under, strict=True))


def progress(text: str) -> None:
    """Report on stderr what is being done."""
    print(text, file=sys.stderr, flush=True)


def alternate(effort: Effort, what: str, *contestants: Callable[[], T]) -> list[list[T]]:
    """What each contestant gave in each round; who goes first changes from round to round."""
    results: list[list[T]] = [[] for _ in contestants]
    for number in range(effort.rounds):
        progress(f"{what}: round {number + 1} of {effort.rounds}")
        turns = list(zip(results, contestants, strict=True))
        for gathered, contestant in turns if number % 2 == 0 else reversed(turns):
            gathered.append(contestant())
    return results


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty directory, in ``$TMPDIR``; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="neurockt-benchmark-") as name:
        yield Path(name)


def fresh(function: Callable[..., T], **arguments: Any) -> T:
    """What a function of a module gives in a process of its own; arguments and result pass through JSON.

    A function that takes ``directory`` and is given none gets an empty one.
    """
    with scratch() as directory:
        if "directory" in function.__annotations__:
            arguments.setdefault("directory", str(directory))
        call = json.dumps([function.__module__, function.__qualname__, arguments], default=str)
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.worker", call],
            cwd=REPOSITORY,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            check=True,
        )
    return json.loads(done.stdout)


def clean_environment() -> dict[str, str]:
    """This process's environment, without what makes a recorder or an import behave otherwise than usual."""
    ours = ("NEUROCKT_", "PYTEST_", "PYTHONDONTWRITEBYTECODE")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
