"""Numbers of a page, packed: the same arrays once, the bytes in an order that compresses well."""

from __future__ import annotations

import base64
import gzip
from typing import Any, Final

import numpy as np
import numpy.typing as npt

NONE: Final = -1
"""The index of an array that is not there."""
MICROSECONDS: Final = 1_000_000
LARGEST: Final = 2.0**53
"""Up to here every integer is a float."""


class Arrays:
    """Arrays by index, of 8 or 4 bytes a value."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, bytes], int] = {}
        self._kinds: tuple[str, ...] = "<f8", "<f4"
        self._parts: dict[str, list[npt.NDArray[Any]]] = {kind: [] for kind in self._kinds}
        self._sizes = dict.fromkeys(self._kinds, 0)
        self.index: list[list[int]] = []
        """Of each array its kind, where it begins, its length, and what the sums of its values are divided by; 0 where
        they are values themselves.
        """

    def exact(self, values: npt.NDArray[Any]) -> int:
        return self._add("<f8", np.ascontiguousarray(values, "<f8"), 0)

    def rounded(self, values: npt.NDArray[Any]) -> int:
        """To seven digits; exact where one of them is too large or too small for that."""
        with np.errstate(over="ignore", under="ignore"):
            narrow = np.asarray(values, "<f4")
        lost = np.isinf(narrow) != np.isinf(values)
        lost |= (np.abs(narrow) < np.finfo("<f4").tiny) & (np.asarray(values) != 0)
        return self.exact(values) if lost.any() else self._add("<f4", narrow, 0)

    def places(self, x: npt.NDArray[np.float64], *, moments: bool) -> int:
        """What never falls, stored as distances: whole numbers, or ``moments`` in seconds to the microsecond."""
        divisor = MICROSECONDS if moments else 1
        with np.errstate(invalid="ignore", over="ignore"):
            whole = np.rint(x * divisor)
        fits = np.isfinite(whole).all() and (np.abs(whole) < LARGEST).all()
        if not fits or not (moments or (whole == x).all()):
            return self.exact(x)
        return self._add("<f8", np.diff(whole, prepend=0.0), divisor)

    def _add(self, kind: str, values: npt.NDArray[Any], divisor: int) -> int:
        key = kind, divisor, values.tobytes()
        if key not in self._known:
            self._known[key] = len(self.index)
            self.index.append([self._kinds.index(kind), self._sizes[kind], len(values), divisor])
            self._parts[kind].append(values)
            self._sizes[kind] += len(values)
        return self._known[key]

    @property
    def sizes(self) -> list[int]:
        """Values of either kind."""
        return list(self._sizes.values())

    def packed(self) -> str:
        """All values: first every first byte, then every second one; those of 8 bytes before those of 4."""
        data = b""
        for kind, parts in self._parts.items():
            values = np.concatenate([np.empty(0, kind), *parts])
            data += values.view(np.uint8).reshape(len(values), -1).T.tobytes() if len(values) else b""
        return pack(data)


def pack(data: bytes) -> str:
    """Compressed, as text that may be in a page."""
    return base64.b64encode(gzip.compress(data, 9, mtime=0)).decode()
