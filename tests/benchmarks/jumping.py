"""Rows whose numbers jump, as a ratio to rows that are numbered one by one.

The replay of a long journal, which every reader does; and a run of a thousand rows up to step 10^12: opened, turned
into the lines that W&B gets, and drawn.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from zlib import crc32

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios, spread

JOURNAL_ROWS, JOURNAL_COLUMNS = 64_000, 44
ROWS, LAST = 1_000, 10**12
REPEATS = 31
REPLAY_TARGET, RUN_TARGET = 3.0, 1.3


def replay(every: int) -> float:
    """Milliseconds to decode a journal."""
    from neurockt.store.journal.records import MAGIC, JournalDecoder, columns_record, pack_crc, row_struct

    pack, values = row_struct(JOURNAL_COLUMNS).pack, [0.5] * JOURNAL_COLUMNS
    data = bytearray(MAGIC + columns_record([f"column_{index}" for index in range(JOURNAL_COLUMNS)], 0))
    for index in range(JOURNAL_ROWS):
        row = pack(index * every, 1, index, *values)
        data += row + pack_crc(crc32(row))

    def decode() -> None:
        assert sum(map(len, JournalDecoder().feed(bytes(data)))) == JOURNAL_ROWS

    return median_ms(decode)


def make(directory: Path, every: int) -> Path:
    """A run of steps that are so far apart, in parts."""
    from neurockt.run_info import RunInfo
    from neurockt.store.base.run_file import now
    from neurockt.store.writing.run_writer import RunWriter

    path = directory / "run"
    writer = RunWriter(RunInfo(path, "run", now()), {"steps": ("loss",), "epochs": ()})
    for index in range(ROWS):
        writer.tables["steps"].append_at((index + 1) * every, 1, time.time_ns(), [1 / (index + 1)])
    writer.close()
    return path


def use(every: int, directory: str) -> dict[str, float]:
    """Milliseconds to open a run, to make its lines for W&B, and to draw it."""
    from neurockt import open_run
    from neurockt.sync.rows import START, RunRows
    from neurockt_viewer.charts.picture import Drawer
    from neurockt_viewer.charts.pieces import smoothed
    from neurockt_viewer.charts.series import ChartSettings
    from neurockt_viewer.charts.source import Metric, RunSeries

    path = make(Path(directory), every)

    def sync() -> None:
        run = open_run(path)
        assert sum(len(some.lines) for some in RunRows(run, run.info).after(START)) == ROWS

    def picture() -> None:
        series = RunSeries(path)
        series.read(series.metrics)
        Drawer().draw([smoothed(series.line(Metric("steps", "loss"), "step"), 0.0)], ChartSettings(), 120, 40)

    ways: dict[str, Callable[[], object]] = {"open": lambda: open_run(path).steps(), "sync": sync, "draw": picture}
    return {name: median_ms(way) for name, way in ways.items()}


def median_ms(action: Callable[[], object]) -> float:
    """Of several times; the first loads what is loaded late."""
    action()
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        action()
        taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken)


def jumping(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    pairs = [partial(fresh, replay, every=every) for every in (1, LAST // JOURNAL_ROWS)]
    yield figure(f"replay of {JOURNAL_ROWS:,} jumping rows", *alternate(effort, "replay", *pairs), REPLAY_TARGET)
    near, far = alternate(effort, "run", *(partial(fresh, use, every=every) for every in (1, LAST // ROWS)))
    for what in ("open", "sync", "draw"):
        name = f"{what} a run of {ROWS:,} rows up to step 10^12"
        yield figure(name, [round[what] for round in near], [round[what] for round in far], RUN_TARGET)


def figure(what: str, near: list[float], far: list[float], target: float) -> Figure:
    """How much longer rows that jump take."""
    ratio = ratios(far, near)
    beside = f"{spread(far).text(1)} of {spread(near).text(1)} ms"
    return Figure(f"{what}, of one by one", ratio.text(), f"<= {target}", ratio.median <= target, beside)


MEASURES = [Measure("jumping", "rows whose numbers jump, against rows numbered one by one", jumping)]
