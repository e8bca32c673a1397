"""A long run that is written, followed in the viewer and synced at once: none of the three programs may grow.

Memory, descriptors and threads of each are sampled all the time. Their first quarter does not count; the last quarter
is compared with the second one. An hour by default; ``--minutes 3`` shows what leaks quickly.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.benchmarks.harness import Effort, Figure, Measure, progress, scratch
from tests.benchmarks.served import served
from tests.benchmarks.terminal import DOTS, Terminal, opened

RATE = 250
"""Rows a second."""
METRICS = 5
SAMPLE_SECONDS = 1.0
WATCH_SECONDS = 5
REPORT_SECONDS = 60.0
TARGET_MEMORY = 1.1
"""How much larger memory may be in the last quarter than in the second."""
TARGET_COUNT = 2
"""How many more descriptors or threads there may be."""

WRITER = """
import sys, time
from neurockt.monitor import Recorder
from tests.benchmarks.ways import noisy_losses

rate, metrics = int(sys.argv[2]), int(sys.argv[3])
recorder = Recorder(sys.argv[1], run_id="soak", project="bench", quiet=True)
functions = [recorder.track_scalar(f"loss_{index}")(float) for index in range(metrics)]
accuracy = recorder.metric("acc")(float)
rows = noisy_losses(65_536, metrics)
begun, step = time.monotonic(), 0
while True:
    with recorder(train=True):
        for function, value in zip(functions, rows[step % len(rows)]):
            function(value)
    step += 1
    if step % (100 * rate) == 0:
        with recorder(train=False):
            accuracy(0.5)
    time.sleep(max(0.0, begun + step / rate - time.monotonic()))
"""


@dataclass
class Program:
    """One of the three, and what it held in each sample."""

    name: str
    pid: int
    memory: list[float] = field(default_factory=list)
    """Megabytes."""
    descriptors: list[float] = field(default_factory=list)
    threads: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """Look at it once."""
        process = Path(f"/proc/{self.pid}")
        pages = int((process / "statm").read_text().split()[1])
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        self.descriptors.append(len(os.listdir(process / "fd")))
        self.threads.append(len(os.listdir(process / "task")))


@contextmanager
def running(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended afterwards."""
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.terminate()


def watch(programs: list[Program], terminal: Terminal, minutes: float) -> None:
    """Sample the programs; what the viewer draws is read meanwhile, since it waits for that otherwise."""
    end = time.monotonic() + 60 * minutes
    sampled = reported = 0.0
    while (now := time.monotonic()) < end:
        terminal.text(0.1)
        if now - sampled >= SAMPLE_SECONDS:
            sampled = now
            for program in programs:
                program.sample()
        if now - reported >= REPORT_SECONDS:
            reported = now
            held = "; ".join(f"{p.name} {p.memory[-1]:.0f} MB, {p.descriptors[-1]:.0f} fds" for p in programs)
            progress(f"soak: {(end - now) / 60:.0f} minutes left; {held}")


def soak(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    with scratch() as directory, served(directory) as environment:
        environment = {**environment, "XDG_CONFIG_HOME": str(directory / "config")}
        root = directory / "runs"
        neurockt = [sys.executable, "-m", "neurockt"]
        write = [sys.executable, "-c", WRITER, str(root), str(RATE), str(METRICS)]
        sync = [*neurockt, "sync", str(root), "--running", "--watch", str(WATCH_SECONDS)]
        with running(write, environment, directory / "writer.log") as writer:
            while not (root / "soak" / "run.json").exists():
                time.sleep(0.1)
            with (
                running(sync, environment, directory / "sync.log") as syncing,
                opened([*neurockt, "view", str(root / "soak")], environment) as terminal,
            ):
                terminal.until(DOTS)
                programs = [Program("recorder", writer.pid), Program("viewer", terminal.pid)]
                programs.append(Program("sync", syncing.pid))
                watch(programs, terminal, effort.minutes)
                dead = [process.args for process in (writer, syncing) if process.poll() is not None]
                assert not dead, f"{dead} ended early: {(directory / 'sync.log').read_text()[-2000:]}"
    for program in programs:
        yield from figures(program, effort.minutes)


def figures(program: Program, minutes: float) -> Iterator[Figure]:
    """What one program held in the second quarter and in the last."""
    before, after, most = quarters(program.memory)
    yield Figure(
        f"{program.name}, {minutes:g} minutes: memory of the last quarter, of the second",
        f"{after / before:.2f}",
        f"<= {TARGET_MEMORY}",
        after / before <= TARGET_MEMORY,
        f"{after:.0f} of {before:.0f} MB, at most {most:.0f}",
    )
    for what, values in ("descriptors", program.descriptors), ("threads", program.threads):
        before, after, most = quarters(values)
        grown = after - before
        target = f"<= {TARGET_COUNT}"
        beside = f"{after:.0f} of {before:.0f}, at most {most:.0f}"
        yield Figure(f"{program.name}: {what} more", f"{grown:.0f}", target, grown <= TARGET_COUNT, beside)


def quarters(values: list[float]) -> tuple[float, float, float]:
    """The median of the second quarter and of the last, and the most since the first."""
    quarter = len(values) // 4
    return median(values[quarter : 2 * quarter]), median(values[-quarter:]), max(values[quarter:])


MEASURES = [Measure("soak", "memory, descriptors and threads while a run is written, followed and synced", soak)]
