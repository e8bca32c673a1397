"""NeurocktTracker records what an Accelerator logs: ``Accelerator(log_with=NeurocktTracker())``."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from accelerate import tracking

from neurockt.errors import NeurocktWarning, UsageError
from neurockt.integrations.runs import runs_for

if TYPE_CHECKING:
    from neurockt.monitor import Recorder

__all__ = ["NeurocktTracker"]


class NeurocktTracker(tracking.GeneralTracker):
    """Records what an Accelerator logs on its main process, with a ``Recorder``.

    Values are rows of `steps`; with ``accelerator.log(values, log_kwargs={"neurockt": {"train": False}})`` of `epochs`.

    Once its module is imported, ``Accelerator(log_with="neurockt")`` makes one, with accelerate 1.15 or newer.
    """

    name = "neurockt"
    requires_logging_directory = False
    main_process_only = True

    def __init__(self, recorder: Recorder | str | None = None, **options: Any) -> None:
        """Record with ``recorder``, or with ``Recorder(**options)``, which is quiet by default.

        Instead of a recorder, an Accelerator gives the project that is passed to its ``init_trackers``, and as options
        what that has in ``init_kwargs={"neurockt": {...}}``.

        Raises UsageError if both are given, or a rank that an Accelerator does not log on; TypeError for an option
        that Recorder does not have.
        """
        super().__init__()
        if isinstance(recorder, str):
            options = {"project": recorder, **options}
            recorder = None
        self._runs = runs_for(recorder, options)
        if (rank := self._runs.options.get("ranks")) not in (None, "first", "all", 0):
            raise UsageError(f"ranks={rank!r} would record nothing: an Accelerator logs on its main process, rank 0")

    @property
    def recorder(self) -> Recorder:
        """Recorder of the run. It is made by ``init_trackers``, or before if it is needed."""
        return self._runs.recorder

    @property
    def tracker(self) -> Recorder:
        """The Recorder, as ``accelerator.get_tracker("neurockt", unwrap=True)`` gives it."""
        return self.recorder

    @tracking.on_main_process
    def start(self) -> None:
        """Make the Recorder; where the last run has finished, of a new run."""
        if self._runs.has_finished:
            self._runs.begin_next()
        self._runs.prepare()

    @tracking.on_main_process
    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """Add settings to the run's config."""
        self.recorder.config.update(values)

    @tracking.on_main_process
    def log(self, values: Mapping[str, Any], step: int | None = None, *, train: bool = True, **others: Any) -> None:
        """Record values, as ``Recorder.log`` does."""
        if others:
            message = f"NeurocktTracker.log() does nothing about {', '.join(others)}; of log_kwargs it knows train"
            warnings.warn(message, NeurocktWarning, stacklevel=2)
        self.recorder.log(values, step, train=train)

    @tracking.on_main_process
    def finish(self) -> None:
        """Finish the run."""
        self.recorder.finish()


if hasattr(tracking, "register_tracker_class"):
    tracking.register_tracker_class(NeurocktTracker)
