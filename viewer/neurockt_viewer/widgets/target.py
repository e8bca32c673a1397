"""Where to go in a table, as it is typed: a number, or a part of the table."""

from __future__ import annotations


def parse_target(text: str) -> tuple[float, bool]:
    """Where to go: a number, and whether it is a percentage.

    Raises:
        ValueError: it is neither.
    """
    text = text.strip().replace(",", "").replace("_", "")
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise ValueError("write a number such as 1200, or 50%") from None
    if not 0 <= number < 2**63 or (share and number > 100):
        raise ValueError("that is not in the table")
    return number, share
