"""neurockt records the numbers of a training run on machines without a network, and reads them back.

    from neurockt.monitor import Recorder      # record
    neurockt.open_run("runs/20261123-101500-brave-otter").steps()      # read

Importing this package loads nothing heavy; the functions below load pyarrow when they are used.
"""

from __future__ import annotations

from neurockt.catalogue import list_runs
from neurockt.store.run import Run, open_run

__all__ = ["Run", "__version__", "list_runs", "open_run"]

__version__ = "0.1.0"
