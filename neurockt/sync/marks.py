"""Marks of the syncs that send rows of a run: empty files beside it, each until W&B was seen to have those rows.

A request that is under way cannot be taken back. So where the run is rewound meanwhile, or the source that it is
imported from changes its rows, a mark that stays warns the next sync: rows that are not the run's any more may be in
W&B, or may still arrive.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from neurockt.errors import SyncFailed
from neurockt.store import layout

LOST_SECONDS: Final = 3600.0
"""After so long, no request of a sync that was killed arrives any more."""


class Rewound(SyncFailed):
    """What was read of the run may not be the run's any more."""

    def __init__(self) -> None:
        super().__init__("the run was resumed from an earlier checkpoint while its rows were sent; sync again")


class Marks:
    """Our mark, and those of others, for one upload."""

    def __init__(self, directories: Sequence[Path], upload: str, state: Callable[[], str]) -> None:
        """Look for marks.

        Args:
            directories: where they may lie, the best first.
            upload: a word for the upload.
            state: gives a word for the state of the run, another one after each rewind.
        """
        self._directories = directories
        self._state = state
        self._read = state()  # before the marks: one that is put later is of a sync that sees this state, or stops
        self._upload = f"{layout.SENDING}{upload}-"
        self._own = f"{self._upload}{self._read}-{os.urandom(4).hex()}"

    @property
    def are_doubtful(self) -> bool:
        """Whether others were sending rows of another state, which may be in W&B now or arrive later."""
        return any(not path.name.startswith(f"{self._upload}{self._read}-") for path in self._paths())

    def put(self) -> None:
        """Put, or renew, our mark before rows are sent; then do as ``check`` does."""
        for directory in self._directories:
            with suppress(OSError):
                if directory != self._directories[0]:  # a run that has been removed stays so
                    directory.mkdir(parents=True, exist_ok=True)
                directory.joinpath(self._own).touch()
                break
        self.check()

    def check(self) -> None:
        """Raise ``Rewound`` if the state is not the one that was read."""
        if self._state() != self._read:
            raise Rewound

    def remove(self, older: float = math.inf) -> None:
        """Remove our mark, and those of others that were last renewed more than ``older`` seconds ago."""
        for path in self._paths():
            with suppress(OSError):
                if path.name == self._own or path.stat().st_mtime < time.time() - older:
                    path.unlink()

    def _paths(self) -> Iterator[Path]:
        for directory in self._directories:
            with suppress(OSError):
                names = os.listdir(directory)
                yield from (directory / name for name in names if name.startswith(self._upload))
