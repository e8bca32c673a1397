"""Colours that the colour-blind can distinguish (Okabe and Ito's), and letters for when there are none.

The colours are darkened where the background is light, so that each has a contrast of 3 to 1 at least.
"""

from __future__ import annotations

from typing import Final

ON_DARK: Final = ("#56B4E9", "#E69F00", "#2BC598", "#F0E442", "#E58BB8", "#F4743B", "#5B8DEF", "#D9D9D9")
"""Sky blue, orange, green, yellow, pink, vermilion, blue, white."""
ON_LIGHT: Final = ("#0072B2", "#A86800", "#007F5C", "#7A7000", "#A8487F", "#C04A00", "#2B4FBF", "#333333")
"""The same, darker."""

COLOURS: Final = len(ON_DARK)
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def colour(index: int, *, dark: bool) -> str:
    """The colour of that index; after the last the first again, with another letter."""
    colours = ON_DARK if dark else ON_LIGHT
    return colours[index % len(colours)]


def letter(index: int) -> str:
    return LETTERS[index % len(LETTERS)]
