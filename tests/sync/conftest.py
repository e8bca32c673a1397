"""A W&B server, runs of every kind, recorders that send theirs, and syncs that lose patience soon."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import preloaded
import pytest
from wandb_server import KEY, Fault, WandbServer, wait_until
from written import Written, train

from neurockt.cli import main
from neurockt.monitor import Recorder
from neurockt.monitor.wandb import WandbRecorder
from neurockt.sync.account import find_account
from neurockt.sync.batch import Batch
from neurockt.sync.client import Client
from neurockt.sync.upload import Options, Outcome

Sync = Callable[..., list[Outcome]]
MakeRun = Callable[..., Path]
MakeWandbRecorder = Callable[..., WandbRecorder]

pytest.register_assert_rewrite("sync.recording")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[WandbServer]:
    """A server that this process's environment points to; the home directory is empty."""
    started = WandbServer()
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    for name in [name for name in os.environ if name.startswith(("WANDB_", "NEUROCKT_")) or name.endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("WANDB_BASE_URL", started.url)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.chdir(here)
    yield started
    started.stop()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the runs are."""
    return tmp_path / "runs"


@pytest.fixture
def run(root: Path) -> Iterator[Written]:
    """A live run of ten steps."""
    made = Written(root / "run", project="p")
    train(made, range(1, 11))
    yield made
    made.finish()


@pytest.fixture
def make_run(root: Path) -> Iterator[MakeRun]:
    """Makes runs of so many steps, with a validation after every so many; gives their directories."""
    made: list[Recorder] = []

    def make(
        steps: int = 100,
        every: int = 10,
        *,
        finish: bool = True,
        where: Path = root,
        resume: int | None = None,
        **about: Any,
    ) -> Path:
        resumed = True if resume is not None else None
        recorder = Recorder(where, quiet=True, resume=resumed, system_seconds=None, **about)
        made.append(recorder)
        if resume is not None:
            recorder.resume(resume)
        loss = recorder.track_scalar("train_loss")(lambda value: value)
        accuracy = recorder.metric("acc")(lambda value: value)
        numbers = random.Random(steps + (resume or 0))
        for step in range(1, steps + 1):
            with recorder(train=True):
                loss(numbers.random())
            if step % every == 0:
                with recorder(train=False):
                    accuracy(numbers.random())
        if finish:
            recorder.finish()
        return recorder.run_dir

    yield make
    for recorder in made:
        recorder.finish()


@pytest.fixture
def make_recorder(root: Path) -> Iterator[MakeWandbRecorder]:
    """Makes recorders in this process, which are finished when the test ends."""
    made: list[WandbRecorder] = []

    def make(**options: Any) -> WandbRecorder:
        made.append(WandbRecorder(root, **{"quiet": True, **options}))
        return made[-1]

    yield make
    for recorder in made:
        recorder.finish()


@pytest.fixture
def sync(root: Path, server: WandbServer) -> Iterator[Sync]:
    """Syncs the runs in this process; gives what became of each."""
    clients: list[Client] = []

    def run(*paths: Path, patience: float = 60.0, jobs: int = 1, **options: Any) -> list[Outcome]:
        client = Client(find_account(), patience=patience)
        clients.append(client)
        chosen = Options(**{"settle": 60.0, **options})
        return Batch(paths or [root], client, client.greet(), chosen, jobs=jobs).sync()

    yield run
    for client in clients:
        client.close()


@contextmanager
def held(server: WandbServer, sync: Sync, where: str = "file_stream", after: int = 0) -> Iterator[list[Outcome]]:
    """Within it, a sync waits for a request to be served; after it, its outcome is there."""
    fault = Fault("wait", where, after=after)
    server.faults = [fault]
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(1) as threads:
        syncing = threads.submit(sync, settle=2.0)
        try:
            assert fault.reached.wait(60)
            yield outcomes
        finally:
            fault.released.set()
        outcomes += syncing.result()


@contextmanager
def killed(server: WandbServer, root: Path) -> Iterator[None]:
    """Within it, a sync has been killed whose rows arrive after it."""
    server.faults = [fault := Fault("wait")]
    process = preloaded.Popen([sys.executable, "-m", "neurockt", "sync", str(root)], stdout=subprocess.DEVNULL)
    try:
        assert fault.reached.wait(60)
    finally:
        process.kill()
        process.wait()
    try:
        yield
        received = server.only_run.received
    finally:
        fault.released.set()
    wait_until(lambda: server.only_run.received > received)


class Done(NamedTuple):
    """What a command came to."""

    status: int
    out: str
    err: str


@pytest.fixture
def neurockt() -> Callable[..., Done]:
    """Runs the command in this process."""

    def run(*words: object) -> Done:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = main([str(word) for word in words])
        return Done(status, out.getvalue(), err.getvalue())

    return run
