"""The runs that are marked. Each has a slot, which gives it a letter and a colour for as long as it is marked."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path


class Marks(dict[Path, int]):
    """The slot of each marked run."""

    def add(self, path: Path) -> None:
        """Mark a run: it gets the lowest slot that is free, and no other run's changes."""
        if path not in self:
            taken = set(self.values())
            self[path] = next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def toggle(self, path: Path) -> None:
        if path in self:
            del self[path]
        else:
            self.add(path)

    def toggle_all(self, paths: Collection[Path]) -> None:
        """Mark all of these; if they are marked already, unmark them."""
        marked = all(path in self for path in paths)
        for path in paths:
            if marked:
                self.pop(path, None)
            else:
                self.add(path)

    def in_order(self) -> dict[Path, int]:
        """Them by their slots."""
        return dict(sorted(self.items(), key=lambda mark: mark[1]))

    def keep(self, paths: Collection[Path]) -> None:
        """Unmark all runs but these."""
        for path in self.keys() - set(paths):
            del self[path]
