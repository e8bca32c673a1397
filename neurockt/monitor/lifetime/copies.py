"""Recorders where models are pickled and processes fork: one process records a run, and everywhere else nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from pathlib import Path

    from neurockt.monitor.recorder import Recorder

_PROCESS: Final = os.urandom(16)
"""Tells a pickle of this process from others'."""
_recorders: Final[WeakValueDictionary[int, Recorder]] = WeakValueDictionary()


def remember(recorder: Recorder) -> None:
    """Have a pickle of it find it again in this process, and a fork of this process leave its run alone."""
    _recorders[id(recorder)] = recorder


def reduced(recorder: Recorder, run_dir: Path) -> tuple[Callable[..., Recorder], tuple[Any, ...]]:
    """What a pickle holds of a recorder of the run in that directory."""
    return _unpickled, (_PROCESS, id(recorder), run_dir.parent, run_dir.name)


def _unpickled(process: bytes, key: int, root: Path, run_id: str) -> Recorder:
    """The recorder that was pickled, or one for the same run that records nothing."""
    known = _recorders.get(key) if process == _PROCESS else None
    if known is not None:
        return known
    from neurockt.monitor.recorder import Recorder

    recorder = Recorder(root)
    recorder.record_nothing(run_id)
    return recorder


def _after_fork() -> None:
    """In a forked child a run that has begun is the parent's."""
    for recorder in list(_recorders.values()):
        recorder.disown()


os.register_at_fork(after_in_child=_after_fork)
