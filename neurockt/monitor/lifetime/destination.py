"""Which run a recorder's rows go to: a new one, one that is continued, or one rank's of a run that all ranks record."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from neurockt.errors import NeurocktError, RunInUse, UsageError
from neurockt.monitor.names import new_run_id
from neurockt.run_info import RunInfo
from neurockt.store.base.json_values import plain
from neurockt.store.base.layout import TableName, rank_path
from neurockt.store.base.run_file import read_info
from neurockt.store.owner.process import host

if TYPE_CHECKING:
    from collections.abc import Callable

    from neurockt.monitor.ranks.place import Place
    from neurockt.store.recovery.takeover import Takeover
    from neurockt.store.writing.run_writer import RunWriter


class Destination:
    """The run that one recorder writes. Nothing is written to disk before ``create``."""

    def __init__(self, root: Path, info: RunInfo, recorder: int, *, is_named: bool, resume: bool | None = None) -> None:
        """A new run, until ``find`` or ``settle_rank`` finds one to continue.

        Unless ``is_named`` the run's id may change. ``recorder`` and ``resume`` are as for ``run_to_continue``.
        Raises UsageError for a word of W&B: "never" would be true.
        """
        if resume not in (None, True, False):
            raise UsageError(f"resume={resume!r:.60} is not True, False or None")
        self.info = info
        self.takeover: Takeover | None = None
        self._root = root
        self._recorder = recorder
        self._is_named = is_named
        self._resume = resume
        self._refusal: UsageError | None = None
        self._earlier_config: Mapping[str, Any] = {}

    @property
    def run_dir(self) -> Path:
        return self._root / self.info.id

    @property
    def path(self) -> Path:
        """Where this process writes: the run, or the directory of its rank in it."""
        return self.run_dir if self.info.rank is None else rank_path(self.run_dir, self.info.rank)

    def find(self, *, writes: bool) -> Mapping[str, Any]:
        """Find the run to continue, if there is one, and give its config; raises as ``run_to_continue``.

        ``writes`` is False where this process only counts, beside the process that writes.
        """
        from neurockt.monitor.lifetime.requeue import run_to_continue

        run_id = self.info.id if self._is_named else None
        try:
            return self._continue(
                run_to_continue(self._root, run_id, self._recorder, writes=writes, resume=self._resume)
            )
        except UsageError as refusal:
            if not is_child():
                raise
            self._refusal = refusal  # a worker that imports the script again may never record
            return {}

    def check(self) -> None:
        """Raises UsageError if something is to be recorded and a run of that id cannot be continued."""
        if self._refusal is not None:
            raise self._refusal

    def settle_rank(self, place: Place) -> Mapping[str, Any]:
        """Find the run that all ranks record, each in a directory of its own, and give its config.

        Raises UsageError if the ranks cannot agree on an id or another run has it, or as ``run_to_continue``.
        """
        from neurockt.monitor.lifetime.requeue import run_to_continue
        from neurockt.monitor.ranks.place import common_run_id, is_restart

        run_id = self.info.id
        if not self._is_named:
            restarted = run_to_continue(self._root, None, self._recorder, writes=False)
            before = restarted.info if restarted is not None and restarted.info.keeps_ranks else None
            run_id = before.path.name if before is not None else common_run_id(place)
        self.info = replace(self.info, id=run_id, rank=place.rank, ranks=place.size)
        if self.path.exists() and not self._is_named and not is_restart():
            raise UsageError(f"{self.path} exists; pass another run_id, the same on every rank")
        resume = self._resume if self._is_named else True
        return self._continue(run_to_continue(self.path.parent, self.path.name, self._recorder, resume=resume))

    def _continue(self, takeover: Takeover | None) -> Mapping[str, Any]:
        if takeover is None:
            return {}
        self.takeover = takeover
        self.info = replace(self.info, total_steps=self.info.total_steps or takeover.info.total_steps)
        if self.info.rank is None:
            self.info = replace(self.info, id=takeover.info.path.name)
        self._earlier_config = takeover.info.config  # which ``create`` replaces
        return self._earlier_config

    def announcement(self, config: Mapping[str, Any]) -> str:
        """Which run is recorded; of one that is continued also after which rows, and what is new in its config."""
        shown = self.run_dir
        with suppress(OSError, ValueError):  # it is outside the working directory, or there is none
            shown = shown.relative_to(Path.cwd())
        if self.takeover is None:
            return f"recording {shown}"
        earlier, kept = self._earlier_config, self.takeover.kept
        changed = ", ".join(key for key, value in config.items() if earlier.get(key, self) != plain(value))
        after = f"after step {max(0, kept['steps']):,}, epoch {max(0, kept['epochs']):,}"
        return f"continuing {shown} {after}" + (f"; changed in its config: {changed}" if changed else "")

    def create(
        self,
        columns: Mapping[TableName, tuple[str, ...]],
        config: Mapping[str, Any],
        on_fault: Callable[[str, BaseException], None],
    ) -> RunWriter:
        """Begin to write. Where the random id exists, another one is chosen. Raises RunInUse or OSError."""
        # loads all that writing needs, only when something is written
        from neurockt.store.writing.run_writer import RunWriter

        while True:
            info = replace(self.info, path=self.path)
            try:
                return RunWriter(
                    info,
                    columns,
                    config=config,
                    recorder=self._recorder,
                    first_step=0,
                    takeover=self.takeover,
                    on_fault=on_fault,
                )
            except FileExistsError:
                if self._is_named or self.info.rank is not None:
                    hint = "begin with another run_id, or begin again to continue it once that process has ended"
                    raise RunInUse(f"another process has begun the run {info.path}; {hint}") from None
                self.info = replace(self.info, id=new_run_id(datetime.now()))
            except BaseException:
                if self.takeover is None:
                    _remove_beginning_of(info.path)
                raise


def is_child() -> bool:
    """Whether multiprocessing started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _remove_beginning_of(path: Path) -> None:
    """Remove a run directory that this process has begun, and in which there is no row."""
    with suppress(OSError, NeurocktError):
        attempt = read_info(path).attempt
        if attempt is not None and (attempt.host, attempt.pid) == (host(), os.getpid()):
            shutil.rmtree(path)
