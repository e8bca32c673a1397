"""A run of this process that is sealed when the test says so, into small parts; and one way to damage it."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from neurockt import testing
from neurockt.monitor import Recorder
from neurockt.store.base.run_file import read_info, write_info
from neurockt.store.tables import parts
from neurockt.store.writing import timing
from neurockt.store.writing.timing import Timing

GROUP: Final = 3
"""Rows of a row group, so that a few rows make several."""
PART: Final = 9
"""Rows of a part."""


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "row_group_rows", lambda columns: GROUP)
    monkeypatch.setattr(parts, "PART_ROWS", PART)
    monkeypatch.setattr(timing, "default", Timing(tick=3600.0))


class Recording:
    """A run that is sealed when the test says so, and not in the background."""

    def __init__(self, root: Path) -> None:
        self.recorder = Recorder(root, run_id="run", quiet=True)
        self.path = self.recorder.run_dir
        self._scalars: dict[str, Any] = {}
        self.add("loss")

    def add(self, name: str) -> None:
        self._scalars[name] = self.recorder.track_scalar(name)(float)

    def write(self, rows: int) -> None:
        """Rows whose every metric has the row's number; null in each fifth, NaN in each seventh."""
        for _ in range(rows):
            number = self.recorder.step + 1
            with self.recorder(train=True):
                for scalar in self._scalars.values():
                    if number % 5:
                        scalar(number if number % 7 else math.nan)
        self.settle()

    def settle(self) -> None:
        """Wait for what is written in the background at the beginning."""
        origin = self.recorder._writer._origin
        assert origin is not None
        origin.join()

    def validate(self) -> None:
        with self.recorder(train=False):
            pass

    def seal(self) -> None:
        testing.seal(self.recorder, "steps")

    def dead_copy(self) -> Path:
        """The run as it would be if its process had died now."""
        copy = Path(shutil.copytree(self.path, self.path.with_name("copy")))
        info = read_info(copy)
        write_info(replace(info, attempts=(replace(info.attempts[0], pid=2**22 + 1),)))
        return copy


def flip(path: Path, position: int, mask: int = 0xFF) -> None:
    """Change some bits of a byte."""
    data = bytearray(path.read_bytes())
    data[position] ^= mask
    path.write_bytes(data)
