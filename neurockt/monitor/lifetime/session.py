"""The inside of a Recorder: its run's writer, its life from the first row to the end, and the faults on the way.

It refers to the Recorder, its blocks and their gate weakly: they may go while a run is recorded, which ends it.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from neurockt.errors import RunInUse, UsageError
from neurockt.formatting import format_count, listed
from neurockt.monitor.capture.block import CLOSED, LOGGED, Block, Gate
from neurockt.monitor.config import Config
from neurockt.monitor.lifetime.destination import Destination
from neurockt.monitor.lifetime.faults import Faults, print_to_stderr
from neurockt.monitor.lifetime.interruptions import Interruptions, shielded
from neurockt.monitor.lifetime.life import Life
from neurockt.monitor.lifetime.log import Log
from neurockt.monitor.lifetime.row_queue import RowQueue
from neurockt.monitor.ranks.place import Recording, Reduction, find_place

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.ending import Ending, Watch
    from neurockt.monitor.ranks.rows import OverRanks
    from neurockt.run_info import RunInfo
    from neurockt.store.base.layout import TableName
    from neurockt.store.writing.open_row_file import OpenRowFile
    from neurockt.store.writing.run_writer import RunWriter
    from neurockt.store.writing.table_writer import TableWriter

RETRY_SECONDS: Final = 10.0
"""How often a run directory that could not be created is tried again."""


class Session:
    def __init__(
        self,
        gate: Gate,
        destination: Destination,
        config: Config,
        *,
        reduction: Reduction | None,
        recording: Recording,
        system_seconds: float | None,
        save_diff: bool,
        quiet: bool,
    ) -> None:
        self.destination = destination
        self.config = config
        self.recording: Recording = recording
        self.life = Life.UNOPENED
        self.faults = Faults()
        self.interruptions = Interruptions(self._wake)
        parts = self.interruptions, self._open_table, self.faults.warn_once
        self.steps = RowQueue("steps", *parts, has_fast_path=True)
        self.epochs = RowQueue("epochs", *parts, has_fast_path=False)
        self.late = RowQueue("late", *parts, has_fast_path=False)
        self._queues = self.steps, self.epochs, self.late
        self.log = Log(self)
        self.over_ranks: OverRanks | None = None
        self.writer: RunWriter | None = None
        self.on_created: Callable[[RunWriter], None] = lambda writer: None
        self.on_finished: Callable[[Ending | None], None] = lambda ending: None
        self.left = 0
        """Id of the exception that left a block last. It is not kept itself: it may hold all of a model's memory."""
        self._gate = weakref.ref(gate)
        self._reduction = reduction
        self._system_seconds = system_seconds
        self._save_diff = save_diff
        self._is_quiet = quiet
        self._retry_at = 0.0
        self._opened_at: tuple[CodeType, int] | None = None  # the ``with`` statement that opened the block
        self._watch: Watch | None = None
        _sessions.add(self)
        weakref.finalize(gate, self._end_unreferenced).atexit = False
        if recording != "all":
            self._continue(destination.find(writes=self.is_writer))

    @property
    def run_dir(self) -> Path:
        if self.recording == "all" and self.life is Life.UNOPENED:
            self.find_rank()
        return self.destination.run_dir

    def set_total_steps(self, total_steps: int | None) -> None:
        self.destination.info = replace(self.destination.info, total_steps=total_steps)
        if self.writer is not None and self.writer.total_steps != total_steps:
            self.writer.total_steps = total_steps
            self.writer.touch()

    @property
    def is_writer(self) -> bool:
        """Whether this process stores rows and prints; until the first block opens, as it looks now."""
        if self.over_ranks is not None:
            return self.over_ranks.writes
        return self.life is not Life.UNOPENED or find_place().records(self.recording)

    @property
    def has_finished(self) -> bool:
        return self.life is Life.FINISHED

    @property
    def open_block(self) -> Block | None:
        gate = self._gate()
        return gate.block if gate is not None and isinstance(gate.block, Block) else None

    @property
    def has_rows(self) -> bool:
        """Whether a row of this recorder has ended: mistakes of the user's no longer raise."""
        return bool(self.steps.recorded or self.epochs.recorded or self.log.rows.are_open)

    # Blocks

    def may_open(self, block: Block, gate: Gate) -> bool:
        """Whether a block can be opened, where that has to be asked. Raises UsageError, which says what to do."""
        if not self.may_record():
            return False
        self.log.close()
        statement = sys._getframe(2).f_code, sys._getframe(2).f_lasti
        if isinstance(gate.block, Block):
            self._open_inside(block, gate.block, is_same=statement == self._opened_at)
        self._opened_at = statement
        return True

    def may_record(self) -> bool:
        """False where another process records the run. Raises UsageError where it has finished."""
        if self.life is Life.UNOPENED:
            self.destination.check()
            self.find_rank()
            self.life = Life.RECORDING
        if self.life is Life.FINISHED:
            run = self.destination.info.id
            raise UsageError(f"the run {run} has finished; make a new Recorder() to record another")
        return self.life is Life.RECORDING

    def _open_inside(self, block: Block, outer: Block, *, is_same: bool) -> None:
        """A block is open: the user has nested two, or the end of the first was interrupted.

        ``is_same``: the same ``with`` statement comes again, which no nesting does.
        """
        if not self.has_rows and not is_same:
            raise UsageError(f"blocks do not nest: a {outer.rows.kind} block is open; leave it before you open another")
        self.interruptions.reset()
        if block is outer:
            block.has_inner = False
            block.close()
        else:
            block.outer = outer
            block.rows.fast_append = None

    def report_nested(self, block: Block) -> None:
        if self.life is Life.RECORDING:
            inside = f"another block was opened inside a {block.rows.kind} block"
            self.faults.warn_once("nested", f"blocks do not nest: {inside}; close one before the other")

    # The run

    def find_rank(self) -> None:
        """Find out which rank this is, and with ``ranks="all"`` which run all of them record."""
        separate = self.recording == "all"
        place = find_place()
        if self.over_ranks is None and (place.size > 1 or separate):
            from neurockt.monitor.ranks.rows import OverRanks

            if separate:
                self._continue(self.destination.settle_rank(place))
            self.over_ranks = OverRanks(
                place, recording=self.recording, reduction=self._reduction, warn=self.faults.warn
            )
            self.steps.has_fast_path = not self.over_ranks.reduces  # every row goes by the other ranks first

    def resume(self, step: int) -> None:
        """Go on after this training step. Raises UsageError after the first row, in a block or at the end."""
        if self.open_block is not None:
            raise UsageError("resume() inside a block; call it before the first 'with recorder(...)'")
        if self.life is Life.FINISHED:
            run = self.destination.info.id
            raise UsageError(f"the run {run} has finished; make a new Recorder(run_id=...) to resume it")
        if self.has_rows:
            done = f"{format_count(self.steps.recorded, 'step')} and {format_count(self.epochs.recorded, 'validation')}"
            raise UsageError(f"resume() after {done}; call it before the first 'with recorder(...)'")
        if step < 0:
            raise UsageError(f"a step is 0 or above, not {step}")
        if self.recording == "all" and self.life is Life.UNOPENED:
            self.find_rank()
        self.log.may_supersede = False
        if self.destination.takeover is not None:
            self.destination.takeover.resume(step)
            self._count_on()

    def supersede_from(self, step: int) -> None:
        """Supersede what earlier attempts recorded from this step on."""
        if not self.has_rows and self.destination.takeover is not None:
            self.destination.takeover.resume(step - 1)
            self._count_on()

    def _continue(self, config: Mapping[str, Any]) -> None:
        self.config.replace({**config, **self.config})
        self._count_on()

    def _count_on(self) -> None:
        takeover = self.destination.takeover
        if takeover is not None:
            self.steps.before, self.epochs.before = takeover.kept["steps"], max(0, takeover.kept["epochs"])
            self.late.before = max(0, takeover.kept.get("late", 0))
            self.steps.other = self.epochs.last + 1

    def _open_table(self, table: TableName) -> TableWriter | None:
        """The writer of a table; creates the run directory. None where it cannot be created now."""
        if self.writer is None and time.monotonic() >= self._retry_at:
            self._begin()
        return None if self.writer is None else self.writer.table(table, ())

    def open_row_file(self, table: TableName) -> OpenRowFile | None:
        """The file of a table's open row; None where the run directory cannot be created now."""
        self._open_table(table)
        return None if self.writer is None else self.writer.open_row(table)

    def mark_logged(self) -> None:
        """A block that opens next makes open rows final."""
        if (gate := self._gate()) is not None and not isinstance(gate.block, Block):
            gate.block = LOGGED

    def _begin(self) -> None:
        """Create the run directory and begin to write; any error costs a warning, and is tried again."""
        from neurockt.monitor.context.origin import capture_origin
        from neurockt.monitor.context.system import system_reader
        from neurockt.monitor.lifetime.ending import Watch

        if any(each.writer is not None and each.life is Life.RECORDING for each in _sessions if each is not self):
            gc.collect()  # runs that only reference cycles keep alive, as of a class in a function, end now
        self._retry_at = time.monotonic() + RETRY_SECONDS
        is_new = self.destination.takeover is None
        try:
            self._watch = self._watch or Watch(self)
            columns = {queue.table: queue.columns for queue in (self.steps, self.epochs)}
            writer = self.destination.create(columns, self.config, self.faults.report)
        except RunInUse as error:
            if self.steps.recorded + self.epochs.recorded > 1:  # rows have waited for this
                self._retry_at = math.inf
                self.faults.warn_once("in use", f"{error}. Nothing is recorded")
                return
            self._close(Life.FINISHED)
            raise
        except Exception as error:
            do = "create" if is_new else "continue"
            self.faults.report(f"cannot {do} {self.destination.run_dir}; rows wait in memory", error)
            return
        self.writer = writer
        self._count_on()
        self.config.call_on_change(writer.touch)
        self._attempt("announce the run", self._announce)
        self._attempt("watch for signals", self._watch.listen)
        self._attempt(
            "store where it came from", lambda: writer.store_origin(lambda: capture_origin(save_diff=self._save_diff))
        )
        if self._system_seconds and (read := system_reader()):
            seconds = self._system_seconds
            self._attempt("sample the machine", lambda: writer.sample(read, seconds))
        self._attempt("begin the upload", lambda: self.on_created(writer))

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        from neurockt.store.owner.process import is_exiting

        try:
            action()
        except Exception as error:
            if isinstance(error, RuntimeError) and is_exiting():  # no thread: there is little to watch any more
                return
            self.faults.report(f"{self.destination.run_dir}: cannot {what}", error)

    def _announce(self) -> None:
        to = self.destination
        if to.info.rank in (None, 0) and (to.takeover is not None or not self._is_quiet):
            print_to_stderr(to.announcement(self.config))

    # Its end

    def finish_now(self) -> None:
        """End the run as finished. Raises UsageError if a block is open and no row has been recorded."""
        if self.open_block is not None:
            problem = "finish() inside a block loses its row; leave the 'with recorder(...)' first"
            if not self.has_rows:
                raise UsageError(problem)
            self.faults.warn_once("finish inside", problem)
        self.finish(apart=True)

    def finish(self, ending: Ending | None = None, *, apart: bool = False) -> None:
        """End the run; without an ending, as ``finish()`` of the recorder does. An open block is not recorded.

        An exception such as Ctrl-C leaves the run open, for another end, or sealed; what is begun ``apart`` is done.
        """
        if self.life not in (Life.UNOPENED, Life.RECORDING):
            return
        if (block := self.open_block) is not None:
            block.close()
        was_recording = self.life is Life.RECORDING
        if ending is None and self._watch is not None:
            ending = self._watch.at_finish()
        self._retry_at = min(self._retry_at, time.monotonic())
        try:
            with self.interruptions:
                self.log.close()
                for queue in self._queues:
                    queue.flush(wait=True)
                end = partial(self._end, ending)
                shielded(end) if apart and self.writer is not None else end()
        finally:
            if self._watch is not None and self.has_finished:
                self._watch.close()
            if was_recording and self.has_finished:
                self.on_finished(ending)
        lost = self.writer.dropped if self.writer else sum(queue.recorded for queue in self._queues)
        if lost and self.is_writer:
            print_to_stderr(f"{self.destination.run_dir}: lost {format_count(lost, 'row')} that could not be stored")
        if self.writer is not None:
            self._warn_of_silent_hooks(self.writer.info)
            if self.writer.unfinished:
                self.faults.report(*self.writer.unfinished)
        self.faults.raise_kept()

    def _warn_of_silent_hooks(self, info: RunInfo) -> None:
        for queue, summary in ((self.steps, info.steps), (self.epochs, info.epochs)):
            if names := queue.silent_hooks(summary):
                call = "call the module itself, not its forward(), inside the block"
                self.faults.warn(f"{listed(map(repr, names))}: no value in any row of {queue.table}; {call}")

    def leave(self, error: BaseException | None) -> None:
        """End the run as the exception says, or as finished."""
        self.finish(self._watch.after(error) if self._watch and error is not None else None, apart=True)

    def seal(self, ending: Ending, seconds: float) -> None:
        """Seal the run from another thread; the loop will not go on. Rows that wait have this long to arrive."""
        self.log.rows.close()
        until = time.monotonic() + seconds
        while any(queue.has_waiting() for queue in self._queues) and time.monotonic() < until:
            time.sleep(0.005)
        self._seal(ending)

    def _end(self, ending: Ending | None) -> None:
        self._close(Life.FINISHED)
        self._seal(ending)

    def _seal(self, ending: Ending | None) -> None:
        if self.writer is not None and ending is not None:
            self.writer.close(*ending)

    def record_elsewhere(self, run_id: str | None = None) -> None:
        """Record nothing from here on: another process records this run."""
        if run_id is not None:
            self.destination.info = replace(self.destination.info, id=run_id)
        self._close(Life.ELSEWHERE)

    def disown(self) -> None:
        """This process is a forked child: what is being recorded is its parent's."""
        if self._watch is not None or self.open_block is not None:
            self.record_elsewhere()
        if self._watch is not None:
            self._watch.disown()

    def _close(self, life: Life) -> None:
        self.life = life
        if (gate := self._gate()) is not None:
            gate.block = CLOSED

    def _end_unreferenced(self) -> None:
        """The recorder is gone, and all that could record to it: the run ends."""
        if self.life is not Life.RECORDING:
            return
        if threading.current_thread().name.startswith("neurockt"):  # collected in a thread that the end waits for
            threading.Thread(target=self.finish).start()
        else:
            self.finish()

    def _wake(self) -> None:
        self.steps.fast_append = self.log.rows.steps.writer = None


_sessions: Final[weakref.WeakSet[Session]] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_sessions):
        session.disown()


os.register_at_fork(after_in_child=_after_fork)
