"""NeurocktLogger for Lightning and Fabric: ``Trainer(logger=NeurocktLogger(project="toy"))``.

Rows have the number of the optimizer step, from 1, as checkpoints do; Lightning passes its loggers one less.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType, ref

from neurockt.errors import UsageError
from neurockt.integrations.runs import runs_for
from neurockt.monitor import Recorder
from neurockt.monitor.config import Config

if not TYPE_CHECKING and "lightning" not in sys.modules and "pytorch_lightning" in sys.modules:
    from pytorch_lightning.callbacks import Callback
    from pytorch_lightning.loggers.logger import DummyExperiment, Logger
else:
    try:
        from lightning.pytorch.callbacks import Callback
        from lightning.pytorch.loggers.logger import DummyExperiment, Logger
    except ImportError:
        from pytorch_lightning.callbacks import Callback
        from pytorch_lightning.loggers.logger import DummyExperiment, Logger

__all__ = ["NeurocktLogger"]

EPOCH: Final = "trainer/epoch"
"""Lightning's epoch, among the columns."""


class NeurocktLogger(Logger):
    """Records what Lightning or Fabric logs, with a ``Recorder``, which is its ``recorder``.

    What is logged during training becomes rows of `steps`, and what is logged during validation and test rows of
    `epochs`. Fabric does not say which it is: all its rows are of `steps`, with its own step.

    A fit that begins from the start after another one begins a new run. One that goes on, or that loads a checkpoint,
    continues the run. The run does not end with a fit: evaluations that follow belong to it.
    """

    def __init__(
        self,
        recorder: Recorder | str | os.PathLike[str] | None = None,
        save_dir: str | os.PathLike[str] | None = None,
        version: int | str | None = None,
        **options: Any,
    ) -> None:
        """Describe the run.

        Args:
            recorder: a ``Recorder`` or ``WandbRecorder`` to record with; default a new one, with the ``options``. Like
                Lightning's loggers, it takes the directory of runs here, too.
            save_dir: Lightning's word for ``root``, the directory of runs.
            version: Lightning's word for ``run_id``; a number n means ``version_n``.
            options: what ``Recorder`` takes; ``quiet`` is True by default.

        Raises:
            UsageError: the arguments contradict each other.
        """
        if isinstance(recorder, (str, os.PathLike)):
            if save_dir is not None:
                raise UsageError(f"give one directory of runs, not {os.fspath(recorder)} and {os.fspath(save_dir)}")
            recorder, save_dir = None, recorder
        for option, word, value in (("root", "save_dir", save_dir), ("run_id", "version", version)):
            if value is not None and options.setdefault(option, value) is not value:
                raise UsageError(f"give {option}= or {word}=, not both: they mean the same")
        if isinstance(version, int):
            options["run_id"] = f"version_{version}"
        self._runs = runs_for(recorder, options)
        self._trainer: ReferenceType[Any] | None = None
        self._begins = False
        """Whether the trainer has set up an evaluation, or a fit from a checkpoint, that has not logged yet."""
        self._has_counted = True
        """Whether the run has been given the number of steps of the fit."""
        self._has_ended = self._runs.has_rows
        """Whether a fit or an evaluation has ended: what comes may be a run of its own."""
        self._params: Config | None = None
        """Hyperparameters logged since then."""
        self._config_before: dict[str, Any] = {}
        self._failure: BaseException | None = None

    @property
    def recorder(self) -> Recorder:
        """The Recorder of the present run."""
        return self._runs.recorder

    @property
    def experiment(self) -> Any:
        """The Recorder; on ranks that do not record, an object that does nothing."""
        return self.recorder if self.recorder.is_writer else DummyExperiment()

    @property
    def name(self) -> str:
        """The project, or ``neurockt``."""
        return self._runs.project or "neurockt"

    @property
    def version(self) -> str:
        """The id of the run."""
        return self.recorder.id

    @property
    def save_dir(self) -> str:
        """The directory of runs."""
        return str(self._runs.root)

    @property
    def log_dir(self) -> str:
        """The directory of runs, as ``trainer.log_dir``; that of the run is ``recorder.run_dir``."""
        return self.save_dir

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record values. While a trainer runs, no step, and its ``global_step``, mean its present step."""
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is None or not isinstance(metrics, Mapping):
            self.recorder.log(metrics, step)
            return
        if type(epoch := metrics.get("epoch")) is int:  # as Lightning adds it: a float is recorded faster
            metrics = {**metrics, EPOCH: float(epoch)}
            del metrics["epoch"]
        stepped = trainer.fit_loop.epoch_loop._batches_that_stepped
        if self._begins:
            self._begin(trainer, stepped)
        is_present = step is None or step == stepped or step in _present_counts(trainer)
        stage = trainer.state.stage
        if stage is None:  # it has finished
            self.recorder.log(metrics, (stepped or None) if is_present else step)
        elif stage.value == "train":
            if not self._has_counted:  # now the batches are known
                self._has_counted = True
                with suppress(Exception):  # Lightning refuses where gradients are accumulated by a schedule
                    self._runs.expect(trainer.estimated_stepping_batches)
            self.recorder.log(metrics, _training_step(trainer, step) if is_present else step)
        else:
            if not is_present and _is_of_evaluation_batch(trainer, metrics, step):
                is_present = True
                self._runs.warn_once(
                    f"values of single evaluation batches, such as {next(iter(metrics))}: the row of the evaluation "
                    "keeps those of its last batch"
                )
            if is_present and (step := _evaluation_step(trainer)) is not None:
                self._runs.evaluated = max(self._runs.evaluated, step)
            self.recorder.log(metrics, step, train=False)

    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Add settings to the config of the run."""
        if params is None:
            return
        config = self.recorder.config
        if self._has_ended and self._params is None:
            self._params, self._config_before = Config(), dict(config)
        if self._params is not None:
            self._params.update(params)
        config.update(params)

    def log_graph(self, model: Any, input_array: Any = None) -> None:
        """Learn which trainer begins to fit or evaluate the model; nothing is recorded."""
        trainer = getattr(model, "_trainer", None)
        if trainer is not None:
            self._trainer, self._begins = ref(trainer), True
            self._runs.prepare()
            if trainer.state.fn.value == "fit":
                if getattr(trainer, "ckpt_path", None) is None:
                    self._begin(trainer, trainer.fit_loop.epoch_loop._batches_that_stepped)
                else:
                    trainer.callbacks = [_Resuming(self), *trainer.callbacks]

    def finalize(self, status: str) -> None:
        """Close open rows. The run goes on: evaluations may follow."""
        self._begins, self._has_ended = False, True
        error = sys.exc_info()[1] if status == "failed" else None
        self._failure = None if error is None else _without_traceback(error)
        self._runs.close_rows()

    def _begin(self, trainer: Any, stepped: int) -> None:
        """Before the first row of a fit or an evaluation, settle which run it belongs to, and after which step."""
        self._begins = False
        if trainer.state.fn.value != "fit":
            self._runs.keep_all()
        elif self._runs.begins_new(stepped):
            if self._params is not None:
                self.recorder.config.replace(self._config_before)
            self._runs.begin_next(failed=self._failure)
            self.recorder.config.update(self._params or {})
        else:
            self._runs.continue_after(stepped)
        self._has_counted = trainer.state.fn.value != "fit"
        self._has_ended, self._params, self._failure = False, None, None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trainer": None, "_begins": False}


class _Resuming(Callback):
    """Begins a fit from a checkpoint: Lightning counts the steps that are done only as its first batch begins."""

    def __init__(self, logger: NeurocktLogger) -> None:
        self._logger = logger

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if self._logger._begins:
            self._logger._begin(trainer, trainer.fit_loop.epoch_loop._batches_that_stepped)
        trainer.callbacks = [each for each in trainer.callbacks if each is not self]  # the list is iterated over


def _present_counts(trainer: Any) -> tuple[int, int]:
    """What else stands for the present step: optimizer steps, which several optimizers share, and batches."""
    return trainer.global_step, trainer.fit_loop.epoch_loop.batch_progress.total.ready


def _training_step(trainer: Any, step: int | None) -> int:
    """The number of the step that is under way; where an epoch ends, of its last one."""
    stepped: int = trainer.fit_loop.epoch_loop._batches_that_stepped
    if trainer._logger_connector._first_loop_iter is not None:  # in an epoch
        return stepped + 1
    epoch = trainer.fit_loop.epoch_progress.current
    # where an epoch ends, Lightning counts the last step as under way when it logs metrics, and as done for the user
    is_done = epoch.started == epoch.ready and (step is None or step == trainer.global_step)
    return stepped if is_done else stepped + 1


def _evaluation_step(trainer: Any) -> int | None:
    """The number of the last step that is done; None if this trainer has not trained."""
    epoch_loop = trainer.fit_loop.epoch_loop
    stepped: int = epoch_loop._batches_that_stepped
    if trainer.state.fn.value != "fit":
        return stepped or None
    # during training Lightning evaluates before it counts the step
    return stepped if trainer.sanity_checking or epoch_loop._should_accumulate() else stepped + 1


def _is_of_evaluation_batch(trainer: Any, metrics: Mapping[str, Any], step: int | None) -> bool:
    """Whether Lightning logs the values of one evaluation batch; their step counts evaluation batches."""
    loop = trainer._active_loop
    seen = getattr(loop, "_seen_batches_per_dataloader", {}).values()
    return EPOCH not in metrics and (step in seen or step == loop.batch_progress.total.ready)


def _without_traceback(error: BaseException) -> BaseException:
    """A copy of the error that does not keep the frames it passed, and what they hold, in memory."""
    try:
        return copy.copy(error)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
