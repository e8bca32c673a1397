"""``log`` outside of blocks: what it is called with is checked, and passed on to the rows of its step."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

from neurockt.errors import UsageError
from neurockt.formatting import clean
from neurockt.monitor.capture.tensors import describe
from neurockt.monitor.lifetime.open_rows import OpenRows
from neurockt.store.journal.records import LARGEST_STEP

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.session import Session


class Log:
    def __init__(self, session: Session) -> None:
        self.rows = OpenRows(session.steps, session.epochs, session.late, session.open_row_file, self.warn)
        self.lock = RLock()
        """To be held for what changes the rows; several threads may log."""
        self.may_supersede = True
        """Whether the first call supersedes what earlier attempts recorded from its step on."""
        self._session = session
        self._validated_at = -1

    @property
    def step(self) -> int:
        """The last training step, that of an open row included; 0 before the first."""
        return max(0, self.rows.steps.last)

    @property
    def epoch(self) -> int:
        return self.rows.epochs.last

    def record(self, values: Mapping[str, Any], step: Any, *, train: bool) -> None:
        """Record values at a step; where that is None, at the next one or, for a validation, the last one."""
        session = self._session
        if not session.may_record() or not self._is_mapping(values):
            return
        with self.lock:
            if step is not None and not (type(step) is int and 0 <= step <= LARGEST_STEP):
                step = self._checked_step(step)
            if self.may_supersede and step is not None:
                session.supersede_from(step)
            self.may_supersede = False
            if not session.is_writer:
                self._count(step, train)
            elif train:
                self.rows.train(values, step)
            else:
                self.rows.validate(values, step)
            session.late.flush(wait=False)  # numbers of a late row may have arrived since
            session.mark_logged()

    def warn(self, name: str, problem: str) -> None:
        self._session.faults.warn_once(f"log {name}", f"log: {clean(repr(name), 80)} is left out: {problem}")

    def close(self) -> None:
        """Make the rows final that later calls could add to."""
        with self.lock:
            self.rows.close()

    def _is_mapping(self, values: object) -> bool:
        """Raises UsageError in the first row, and warns later, where it is not one."""
        if isinstance(values, Mapping):
            return True
        self._refuse("mapping", f"log takes a mapping of names to numbers, not {describe(values)}", "it is left out")
        return False

    def _checked_step(self, step: Any) -> int | None:
        """A step as an integer. For what is not one: None, after a warning, or in the first row UsageError."""
        with suppress(TypeError, ValueError, OverflowError, RuntimeError):
            number = int(step)
            if number == step and 0 <= number <= LARGEST_STEP and not isinstance(step, bool):
                return number
        problem = f"log: a step is an integer from 0, not {clean(repr(step), 60)}"
        self._refuse("step", problem, "its values are recorded without it")
        return None

    def _refuse(self, kind: str, problem: str, consequence: str) -> None:
        if not self._session.has_rows:
            raise UsageError(problem)
        self._session.faults.warn_once(kind, f"{problem}; {consequence}")

    def _count(self, step: int | None, train: bool) -> None:
        """Count a row that another rank stores."""
        steps, epochs = self._session.steps, self._session.epochs
        if train:
            number = steps.next if step is None else step
            if number > steps.last:
                steps.count(number)
        elif (at := self.step if step is None else step) != self._validated_at or not epochs.recorded:
            self._validated_at = at
            epochs.count()
            steps.other = epochs.last + 1
