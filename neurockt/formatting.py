"""Text for the terminal: the printed table, numbers, durations, and untrusted text made harmless."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Final

COLUMN_WIDTH: Final = 14
"""Characters of a column in the printed table; a longer name widens its own column."""

LABEL_LIMIT: Final = 200
"""Characters that are shown of a text from a run directory."""

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_HARMFUL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, surrogates, and invisible marks that reorder or break a line."""


def clean(text: object, limit: int = LABEL_LIMIT) -> str:
    """Text from a run directory, safe for a terminal: one line, no control or bidi characters, ``limit`` at most."""
    shown = str(text)
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    return _HARMFUL.sub(lambda found: " " if found[0] == "\t" else _REPLACEMENT, shown)


def clean_block(text: str, limit: int = 10_000) -> str:
    """``clean`` for text of several lines, such as a traceback or notes."""
    return "\n".join(clean(line, limit) for line in text[:limit].expandtabs(4).splitlines())


def display_width(text: str) -> int:
    """Width of ``text`` on a terminal, in cells: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int) -> str:
    """``text`` filled with spaces to ``width`` cells."""
    return text + " " * max(0, width - display_width(text))


def clip(text: str, width: int) -> str:
    """``text`` cut to ``width`` cells, with an ellipsis if something is missing."""
    if display_width(text) <= width:
        return text
    kept, used = [], 1
    for character in text:
        used += display_width(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + "…"


def format_duration(seconds: float | None) -> str:
    """The two largest units: ``3h 12m``, ``45s``; ``-`` for no value."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))]
    first = next((index for index, part in enumerate(parts) if part[0] != "0"), 3)
    return " ".join(parts[first : first + 2])


def format_ago(moment: datetime | None, now: datetime | None = None) -> str:
    """Time since ``moment``, as ``12 min ago``; after a day, its local date and time."""
    if moment is None:
        return "-"
    seconds = ((now or datetime.now(timezone.utc)) - moment).total_seconds()
    if not 0 <= seconds < 86_400:
        return f"{moment.astimezone():%Y-%m-%d %H:%M}"
    if seconds < 60:
        return "just now"
    return f"{seconds // 60:.0f} min ago" if seconds < 3600 else f"{seconds // 3600:.0f} h ago"


def format_number(value: float | None) -> str:
    """Four decimals; scientific if those would show 0.0000 or not fit the column; ``-`` for no value."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(float(value))
    fixed = f"{value:.4f}"
    if (value and float(fixed) == 0) or len(fixed) >= COLUMN_WIDTH:
        return f"{value:.4e}"
    return fixed


def format_value(value: Any, kind: str = "any", limit: int = LABEL_LIMIT) -> str:
    """Any value for a person: times and durations in words, numbers of ``kind`` number as in the documented table."""
    if value is None or value == () or value == "":
        return "-"
    if isinstance(value, datetime):
        return format_ago(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if kind == "number" else str(value)
    if isinstance(value, float):
        return {"duration": format_duration, "number": format_number}.get(kind, repr)(value)
    if isinstance(value, tuple):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return clean(value, limit)


def table_header(names: Sequence[str]) -> str:
    """The header line of the printed table."""
    return _line([(clean(name), _width(name)) for name in names])


def table_row(names: Sequence[str], values: Sequence[float | None]) -> str:
    """One row of the printed table."""
    return _line([(format_number(value), _width(name)) for name, value in zip(names, values, strict=True)])


def _width(name: str) -> int:
    return max(COLUMN_WIDTH, display_width(clean(name)) + 2)


def _line(cells: Sequence[tuple[str, int]]) -> str:
    return "\t " + "".join(pad(text, width) for text, width in cells).rstrip()
