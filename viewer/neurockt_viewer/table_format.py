"""How the numbers of a table are written: short in the table, exact where one looks at a single one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

SHORT_WIDTH: Final = 12
"""Cells that a short number takes at most."""
TIME_WIDTH: Final = 19


def show_short(value: float) -> str:
    """Six significant digits: 0.0003 stays 0.0003."""
    return f"{value:.6g}"


def show_exact(value: float | None) -> str:
    """The shortest text that reads back as the same number; ``-`` for none."""
    return "-" if value is None else repr(float(value))


def show_time(microseconds: int, *, exact: bool = False) -> str:
    """A moment by the reader's clock, from microseconds since 1970."""
    moment = datetime.fromtimestamp(microseconds / 1e6, timezone.utc).astimezone()
    return moment.isoformat(" ", "microseconds" if exact else "seconds") if exact else f"{moment:%Y-%m-%d %H:%M:%S}"
