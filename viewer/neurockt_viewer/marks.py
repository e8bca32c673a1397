"""The runs that are marked. Each has a place, which gives it a letter and a colour for as long as it is marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


class Marks:
    """Marked runs by their paths, in the order of their places."""

    def __init__(self) -> None:
        self._places: dict[Path, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, path: object) -> bool:
        return path in self._places

    def __iter__(self) -> Iterator[Path]:
        return iter(sorted(self._places, key=self._places.__getitem__))

    def place(self, path: Path) -> int:
        return self._places[path]

    def add(self, path: Path) -> None:
        """Mark a run: it gets the lowest place that is free, and no other run's changes."""
        if path not in self._places:
            taken = set(self._places.values())
            self._places[path] = next(place for place in range(len(taken) + 1) if place not in taken)

    def remove(self, path: Path) -> None:
        self._places.pop(path, None)

    def toggle(self, path: Path) -> None:
        """Mark a run, or unmark it."""
        if path in self:
            self.remove(path)
        else:
            self.add(path)

    def keep(self, paths: Iterable[Path]) -> None:
        """Mark no run but those of these that are marked."""
        kept = set(paths)
        self._places = {path: place for path, place in self._places.items() if path in kept}
