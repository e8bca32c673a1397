"""What takes a while in a table, such as sorting: done in a thread with a reader of its own, told of, and stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from neurockt.errors import NeurocktError
from neurockt.formatting import clean

if TYPE_CHECKING:
    from neurockt.store import RowReader, TableName

Tell = Callable[[float], bool]
"""Told the part that is done; says whether to go on."""
Find = Callable[["RowReader", Tell], Callable[[], None]]
"""Reads, and gives what is then to be done in the screen's thread."""


@dataclass
class Job:
    """Something that takes a while, and can be stopped."""

    what: str
    done: float = 0.0
    stopped: bool = False


class Jobs(Vertical):
    """A table that has one job at a time; the line below it says how far that is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "stop", "Stop what is under way", show=False)]

    @dataclass
    class JobTold(Message):
        """How far a job is."""

        job: Job

        def can_replace(self, message: Message) -> bool:
            """Only the latest matters."""
            return isinstance(message, Jobs.JobTold)

    @dataclass
    class JobDone(Message):
        """A job has come to an end; this is to be done with it."""

        job: Job
        then: Callable[[], None]

    def __init__(self, path: Path, table: TableName, **options: Any) -> None:
        """The table of the run at ``path``."""
        super().__init__(**options)
        self._path = path
        self._table: TableName = table
        self._job: Job | None = None
        self._said = ""
        """What the last job came to, where that was nothing to show."""

    def _say(self) -> None:
        """Say how far the job is."""
        raise NotImplementedError

    @work(thread=True, exclusive=True, group="job", exit_on_error=False)
    def _do(self, job: Job, find: Find) -> None:
        """Search or sort with a reader of its own; then have the screen's thread do what it comes to."""
        from neurockt import open_run
        from neurockt_viewer.table_search import Stopped

        def tell(done: float) -> bool:
            job.done = done
            self.post_message(self.JobTold(job))
            return not job.stopped

        def nothing() -> None:
            """Stopped."""

        then = nothing
        try:
            reader = open_run(self._path).rows(self._table)
            reader.refresh()
            if reader.groups.total:
                then = find(reader, tell)
        except Stopped:
            pass
        except (NeurocktError, OSError, MemoryError) as error:
            why = clean(repr(error))

            def complain() -> None:
                self._said = why

            then = complain
        self.post_message(self.JobDone(job, then))

    def begin(self, what: str, find: Find) -> None:
        if self._job is not None:
            self._job.stopped = True
        self._said = ""
        self._job = Job(what)
        self._do(self._job, find)
        self._say()
        self.refresh_bindings()

    @on(JobTold)
    def _tell_job(self, message: JobTold) -> None:
        message.stop()
        if message.job is self._job:
            self._say()

    @on(JobDone)
    def _end_job(self, message: JobDone) -> None:
        message.stop()
        if message.job is self._job:
            self._job = None
            if not message.job.stopped:
                message.then()
            self._say()
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is something to stop only while something is under way."""
        return self._job is not None if action == "stop" else True

    def action_stop(self) -> None:
        """Stop what is under way."""
        if self._job is not None:
            self._job.stopped = True
            self._job = None
            self._say()
            self.refresh_bindings()
