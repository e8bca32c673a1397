"""SummaryWriter for scripts that speak TensorBoard: change the import, and the same calls record a run.

Loads neither torch nor tensorboard. Numbers are recorded; images, text and the like are left out, with a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurockt.errors import NeurocktError, UsageError
from neurockt.integrations.runs import runs_for
from neurockt.monitor import Recorder
from neurockt.store import open_run
from neurockt.store.base.layout import absolute, expanded

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["SummaryWriter"]


def _left_out(what: str) -> Callable[..., None]:
    """A method that records nothing and warns once."""

    def method(self: SummaryWriter, *args: Any, **kwargs: Any) -> None:
        self._runs.warn_once(f"SummaryWriter records numbers: {what} are left out")

    return method


class SummaryWriter:
    """Has the arguments and methods of ``torch.utils.tensorboard.SummaryWriter``, and records with a ``Recorder``.

    A call is a row of `steps` with the given step, or joins the row of that step. The names of metrics are the tags.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        filename_suffix: str = "",
        *,
        recorder: Recorder | None = None,
        **options: Any,
    ) -> None:
        """Describe the run.

        Args:
            log_dir: the run's directory: its name is the run's id, and its parent the root. What the id cannot have is
                replaced, and the run's name keeps it. Default: a new run in ``$NEUROCKT_DIR``, else ``runs``. A run
                that is there continues: what it has stays, but for an interrupted run from the first logged step on.
                Several writers in a process for one directory record one run.
            comment: without a ``log_dir``, the run's name.
            purge_step: continue the run from this step on: rows at and after it are superseded.
            max_queue, flush_secs, filename_suffix: accepted and not needed: each value is stored when the call returns.
            recorder: a ``Recorder`` or ``WandbRecorder`` to record with; default a new one, with the ``options``.
            options: what ``Recorder`` takes; ``quiet`` is True by default.

        Raises:
            UsageError: the arguments contradict each other.
        """
        if log_dir is not None:
            if given := {"root", "run_id"} & options.keys():
                raise UsageError(f"give log_dir= or {min(given)}=, not both: they mean the same")
            path = absolute(expanded(log_dir))
            run_id = _as_run_id(path.name)
            options |= {"root": path.parent, "run_id": run_id}
            if run_id != path.name:
                options.setdefault("name", path.name)
        elif comment:
            options.setdefault("name", comment.strip(" _-"))
        is_finished = log_dir is not None and _has_finished(options["root"] / options["run_id"])
        if is_finished or purge_step is not None:
            options.setdefault("resume", True)
        self._runs = runs_for(recorder, options)
        if purge_step is not None:
            self._runs.close()
            if purge_step > 0:
                self.recorder.resume(purge_step - 1)
        elif is_finished:
            self._runs.keep_all()

    @property
    def recorder(self) -> Recorder:
        """The Recorder of the run."""
        return self._runs.recorder

    @property
    def log_dir(self) -> str:
        """The run's directory, which the first row creates."""
        return str(self.recorder.run_dir)

    def get_logdir(self) -> str:
        """The run's directory, as ``log_dir``."""
        return self.log_dir

    def add_scalar(
        self,
        tag: str,
        scalar_value: Any,
        global_step: int | None = None,
        walltime: float | None = None,
        new_style: bool = False,
        double_precision: bool = False,
    ) -> None:
        """Record one number. Without a step it is the last one plus one."""
        self._log({tag: scalar_value}, global_step, walltime)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, Any],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Record several numbers, as metrics ``main_tag/tag``."""
        self._log({main_tag: tag_scalar_dict}, global_step, walltime)

    def add_tensor(self, tag: str, tensor: Any, global_step: int | None = None, walltime: float | None = None) -> None:
        """Record the elements of a vector of up to 100 elements, as metrics ``tag/0``, ``tag/1`` and so on."""
        self._log({tag: tensor}, global_step, walltime)

    def _log(self, values: Mapping[str, Any], step: int | None, walltime: float | None) -> None:
        if walltime is not None:
            self._runs.warn_once("SummaryWriter gives rows the time of their call: walltime is left out")
        self._runs.recorder.log(values, step)

    def add_hparams(
        self,
        hparam_dict: Mapping[str, Any],
        metric_dict: Mapping[str, Any],
        hparam_domain_discrete: Mapping[str, list[Any]] | None = None,
        run_name: str | None = None,
        global_step: int | None = None,
    ) -> None:
        """Add settings to the run's config, and record the numbers they led to as a row of `epochs`."""
        self.recorder.config.update(hparam_dict)
        if metric_dict:
            self.recorder.log(metric_dict, global_step, train=False)

    add_histogram = _left_out("histograms")
    add_histogram_raw = _left_out("histograms")
    add_image = _left_out("images")
    add_images = _left_out("images")
    add_image_with_boxes = _left_out("images")
    add_figure = _left_out("figures")
    add_video = _left_out("videos")
    add_audio = _left_out("sounds")
    add_text = _left_out("texts")
    add_graph = _left_out("graphs")
    add_onnx_graph = _left_out("graphs")
    add_embedding = _left_out("embeddings")
    add_pr_curve = _left_out("precision-recall curves")
    add_pr_curve_raw = _left_out("precision-recall curves")
    add_mesh = _left_out("meshes")
    add_custom_scalars = _left_out("layouts of charts")
    add_custom_scalars_multilinechart = _left_out("layouts of charts")
    add_custom_scalars_marginchart = _left_out("layouts of charts")

    def flush(self) -> None:
        """Do nothing: what a call has recorded survives the process, and is on the disk within seconds."""

    def close(self) -> None:
        """End the run, unless the Recorder was given. A call after that continues it."""
        self._runs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._runs.close(error)


def _has_finished(path: Path) -> bool:
    try:
        return open_run(path).state == "finished"
    except NeurocktError:
        return False


def _as_run_id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:128] or "run"
