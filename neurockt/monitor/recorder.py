"""The Recorder, which a training script talks to: from the first row to ``finish()`` or the interpreter's exit."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import count
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, TypeVar

from neurockt.errors import RunInUse, UsageError
from neurockt.monitor.capture.block import Block, ValidationBlock
from neurockt.monitor.capture.collectors import Collector, ValueCollector
from neurockt.monitor.capture.mean import Aggregator
from neurockt.monitor.capture.wrap import recorded
from neurockt.monitor.config import Config
from neurockt.monitor.lifetime.copies import reduced, remember
from neurockt.monitor.lifetime.destination import Destination
from neurockt.monitor.lifetime.faults import Faults
from neurockt.monitor.lifetime.table_printer import TablePrinter
from neurockt.monitor.names import check_metric_name, check_run_id, new_run_id
from neurockt.monitor.ranks.place import Recording, Reduction, check_ranks, find_place
from neurockt.run_info import RunInfo
from neurockt.store.base.layout import default_root
from neurockt.store.base.run_file import now

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.ending import Ending, Watch
    from neurockt.monitor.ranks.rows import OverRanks
    from neurockt.store.writing.run_writer import RunWriter
    from neurockt.store.writing.table_writer import TableWriter

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
        from neurockt.monitor.context.system import check_seconds

        self.config = Config(config)
        """The run's settings; add to it at any time."""
        self.open_block: Block | Literal["unopened", "finished", "forked"] | None = "unopened"
        """The block that is open now, or why none can be. For the recorder's own parts, as is the next."""
        self.over_ranks: OverRanks | None = None
        """How blocks become rows where there are several ranks; None for one. Decided when the first block opens."""
        self.dropped = 0
        self._reduction, self._recording = check_ranks(reduce, ranks)
        info = RunInfo(
            path=Path(),
            id=check_run_id(run_id) if run_id is not None else new_run_id(datetime.now()),
            created=now(),
            name=name,
            project=project,
            group=group,
            tags=(tags,) if isinstance(tags, str) else tuple(tags),
            notes=notes,
        )
        directory = (default_root() if root is None else Path(root)).absolute()
        self._destination = Destination(directory, info, next(_numbers), is_named=run_id is not None)
        self._faults = Faults()
        self._system_seconds = check_seconds(system_seconds)
        self._save_diff = save_diff
        remember(self)
        self._writer: RunWriter | None = None
        self._retry_at = 0.0
        self._watch: Watch | None = None
        self.amid = False
        """Whether rows are on their way to the writer, or the run is being sealed."""
        self.called = False
        """Whether ``attend`` is to be called by the next ``flush``."""
        self._steps = Block(self, "steps")
        self._epochs = ValidationBlock(self, self._steps, None if quiet else TablePrinter(self._faults))
        if self._recording == "first":
            self._continue(self._destination.look(writes=self.is_writer))

    @property
    def run_dir(self) -> Path:
        """The run's directory; it is created by the first row. With ``ranks="first"`` it is rank 0's to know."""
        if self._recording == "all" and self.open_block == "unopened":
            self._find_rank()
        return self._destination.run_dir

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
            raise UsageError(f"the run {self._run_id} has finished; make a new Recorder(run_id=...) to resume it")
        if self._steps.recorded or self._epochs.recorded:
            done = f"{self._steps.recorded:,} steps and {self._epochs.recorded:,} validations"
            raise UsageError(f"resume() after {done}; call it before the first 'with recorder(...)'")
        if (checkpoint := index(step)) < 0:
            raise UsageError(f"a step is 0 or above, not {checkpoint}")
        if self._recording == "all" and self.open_block == "unopened":
            self._find_rank()
        if self._destination.takeover is not None:
            self._destination.takeover.resume(checkpoint)
            self._count_on()

    def finish(self) -> None:
        """Store what is left, seal the run into Parquet, and mark it finished. Does nothing the second time.

        Happens by itself when the interpreter exits; an exception that ends it marks the run failed.

        Raises:
            UsageError: a block is open.
        """
        if isinstance(self.open_block, Block):
            raise UsageError("finish() inside a block would lose its row; leave the 'with recorder(...)' first")
        self._finish(self._watch.at_finish() if self._watch else None)

    @property
    def _run_id(self) -> str:
        return self._destination.info.id

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
            raise UsageError(f"the run {self._run_id} has finished; make a new Recorder() to record another")
        if isinstance(self.open_block, Block):
            kind = "training" if self.open_block is self._steps else "validation"
            raise UsageError(f"blocks do not nest: a {kind} block is open; leave it before you open another")
        return False

    def start(self, block: Block) -> TableWriter | None:
        """The table that stores a block's rows; creates the run directory. None where it cannot be created now."""
        if self._writer is None and time.monotonic() >= self._retry_at:
            self._watch = self._watch or self._begin_watch()
            self._retry_at = time.monotonic() + RETRY_SECONDS
            try:
                self._writer = self._create()
                self._watch.listen()
            except OSError as error:
                do = "create" if self._destination.takeover is None else "continue"
                self._faults.tell(f"cannot {do} {self.run_dir}; rows wait in memory", error)
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
        from neurockt.monitor.lifetime.signals import attend

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

    def record_nothing(self, run_id: str) -> None:
        """Stand for the recorder of that run, in a process that does not record it."""
        self._destination.info = replace(self._destination.info, id=run_id)
        self.open_block = "forked"

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
            from neurockt.monitor.ranks.rows import OverRanks

            if separate:
                self._continue(self._destination.settle_rank(place))
            self.over_ranks = OverRanks(place, separate=separate, reduction=self._reduction, warn=self._faults.warn)

    def _continue(self, config: Mapping[str, Any]) -> None:
        """Go on with a run that is there already, if one is to be continued."""
        self.config.data = {**config, **self.config.data}
        self._count_on()

    def _count_on(self) -> None:
        """Count from the rows that are there already."""
        takeover = self._destination.takeover
        if takeover is not None:
            self._steps.before, self._epochs.before = takeover.kept["steps"], takeover.kept["epochs"]
            self._steps.other = self._epochs.rows + 1

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

    def _begin_watch(self) -> Watch:
        from neurockt.monitor.lifetime.ending import Watch

        return Watch(self, self._at_exit)

    def _create(self) -> RunWriter:
        from neurockt.monitor.context.origin import capture_origin
        from neurockt.monitor.context.system import system_reader

        columns = {block.table: block.columns for block in (self._steps, self._epochs)}
        writer = self._destination.create(columns, self.config, self._faults.tell)
        self._count_on()
        self.config.on_change = writer.touch
        writer.tell_origin(lambda: capture_origin(save_diff=self._save_diff))
        if self._system_seconds and (read := system_reader()):
            writer.sample(read, self._system_seconds)
        return writer

    def _finish(self, ending: Ending | None) -> None:
        """End the run; ``ending`` says how, but where its first row is stored only now: then it has finished."""
        if self.open_block not in (None, "unopened"):
            return
        self._retry_at = min(self._retry_at, time.monotonic())
        self.amid = True
        try:
            self._steps.flush(wait=True)
            self._epochs.flush(wait=True)
            self.open_block = "finished"
            if self._writer is not None and ending is None:
                self._writer.close()
            elif self._writer is not None and ending is not None:
                self._writer.close(ending.state, ending.failure, ending.cause)
        finally:
            self.amid = False
            if self._watch is not None:
                self._watch.close()
        lost = self.dropped + (
            self._writer.info.dropped if self._writer else self._steps.recorded + self._epochs.recorded
        )
        if lost and self.is_writer:
            self._faults.warn(f"{self.run_dir}: {lost:,} rows could not be stored and are lost")
        if self._writer is not None and self._writer.unfinished:
            self._faults.tell_last(*self._writer.unfinished)
        self._faults.raise_kept()

    def _at_exit(self) -> None:
        if isinstance(self.open_block, Block):
            self.open_block = None
        self._finish(self._watch.at_exit() if self._watch else None)

    def __copy__(self) -> Recorder:
        """A copied model keeps recording to the same run."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        return self

    def __reduce__(self) -> tuple[Callable[..., Recorder], tuple[Any, ...]]:
        """A pickled model keeps recording to the same run where that is recorded, and records nothing elsewhere."""
        return reduced(self, self._destination.run_dir)


def _one_of(train: bool | None, training: bool | None) -> bool:
    """The kind of block, told by the one word or by the other."""
    if train is not None:
        raise UsageError("say train= or training=, not both: they are the same")
    if training is None:
        raise UsageError("say recorder(train=True) for a training step, or recorder(train=False) for a validation")
    return training
