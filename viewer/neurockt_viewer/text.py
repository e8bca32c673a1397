"""Foreign text on its way to the terminal.

Strings from a run directory are cleaned where they enter a widget, and given to it as ``Content`` or as segments, never
as a plain ``str``, which would be read as markup. ``Scrub`` is the second layer: nothing that a terminal would obey
passes it, from any widget.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.segment import Segment
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter

from neurockt.formatting import LABEL_LIMIT, clean, clean_block, display_width

PLAIN: Final = {
    **dict.fromkeys("│┃║▏▎▍▌▐▕┤├┆", "|"),
    **dict.fromkeys("─━═▁▔▂▃", "-"),
    **dict.fromkeys("┌┐└┘╭╮╰╯┼┬┴╸╺", "+"),
    **dict(zip("✓✗●◐▲▼▴▾▸←→↑↓⏎…·×", "vx*o^v^v><>^vE~.x", strict=True)),
}
"""Replacements for our signs in a terminal that takes only ASCII."""

MUTED: Final = "$text-muted"
TONES: Final = {"live": "$text-primary bold", "good": "$text-success", "bad": "$text-error", "warn": "$text-warning"}
"""Styles by tone, as cells have them."""


class Scrub(LineFilter):
    """Replaces control and bidi characters in all output, and every other character where it must be ASCII."""

    def __init__(self, *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The segments with harmless text; those that terminals are steered with are Textual's own and stay."""
        if self._is_harmless("".join([segment.text for segment in segments])):
            return segments
        return [
            segment
            if segment.control or self._is_harmless(segment.text)
            else Segment(self._scrubbed(segment.text), segment.style)
            for segment in segments
        ]

    def _is_harmless(self, text: str) -> bool:
        """Whether it surely is. What is printable neither steers a terminal nor reorders a line."""
        return text.isprintable() and (text.isascii() or not self._ascii_only)

    def _scrubbed(self, text: str) -> str:
        cleaned = clean(text, len(text))
        if not self._ascii_only:
            return cleaned
        return "".join(c if c.isascii() else PLAIN.get(c, "?" * display_width(c)) for c in cleaned)


def full_path(path: Path) -> str:
    """The absolute path; as it is where the current directory has been removed."""
    try:
        return str(path.absolute())
    except OSError:
        return str(path)


def label(text: object, limit: int = LABEL_LIMIT) -> Content:
    return Content(clean(text, limit))


def block(text: str, limit: int = 10_000) -> Content:
    return Content(clean_block(text, limit))


def styled(text: object, style: str, limit: int = LABEL_LIMIT) -> Content:
    """One line of foreign text in a style of ours, such as ``bold`` or ``$text-muted``."""
    return Content.styled(clean(text, limit), style)


def fixed(name: str, width: int) -> Content:
    """A foreign name of exactly ``width`` cells."""
    return label(name).truncate(width, ellipsis=True, pad=True)
