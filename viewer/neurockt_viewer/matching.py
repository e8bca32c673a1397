"""What was typed, against names: the ones that it can mean, the likeliest first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

_BREAKS: Final = re.compile(r"[^\w-]+")


def best_first(typed: str, names: Iterable[str], key: Callable[[str], str] = str) -> list[str]:
    """The names that contain each word that was typed, sorted by how well they match; all, where nothing was typed.

    A name that equals what was typed comes first, then one with a part that does, such as `cfg.lr` for `lr`, then one
    that begins so, and one with a part that does. Names that match equally well keep their order. ``key`` gives the
    title of a name, which counts as it does.
    """
    words = typed.casefold().split()
    if not words:
        return list(names)
    sought, ranked = " ".join(words), []
    for name in names:
        texts = {name.casefold(), key(name).casefold()}
        if any(all(word in text for word in words) for text in texts):
            ranked.append((min(_distance(sought, text) for text in texts), name))
    return [name for _, name in sorted(ranked, key=lambda pair: pair[0])]


def _distance(sought: str, text: str) -> int:
    pieces = _BREAKS.split(text)
    parts = (part for piece in pieces for part in piece.split("_"))
    matches = (
        text == sought,
        sought in pieces,
        text.startswith(sought),
        any(piece.startswith(sought) for piece in pieces),
        any(part.startswith(sought) for part in parts),
        True,
    )
    return matches.index(True)
