"""How long the charts of long runs take: first chart, all of it, a key, and the memory.

    python tests/benchmarks/viewer_charts.py [STEPS ...] [--directory DIR]

Opens ``neurockt view RUN`` on a pseudo-terminal of 160x48, as a terminal would: times include the interpreter's start
and end when the last byte of a redraw has arrived. The runs, of five noisy losses, are made once and kept in DIR.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

COLUMNS, ROWS = 160, 48
QUIET_SECONDS = 0.8
"""Without output for so long, a load is over."""
KEY_QUIET_SECONDS = 0.08
"""Without output for so long, a redraw is over."""
KEYS = [
    "+",
    "+",
    "\x1b[C",
    "\x1b[D",
    "-",
    "s",
    "s",
    "Y",
    "Y",
    "S",
    "S",
    "x",
    "x",
    "x",
    "x",
    "i",
    "\x1b[D",
    "\x1b[D",
    "i",
    "0",
]


def make_run(path: Path, steps: int, metrics: int = 5) -> None:
    """A finished run of noisy, falling losses, written as sealing writes it."""
    import numpy as np
    import pyarrow as pa

    from neurockt.records import ColumnSummary, RunInfo, TableSummary
    from neurockt.store import layout, parts
    from neurockt.store.info import write_info

    noise = np.random.default_rng(0)
    names = [f"loss_{index}" for index in range(metrics)]
    schema = parts.table_schema(names)
    created = datetime(2026, 11, 1, tzinfo=timezone.utc)
    begin = int(created.timestamp() * 1e6)
    for table in layout.TABLES:
        (path / table).mkdir(parents=True)
    for number, start in enumerate(range(0, steps, parts.PART_ROWS)):
        step = np.arange(start + 1, min(start + parts.PART_ROWS, steps) + 1)
        moments = pa.array(begin + step * 10_000).cast(schema.field("time").type)
        columns = [pa.array(step), pa.array(step // 100_000 + 1), moments]
        for index in range(metrics):
            columns.append(pa.array((index + 1) * np.exp(-4 * step / steps) + noise.normal(0, 0.05, len(step))))
        with parts.open_writer(layout.part_path(path, "steps", number), schema) as writer:
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=parts.ROW_GROUP_ROWS)
    summary = TableSummary(steps, {name: ColumnSummary(steps, 0.1, steps, 0.0, 1, 1.0, 2) for name in names})
    ended = created + timedelta(hours=9)
    write_info(
        RunInfo(path, path.name, created, state="finished", ended=ended, updated=ended, heartbeat=9, steps=summary)
    )


class Terminal:
    """A program on a pseudo-terminal."""

    def __init__(self, command: list[str]) -> None:
        self.begun = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"], os.environ["COLORTERM"] = "xterm-256color", "truecolor"
            os.execvp(command[0], command)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def read(self, quiet: float, enough: Callable[[bytes], bool] = lambda data: False) -> tuple[bytes, float]:
        """What is written until it is enough, or quiet for so long; and when the last of it came."""
        data, last = b"", time.perf_counter()
        while select.select([self._fd], [], [], quiet)[0]:
            try:
                data += os.read(self._fd, 65_536)
            except OSError:
                break
            last = time.perf_counter()
            if enough(data):
                break
        return data, last

    def press(self, key: str) -> float:
        """Milliseconds from a key to the last byte of the redraw."""
        begun = time.perf_counter()
        os.write(self._fd, key.encode())
        data, last = self.read(KEY_QUIET_SECONDS)
        return (last - begun) * 1000 if data else float("nan")

    def resident(self) -> int:
        """Megabytes of the process."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20

    def cpu_seconds(self) -> float:
        """What the process has computed so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the program."""
        os.kill(self.pid, signal.SIGTERM)
        self.read(2.0)
        os.waitpid(self.pid, 0)
        os.close(self._fd)


def has_dots(data: bytes) -> bool:
    """Whether a Braille character has been drawn."""
    return any(lead in data for lead in (b"\xe2\xa0", b"\xe2\xa1", b"\xe2\xa2", b"\xe2\xa3"))


def measure(path: Path) -> str:
    """One opening of a run, as a line of the table."""
    terminal = Terminal([sys.executable, "-m", "neurockt", "view", str(path)])
    _, first = terminal.read(20.0, has_dots)
    _, whole = terminal.read(QUIET_SECONDS)
    resident = terminal.resident()
    taken = sorted(terminal.press(key) for key in KEYS * 2)
    after = terminal.resident()
    cpu, idle_from = terminal.cpu_seconds(), time.perf_counter()
    terminal.read(3.0)
    idle = (terminal.cpu_seconds() - cpu) / (time.perf_counter() - idle_from)
    terminal.close()
    p50, p95 = statistics.median(taken), taken[int(0.95 * len(taken))]
    return (
        f"| {first - terminal.begun:.2f} s | {whole - terminal.begun:.2f} s | {p50:.0f} / {p95:.0f} ms"
        f" | {resident} MB, {after} after the keys | {idle:.1%} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()) / "neurockt-benchmark")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    print("| steps x 5 | first chart | all of it | key p50 / p95 | resident | idle |")
    print("| --- | --- | --- | --- | --- | --- |")
    for steps in arguments.steps:
        path = arguments.directory / f"steps-{steps}"
        if not path.exists():
            make_run(path, steps)
        for _ in range(arguments.times):
            print(f"| {steps:,} {measure(path)}", flush=True)


if __name__ == "__main__":
    main()
