"""The Recorder that a training script uses. Its run lives from the first row to ``finish()`` or its other ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import count
from operator import index
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from weakref import WeakValueDictionary

from neurockt.errors import UsageError
from neurockt.formatting import clean
from neurockt.monitor.capture.block import LOGGED, Block, Gate, ValidationBlock
from neurockt.monitor.capture.hooks import is_module, record_module
from neurockt.monitor.capture.mean import Aggregator
from neurockt.monitor.capture.wrap import leave_uncompiled
from neurockt.monitor.config import Config
from neurockt.monitor.lifetime.destination import Destination
from neurockt.monitor.lifetime.faults import TablePrinter
from neurockt.monitor.lifetime.session import Session
from neurockt.monitor.names import check_run_id, new_run_id
from neurockt.monitor.ranks.place import Recording, Reduction, check_ranks
from neurockt.run_info import RunInfo
from neurockt.store.base.json_values import text_of, texts_of
from neurockt.store.base.layout import absolute, default_root, expanded
from neurockt.store.base.run_file import now
from neurockt.store.journal.records import LARGEST_STEP

if TYPE_CHECKING:
    from typing_extensions import Self

    from neurockt.store.writing.run_writer import RunWriter

_numbers: Final = count(1)
"""Numbers the recorders of this process."""
_PROCESS: Final = os.urandom(16)
"""Distinguishes pickles made by this process from others."""
_recorders: Final[WeakValueDictionary[int, Recorder]] = WeakValueDictionary()
"""Those of this process, by their id, so that a pickle finds its own again."""

F = TypeVar("F", bound=Callable[..., Any])


class Recorder:
    """Records a training run: one row of `steps` for each training block, one row of `epochs` for each validation.

    Nothing is on disk before the first row. When a block has ended, its row survives the death of the process. The run
    ends with ``finish()``, with the block of ``with Recorder(...) as recorder:``, when nothing refers to the recorder
    any more, or when the interpreter exits.
    """

    _options: Mapping[str, Any]
    """The arguments that it was made with, to make another one like it."""

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        project: str | None = None,
        name: str | None = None,
        run_id: str | None = None,
        resume: bool | None = None,
        config: Any = None,
        total_steps: int | None = None,
        tags: Iterable[str] = (),
        notes: str | None = None,
        group: str | None = None,
        quiet: bool = False,
        reduce: Reduction | None = None,
        ranks: Recording = "first",
        system_seconds: float | None = 15.0,
        save_diff: bool = False,
    ) -> None:
        """Describe the run.

        Args:
            root: directory of runs; default ``$NEUROCKT_DIR``, else ``runs``.
            project: what the run belongs to.
            name: its name, which need not be unique. Default: its id.
            run_id: name of its directory; default a new one from time and chance. A run of that name continues if its
                process is dead and it has not finished. Without a name, the run of a job that SLURM has restarted does.
            resume: True also continues a finished run; with False there must be no run of that name.
            config: settings: a mapping, a dataclass, an ``argparse.Namespace``, an OmegaConf, pydantic or attrs object,
                or any object with attributes, nested at will. It is stored as given: leave secrets out.
            total_steps: the step at which the training is to end, for the share done and the time left in lists. It
                can be given later, too: ``recorder.total_steps = n``.
            tags: labels to filter by.
            notes: free text.
            group: runs that belong together, such as the seeds of one experiment.
            quiet: print neither the table nor where the run is recorded.
            reduce: with ``torch.distributed``, how the values of a block are reduced over all ranks: by their exact
                ``mean``, or the ``sum``, ``min`` or ``max`` of what each rank would record alone. Each block then waits
                for all ranks. Default: the own values of the rank that records.
            ranks: with ``first``, only rank 0 records; with a number, only that rank; -1 is the last one, which has the
                loss in pipeline parallelism. With ``all``, each rank records its own rows, in ``rank-000`` and so on in
                the run directory, and no rank waits for another. The only process of a job always records.
            system_seconds: how often to sample processor, memory and GPUs into `system`; 0 or None for never.
                Needs psutil and nvidia-ml-py (``neurockt[system]``), each optional.
            save_diff: store how tracked files differ from the git commit, too.

        Raises:
            UsageError: an argument cannot be used; the run of that name has finished, or its directory is not a run.
            RunInUse: a live process writes the run of that name.
        """
        if not hasattr(self, "_options"):  # else they are those of a subclass
            self._options = options_of(locals())
        from neurockt.monitor.context.system import check_seconds

        reduction, recording = check_ranks(reduce, ranks)
        info = RunInfo(
            path=Path(),
            id=check_run_id(run_id) if run_id is not None else new_run_id(datetime.now()),
            created=now(),
            name=text_of(name),
            project=text_of(project),
            group=text_of(group),
            tags=texts_of(tags),
            notes=text_of(notes),
            total_steps=_check_total(total_steps),
        )
        directory = absolute(default_root() if root is None else expanded(root))
        gate = Gate()
        self._session = session = Session(
            gate,
            Destination(directory, info, next(_numbers), is_named=run_id is not None, resume=resume),
            Config(config),
            reduction=reduction,
            recording=recording,
            system_seconds=check_seconds(system_seconds),
            save_diff=save_diff,
            quiet=quiet,
        )
        self._gate, self._log = gate, session.log
        leave_uncompiled(Recorder.log)
        printer = None if quiet else TablePrinter(session.faults)
        self._steps = Block(session, gate, session.steps)
        self._epochs = ValidationBlock(session, gate, session.epochs, session.steps, printer)
        _recorders[id(self)] = self

    @property
    def run_dir(self) -> Path:
        """The run's directory, which the first row creates. Only a rank that records knows it."""
        return self._session.run_dir

    @property
    def config(self) -> Config:
        """The run's settings: a dict with attribute access. Change or assign it at any time."""
        return self._session.config

    @config.setter
    def config(self, config: Any) -> None:
        if config is not self.config:
            self.config.replace(config)

    @property
    def total_steps(self) -> int | None:
        """The step at which the training is to end; None where it is not known. Can be assigned at any time."""
        return self._session.destination.info.total_steps

    @total_steps.setter
    def total_steps(self, total_steps: int | None) -> None:
        try:
            self._session.set_total_steps(_check_total(total_steps))
        except UsageError as error:
            if not self._session.has_rows:
                raise
            self._session.faults.warn_once("total_steps", f"{error}; it is left out")

    @property
    def is_writer(self) -> bool:
        """Whether this process stores rows and prints: rank 0, or the ranks that ``ranks`` names, or the only process.

        Final when the first block opens; before that, as far as is known.
        """
        return self._session.is_writer

    @property
    def step(self) -> int:
        """Training blocks that have ended, those of earlier attempts at the run included."""
        return self._session.log.step

    @property
    def epoch(self) -> int:
        """Validation blocks that have ended, those of earlier attempts included."""
        return self._session.log.epoch

    def __call__(self, train: bool | None = None, training: bool | None = None) -> Block:
        """The block to open: ``with recorder(train=True)`` for one training step, ``train=False`` for one validation.

        ``training`` is another name for ``train``. Raises UsageError unless one is given; on entering, if another block
        is open or the run has finished.
        """
        if train is None or training is not None:
            train = _one_of(train, training)
        return self._steps if train else self._epochs

    def log(self, values: Mapping[str, Any], step: int | None = None, *, train: bool = True) -> None:
        """Record values without a block: in the row of a training step, or with ``train=False`` of a validation.

        Several calls at one step are one row; of one name the last value counts. When a call has returned, its values
        survive the death of the process. The row is final when a later step is logged, a block opens or the run ends.

        Args:
            values: numbers by name: int, float, bool, numpy, Decimal, a tensor of one element. A vector of up to 100
                becomes ``name/0``, ``name/1`` and so on; nested mappings are joined with ``/``. None is no value; what
                is not a number is left out, with one warning for each name. ``step`` and ``epoch`` become
                ``trainer/step`` and ``trainer/epoch``.
            step: any integer from 0. Default: with ``train=True`` the one after the last, with ``train=False`` the
                last. A training step that has gone by is recorded in `late`; a validation of another step than that of
                the call before is a row of its own.
            train: False for a validation.

        Inside a block, values without a step, or with that of the block, join its row, each averaged like all in it.
        The first call of an attempt that continues a run supersedes what was recorded from its step on, as
        ``resume(step - 1)`` does, unless ``resume()`` was called.

        Raises:
            UsageError: the run has finished; in the first row also if ``values`` is not a mapping or the step not an
                integer from 0, which later costs a warning.
        """
        block, log = self._gate.block, self._log
        if block is LOGGED and train:
            with log.lock:
                if log.rows.train_next(values, step):
                    return
        elif isinstance(block, Block):
            number = block.rows.next if block is self._steps else self.step
            is_its_row = (step is None or step == number) and (train or block is self._epochs)
            if is_its_row and isinstance(values, Mapping):
                block.log(values)
                return
        log.record(values, step, train=train)

    def track_scalar(self, name: str, aggregator: Aggregator | None = None) -> Callable[[F], F]:
        """Decorator: what the function returns inside ``recorder(train=True)`` becomes a column of `steps`.

        Args:
            name: the column; any text up to 200 characters but ``step``, ``epoch`` and ``time``.
            aggregator: takes the list of the block's values, returns one number. Default: the mean.

        The decorated function returns exactly what it did before. A module, such as a loss, stays the instance it is,
        and a torchmetric gives its ``compute()``, as with ``RecorderHelper``. A block that does not call it gives null.

        Raises:
            InvalidName: the name cannot be a column.
            UsageError: what is decorated is neither a function nor a module, or a function and a torchmetric share the
                name.
        """
        return self._decorator(self._steps, name, aggregator)

    def metric(self, name: str, aggregator: Aggregator | None = None) -> Callable[[F], F]:
        """Decorator: what the function returns inside ``recorder(train=False)`` becomes a column of `epochs`.

        Takes what ``track_scalar`` takes.
        """
        return self._decorator(self._epochs, name, aggregator)

    def _decorator(self, block: Block, name: str, aggregator: Aggregator | None) -> Callable[[F], F]:
        decorate = block.decorator(name, aggregator)

        def record(function: F) -> F:
            if not is_module(function):
                return decorate(function)
            record_module(self, block, name, aggregator, function)
            return function

        return record

    def resume(self, step: int) -> None:
        """Continue after this training step, ``recorder.step`` of the loaded checkpoint; 0 begins again.

        Rows that earlier attempts recorded past it are superseded: the first row moves them out of the run's tables.
        In a new run nothing happens. Raises UsageError if this attempt has recorded rows already, or a block is open.
        """
        self._session.resume(index(step))

    def finish(self) -> None:
        """Store the rows that wait, seal the run into Parquet, and mark it finished. A second call does nothing.

        Raises UsageError if a block is open and no row has been recorded.
        """
        self._session.finish_now()

    @property
    def _writer(self) -> RunWriter | None:
        return self._session.writer

    @property
    def id(self) -> str:
        """The run's id, the name of its directory; with ``ranks="all"`` it is settled by the first block."""
        return self.run_dir.name

    @property
    def name(self) -> str | None:
        """Name given to the run; None without one."""
        return self._session.destination.info.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._session.destination.run_dir}, {self._session.life.name.lower()}>"

    def __enter__(self) -> Self:
        """Use ``with Recorder(...) as recorder:`` to end the run with the block; an exception makes it failed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.leave(error)

    def __copy__(self) -> Recorder:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        return self

    def __reduce__(self) -> tuple[Callable[..., Recorder], tuple[Any, ...]]:
        """A pickled model keeps recording in the process that records the run, and records nothing elsewhere."""
        run_dir = self._session.destination.run_dir
        return _unpickled, (_PROCESS, id(self), run_dir.parent, run_dir.name)


def _unpickled(process: bytes, key: int, root: Path, run_id: str) -> Recorder:
    """The recorder that was pickled, or one for the same run that records nothing."""
    known = _recorders.get(key) if process == _PROCESS else None
    if known is not None:
        return known
    recorder = Recorder(root)
    recorder._session.record_elsewhere(run_id)
    return recorder


def options_of(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of an ``__init__``, from its ``locals()`` before it assigns anything."""
    options = {**scope, **scope.get("others", {})}
    return {name: value for name, value in options.items() if name not in ("self", "others", "__class__")}


def _check_total(total_steps: int | None) -> int | None:
    if total_steps is None:
        return None
    with suppress(TypeError, ValueError, OverflowError, RuntimeError):
        checked = int(total_steps)
        if checked == total_steps and 0 < checked <= LARGEST_STEP and not isinstance(total_steps, (bool, str)):
            return checked
    shown = clean(repr(total_steps), 60)
    raise UsageError(f"total_steps={shown} is not a number of steps; give an integer from 1, or None")


def _one_of(train: bool | None, training: bool | None) -> bool:
    if train is not None:
        raise UsageError("give train= or training=, not both: they mean the same")
    if training is None:
        raise UsageError("use recorder(train=True) for a training step, or recorder(train=False) for a validation")
    return training
