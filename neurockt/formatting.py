"""Text for the terminal: the printed table, numbers, durations, and untrusted text made harmless."""

from __future__ import annotations

import json
import math
import re
import time
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import lru_cache
from operator import sub
from typing import Any, Final

COLUMN_WIDTH: Final = 14
"""Characters of a column in the printed table; a longer name widens its own column."""

LABEL_LIMIT: Final = 200
"""Characters that are shown of a text from a run directory."""

LISTED: Final = 8
"""Names that a message lists."""
NUMBER_WIDTH: Final = 15
"""Characters of a number before it is scientific: those of 999,999,999,999."""

_NUMBER: Final = re.compile(r"[-+]?[\d,]+((?:\.\d+)?(?:e[+-]\d+)?(?: [±(].*)?)")
_ELAPSED: Final = (("d", 86_400), ("h", 3600), ("min", 60))
_BYTES: Final = ("B", "kB", "MB", "GB", "TB", "PB")

_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_HARMFUL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Control characters, surrogates, and invisible marks that reorder or break a line."""


def clean(text: object, limit: int = LABEL_LIMIT) -> str:
    """Text from a run directory, safe for a terminal: one line, no control or bidi characters, ``limit`` at most."""
    shown = str(text)
    if len(shown) > limit:
        shown = shown[: limit - 1] + "…"
    if shown.isprintable():  # which takes less time
        return shown
    return _HARMFUL.sub(lambda found: " " if found[0] == "\t" else _REPLACEMENT, shown)


def clean_block(text: str, limit: int = 10_000) -> str:
    """``clean`` for text of several lines, such as a traceback or notes."""
    return "\n".join(clean(line, limit) for line in text[:limit].expandtabs(4).splitlines())


def display_width(text: str) -> int:
    """Width of ``text`` on a terminal, in cells: wide characters take two, combining marks none."""
    if text.isascii():
        return len(text)
    return len(text) + sum(map(_cells_more, _BEYOND_ASCII.findall(text)))


@lru_cache(maxsize=4096)
def _cells_more(character: str) -> int:
    """By how many cells its width differs from one."""
    return -1 if unicodedata.combining(character) else int(unicodedata.east_asian_width(character) in "WF")


def display_widths(texts: Sequence[str]) -> list[int]:
    """The width of each text, in cells; of many texts together it takes less time."""
    return list(map(len if "".join(texts).isascii() else display_width, texts))


def pad(text: str, width: int) -> str:
    """``text`` filled with spaces to ``width`` cells."""
    return text + " " * max(0, width - display_width(text))


def pad_all(texts: Sequence[str], width: int, *, to_right: bool = False) -> list[str]:
    """The texts filled with spaces to ``width`` cells, at their end or, ``to_right``, at their beginning."""
    if "".join(texts).isascii():
        return [text.rjust(width) if to_right else text.ljust(width) for text in texts]
    spaces = [" " * (width - cells) for cells in display_widths(texts)]
    return [space + text if to_right else text + space for text, space in zip(texts, spaces, strict=True)]


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
    """The two largest units: ``3h 12m``, ``45s``, ``0.04s``; ``-`` for no value."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 0:
        return f"-{format_duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.2g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (rest, "s"))]
    first = next((index for index, part in enumerate(parts) if part[0] != "0"), 3)
    return " ".join(parts[first : first + 2])


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def format_elapsed(moment: datetime, now: datetime | None = None) -> str:
    """How long ago ``moment`` was, as ``12 min ago``; empty if the clock says that it has not come yet."""
    seconds = ((now or utc_now()) - moment).total_seconds()
    return _elapsed(seconds) if seconds >= 0 else ""


def _elapsed(seconds: float) -> str:
    for unit, size in _ELAPSED:
        if seconds >= size:
            return f"{seconds // size:.0f} {unit} ago"
    return "just now"


def format_ago(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago, and when by the local clock: ``2 h ago, 08:15``, ``3 d ago, Nov 20 10:15``; ``-`` for no moment."""
    if moment is None:
        return "-"
    seconds = ((now or utc_now()) - moment).total_seconds()
    if seconds < 0:
        return str(moment.astimezone())[:16]
    days = seconds / 86_400
    if days >= 365:
        return f"{_elapsed(seconds)}, {moment.astimezone().date()}"
    clock = time.ctime(moment.timestamp())  # `Mon Nov  2 09:35:02 2026`; strftime takes a long list of runs longer
    return f"{_elapsed(seconds)}, {clock[11:16] if days < 1 else clock[4:16].replace('  ', ' 0')}"


def format_share(share: float | None) -> str:
    """A share as a percentage, rounded down: ``100.0%`` means that nothing is left; ``-`` for no value."""
    return f"{math.floor(share * 1000) / 10:,.1f}%" if share is not None and math.isfinite(share) else "-"


def format_number(value: float | None, width: int = NUMBER_WIDTH) -> str:
    """Five significant digits, as ``6e-05``, ``0.00025``, ``53,599``, ``1e+36``; ``-`` for no value.

    Digits before the decimal point are all shown, with separators, and integers are exact. A float of more characters
    than ``width`` is scientific where that is shorter.
    """
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if not math.isfinite(value):
        return str(float(value))
    fixed = f"{value:,.0f}" if abs(value) >= 10_000 else f"{value + 0.0:,.5g}"
    return min(fixed, f"{value:.5g}", key=len) if len(fixed) > width else fixed


def align_numbers(texts: Sequence[str]) -> list[str]:
    """The texts of a column, of one width and with their decimal points below each other.

    What is not a number, such as ``-`` or ``nan``, ends where the integers end.
    """
    tails = list(map(width_after_point, texts))
    if after := max(tails, default=0):
        texts = [text + " " * (after - tail) for text, tail in zip(texts, tails, strict=True)]
    return pad_all(texts, max(display_widths(texts), default=0), to_right=True)


def number_widths(texts: Iterable[str]) -> tuple[int, int]:
    """The cells that a column of numbers needs before the decimal point, and from it on."""
    texts = list(texts)
    tails = list(map(width_after_point, texts))
    return max(map(sub, display_widths(texts), tails), default=0), max(tails, default=0)


def width_after_point(text: str) -> int:
    """The cells of a number's text from its decimal point or exponent on; 0 for any other text."""
    found = _NUMBER.fullmatch(text)
    return len(text) - found.start(1) if found else 0


def format_bytes(count: float) -> str:
    """A size with its unit, to three significant digits: ``512 B``, ``1.5 kB``, ``3.07 GB``."""
    exponent = min(max(len(f"{count:.0f}") - 1, 0) // 3, len(_BYTES) - 1)
    scaled = count / 1000**exponent
    if scaled >= 999.5 and exponent < len(_BYTES) - 1:
        scaled, exponent = scaled / 1000, exponent + 1
    return f"{scaled:.3g} {_BYTES[exponent]}" if scaled < 999.5 else f"{scaled:,.0f} {_BYTES[exponent]}"


_OF_KIND: Final = {"duration": format_duration, "share": format_share}


def format_value(value: Any, kind: str = "any", limit: int = LABEL_LIMIT) -> str:
    """Any value for a person: times and durations in words, floats by their significant digits.

    Integers have separators where ``kind`` is number; those of a config are written as the user wrote them.
    """
    if isinstance(value, str):
        return clean(value, limit) if value else "-"
    if isinstance(value, float):
        return _OF_KIND.get(kind, format_number)(value)
    if value is None or value == ():
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}" if kind == "number" else str(value)
    if isinstance(value, datetime):
        return format_ago(value)
    if isinstance(value, tuple):
        value = ", ".join(str(item) for item in value)
    elif isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    return clean(value, limit)


def format_exact(value: Any, limit: int = LABEL_LIMIT) -> str:
    """As ``format_value``, but a float has all its digits: the shortest text that reads back as the same number."""
    return repr(value) if isinstance(value, float) else format_value(value, limit=limit)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The word that a misspelt one is most like; empty where none is, by ``cutoff`` from 0 to 1."""
    import difflib  # only needed for a mistake

    return next(iter(difflib.get_close_matches(word, list(known), 1, cutoff)), "")


def format_count(number: int, what: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def listed(names: Iterable[str], shown: int = LISTED) -> str:
    """The first of the names, and how many more there are; ``none`` without any."""
    names = list(names)
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}" if names else "none"


def alternatives(word: str, known: Iterable[str]) -> str:
    """What a name that is not known may have been: *did you mean 'loss'?*, or what there is."""
    names = list(dict.fromkeys(known))
    near = nearest(word, names, 0.4)
    return f"did you mean {near!r}?" if near else f"there are {listed(names)}"


def table_header(names: Sequence[str]) -> str:
    """The header line of the printed table."""
    return _line([(clean(name), _width(name)) for name in names])


def table_row(names: Sequence[str], values: Sequence[float | None]) -> str:
    """One row of the printed table."""
    return _line([(_decimals(value), _width(name)) for name, value in zip(names, values, strict=True)])


def _decimals(value: float | None) -> str:
    """Four decimals; scientific where those would show 0.0000 or not fit the column."""
    if value is None or not math.isfinite(value):
        return format_number(value)
    fixed = f"{value:.4f}"
    return f"{value:.4e}" if (value and float(fixed) == 0) or len(fixed) >= COLUMN_WIDTH else fixed


def _width(name: str) -> int:
    return max(COLUMN_WIDTH, display_width(clean(name)) + 2)


def _line(cells: Sequence[tuple[str, int]]) -> str:
    return "\t " + "".join(pad(text, width) for text, width in cells).rstrip()
