"""The errors neurockt raises on purpose.

    NeurocktError
    ├── UsageError          the recorder was used wrongly; raised at the call that did it
    │   └── InvalidName     a metric name that cannot be a column
    ├── RunNotFound         no run at that path, or under that name
    ├── RunInUse            a live process still writes the run
    ├── CorruptRun          a file of the run cannot be read at all
    ├── FormatTooNew        written by a later neurockt than this one
    ├── ColumnNotFound      the table has no such column
    ├── QueryError          a filter, or the name of a column, that cannot be understood
    ├── SyncFailed          W&B could not be reached, or did not take a run
    └── MissingExtra        an optional package is not installed

A message states what happened, where, and what to do next. The command line prints it and exits 1.
"""

from __future__ import annotations


class NeurocktError(Exception):
    """Anything neurockt reports on purpose."""


class UsageError(NeurocktError):
    """The recorder was used in a way that cannot work."""


class InvalidName(UsageError):
    """A metric name that cannot be a column."""


class RunNotFound(NeurocktError):
    """There is no run at that path, or of that name."""


class RunInUse(NeurocktError):
    """A live process still writes the run."""


class CorruptRun(NeurocktError):
    """A file of the run cannot be read at all."""


class FormatTooNew(NeurocktError):
    """The run was written by a later neurockt than this one."""


class ColumnNotFound(NeurocktError):
    """The table has no column of that name."""


class QueryError(NeurocktError):
    """A filter, or the name of a column, that cannot be understood."""

    def __init__(self, problem: str, text: str, position: int, caret: int | None = None) -> None:
        """Point at the position.

        Args:
            problem: one line: what is wrong, and what to write instead.
            text: what was read.
            position: index of the character in ``text`` where it went wrong.
            caret: cells of a terminal before that character; default one a character.
        """
        self.problem = problem
        self.position = position
        super().__init__(f"{problem}\n  {text}\n  {' ' * (position if caret is None else caret)}^")


class SyncFailed(NeurocktError):
    """W&B could not be reached, or did not take a run."""


class MissingExtra(NeurocktError):
    """An optional package is not installed."""


class NeurocktWarning(UserWarning):
    """Something neurockt could not do; training or reading went on without it."""
