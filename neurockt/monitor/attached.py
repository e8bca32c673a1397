"""Record beside a run from another process, such as one that evaluates its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from neurockt.errors import NeurocktError, RunInUse, UsageError
from neurockt.monitor.names import check_run_id
from neurockt.monitor.ranks.place import find_place
from neurockt.monitor.recorder import Recorder
from neurockt.store.base.layout import absolute, attached_path
from neurockt.store.base.run_file import read_info
from neurockt.store.journal.records import LARGEST_NUMBER
from neurockt.store.owner.attempts import by_whom
from neurockt.store.owner.process import is_alive

if TYPE_CHECKING:
    from typing_extensions import Self

    from neurockt.store.reading.run import Run


def attach(run: str | os.PathLike[str], name: str) -> Attached:
    """Record values beside a run from another process: while it is written, or after its end; from any machine.

        evaluation = neurockt.attach("runs/20261123-101500-brave-otter", "mmlu")
        evaluation.log({"acc": 0.71}, step=4000)

    They lie in ``attached/NAME`` in the run's directory, and are shown and uploaded with the run's own, by step. The
    next process that takes the name, such as a requeued job, goes on after the last row.

    Args:
        run: its directory, or its id or name in ``$NEUROCKT_DIR``, else ``runs``.
        name: of what is attached; letters, digits, ``.``, ``_`` and ``-``.

    Raises:
        RunNotFound: there is no such run.
        UsageError: the name cannot be one.
        RunInUse: a live process records under this name. Where that runs on another machine, the first ``log`` raises.
    """
    from neurockt.catalogue import find_run

    return Attached(find_run(os.fspath(run)), check_run_id(name, "name"))


class Attached:
    """What another process records beside a run; made by ``attach``. Nothing is on disk before the first ``log``."""

    def __init__(self, run: Run, name: str) -> None:
        self.name = name
        self.run_dir: Path = absolute(attached_path(run.path, name))
        """Its directory, laid out as that of a run."""
        self._run = run
        self._step: int | None = None
        for path in (self.run_dir, self.run_dir.parent):
            if path.is_symlink():
                raise UsageError(f"{path} is a link, which readers ignore; remove it, or attach under another name")
        if find_place().rank == 0:  # the others record nothing
            _check_free(self.run_dir)
        self._recorder = Recorder(self.run_dir.parent, run_id=name, resume=True, quiet=True, system_seconds=None)
        self._recorder.resume(LARGEST_NUMBER)  # no row that is there is superseded

    def log(self, values: Mapping[str, Any], step: int | None = None, *, train: bool = False) -> None:
        """Record values of a step, as ``Recorder.log`` does; by default as those of a validation.

        Args:
            values: numbers by name; what else they may be is as for ``Recorder.log``.
            step: the training step they belong to, in any order. Default: that of the last row; in the first row the
                last step of the run so far.
            train: True for a row of `steps`.
        """
        if step is None and not train:
            step = self._step = self._last_step() if self._step is None else self._step
        self._recorder.log(values, step, train=train)
        self._step = self._step if step is None else step

    def finish(self) -> None:
        """Store what waits, and mark it finished. The name may be attached again, and goes on then."""
        self._recorder.finish()

    def _last_step(self) -> int:
        from neurockt.store.reading.run import Run

        for run in (Run(self.run_dir), self._run):
            rows: list[list[int]] = [run.last_rows(table, 1)["step"].to_pylist() for table in ("steps", "epochs")]
            if steps := [step for each in rows for step in each]:
                return max(steps)
        return 0

    def __repr__(self) -> str:
        return f"<Attached {self.run_dir}>"

    def __enter__(self) -> Self:
        """Use ``with attach(...) as evaluation:`` to end it with the block; an exception makes it failed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._recorder.__exit__(kind, error, traceback)


def _check_free(path: Path) -> None:
    """Raises RunInUse where a live process of this machine, this one included, records there."""
    try:
        info = read_info(path)
    except NeurocktError:
        return  # there is none, or what is wrong with it is found when it is continued
    if info.state == "running" and info.attempt is not None and is_alive(info.attempt):
        hint = "attach under another name, or once that one has ended"
        raise RunInUse(f"{path} is being written{by_whom(info.attempt)}; {hint}")
