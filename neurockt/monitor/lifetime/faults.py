"""Faults of the instrumentation: told once, and training goes on; under pytest they raise."""

from __future__ import annotations

import os
import sys
import threading
import warnings

from neurockt.errors import NeurocktWarning


class Faults:
    """What has gone wrong for one recorder."""

    def __init__(self) -> None:
        self._told = False
        self._kept: BaseException | None = None

    def tell(self, what: str, error: BaseException) -> None:
        """Tell once, and go on; under pytest raise, from the background threads at the latest in ``raise_kept``."""
        if "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules:
            from neurockt.store.writing.run_writer import THREAD_NAME

            if not threading.current_thread().name.startswith(THREAD_NAME):
                raise error
            self._kept = error
        elif not self._told:
            self._told = True
            self.warn(f"{what} ({type(error).__name__}: {error}). Training goes on; this is told once.")

    def tell_last(self, what: str, error: BaseException) -> None:
        """How the run was left: told whatever was told before."""
        self._told = False
        self.tell(what, error)

    def warn(self, message: str) -> None:
        """Tell the user, now."""
        warnings.warn(message, NeurocktWarning, stacklevel=2)

    def raise_kept(self) -> None:
        """Raise what a background thread met, under pytest."""
        if self._kept is not None:
            raise self._kept
