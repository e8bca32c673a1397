"""A key, its title in the last line of a screen, and what it does in words, for the help."""

from __future__ import annotations

from typing import Any

from textual.binding import Binding


def key(keys: str, action: str, title: str, words: str, **options: Any) -> Binding:
    return Binding(keys, action, title, tooltip=words, **options)
