"""Recorders that are pickled with a model: only one process records a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pathlib import Path

    from neurockt.monitor.recorder import Recorder

_PROCESS: Final = os.urandom(16)
"""Distinguishes pickles made by this process from others."""
_recorders: Final[WeakValueDictionary[int, Recorder]] = WeakValueDictionary()


def is_child() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def remember(recorder: Recorder) -> None:
    _recorders[id(recorder)] = recorder


def reduced(
    recorder: Recorder, make: Callable[..., Recorder], run_dir: Path
) -> tuple[Callable[..., Recorder], tuple[Any, ...]]:
    """What a pickle holds of a recorder of the run in that directory; ``make`` makes another one from its root."""
    return _unpickled, (_PROCESS, id(recorder), make, run_dir.parent, run_dir.name)


def _unpickled(process: bytes, key: int, make: Callable[..., Recorder], root: Path, run_id: str) -> Recorder:
    known = _recorders.get(key) if process == _PROCESS else None
    if known is not None:
        return known
    recorder = make(root)
    recorder._session.record_elsewhere(run_id)
    return recorder
