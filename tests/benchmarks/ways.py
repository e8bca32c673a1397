"""Ways to record a row of scalars a step, and the loop that times them: the same for all but for its body."""

from __future__ import annotations

import json
import math
import os
import random
import textwrap
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurockt.monitor import Recorder

VALUES = 65_536
"""Rows of values that are made beforehand, and used over and over: as many as a row group has, so that no compressor
sees them twice."""

Loop = Callable[[int, int, "array[int]"], None]
"""Records the steps from one number up to another, and puts what each took, in nanoseconds, in its place."""

_TIMED = """\
def loop(first, last, taken):
    for step in range(first, last):
        ({values},) = rows[step & {mask}]
        begun = clock()
{body}
        taken[step] = clock() - begun
"""
_UNTIMED = """\
def loop(first, last, taken):
    for step in range(first, last):
        ({values},) = rows[step & {mask}]
{body}
"""


@dataclass
class Way:
    """A way to record."""

    body: str
    """The source of one step; ``step`` is its number, ``v0``, ``v1``... the values."""
    names: dict[str, Any]
    """What the body's other names mean."""
    bare: str = "pass"
    """The source of the same step without recording."""
    finish: Callable[[], object] = lambda: None
    run_dir: Callable[[], Path] = Path
    """Where the run is, once it has begun."""


def noisy_losses(rows: int, scalars: int) -> list[tuple[float, ...]]:
    """Losses that fall, with 3 % of noise: every bit of the mantissa is used, as in a real run."""
    chance = random.Random(0)
    return [
        tuple((math.exp(-3 * row / rows) + 0.1 * scalar + 0.01) * chance.gauss(1, 0.03) for scalar in range(scalars))
        for row in range(rows)
    ]


def make_loop(body: str, names: dict[str, Any], scalars: int, *, timed: bool = True) -> Loop:
    """The loop around a body. Each is code of its own, so that the interpreter specialises it for that body alone."""
    source = (_TIMED if timed else _UNTIMED).format(
        values=", ".join(f"v{scalar}" for scalar in range(scalars)),
        mask=VALUES - 1,
        body=textwrap.indent(body, " " * 8),
    )
    namespace = {**names, "rows": noisy_losses(VALUES, scalars), "clock": time.perf_counter_ns}
    exec(source, namespace)
    return namespace["loop"]


def floor(directory: Path, scalars: int) -> Way:
    """One ``json.dumps`` and one ``os.write`` a step: the least that a line a step can be had for."""
    file = os.open(directory / "floor.jsonl", os.O_WRONLY | os.O_CREAT)
    row = ", ".join(f'"scalar_{scalar}": v{scalar}' for scalar in range(scalars))
    body = f'write(file, (dumps({{"step": step, "epoch": 1, "time": time(), {row}}}) + "\\n").encode())'
    names = {"write": os.write, "dumps": json.dumps, "time": time.time, "file": file}
    return Way(body, names, finish=lambda: os.close(file))


def neurockt(directory: Path, scalars: int) -> Way:
    """A decorated function for each scalar, called in a training block. Without recording: the bare functions."""
    recorder = Recorder(directory, quiet=True)
    names: dict[str, Any] = {"recorder": recorder}
    for scalar in range(scalars):
        names[f"bare_{scalar}"] = _function()
        names[f"recorded_{scalar}"] = recorder.track_scalar(f"scalar_{scalar}")(_function())
    calls = "\n".join(f"    recorded_{scalar}(v{scalar})" for scalar in range(scalars))
    bare = "\n".join(f"bare_{scalar}(v{scalar})" for scalar in range(scalars))
    return Way(f"with recorder(train=True):\n{calls}", names, bare, recorder.finish, lambda: recorder.run_dir)


def _function() -> Callable[[float], float]:
    def loss(value):
        return value

    return loss


WAYS: dict[str, Callable[[Path, int], Way]] = {"floor": floor, "neurockt": neurockt}
