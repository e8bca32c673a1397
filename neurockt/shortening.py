"""Names cut to a width so that they can still be told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Final

from neurockt.formatting import clip, display_width

_WORD_END: Final = re.compile(r"[\s/_,:=]|(?<!\d)\.|(?<!\de)-")
"""What separates the words of a name, and is not within a number: what names share is cut between words."""
_MOMENT: Final = re.compile(r"\A\d{8}-\d{6}-(?=.)")
_NUMBERS: Final = range(2, 100)
"""What names get that could not be told apart otherwise."""
_LEAST_SHARED: Final = 3
"""Characters that names have to share before an ellipsis takes their place."""


def shorten(names: Sequence[str], width: int | Sequence[int]) -> list[str]:
    """The names, each of at most ``width`` cells; unchanged where all of them fit.

    The moment that a run's id begins with is elided first (``…brave-otter``), if the rest tells the names apart; then
    what the names share at their beginning (``…lr0.1-s0``), then what they share at their end, then the middle of what
    is still too wide. Different names stay different while the width has room for that.

    Args:
        names: clean text.
        width: for all, or for each.
    """
    widths = [width] * len(names) if isinstance(width, int) else list(width)
    shown = list(names)
    for part in (_without_moment, _without_beginning, _without_end):
        if not _wide(shown, widths):
            return shown
        shown = part(shown, widths)
    return _distinct(names, shown, widths)


def _wide(names: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The names that do not fit."""
    return [name for name, width in zip(names, widths, strict=True) if display_width(name) > width]


def _without_moment(names: list[str], widths: Sequence[int]) -> list[str]:
    if not any(map(_MOMENT.match, _wide(names, widths))):
        return names
    shown = [_MOMENT.sub("…", name) for name in names]
    return shown if len(set(shown)) == len(set(names)) else names


def _without_beginning(names: list[str], widths: Sequence[int]) -> list[str]:
    """The names without the words at the beginning that all of those share which are too wide."""
    wide = _wide(names, widths)
    first, last = min(wide), max(wide)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
    shared = first[: min(same, len(first) - 1)]  # something is left of a name that is the beginning of the others
    end = max((found.end() for found in _WORD_END.finditer(shared)), default=0)
    if end < _LEAST_SHARED or first == last:
        return names
    return [f"…{name[end:]}" if name.startswith(shared[:end]) and len(name) > end else name for name in names]


def _without_end(names: list[str], widths: Sequence[int]) -> list[str]:
    reverse = _without_beginning([name[::-1] for name in names], widths)
    return [name[::-1] for name in reverse]


def _distinct(names: Sequence[str], shown: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The names as they are shown, their middles elided where they are too wide, and different where they are."""
    cut = [_elided(text, width, width // 2) for text, width in zip(shown, widths, strict=True)]
    users: dict[str, set[str]] = {}
    for name, text in zip(names, cut, strict=True):
        users.setdefault(text, set()).add(name)
    numbers = {text: iter(_NUMBERS) for text, some in users.items() if len(some) > 1}
    chosen: dict[tuple[str, int], str] = {}
    for at, name in enumerate(names):
        if cut[at] not in numbers:
            continue
        key = name, widths[at]
        if key not in chosen:
            others = chain(_other_cuts(shown[at], widths[at]), _numbered(shown[at], widths[at], numbers[cut[at]]))
            chosen[key] = next((text for text in others if users.get(text, {name}) == {name}), cut[at])
            users.setdefault(chosen[key], set()).add(name)
        cut[at] = chosen[key]
    return cut


def _other_cuts(text: str, width: int) -> Iterator[str]:
    """With more of its end, or more of its beginning."""
    half, more = width // 2, 1
    while more <= half:
        yield _elided(text, width, half - more)
        yield _elided(text, width, min(width - 1, half + more))
        more *= 2


def _numbered(text: str, width: int, numbers: Iterator[int]) -> Iterator[str]:
    for number in numbers:
        end = f"…{number}"
        if len(end) <= width:
            yield clip(text, max(1, width - len(end))).removesuffix("…") + end


def _elided(text: str, width: int, head: int) -> str:
    """The text with an ellipsis in place of its middle, after ``head`` cells of its beginning."""
    if display_width(text) <= width:
        return text
    if width < 3:
        return clip(text, width)
    end = clip(text[::-1], width - head).removesuffix("…")[::-1]
    return clip(text, width - display_width(end)).replace("……", "…") + end
