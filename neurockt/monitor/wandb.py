"""WandbRecorder: a Recorder whose run goes to Weights & Biases while it is recorded.

Takes what ``wandb.init`` takes, and W&B's environment variables. Neither this module nor the training process loads
the W&B SDK: a process beside it reads the run directory and sends what is new, as ``neurockt sync`` does.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from neurockt.errors import MissingExtra, NeurocktWarning
from neurockt.monitor.lifetime.faults import Faults, print_to_stderr
from neurockt.monitor.recorder import Recorder, options_of
from neurockt.monitor.upload.process import Uploader
from neurockt.monitor.upload.wandb_arguments import DISABLED, ONLINE, Wanted

if TYPE_CHECKING:
    from neurockt.monitor.lifetime.ending import Ending
    from neurockt.store.writing.run_writer import RunWriter

__all__ = ["WandbRecorder"]

FINISH_SECONDS: Final = 120.0
"""How long ``finish()`` waits for W&B unless ``wandb.Settings(finish_timeout=...)`` says otherwise."""


class WandbRecorder(Recorder):
    """A ``Recorder`` that also shows its run in Weights & Biases, live.

    Where W&B cannot be reached or does not take the rows, training goes on: there is one warning, the run directory has
    everything, and ``neurockt sync`` later sends what W&B lacks.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        project: str | None = None,
        entity: str | None = None,
        name: str | None = None,
        id: str | None = None,
        tags: Iterable[str] | None = None,
        notes: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        config: Any = None,
        config_include_keys: Iterable[str] | None = None,
        config_exclude_keys: Iterable[str] | None = None,
        mode: str | None = None,
        dir: str | os.PathLike[str] | None = None,
        resume: bool | str | None = None,
        settings: Any = None,
        run_id: str | None = None,
        quiet: bool = False,
        **others: Any,
    ) -> None:
        """Describe the run to come.

        Args:
            root: directory of runs, as for ``Recorder``. So are ``project``, ``name``, ``tags``, ``notes``, ``group``,
                ``config``, ``run_id`` and ``quiet``: they are recorded and sent to W&B.
            entity: W&B user or team.
            id: the run's id in W&B; default the name of its directory. With ``resume``, also the name of its directory.
            job_type: W&B's second grouping.
            config: also the path of a YAML file, as W&B reads it.
            config_include_keys: these keys of the config and no others.
            config_exclude_keys: all keys of the config but these.
            mode: ``online``; ``offline``, which records for ``neurockt sync``; or ``disabled``, which only records.
            dir: where W&B would make its directory ``wandb``: runs are kept in ``runs`` there, unless ``root`` is
                given. ``$WANDB_DIR`` means the same, unless ``$NEUROCKT_DIR`` is set.
            resume: continue the run of that ``id``.
            settings: a ``wandb.Settings`` or a dict; what it says of server, key and the arguments above is used.
            others: the other arguments of ``Recorder`` and ``wandb.init``. A warning names those of W&B that ask for
                something that is not done here.

        Raises:
            UsageError: an argument cannot be understood.
            MissingExtra: the package requests is not installed.
        """
        self._options = options_of(locals())
        wanted = Wanted.find(
            settings,
            mode=mode,
            dir=dir,
            entity=entity,
            project=project,
            name=name,
            id=id,
            tags=tags,
            notes=notes,
            group=group,
            job_type=job_type,
            resume=resume,
        )
        ignored = wanted.take_ignored(others)
        super().__init__(
            wanted.root if root is None else root,
            project=wanted.project,
            name=wanted.name,
            run_id=run_id or wanted.directory,
            resume=wanted.resume if run_id or wanted.directory else None,
            config=wanted.chosen(config, config_include_keys, config_exclude_keys),
            tags=wanted.tags,
            notes=wanted.notes,
            group=wanted.group,
            quiet=quiet,
            **others,
        )
        self._upload = upload = _Upload(wanted, quiet=quiet, faults=self._session.faults)
        self._session.on_created, self._session.on_finished = upload.begin, upload.finish
        if ignored:
            warnings.warn(f"WandbRecorder does nothing about {', '.join(ignored)}", NeurocktWarning, stacklevel=2)
        if wanted.mode == ONLINE and find_spec("requests") is None:
            raise MissingExtra(
                "sending a run to W&B needs the package requests: pip install 'neurockt[wandb]'; mode='offline' "
                "records without it for 'neurockt sync'"
            )

    @property
    def url(self) -> str | None:
        """Where W&B shows the run; None until it does."""
        return self._uploader.url if self._uploader else None

    @property
    def _uploader(self) -> Uploader | None:
        return self._upload.uploader


class _Upload:
    """What is done for W&B when a run begins and ends. It does not refer to the recorder, which may go before."""

    def __init__(self, wanted: Wanted, *, quiet: bool, faults: Faults) -> None:
        self.uploader: Uploader | None = None
        self._wanted = wanted
        self._note: Callable[[str], None] = (lambda text: None) if quiet else print_to_stderr
        self._faults = faults

    def begin(self, writer: RunWriter) -> None:
        info = writer.info
        if info.rank in (None, 0):  # the whole of a run whose ranks keep their own rows is one run in W&B
            run_dir = info.path if info.rank is None else info.path.parent
            if self._wanted.mode != DISABLED:
                self._wanted.write_wishes(run_dir, info)
            if self._wanted.mode == ONLINE:
                self.uploader = Uploader(run_dir, self._wanted.environment, self._faults)

    def finish(self, ending: Ending | None) -> None:
        if self.uploader is not None:
            # a job that is being stopped has no time to wait; the process goes on as long as it is let
            is_stopped = ending is not None and ending.state == "preempted"
            seconds = 0.0 if is_stopped else self._wanted.finish_seconds or FINISH_SECONDS
            self.uploader.finish(seconds, self._note)
