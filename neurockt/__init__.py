"""neurockt records the numbers of a training run on machines without a network, and reads them back.

    from neurockt.monitor import Recorder      # record
    neurockt.open_run("runs/20261123-101500-brave-otter").steps()      # read

Importing this package loads nothing; each name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurockt.catalogue import list_runs
    from neurockt.monitor.attached import attach
    from neurockt.sql import connect
    from neurockt.store import Run, open_run

__all__ = ["Run", "__version__", "attach", "connect", "list_runs", "open_run"]

__version__ = "0.1.0"

_HOMES = {
    "Run": "neurockt.store",
    "attach": "neurockt.monitor.attached",
    "connect": "neurockt.sql",
    "list_runs": "neurockt.catalogue",
    "open_run": "neurockt.store",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
