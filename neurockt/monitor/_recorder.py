"""The Recorder, which a training script talks to: from the first row to ``finish()`` or the interpreter's exit."""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from itertools import count
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from neurockt.errors import NeurocktWarning, RunInUse, UsageError
from neurockt.formatting import table_header, table_row
from neurockt.monitor._aggregate import Aggregator
from neurockt.monitor._block import Block, ValidationBlock
from neurockt.monitor._collect import Collector, ValueCollector
from neurockt.monitor._config import Config
from neurockt.monitor._ending import Ending, Watch
from neurockt.monitor._names import check_metric_name, check_run_id, new_run_id
from neurockt.monitor._ranks import (
    Recording,
    Reduction,
    check_ranks,
    common_run_id,
    find_place,
    is_restart,
)
from neurockt.monitor._requeue import run_to_continue
from neurockt.monitor._signals import attend
from neurockt.monitor._system import check_seconds, system_reader
from neurockt.monitor._wrap import recorded
from neurockt.records import RunInfo
from neurockt.store.info import now
from neurockt.store.journal import is_null
from neurockt.store.layout import TableName, default_root, rank_path

if TYPE_CHECKING:
    from neurockt.monitor._over_ranks import OverRanks
    from neurockt.store.table import TableWriter
    from neurockt.store.takeover import Takeover
    from neurockt.store.writer import RunWriter

RETRY_SECONDS: Final = 10.0
"""How often a run directory that could not be created is tried again."""

_numbers: Final = count(1)
"""Numbers the recorders of this process."""

P = ParamSpec("P")
R = TypeVar("R")


class Recorder:
    """Records a training run: one row of `steps` a training block, one row of `epochs` a validation block.

    Nothing is on disk before the first row. When a block has ended, its row survives the death of the process.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        project: str | None = None,
        name: str | None = None,
        run_id: str | None = None,
        config: Any = None,
        tags: Iterable[str] = (),
        notes: str | None = None,
        group: str | None = None,
        quiet: bool = False,
        reduce: Reduction | None = None,
        ranks: Recording = "first",
        system_seconds: float | None = 15.0,
        save_diff: bool = False,
    ) -> None:
        """Describe the run to come.

        Args:
            root: directory of runs; default ``$NEUROCKT_DIR``, else ``runs``.
            project: what the run belongs to.
            name: what to call it; need not be unique. Default: its id.
            run_id: name of its directory; default a new one from time and chance. A run that is there goes on, if its
                process is dead, as does without a name that of a job which SLURM has restarted.
            config: settings: a mapping, a dataclass, an ``argparse.Namespace``, an OmegaConf, pydantic or attrs one,
                or an object with attributes; nested as you like. It is stored as it is: leave secrets out.
            tags: labels to filter by.
            notes: free text.
            group: runs that belong together, such as the seeds of one experiment.
            quiet: print no table.
            reduce: with ``torch.distributed``, what the values of a block come to over all ranks: their exact ``mean``,
                whatever each rank's share of them, or the ``sum``, ``min`` or ``max`` of what each rank would record
                alone. Each block then waits for all ranks. Default: rank 0's own values.
            ranks: ``first``: rank 0 records for all, the others nothing. ``all``: each records its own rows, in
                ``rank-000`` and so on within the run, and none waits for another.
            system_seconds: how often to sample processor, memory and GPUs into `system`; 0 or None for never.
                Needs psutil and nvidia-ml-py (``neurockt[system]``); what is not installed is left out.
            save_diff: with the git commit, store in what tracked files differ from it.

        Raises:
            UsageError: ``system_seconds`` is no number of seconds; ``run_id`` cannot name a directory, or names one
                that is no run.
            RunInUse: a live process writes the run of that name.
        """
        self.config = Config(config)
        """The run's settings; add to it at any time."""
        self.open_block: Block | Literal["unopened", "finished", "forked"] | None = "unopened"
        """The block that is open now, or why none can be. For the recorder's own parts, as is the next."""
        self.over_ranks: OverRanks | None = None
        """How blocks become rows where there are several ranks; None for one. Decided when the first block opens."""
        self.dropped = 0
        self._reduction, self._recording = check_ranks(reduce, ranks)
        self._given_id = check_run_id(run_id) if run_id is not None else None
        self._info = RunInfo(
            path=Path(),
            id=self._given_id or new_run_id(datetime.now()),
            created=now(),
            name=name,
            project=project,
            group=group,
            tags=(tags,) if isinstance(tags, str) else tuple(tags),
            notes=notes,
        )
        self._root = (default_root() if root is None else Path(root)).absolute()
        self._number = next(_numbers)
        self._takeover: Takeover | None = None
        self._system_seconds = check_seconds(system_seconds)
        self._save_diff = save_diff
        _recorders[id(self)] = self
        self._writer: RunWriter | None = None
        self._retry_at = 0.0
        self._warned = False
        self._fault: BaseException | None = None
        self._header: str | None = None
        self._watch: Watch | None = None
        self.amid = False
        """Whether rows are on their way to the writer, or the run is being sealed."""
        self.called = False
        """Whether ``attend`` is to be called by the next ``flush``."""
        self._steps = Block(self, "steps")
        self._epochs = ValidationBlock(self, self._steps, None if quiet else self._print_row)
        if self._recording == "first":
            self._continue(run_to_continue(self._root, self._given_id, self._number, writes=self.is_writer))

    @property
    def run_dir(self) -> Path:
        """The run's directory; it is created by the first row. With ``ranks="first"`` it is rank 0's to know."""
        if self._recording == "all" and self.open_block == "unopened":
            self._find_rank()
        return self._root / self._info.id

    @property
    def is_writer(self) -> bool:
        """Whether this process stores rows and prints: rank 0 does, or the only process, or with ``ranks="all"`` each.

        Settled when the first block opens; until then, as it looks now.
        """
        if self.over_ranks is not None:
            return self.over_ranks.writes
        return self._recording == "all" or self.open_block != "unopened" or find_place().rank == 0

    @property
    def step(self) -> int:
        """Training blocks that have ended, those of earlier attempts at the run included."""
        return self._steps.rows

    @property
    def epoch(self) -> int:
        """Validation blocks that have ended, likewise."""
        return self._epochs.rows

    def __call__(self, train: bool | None = None, training: bool | None = None) -> Block:
        """The block to open: ``with recorder(train=True)`` for one training step, ``train=False`` for one validation.

        Args:
            train: whether this is training; ``training`` is another name for it.

        Raises:
            UsageError: neither or both were given; on entering, another block is open or the recorder has finished.
        """
        if train is None or training is not None:
            train = _one_of(train, training)
        return self._steps if train else self._epochs

    def track_scalar(
        self, name: str, aggregator: Aggregator | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: what the function returns inside ``recorder(train=True)`` becomes a column of `steps`.

        Args:
            name: the column; any text up to 200 characters but ``step``, ``epoch`` and ``time``.
            aggregator: takes the list of the block's values, gives one number. Default: the mean.

        The decorated function returns exactly what it did before. A block in which it was not called gives null.

        Raises:
            InvalidName: the name cannot be a column.
        """
        return self._decorator(self._steps, name, aggregator)

    def metric(self, name: str, aggregator: Aggregator | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorator: what the function returns inside ``recorder(train=False)`` becomes a column of `epochs`.

        Takes what ``track_scalar`` takes.
        """
        return self._decorator(self._epochs, name, aggregator)

    def resume(self, step: int) -> None:
        """Go on after this training step, that of the checkpoint which was loaded; 0 begins again.

        What earlier attempts at the run recorded past it is superseded: with the first row, it is moved out of the
        run's tables. Where there is nothing past it, as in a new run, nothing happens.

        Args:
            step: what ``recorder.step`` was when the checkpoint was saved.

        Raises:
            UsageError: this attempt has recorded rows already, or a block is open.
        """
        if isinstance(self.open_block, Block):
            raise UsageError("resume() inside a block; call it before the first 'with recorder(...)'")
        if self.open_block == "finished":
            raise UsageError(f"the run {self._info.id} has finished; make a new Recorder(run_id=...) to resume it")
        if self._steps.recorded or self._epochs.recorded:
            done = f"{self._steps.recorded:,} steps and {self._epochs.recorded:,} validations"
            raise UsageError(f"resume() after {done}; call it before the first 'with recorder(...)'")
        if (checkpoint := index(step)) < 0:
            raise UsageError(f"a step is 0 or above, not {checkpoint}")
        if self._recording == "all" and self.open_block == "unopened":
            self._find_rank()
        if self._takeover is not None:
            self._takeover.resume(checkpoint)
            self._count_on()

    def finish(self) -> None:
        """Store what is left, seal the run into Parquet, and mark it finished. Does nothing the second time.

        Happens by itself when the interpreter exits; an exception that ends it marks the run failed.

        Raises:
            UsageError: a block is open.
        """
        if isinstance(self.open_block, Block):
            raise UsageError("finish() inside a block would lose its row; leave the 'with recorder(...)' first")
        self._finish(self._watch.at_finish() if self._watch else Ending("finished"))

    # For the recorder's own parts

    def declare(self, block: Block, name: str, collector: Collector) -> int:
        """Add a collector to a block, under its checked name; gives its slot."""
        check_metric_name(name)
        for other, existing in block.collectors.items():
            for column in collector.columns:
                check_metric_name(column)
                if column in existing.columns:
                    raise UsageError(f"{column!r} is recorded already, as part of {other!r}; choose another name")
        return block.declare(name, collector)

    def may_open_block(self) -> bool:
        """Whether a block can be opened, where that has to be asked; a forked child opens none, silently.

        Raises:
            UsageError: it says why none can be opened now.
        """
        if self.open_block == "unopened":
            self._find_rank()
            return True
        if self.open_block == "finished":
            raise UsageError(f"the run {self._info.id} has finished; make a new Recorder() to record another")
        if isinstance(self.open_block, Block):
            kind = "training" if self.open_block is self._steps else "validation"
            raise UsageError(f"blocks do not nest: a {kind} block is open; leave it before you open another")
        return False

    def start(self, block: Block) -> TableWriter | None:
        """The table that stores a block's rows; creates the run directory. None where it cannot be created now."""
        if self._writer is None and time.monotonic() >= self._retry_at:
            self._watch = self._watch or Watch(self, self._at_exit)
            self._retry_at = time.monotonic() + RETRY_SECONDS
            try:
                self._writer = self._create()
                self._watch.listen()
            except OSError as error:
                do = "create" if self._takeover is None else "continue"
                self._on_fault(f"cannot {do} {self.run_dir}; rows wait in memory", error)
            except RunInUse:
                self.open_block = "finished"
                raise
        return None if self._writer is None else self._writer.tables[block.table]

    @property
    def writer(self) -> RunWriter | None:
        """Stores the rows; there is one from the first row on."""
        return self._writer

    def block_left(self, error: BaseException | None) -> None:
        """An exception has left a block."""
        if self._watch is not None and error is not None:
            self._watch.block_left(error)

    def call(self) -> None:
        """Have ``attend`` called when the next block ends; from any thread."""
        self.called = True
        self._steps.detour()

    def attend(self) -> None:
        """See to what came while the recorder was amid something, and to signal handlers that were put over ours."""
        self.called = False
        attend()

    def end(self, ending: Ending, seconds: float) -> None:
        """Seal the run from another thread; the loop will not go on. Rows on their way have so many seconds."""
        until = time.monotonic() + seconds
        blocks = self._steps, self._epochs
        while any(block.has_waiting() for block in blocks) and time.monotonic() < until:
            time.sleep(0.005)
        if self._writer is not None:
            self._writer.close(ending.state, ending.failure, ending.cause)

    def disown(self) -> None:
        """This process is a forked child: what is being recorded is its parent's."""
        if self._watch is not None:
            self._watch.disown()
        if self._watch is not None or isinstance(self.open_block, Block):
            self.open_block = "forked"

    # Inside

    def _find_rank(self) -> None:
        """Find out which rank this is, and with ``ranks="all"`` which run all of them record."""
        separate = self._recording == "all"
        place = find_place()
        if self.over_ranks is None and (place.size > 1 or separate):
            from neurockt.monitor._over_ranks import OverRanks

            if separate:
                restarted = None if self._given_id else run_to_continue(self._root, None, self._number, writes=False)
                before = restarted.info if restarted is not None and restarted.info.keeps_ranks else None
                run_id = self._given_id or (before.path.name if before is not None else common_run_id(place))
                self._info = replace(self._info, id=run_id, rank=place.rank, ranks=place.size)
                if self._path.exists() and self._given_id is None and not is_restart():
                    raise UsageError(f"{self._path} exists; pass another run_id, the same on every rank")
                self._continue(run_to_continue(self._path.parent, self._path.name, self._number))
            self.over_ranks = OverRanks(place, separate=separate, reduction=self._reduction, warn=self._warn)

    def _continue(self, takeover: Takeover | None) -> None:
        """Go on with a run that is there already."""
        if takeover is not None:
            self._takeover = takeover
            if self._info.rank is None:
                self._info = replace(self._info, id=takeover.info.path.name)
            self.config.data = {**takeover.info.config, **self.config.data}
            self._count_on()

    def _count_on(self) -> None:
        """Count from the rows that are there already."""
        if self._takeover is not None:
            self._steps.before, self._epochs.before = self._takeover.kept["steps"], self._takeover.kept["epochs"]
            self._steps.other = self._epochs.rows + 1

    @property
    def _path(self) -> Path:
        """Where this process writes."""
        run_dir = self._root / self._info.id
        return run_dir if self._info.rank is None else rank_path(run_dir, self._info.rank)

    def _decorator(
        self, block: Block, name: str, aggregator: Aggregator | None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        known = block.collectors.get(name)
        if isinstance(known, ValueCollector):  # a notebook cell that is run again, or two functions with one column
            collector, slot = known, list(block.collectors).index(name)
            collector.set_aggregator(aggregator)
            block.refresh()
        else:
            collector = ValueCollector(name, aggregator)
            slot = self.declare(block, name, collector)
        return lambda function: recorded(function, self, block, slot, collector)

    def _create(self) -> RunWriter:
        from neurockt.monitor._origin import capture_origin
        from neurockt.store.writer import RunWriter  # with all that writing needs, when something is to be written

        columns: dict[TableName, tuple[str, ...]] = {"steps": self._steps.columns, "epochs": self._epochs.columns}
        while True:
            info = replace(self._info, path=self._path)
            try:
                writer = RunWriter(
                    info,
                    columns,
                    config=self.config,
                    recorder=self._number,
                    takeover=self._takeover,
                    on_fault=self._on_fault,
                )
                break
            except FileExistsError:
                if self._given_id is not None or self._info.rank is not None:
                    hint = "begin with another run_id, or begin again to continue it once that process has ended"
                    raise RunInUse(f"another process has begun the run {info.path} meanwhile; {hint}") from None
                self._info = replace(self._info, id=new_run_id(datetime.now()))
        self._count_on()
        self.config.on_change = writer.touch
        writer.tell_origin(lambda: capture_origin(save_diff=self._save_diff))
        if self._system_seconds and (read := system_reader()):
            writer.sample(read, self._system_seconds)
        return writer

    def _finish(self, ending: Ending) -> None:
        if self.open_block not in (None, "unopened"):
            return
        self._retry_at = min(self._retry_at, time.monotonic())
        self.amid = True
        try:
            self._steps.flush(wait=True)
            self._epochs.flush(wait=True)
            self.open_block = "finished"
            if self._writer is not None:
                self._writer.close(ending.state, ending.failure, ending.cause)
        finally:
            self.amid = False
            if self._watch is not None:
                self._watch.close()
        lost = self.dropped + (
            self._writer.info.dropped if self._writer else self._steps.recorded + self._epochs.recorded
        )
        if lost and self.is_writer:
            self._warn(f"{self.run_dir}: {lost:,} rows could not be stored and are lost")
        if self._writer is not None and self._writer.unfinished:
            self._warned = False  # how the run was left is told, whatever was told before
            self._on_fault(*self._writer.unfinished)
        if self._fault is not None:
            raise self._fault

    def _at_exit(self) -> None:
        if isinstance(self.open_block, Block):
            self.open_block = None
        self._finish(self._watch.at_exit() if self._watch else Ending("finished"))

    def _print_row(self, columns: tuple[str, ...], row: list[float]) -> None:
        values = [None if is_null(cell) else cell for cell in row]
        header = table_header(columns)
        lines = [table_row(columns, values)] if header == self._header else [header, table_row(columns, values)]
        self._header = header
        try:
            print(*lines, sep="\n", flush=True)
        except (OSError, ValueError) as error:
            self._on_fault("cannot print the table", error)

    def _on_fault(self, what: str, error: BaseException) -> None:
        """Tell once and go on; under pytest a fault raises, at the latest in ``finish()``."""
        if "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules:
            from neurockt.store.writer import THREAD_NAME

            if not threading.current_thread().name.startswith(THREAD_NAME):
                raise error
            self._fault = error
        elif not self._warned:
            self._warned = True
            self._warn(f"{what} ({type(error).__name__}: {error}). Training goes on; this is told once.")

    def _warn(self, message: str) -> None:
        warnings.warn(message, NeurocktWarning, stacklevel=2)

    def __copy__(self) -> Recorder:
        """A copied model keeps recording to the same run."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        return self

    def __reduce__(self) -> tuple[Callable[..., Recorder], tuple[Any, ...]]:
        """A pickled model keeps recording to the same run where that is recorded, and records nothing elsewhere."""
        return _unpickled, (_PROCESS, id(self), self._root, self._info.id)


def _one_of(train: bool | None, training: bool | None) -> bool:
    """The kind of block, told by the one word or by the other."""
    if train is not None:
        raise UsageError("say train= or training=, not both: they are the same")
    if training is None:
        raise UsageError("say recorder(train=True) for a training step, or recorder(train=False) for a validation")
    return training


_PROCESS: Final = os.urandom(16)
"""Tells a pickle of this process from others'."""
_recorders: Final[weakref.WeakValueDictionary[int, Recorder]] = weakref.WeakValueDictionary()


def _unpickled(process: bytes, key: int, root: Path, run_id: str) -> Recorder:
    """The recorder that was pickled, or one for the same run that records nothing."""
    known = _recorders.get(key) if process == _PROCESS else None
    if known is not None:
        return known
    recorder = Recorder(root)
    recorder._info = replace(recorder._info, id=run_id)
    recorder.open_block = "forked"
    return recorder


def _after_fork() -> None:
    """In a forked child a run that has begun is the parent's: record nothing here, and leave its files alone."""
    for recorder in list(_recorders.values()):
        recorder.disown()


os.register_at_fork(after_in_child=_after_fork)
