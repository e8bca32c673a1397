"""Many runs to W&B, some at a time; what is wrong with one never stops the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from neurockt.catalogue import run_paths
from neurockt.errors import NeurocktError, RunNotFound
from neurockt.store.reading.run import Run, open_run
from neurockt.sync.client import Client, Unreachable
from neurockt.sync.options import Options, Outcome
from neurockt.sync.upload import Upload

TURN_ROWS: Final = 200_000
"""Rows that one run may send in a pass of ``--watch`` while others wait."""

OnRun = Callable[[Path, str, int, int], None]
"""Hears that a run, of that name, has sent so many rows of so many."""


class Batch:
    """Runs below some paths, looked at again and again."""

    def __init__(
        self,
        paths: Sequence[Path],
        client: Client,
        entity: str,
        options: Options,
        *,
        jobs: int = 1,
        on_run: OnRun = lambda path, label, done, total: None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """Nothing is read or sent yet.

        Args:
            paths: runs, and directories of runs.
            jobs: how many runs are uploaded at a time.
            on_run: hears of progress, from several threads.
            on_outcome: hears of each run when it is done with; likewise.
        """
        self._paths = list(paths)
        self._client = client
        self._entity = entity
        self._options = options
        self._jobs = jobs
        self._on_run = on_run
        self._on_outcome = on_outcome
        self._runs: dict[Path, Run] = {}  # kept, since liveness is told from what was seen before
        self._lost: Unreachable | None = None

    def find(self) -> tuple[list[Path], list[Outcome]]:
        """The runs there are now, and what is wrong with the paths that hold none."""
        found: dict[Path, None] = {}
        failed = []
        for path in self._paths:
            try:
                paths = run_paths(path)
                if not paths and path.joinpath("steps").is_dir():
                    raise RunNotFound(f"{path} has no run.json")
                found.update(dict.fromkeys(paths))
            except NeurocktError as error:
                failed.append(_failed(path, error))
        return list(found), failed

    def sync(self) -> list[Outcome]:
        """Sync each run once; gives what became of them, in their order."""
        paths, failed = self.find()
        self._lost = None
        outcomes: dict[Path, Outcome] = {}
        waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for path in paths:
            waiting.put(path)

        def work() -> None:
            with suppress(queue.Empty):
                while not self._client.stopped.is_set():
                    path = waiting.get_nowait()
                    outcomes[path] = outcome = self._sync_one(path)
                    self._on_outcome(outcome)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, min(self._jobs, len(paths))))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self._client.stopped.set()
            raise
        return [*(outcomes[path] for path in paths if path in outcomes), *failed]

    def _sync_one(self, path: Path) -> Outcome:
        name = label = path.name
        try:
            if self._lost is not None:
                raise self._lost
            run = self._runs.get(path)
            if run is None:
                run = self._runs[path] = open_run(path)

            def report(done: int, total: int) -> None:
                self._on_run(path, label, done, total)

            upload = Upload(run, self._client, self._entity, self._options, report)
            name, label = upload.info.id, upload.info.label
            outcome = upload.run()
            if outcome.status == "complete":
                self._runs.pop(path, None)
            return outcome
        except Unreachable as error:
            self._lost = error
            return _failed(path, error, name, label)
        except Exception as error:  # whatever a damaged run brings about, the others go on
            return _failed(path, error, name, label)


def _failed(path: Path, error: Exception, name: str = "", label: str = "") -> Outcome:
    told = str(error) if isinstance(error, NeurocktError) else f"{type(error).__name__}: {error}"
    return Outcome(path, name or path.name, label or path.name, "failed", reason=told)


def to_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as the command prints it."""
    return {**vars(outcome), "path": str(outcome.path)}
