"""NeurocktCallback: records what a Hugging Face Trainer logs, and what the trainers of TRL log, which are Trainers.

Trainer(..., callbacks=[NeurocktCallback(project="toy")])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from transformers import TrainerCallback
from transformers.integrations import integration_utils

from neurockt.integrations.runs import LEFT, runs_for
from neurockt.store.base.json_values import mapping_of

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from neurockt.monitor import Recorder

__all__ = ["NeurocktCallback"]

RUNTIME: Final = "_runtime"
"""Ends the key that every evaluation logs, after its prefix, ``eval`` by default."""


class NeurocktCallback(TrainerCallback):
    """Records each ``train()`` of a Trainer, and each trial of a hyperparameter search, as a run of its own.

    Evaluations and predictions are rows of `epochs`, everything else that is logged is in `steps`, at
    ``state.global_step`` and under the names of the Trainer's own integrations, such as ``train/loss`` and
    ``eval/loss``. The run's project is ``args.project``, its name ``args.run_name``, unless the recorder has its own.
    A training that begins from a checkpoint goes on with the run of ``run_id``, or with the present one.

    Once its module is imported, ``TrainingArguments(report_to="neurockt")`` makes one.
    """

    def __init__(self, recorder: Recorder | None = None, **options: Any) -> None:
        """Record with ``recorder``, or with ``Recorder(**options)``, which is quiet by default.

        Raises UsageError if both are given, TypeError for an option that Recorder does not have.
        """
        self._runs = runs_for(recorder, options)
        self._is_training = self._is_described = False
        self._evaluated: tuple[int, set[str]] = 0, set()  # at which step, and what: the keys of runtimes

    @property
    def recorder(self) -> Recorder:
        """Recorder of the present run. It is made when it is first needed."""
        return self._runs.recorder

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        self._claim(control)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **others: Any
    ) -> None:
        self._claim(control)
        if not self._records(state, control):
            return
        if self._runs.begins_new(0 if state.is_hyper_param_search else state.global_step):
            self._runs.begin_next(failed=RuntimeError(LEFT) if self._is_training else None)
        else:
            self._runs.continue_after(state.global_step)
        self._is_training = True
        self._describe(args, state, model)
        self._runs.expect(state.max_steps)
        self._runs.prepare()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        model: Any = None,
        **others: Any,
    ) -> None:
        if logs and self._records(state, control):
            evaluated = {key for key in map(str, logs) if key.endswith(RUNTIME) and key != "train_runtime"}
            self._log(args, state, model, logs, evaluated)

    def on_predict(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, Any] | None = None,
        model: Any = None,
        **others: Any,
    ) -> None:
        if metrics and self._records(state, control):
            self._log(args, state, model, metrics, {key for key in map(str, metrics) if key.endswith(RUNTIME)} or {""})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        if self._records(state, control):
            self._is_training = False
            self._runs.close_rows()

    def _log(
        self, args: TrainingArguments, state: TrainerState, model: Any, values: Mapping[str, Any], evaluated: set[str]
    ) -> None:
        """Log values at the present step, as an evaluation if ``evaluated`` has something."""
        if not self._is_training:
            self._runs.keep_all()
        if not self._is_described:
            self._describe(args, state, model)
        step = state.global_step
        at, earlier = self._evaluated
        if evaluated and at == step and evaluated & earlier:
            self._runs.close_rows()  # evaluated again: a row of its own
            earlier = set()
        if evaluated:
            self._evaluated = step, evaluated | (earlier if at == step else set())
            self._runs.evaluated = max(self._runs.evaluated, step)
        named = integration_utils.rewrite_logs({str(key): value for key, value in values.items()})
        self.recorder.log(named, step, train=not evaluated)

    def _records(self, state: TrainerState, control: TrainerControl) -> bool:
        """Whether this process records; the recorder decides where ranks do it together, or each on its own."""
        is_of_all = self._runs.options.get("ranks", "first") != "first" or self._runs.options.get("reduce")
        return bool(state.is_world_process_zero or is_of_all)

    def _claim(self, control: TrainerControl) -> None:
        control.neurockt_is_given = True

    def _describe(self, args: TrainingArguments, state: TrainerState, model: Any) -> None:
        """Give the run what the Trainer knows of it."""
        self._is_described = True
        options, recorder = self._runs.options, self.recorder
        if not self._runs.has_rows:
            self._runs.describe(project=getattr(args, "project", None), name=args.run_name)
            if state.is_hyper_param_search:
                self._runs.describe(group=options.get("name") or args.run_name or args.output_dir)
                self._runs.describe(name=state.trial_name or recorder.name, override=True)
        try:
            recorder.config.update(_config(args, state, model))
        except Exception as error:
            recorder._session.faults.report("cannot store the settings of the Trainer", error)
        if options.get("config") is not None:
            recorder.config.update(options["config"])


class _ByName(NeurocktCallback):
    """The callback of ``report_to="neurockt"``. It records nothing where the Trainer is given a NeurocktCallback."""

    def _claim(self, control: TrainerControl) -> None:
        pass

    def _records(self, state: TrainerState, control: TrainerControl) -> bool:
        return not getattr(control, "neurockt_is_given", False) and super()._records(state, control)


def _config(args: TrainingArguments, state: TrainerState, model: Any) -> dict[str, Any]:
    config = {**args.to_dict(), "model": _described(getattr(model, "config", None))}
    if hasattr(model, "num_parameters"):
        config["model"]["num_parameters"] = model.num_parameters()
    elif hasattr(model, "parameters"):
        config["model"]["num_parameters"] = sum(parameter.numel() for parameter in model.parameters())
    if adapters := getattr(model, "peft_config", None):
        config["peft"] = {name: _described(adapter) for name, adapter in adapters.items()}
    if state.trial_params:
        config["trial"] = state.trial_params
    return config


def _described(config: Any) -> dict[str, Any]:
    """A config of a library: None, a mapping, or an object that may give one."""
    return mapping_of(config.to_dict() if hasattr(config, "to_dict") else config)


integration_utils.INTEGRATION_TO_CALLBACK["neurockt"] = _ByName
