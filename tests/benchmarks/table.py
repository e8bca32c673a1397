"""The figures as a table, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.harness import Figure

HEADER = ("measure", "value", "target", "", "beside it")


def table_lines(figures: Sequence[Figure]) -> list[str]:
    """A header and a line a figure."""
    rows = [HEADER, *((f.measure, f.value, f.target, verdict(f), f.beside) for f in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def verdict(figure: Figure) -> str:
    """Whether the target was met, in a word."""
    return {True: "met", False: "MISSED", None: ""}[figure.met]


def machine() -> str:
    """What the figures depend on."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{processor()}, {os.cpu_count()} cores (load {load}); Python {platform.python_version()}, {platform.system()} "
        f"{platform.release()}; runs in {tempfile.gettempdir()} ({file_system(Path(tempfile.gettempdir()))})"
    )


def processor() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def file_system(path: Path) -> str:
    """The kind of file system that a path lies on."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    around = [(len(point), kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(around)[1] if around else "unknown"
