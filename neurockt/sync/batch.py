"""Many runs to W&B, some at a time; what is wrong with one never stops the others."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from neurockt.catalogue import run_paths
from neurockt.errors import NeurocktError, RunNotFound
from neurockt.store import Run, open_run
from neurockt.sync.client import Client, Unreachable
from neurockt.sync.upload import Options, Outcome, Upload

TURN_ROWS: Final = 200_000
"""Rows that one run may send in a pass of ``--watch`` while others wait."""


@dataclass
class Batch:
    """Uploads the runs below some paths. Each pass looks for them again, over the same connections."""

    paths: Sequence[Path]
    client: Client
    entity: str
    options: Options
    jobs: int = 1
    """Runs that are uploaded at a time, each in a thread that calls ``on_rows`` and ``on_outcome``."""
    on_begin: Callable[[int], None] = lambda total: None
    on_rows: Callable[[Path, str, int, int], None] = lambda path, label, done, total: None
    on_outcome: Callable[[Outcome], None] = lambda outcome: None
    _live: dict[Path, Run] = field(default_factory=dict)
    """Kept from pass to pass: liveness follows from what was seen before."""
    _unreachable: Unreachable | None = None

    def sync(self) -> list[Outcome]:
        """Sync each run once; gives the outcome of each, in the order of the paths."""
        paths, unusable = find_runs(self.paths)
        self.on_begin(len(paths))
        self._unreachable = None
        outcomes: dict[Path, Outcome] = {}
        waiting: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for path in paths:
            waiting.put(path)

        def work() -> None:
            with suppress(queue.Empty):
                while not self.client.stopped.is_set():
                    path = waiting.get_nowait()
                    outcomes[path] = outcome = self._sync_one(path)
                    self.on_outcome(outcome)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(max(1, min(self.jobs, len(paths))))]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            self.client.stopped.set()
            raise
        self._live = {path: run for path, run in self._live.items() if path in outcomes}
        return [*(outcomes[path] for path in paths if path in outcomes), *unusable]

    def _sync_one(self, path: Path) -> Outcome:
        name = label = path.name
        try:
            if self._unreachable is not None:
                raise self._unreachable
            run = self._live.get(path) or open_run(path)
            upload = Upload(run, self.client, self.entity, self.options, lambda *rows: self.on_rows(path, label, *rows))
            name, label = upload.info.id, upload.info.label
            if upload.is_live:
                self._live[path] = run
            outcome = upload.run()
            if outcome.status == "complete":
                self._live.pop(path, None)
            return outcome
        except Unreachable as error:
            self._unreachable = error
            return failed(path, error, name, label)
        except Exception as error:  # whatever a damaged run causes, the others go on
            return failed(path, error, name, label)


def find_runs(paths: Sequence[Path]) -> tuple[list[Path], list[Outcome]]:
    """The runs below some paths, and the outcome of each path that cannot be used."""
    found: dict[Path, None] = {}
    unusable = []
    for path in paths:
        try:
            runs = run_paths(path)
            if not runs and path.joinpath("steps").is_dir():
                raise RunNotFound(f"{path} has no run.json")
            found.update(dict.fromkeys(runs))
        except (NeurocktError, OSError) as error:
            unusable.append(failed(path, error))
    return list(found), unusable


def failed(path: Path, error: Exception, name: str = "", label: str = "") -> Outcome:
    reason = str(error) if isinstance(error, (NeurocktError, OSError)) else f"{type(error).__name__}: {error}"
    return Outcome(path, name or path.name, label or path.name, "failed", reason=reason)
