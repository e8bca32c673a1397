"""Faults of the instrumentation: one warning of each kind, and training goes on; under pytest they raise."""

from __future__ import annotations

import os
import sys
import threading
import warnings

from neurockt.errors import NeurocktWarning


class Faults:
    """What has gone wrong for one recorder."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._kept: BaseException | None = None

    def report(self, what: str, error: BaseException) -> None:
        """Warn once of each kind, and go on; under pytest raise, from a background thread in ``raise_kept``."""
        if "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules:
            from neurockt.store.writing.run_writer import THREAD_NAME

            if not threading.current_thread().name.startswith(THREAD_NAME):
                raise error
            self._kept = error
        else:
            self.warn_once(what, f"{what} ({type(error).__name__}: {error}). Training goes on. (shown once)")

    def warn_once(self, kind: str, message: str) -> None:
        """Warn, unless a warning of that kind has been given."""
        if kind not in self._reported:
            self._reported.add(kind)
            self.warn(message)

    def warn(self, message: str) -> None:
        """Warn the user, now."""
        warnings.warn(message, NeurocktWarning, stacklevel=2)

    def raise_kept(self) -> None:
        """Raise what a background thread met, under pytest."""
        if self._kept is not None:
            raise self._kept
