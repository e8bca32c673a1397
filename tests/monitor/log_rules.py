"""The rules of ``log``, written down once more as plainly as possible: what rows a sequence of calls gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, takewhile
from typing import NamedTuple

Values = Mapping[str, float]


class Logged(NamedTuple):
    """A call of ``log``."""

    values: Values
    step: int | None
    train: bool


class Block(NamedTuple):
    """A block in which ``log`` is called, so many times with the same name."""

    train: bool
    values: tuple[float, ...]


Operation = Logged | Block


@dataclass
class Rows:
    """A run as its rows: number first, then the other axis, then the values."""

    steps: dict[int, tuple[int, dict[str, float]]] = field(default_factory=dict)
    epochs: dict[int, tuple[int, dict[str, float]]] = field(default_factory=dict)
    late: list[tuple[int, int, dict[str, float]]] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    """The tables whose last row is open."""
    continued_after: int = -1
    """The step that the attempt goes on from; of what it superseded no row need have had this number."""

    @property
    def last_step(self) -> int:
        return max(self.continued_after, *self.steps, -1)

    @property
    def epoch(self) -> int:
        return max(self.epochs, default=0) + 1

    def begin_attempt(self, operations: list[Operation]) -> None:
        """Rows are final; what was recorded from the first logged step on is superseded."""
        self.open = set()
        self.continued_after = max(self.steps, default=-1)
        first = operations[0] if operations else None
        if isinstance(first, Logged) and first.step is not None:
            step = first.step
            self.continued_after = min(self.continued_after, step - 1)
            self.steps = {number: row for number, row in self.steps.items() if number < step}
            # a table is cut at its end only: the first row of a superseded step goes with all after it
            self.epochs = dict(takewhile(lambda row: row[1][0] < step, self.epochs.items()))
            self.late = list(takewhile(lambda row: row[0] < step, self.late))

    def add(self, operation: Operation) -> None:
        if isinstance(operation, Block):
            self.open = set()
            *_, total = accumulate(operation.values, initial=0.0)  # `sum` rounds in another way from Python 3.12 on
            mean = {"tokens": total / len(operation.values)} if operation.values else {}
            if operation.train:
                self.steps[max(0, self.last_step) + 1] = (self.epoch, mean)
            else:
                self.epochs[self.epoch] = (max(0, self.last_step), mean)
        elif operation.train:
            self._train(dict(operation.values), operation.step)
        else:
            self._validate(dict(operation.values), operation.step)

    def _train(self, values: dict[str, float], step: int | None) -> None:
        step = max(0, self.last_step) + 1 if step is None else step
        if "steps" in self.open and step == self.last_step:
            self.steps[step][1].update(values)
        elif step > self.last_step:
            self._close_before(step)
            self.steps[step] = (self.epoch, values)
            self.open.add("steps")
        else:
            self.late.append((step, self.epoch, values))

    def _validate(self, values: dict[str, float], step: int | None) -> None:
        step = max(0, self.last_step) if step is None else step
        if "epochs" in self.open and self.epochs[self.epoch - 1][0] == step:
            self.epochs[self.epoch - 1][1].update(values)
        else:
            self._close_before(step)
            self.epochs[self.epoch] = (step, values)
            self.open.add("epochs")

    def _close_before(self, step: int) -> None:
        if self.last_step < step:
            self.open.discard("steps")
        if "epochs" in self.open and self.epochs[self.epoch - 1][0] < step:
            self.open.discard("epochs")
