"""Write a run: its directory, its tables, and the background thread that does everything slow.

The training loop only appends to journals. Everything slow (fsync, sealing, ``run.json``) happens in one background
thread, which holds the interpreter lock for a fraction of a millisecond at a time.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from neurockt.errors import NeurocktError, RunInUse
from neurockt.run_info import Failure, RunInfo, State, TableSummary
from neurockt.store.base import layout
from neurockt.store.base.layout import TableName
from neurockt.store.base.origin import Origin, store_origin
from neurockt.store.base.run_file import now, read_info, write_info
from neurockt.store.owner.attempts import begin_attempt, is_same
from neurockt.store.owner.process import deaf_threads, is_exiting, leave_signals_to_others
from neurockt.store.recovery.takeover import Takeover
from neurockt.store.writing import timing as timings
from neurockt.store.writing.appending import REFUSED, Fault
from neurockt.store.writing.open_row_file import OpenRowFile
from neurockt.store.writing.sampling import Measures, Sampling
from neurockt.store.writing.table_writer import TableWriter
from neurockt.store.writing.timing import Timing

THREAD_NAME: Final = "neurockt"
"""Name of the background thread; the names of the others begin with it."""

JOIN_SECONDS: Final = 1.0
"""How long the end of a run waits for a thread that may be stuck in a driver."""


class RunWriter:
    def __init__(
        self,
        info: RunInfo,
        columns: Mapping[TableName, tuple[str, ...]],
        *,
        config: Mapping[str, Any] | None = None,
        recorder: int = 1,
        first_step: int = 1,
        takeover: Takeover | None = None,
        timing: Timing | None = None,
        on_fault: Fault = lambda what, error: None,
    ) -> None:
        """Create the directory ``info.path``, or take over the run that is there, and start the background thread.

        If the disk takes the directory and nothing else, rows wait, as they do later in the run.

        Args:
            info: the run at its begin; attempt, state and heartbeat are filled in here.
            config: read each time ``run.json`` is written: it may change.
            recorder: which of this process's recorders writes the run, from 1.
            first_step: the lowest number that a row of `steps` can have: 0 where ``append_at`` gives it.
            takeover: of the run that is continued; without it the directory must not exist.
            on_fault: called from any thread with an error that must not stop training.
        """
        self._config = config if config is not None else info.config
        self.total_steps = info.total_steps
        """Read each time ``run.json`` is written: it may change."""
        self._timing = timing or timings.default
        self._first_step = first_step
        self._on_fault = on_fault
        self.cause: Callable[[], str | None] = lambda: None
        """Gives the cause to write down in case the process dies now."""
        self.tables: dict[TableName, TableWriter] = {}
        self._open_rows: dict[TableName, OpenRowFile] = {}
        self._tables_lock = threading.RLock()
        self.unfinished: tuple[str, Exception] | None = None
        self._before: dict[TableName, tuple[int, TableSummary]] = {}
        self._changed = False
        self._synced_at = time.monotonic()
        self._beaten_at = self._synced_at - self._timing.heartbeat + self._timing.first_heartbeat
        self._info_lock = threading.Lock()
        self._background_lock = threading.Lock()
        self._sampling: Sampling | None = None
        self._origin: threading.Thread | None = None
        self._disk_has_failed = False
        self._lost = False  # another process has taken the run over
        self._begun, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run_background, name=THREAD_NAME, daemon=True)
        try:
            self._thread.start()  # before there is a directory, which would be a ghost without it
        except RuntimeError as error:  # the system gives no more threads now
            if not is_exiting():  # otherwise ``close`` comes next, and needs none
                raise OSError(errno.EAGAIN, f"{error}") from None
        try:
            self._seals = load_pyarrow()
            if takeover is None:
                attempt = begin_attempt(recorder=recorder)
                self.info = replace(info, state="running", attempts=(attempt,), updated=attempt.started, heartbeat=1)
                with _new_directory(info.path):
                    self._guarded("could not write run.json; will try again", self._write_info)
            else:
                self.info = takeover.begin(replace(info, config=dict(self._config)), recorder)
            self.total_steps = self.info.total_steps
            self._dropped_before = self.info.dropped
            self._begun.set()
            if takeover is not None:
                self._before = takeover.finish()  # heartbeats go on meanwhile
            self.tables = {table: self._create_table(table, names) for table, names in columns.items()}
        except BaseException:
            self._end_threads()
            raise
        if not self._seals:
            hint = "its rows stay in journals; run 'neurockt seal' where pyarrow is installed to turn them into Parquet"
            self._report(f"cannot seal the run: {hint}", ModuleNotFoundError("pyarrow is not installed"))

    @property
    def path(self) -> Path:
        return self.info.path

    @property
    def dropped(self) -> int:
        return sum(writer.dropped for writer in list(self.tables.values()))

    def table(self, table: TableName, columns: Sequence[str]) -> TableWriter:
        """The writer of a table, which is created with these columns where there is none."""
        with self._tables_lock:
            if table not in self.tables:
                self.tables = {**self.tables, table: self._create_table(table, columns)}
            return self.tables[table]

    def open_row(self, table: TableName) -> OpenRowFile:
        """The file of a table's open row."""
        with self._tables_lock:
            if table not in self._open_rows:
                file = OpenRowFile(self.path, table, partial(self._report, REFUSED))
                self._open_rows = {**self._open_rows, table: file}
            return self._open_rows[table]

    def touch(self) -> None:
        self._changed = True

    def sample(self, read: Callable[[], Measures], seconds: float) -> None:
        """Store what ``read`` gives as a row of `system` every so many ``seconds``; a thread of its own calls it."""

        def position() -> tuple[int, int]:
            return max(0, self.tables["steps"].last), max(0, self.tables["epochs"].last) + 1

        name, first = f"{THREAD_NAME}-system", self._timing.first_sample
        self._sampling = Sampling(read, seconds, first=first, position=position, on_fault=self._warn, name=name)

    def store_origin(self, capture: Callable[[], tuple[Origin, str | None]]) -> None:
        store = partial(store_origin, self.path, self.info.attempts[-1].number, capture, self._stop)
        guarded = partial(self._guarded, "could not store where the run came from", store)
        thread = threading.Thread(target=guarded, name=f"{THREAD_NAME}-origin", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not is_exiting():
                raise
            guarded()
        else:
            self._origin = thread

    def seal(self, *tables: TableName) -> None:
        """Seal these tables (default: all) now, for a test; the background thread waits."""
        with self._background_lock:
            for table in tables or tuple(self.tables):
                self.tables[table].seal()

    def note(self) -> None:
        """Write ``cause`` into ``run.json`` now, and have the rows sealed soon. Not for the loop's thread."""
        if not self._lost:
            for writer in list(self.tables.values()):
                writer.seal_soon()
            self._publish()

    def close(self, state: State = "finished", failure: Failure | None = None, cause: str | None = None) -> None:
        """Seal the tables and write how the run ended, and why. Does nothing the second time."""
        if self._stop.is_set():
            return
        self._end_threads()
        if not self._is_ours():
            for writer in self.tables.values():
                writer.release()
            return
        self._guarded("could not store the last samples of the machine", self._store_samples)
        for table, writer in self.tables.items():
            try:
                writer.close(seal=self._seals)
            except Exception as error:
                what = "its rows are in the journal; 'neurockt seal' turns them into Parquet"
                self.unfinished = self.unfinished or (f"{self.path}: could not seal {table}; {what}", error)
        if self.unfinished is None:
            for file in self._open_rows.values():
                with suppress(OSError):  # its row is in the table now
                    file.remove()
        ended = now()
        *earlier, attempt = self.info.attempts
        self.info = replace(
            self.info,
            state=state,
            failure=failure,
            ended=ended,
            updated=ended,
            attempts=(*earlier, replace(attempt, ended=ended, cause=cause)),
        )
        try:
            self._write_info()
        except Exception as error:
            what = "could not write run.json, whose state remains 'running'"
            self.unfinished = self.unfinished or (f"{self.path}: {what}", error)

    def _end_threads(self) -> None:
        self._stop.set()
        self._begun.set()
        if self._sampling is not None:
            self._sampling.stop(JOIN_SECONDS)
        if self._thread.is_alive():
            self._thread.join()
        if self._origin is not None:
            self._origin.join(self._timing.origin)

    def _run_background(self) -> None:
        leave_signals_to_others()
        self._begun.wait()
        while not self._lost and not self._stop.wait(self._timing.tick):
            with self._background_lock:
                self._guarded("the background thread failed; will try again", self._tick)

    def _tick(self) -> None:
        """Do what is due. A step that fails does not keep the others from being done."""
        for table, writer in self.tables.items():
            self._guarded(f"could not write the waiting rows of {table}", writer.retry)
        for file in self._open_rows.values():
            with suppress(OSError):  # reported when it began
                file.retry()
        monotonic = time.monotonic()
        self._guarded("could not store samples of the machine", self._store_samples)
        if monotonic - self._synced_at >= self._timing.sync:
            self._synced_at = monotonic
            for table, writer in self.tables.items():
                self._guarded(f"could not fsync the journal of {table}", writer.sync)
            for table, file in self._open_rows.items():
                self._guarded(f"could not fsync the open row of {table}", file.sync)
        if self._seals:
            for table, writer in self.tables.items():
                self._guarded(f"could not seal {table}; will try again", writer.seal_if_due)
        if self._changed or monotonic - self._beaten_at >= self._timing.heartbeat:
            self._beaten_at = monotonic
            self._changed = False
            if self._is_ours():
                self.info = replace(self.info, heartbeat=self.info.heartbeat + 1, updated=now())
                self._guarded("could not write run.json; will try again", self._write_info)

    def _store_samples(self) -> None:
        if self._sampling is not None:
            self._sampling.store(self.table)

    def _create_table(self, table: TableName, columns: Sequence[str]) -> TableWriter:
        last, summary = self._before.get(table, (-1, TableSummary()))
        last = max(last, 0 if table != "steps" else self._first_step - 1)
        return TableWriter(
            self.path,
            table,
            columns,
            last=last,
            summary=summary,
            timing=self._timing,
            is_ours=self._is_ours,
            on_fault=self._report,
        )

    def _write_info(self) -> None:
        self.info = replace(self.info, config=dict(self._config), total_steps=self.total_steps)
        if self.tables:
            summaries = {table: writer.summary() for table, writer in self.tables.items()}
            self.info = replace(self.info.with_tables(summaries), dropped=self._dropped_before + self.dropped)
        self._publish()

    def _publish(self) -> None:
        with self._info_lock:
            info = self.info
            if info.state == "running" and (cause := self.cause()):
                *earlier, attempt = info.attempts
                info = replace(info, attempts=(*earlier, replace(attempt, cause=cause)))
            write_info(info)

    def _is_ours(self) -> bool:
        """Whether ``run.json`` still names this attempt.

        If not, this process was taken for dead: changing files by their names would harm the other process.
        """
        if self._lost:
            return False
        try:
            other = read_info(self.path).attempt
        except (NeurocktError, OSError):
            return True  # as far as can be found out
        if other is None or is_same(self.info.attempt, other):
            return True
        self._lost = True
        for writer in self.tables.values():
            writer.abandon()
        for file in self._open_rows.values():
            file.abandon()
        by = f"process {other.pid} on {other.host} has taken the run over, as attempt {other.number}"
        self._report("this process records nothing more", RunInUse(by))
        return False

    def _guarded(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:
            if self._is_ours():  # else the files have changed under it, which is reported there
                self._report(what, error)

    def _report(self, what: str, error: Exception) -> None:
        """Report an error; of the disk's only the first: a disk that fails does so in many places."""
        if not (isinstance(error, OSError) and self._disk_has_failed):
            self._disk_has_failed |= isinstance(error, OSError)
            self._warn(what, error)

    def _warn(self, what: str, error: Exception) -> None:
        """Report an error. A warning that is turned into an error does not end a thread of the run."""
        try:
            self._on_fault(f"{self.path}: {what}", error)
        except BaseException as raised:
            if not threading.current_thread().name.startswith(THREAD_NAME):
                raise
            with suppress(Exception):
                print(f"neurockt: {raised}", file=sys.stderr)


@contextmanager
def _new_directory(path: Path) -> Iterator[None]:
    """Create the directory of a run, which is described by the end; raises FileExistsError where one has begun in it.

    A framework may have made the directory, for its checkpoints. The process that creates a claim begins the run.
    """
    try:
        path.mkdir(parents=True)
        is_ours = True
    except FileExistsError:
        if not layout.is_of_others(path):
            raise
        is_ours = False
    claim = layout.claim_path(path, 1)
    try:
        os.close(os.open(claim, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except OSError:
        if is_ours:
            with suppress(OSError):
                path.rmdir()
        raise
    try:
        if (path / layout.RUN_FILE).exists():  # another process has begun, and released its claim, meanwhile
            raise FileExistsError(path)
        yield
    finally:
        claim.unlink(missing_ok=True)


def load_pyarrow() -> bool:
    """Import it, if it is installed; now, because that holds the interpreter lock for a tenth of a second."""
    try:
        with deaf_threads():
            import pyarrow.parquet  # noqa: F401  (loaded for later)

            from neurockt.store.tables import parts, summary  # noqa: F401  (the same)
    except ImportError:
        return False
    return True
