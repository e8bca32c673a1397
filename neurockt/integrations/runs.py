"""The runs that one adapter records, one after the other."""

from __future__ import annotations

import inspect
import math
import sys
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from msgspec.structs import replace

from neurockt.errors import UsageError
from neurockt.monitor.lifetime.life import Life
from neurockt.monitor.recorder import Recorder
from neurockt.store.base.layout import RUN_FILE, absolute, default_root, expanded

ALL: Final = sys.maxsize
"""The step after which a run continues that keeps all its rows."""

LEFT: Final = "the training was left before its end, by an exception or an interruption"
"""Why a run has failed, where the framework does not give its logger the exception."""


def runs_for(recorder: Recorder | None, options: dict[str, Any]) -> Runs:
    """What an adapter with these arguments records to: with a ``run_id`` that of an earlier one which has not finished.

    So two writers in a script record one run, and a notebook's cell that is run again trains as the first did. What is
    made after that has the new options. Raises as ``Runs`` does.
    """
    run_id = options.get("run_id")
    if recorder is not None or run_id is None or options.get("resume") is False:
        return Runs(recorder, options)
    key = absolute(expanded(options.get("root") or default_root())) / str(run_id)
    shared = _shared.get(key)
    if shared is None or shared.is_elsewhere or shared.has_finished:
        shared = _shared[key] = Runs(None, options)
    else:
        shared.options = Runs(None, options).options
    return shared


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
        self._is_given = recorder is not None
        self._was_there: bool | None = True if self._is_given else None
        """Whether the run was there when its first recorder was made; None before that."""
        self._closed: str | None = None
        """The id of the run, once ``close`` has ended it; its next row continues it."""
        self._has_trained = False
        self._is_ours = False
        """Whether the adapter has recorded the first row of this attempt."""
        self.evaluated = 0
        """The highest step of an evaluation in this run."""
        self._number = 1
        self._expected: int | None = None
        """The number of steps that the adapter has given to a run."""

    @property
    def recorder(self) -> Recorder:
        if self._present is None:
            self._present = self._make()
        return self._present

    def _make(self) -> Recorder:
        if self._closed is not None:
            recorder = self._kind(**{**self.options, "run_id": self._closed, "resume": True})
            recorder.resume(ALL)
        else:
            recorder = self._kind(**self.options)
            if self._was_there is None:
                self._was_there = _is_there(recorder)
        return recorder

    @property
    def root(self) -> Path:
        """The directory of runs; unlike ``run_dir`` known before the ranks have agreed on a run."""
        return self.recorder._session.destination.run_dir.parent

    @property
    def project(self) -> str | None:
        return self.recorder._session.destination.info.project

    @property
    def has_rows(self) -> bool:
        """Whether something has been recorded in the present run since it began or was continued, and it goes on."""
        return self._present is not None and self._present._session.life is Life.RECORDING

    @property
    def has_finished(self) -> bool:
        return self._present is not None and self._present._session.life is Life.FINISHED

    @property
    def is_elsewhere(self) -> bool:
        """Whether another process records the present run."""
        return self._present is not None and self._present._session.life is Life.ELSEWHERE

    def prepare(self) -> None:
        """Load what the first row needs now, rather than in the training loop."""
        if self.recorder.is_writer:
            from neurockt.monitor.context import origin, system  # noqa: F401  (loaded for later)
            from neurockt.monitor.lifetime import ending  # noqa: F401  (the same)
            from neurockt.store.writing.run_writer import load_pyarrow

            load_pyarrow()

    def close_rows(self) -> None:
        """Make the open row of each table final."""
        if self._present is not None:
            self._present._session.log.close()

    def describe(self, *, override: bool = False, **fields: str | None) -> None:
        """Give the present run a name, project or group, where the user gave none; with ``override`` in any case."""
        destination = self.recorder._session.destination
        missing: Any = {
            name: value for name, value in fields.items() if override or getattr(destination.info, name) is None
        }
        destination.info = replace(destination.info, **missing)

    def expect(self, total_steps: float | None) -> None:
        """Give the present run the step at which the training ends, where the user has given none; inf is not known."""
        recorder = self.recorder
        if total_steps is not None and 0 < total_steps < math.inf and recorder.total_steps in (None, self._expected):
            recorder.total_steps = self._expected = int(total_steps)

    def begin_next(self, *, failed: BaseException | None = None) -> None:
        """End the present run, as failed if an error is given; what is recorded from here on is a new run.

        A ``run_id`` that the user gave gets a number: ``x``, ``x-2``, ``x-3``.
        """
        self.recorder.__exit__(None if failed is None else type(failed), failed, None)
        self._number += 1
        self._closed, self._is_ours, self.evaluated = None, True, 0
        names = {key: f"{given}-{self._number}" for key in ("run_id", "id") if (given := self.options.get(key))}
        self._present = self._kind(**{**self.options, **names})

    def go_back(self, step: int) -> None:
        """Continue the present run from an earlier step than the last one recorded, as another attempt."""
        run_id = self.recorder.id
        self.recorder.finish()
        self._present = self._kind(**{**self.options, "run_id": run_id, "resume": True})
        self._present.resume(step)

    def begins_new(self, step: int) -> bool:
        """Whether a training that begins after this step is a new run: one from the start that follows another."""
        if self._join():
            self._has_trained = self.recorder.step > 0
        had_trained, self._has_trained = self._has_trained, True
        return had_trained and step == 0 and bool(self.has_rows or self.recorder.step or self.recorder.epoch)

    def continue_after(self, step: int) -> None:
        """Let the rows of a training follow this step of the present run: rows past it are superseded.

        Rows that the user has recorded without the adapter stay.
        """
        self._reopen()
        if not self.has_rows:
            self.recorder.resume(step)
            self._is_ours = True
        elif self._is_ours and step < max(self.recorder.step, self.evaluated):
            self.go_back(step)

    def keep_all(self) -> None:
        """Let what is recorded next, such as an evaluation, be added to the present run."""
        self._join()
        self._reopen()
        if not self.has_rows:
            self.recorder.resume(ALL)
            self._is_ours = True

    def close(self, failed: BaseException | None = None) -> None:
        """End the present run unless its recorder was given; another row continues it."""
        if self._is_given:
            self.close_rows()
        elif self._present is not None:
            self._closed = self._present.id
            self._present.__exit__(None if failed is None else type(failed), failed, None)
            self._present = None

    def _reopen(self) -> None:
        """Continue a run that the user has finished."""
        if self.has_finished:
            self._closed, self._present = self.recorder.id, None

    def warn_once(self, message: str) -> None:
        self.recorder._session.faults.warn_once(message, message)

    def _join(self) -> bool:
        """Continue the run if another process of this script has recorded it meanwhile; whether one has.

        That is so where a framework gives each training and each evaluation processes of its own.
        """
        recorder = self.recorder
        if self._was_there or self.has_rows or not recorder.is_writer or not _is_there(recorder):
            return False
        self._was_there = True
        self._present = self._kind(**{**self.options, "run_id": recorder.id, "resume": True})
        return True

    def __getstate__(self) -> dict[str, Any]:
        """In another process, a recorder of the same run if that has no rows yet, else one of a new run."""
        elsewhere = {key: value for key, value in self.options.items() if key not in ("run_id", "id", "resume")}
        if not self.has_rows and self.options.get("ranks") != "all":
            recorder = self.recorder
            elsewhere |= {"run_id": recorder.id, "resume": True, "config": dict(recorder.config)}
        return {**self.__dict__, "_elsewhere": elsewhere}

    def __setstate__(self, state: dict[str, Any]) -> None:
        elsewhere = state.pop("_elsewhere")
        self.__dict__.update(state)
        if self.is_elsewhere:
            self._present, self.options, self._is_given = None, elsewhere, False
            if "run_id" not in elsewhere:
                self._was_there = None


_shared: Final[WeakValueDictionary[Path, Runs]] = WeakValueDictionary()
"""Those of this process, by the directory of the run that was named."""


def _is_there(recorder: Recorder) -> bool:
    return (recorder._session.destination.run_dir / RUN_FILE).exists()
