"""The runs that one adapter records, one after the other."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from neurockt.errors import UsageError
from neurockt.monitor.lifetime.session import Life
from neurockt.monitor.recorder import Recorder


class Runs:
    """Holds the Recorder of the present run, which it makes when it is first needed, and makes that of the next run."""

    def __init__(self, recorder: Recorder | None, options: dict[str, Any]) -> None:
        """Begin with ``recorder``, or with a quiet ``Recorder(**options)``.

        Raises UsageError if both are given, TypeError for an option that Recorder does not have.
        """
        if recorder is not None and not isinstance(recorder, Recorder):
            raise UsageError(f"recorder= must be a Recorder, not {type(recorder).__name__} {recorder!r:.60}")
        if recorder is not None and options:
            raise UsageError(f"give {', '.join(options)} to the Recorder that is passed, or pass no Recorder")
        inspect.signature(Recorder).bind(**options)
        self._kind = Recorder if recorder is None else type(recorder)
        self.options = {"quiet": True, **options} if recorder is None else recorder._options
        """The arguments that the recorders are made with."""
        self._present = recorder
        self._number = 1

    @property
    def recorder(self) -> Recorder:
        if self._present is None:
            self._present = self._kind(**self.options)
        return self._present

    @property
    def has_rows(self) -> bool:
        """Whether something has been recorded in the present run since it began or was continued."""
        return self._present is not None and self._present._session.has_rows

    @property
    def has_finished(self) -> bool:
        return self._present is not None and self._present._session.life is Life.FINISHED

    def describe(self, *, override: bool = False, **fields: str | None) -> None:
        """Give the present run a name, project or group, where the user gave none; with ``override`` in any case."""
        destination = self.recorder._session.destination
        missing: Any = {
            name: value for name, value in fields.items() if override or getattr(destination.info, name) is None
        }
        destination.info = replace(destination.info, **missing)

    def begin_next(self, *, failed: BaseException | None = None) -> None:
        """End the present run, as failed if an error is given; what is recorded from here on is a new run.

        A ``run_id`` that the user gave gets a number: ``x``, ``x-2``, ``x-3``.
        """
        self.recorder.__exit__(None if failed is None else type(failed), failed, None)
        self._number += 1
        names = {key: f"{given}-{self._number}" for key in ("run_id", "id") if (given := self.options.get(key))}
        self._present = self._kind(**{**self.options, **names})

    def go_back(self, step: int) -> None:
        """Continue the present run from an earlier step than the last one recorded, as another attempt."""
        run_id = self.recorder.id
        self.recorder.finish()
        self._present = self._kind(**{**self.options, "run_id": run_id, "resume": True})
        self._present.resume(step)
