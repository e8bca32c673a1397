"""NeurocktLogger for PyTorch-Ignite: attach it to engines, as Ignite's own loggers.

Rows have the trainer's iteration. The trainer's own values are rows of `steps`; those of the engines that evaluate are
rows of `epochs`, at the iteration that the trainer has reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from weakref import ReferenceType, WeakSet, ref

from ignite.engine import Engine, Events, State
from ignite.engine.events import EventsList
from ignite.handlers.base_logger import BaseLogger, BaseOptimizerParamsHandler, BaseOutputHandler

from neurockt.integrations.runs import LEFT, runs_for
from neurockt.monitor import Recorder

__all__ = ["NeurocktLogger", "OptimizerParamsHandler", "OutputHandler"]


class NeurocktLogger(BaseLogger):
    """Records what its handlers log, with a ``Recorder``, which is its ``recorder``.

    An engine is the trainer if a handler without ``global_step_transform`` is attached to its iterations, if its
    optimizer's parameters are logged, or if it runs for several epochs. All others evaluate. ``train=True`` or
    ``train=False`` of ``attach_output_handler`` settles it.

    A trainer that runs from the start after another run of one begins a new run. One that goes on, or has loaded a
    checkpoint, continues the run.
    """

    def __init__(self, recorder: Recorder | None = None, **options: Any) -> None:
        """Describe the run.

        Args:
            recorder: a ``Recorder`` or ``WandbRecorder`` to record with; default a new one, with the ``options``.
            options: what ``Recorder`` takes; ``quiet`` is True by default.
        """
        self._runs = runs_for(recorder, options)
        self._watched: WeakSet[Any] = WeakSet()
        self._trainers: WeakSet[Any] = WeakSet()
        self._trainer: ReferenceType[Any] | None = None
        self._is_training = False

    @property
    def recorder(self) -> Recorder:
        """The Recorder of the present run."""
        return self._runs.recorder

    def attach(
        self, engine: Engine, log_handler: Callable[..., Any], event_name: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Attach a handler to an engine; it is called with the engine, this logger and the event."""
        names = event_name if isinstance(event_name, EventsList) else [event_name]
        if isinstance(log_handler, OptimizerParamsHandler) or (
            isinstance(log_handler, OutputHandler) and log_handler.is_trainers(names)
        ):
            self._trainers.add(engine)
        if engine not in self._watched:
            self._watched.add(engine)
            engine.add_event_handler(Events.STARTED, self._start)
            engine.add_event_handler(Events.COMPLETED, self._complete)
            engine.add_event_handler(Events.TERMINATE, self._complete)
        return super().attach(engine, log_handler, event_name, *args, **kwargs)

    def close(self) -> None:
        """End the run, unless the Recorder was given; as failed if an error left its training.

        A row after that continues it.
        """
        self._close(None)

    def __exit__(self, type: Any, value: Any, traceback: Any) -> None:
        self._close(value)

    def _close(self, error: BaseException | None) -> None:
        if self._is_training:
            error = error or sys.exc_info()[1] or RuntimeError(LEFT)
        self._is_training = False
        self._runs.close(error)

    def _create_output_handler(self, *args: Any, **kwargs: Any) -> OutputHandler:
        return OutputHandler(*args, **kwargs)

    def _create_opt_params_handler(self, *args: Any, **kwargs: Any) -> OptimizerParamsHandler:
        return OptimizerParamsHandler(*args, **kwargs)

    def _start(self, engine: Engine) -> None:
        if (engine.state.max_epochs or 1) > 1:
            self._trainers.add(engine)
        if engine not in self._trainers:
            if self._trainer is None:
                self._runs.keep_all()
            return
        self._trainer = ref(engine)
        if self._runs.begins_new(engine.state.iteration):
            self._runs.begin_next(failed=RuntimeError(LEFT) if self._is_training else None)
        else:
            self._runs.continue_after(engine.state.iteration)
        state = engine.state
        self._runs.expect(getattr(state, "max_iters", None) or (state.max_epochs or 0) * (state.epoch_length or 0))
        self._is_training = True

    def _complete(self, engine: Engine) -> None:
        if engine in self._trainers:
            self._is_training = False
            self._runs.close_rows()

    def _log(self, engine: Engine, event: Any, values: dict[str, Any], step: int | None, *, train: bool | None) -> None:
        """Record a row; no step, or the trainer's epoch, means the iteration that the trainer has reached."""
        if train is None:
            train = engine in self._trainers
        trainer = self._trainer() if self._trainer is not None else None
        if trainer is None and train:
            trainer = engine
        if trainer is not None:
            is_epoch = step == trainer.state.epoch and State.event_to_attr.get(event) == "epoch"
            if step is None or is_epoch:
                step = trainer.state.iteration
            values.setdefault("epoch", trainer.state.epoch)
        self.recorder.log(values, step, train=train)


class OutputHandler(BaseOutputHandler):
    """Logs an engine's output, metrics or attributes of its state, under ``tag/name``."""

    def __init__(
        self,
        tag: str | None = None,
        metric_names: str | list[str] | None = None,
        output_transform: Callable[..., Any] | None = None,
        global_step_transform: Callable[..., int] | None = None,
        state_attributes: list[str] | None = None,
        *,
        train: bool | None = None,
    ) -> None:
        """Choose what to log.

        Args:
            tag: first part of the names; None for names without one.
            metric_names: names in ``engine.state.metrics``, or ``all``.
            output_transform: takes ``engine.state.output``, returns a dict or one value.
            global_step_transform: takes engine and event, returns the step. The trainer's epoch, as
                ``global_step_from_engine(trainer)`` gives it at the end of an epoch, means its iteration.
            state_attributes: names of attributes of ``engine.state``.
            train: whether rows belong to `steps`, not `epochs`. Default: whether the engine is the trainer.
        """
        super().__init__(tag, metric_names, output_transform, global_step_transform, state_attributes)
        self._gives_step = global_step_transform is not None
        self._train = train

    def is_trainers(self, events: Any) -> bool:
        """Whether an engine whose ``events`` this logs is the trainer."""
        is_of_iterations = any(State.event_to_attr.get(event) == "iteration" for event in events)
        return is_of_iterations and not self._gives_step if self._train is None else self._train

    def __call__(self, engine: Engine, logger: NeurocktLogger, event_name: Any) -> None:
        values = self._setup_output_metrics_state_attrs(engine)
        step = self.global_step_transform(engine, event_name) if self._gives_step else None
        named = {"/".join(map(str, name)): value for name, value in values.items()}
        logger._log(engine, event_name, named, step, train=self._train)


class OptimizerParamsHandler(BaseOptimizerParamsHandler):
    """Logs a parameter of the optimizer's groups, as ``tag/lr/group_0`` and so on."""

    def __call__(self, engine: Engine, logger: NeurocktLogger, event_name: Any) -> None:
        prefix = f"{self.tag}/{self.param_name}" if self.tag else self.param_name
        values = {
            f"{prefix}/group_{number}": float(group[self.param_name])
            for number, group in enumerate(self.optimizer.param_groups)
        }
        logger._log(engine, event_name, values, None, train=True)
