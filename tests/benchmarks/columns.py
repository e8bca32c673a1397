"""Runs of thousands of columns, such as a gradient norm for each layer: time must be linear in the number of columns.

Everything but the viewer is timed in one process that has done the same with a few columns before, so that neither
imports nor the start of a process count. The viewer's time is what its process computes until it is idle.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios, scratch, spread
from tests.benchmarks.terminal import DOTS
from tests.benchmarks.viewer import LOADED_QUIET, view

FEW, MANY = 1_250, 5_000
ROWS = 50
TARGET = 5.0
"""Four times the columns may take this many times as long."""
WARM_UP = 10
STAGES = ("declare", "record", "read", "look up", "list", "export")


def times(columns: int, directory: str) -> dict[str, float]:
    """Seconds of each stage but the viewer."""
    stages(WARM_UP, Path(directory, "few"))
    return stages(columns, Path(directory, "many"))


def stages(columns: int, root: Path) -> dict[str, float]:
    """A run from its declaration to its export."""
    from neurockt import open_run
    from neurockt.cli import main
    from neurockt.monitor import Recorder, RecorderHelper

    recorder = Recorder(root, run_id="run", quiet=True, system_seconds=None)
    functions = {f"layer{column}/norm": partial(float, column) for column in range(columns)}
    helper = RecorderHelper(recorder)
    declared, declare = timed(lambda: list(helper.track_scalar(**functions).values()))

    def record(rows: int) -> None:
        for _ in range(rows):
            with recorder(train=True):
                for call in declared:
                    call()

    def record_and_finish() -> None:
        record(ROWS)
        recorder.finish()

    record(1)
    while not list(root.glob("run/steps/*.parquet")):  # else a run that is over sooner is sealed once instead of twice
        time.sleep(0.01)

    export = ["export", str(root / "run"), "-o", str(root / "rows.csv")]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return {
            "declare": declare,
            "record": timed(record_and_finish)[1],
            "read": timed(lambda: open_run(root / "run").steps())[1],
            "look up": timed(lambda: look_up(root / "run"))[1],
            "list": timed(lambda: main(["ls", str(root), "--columns", "id,state,layer7/norm"]))[1],
            "export": timed(lambda: main(export))[1],
        }


def look_up(path: Path) -> None:
    """What the viewer and ``show`` read: chosen columns, summaries, the outline, and cells at random."""
    from neurockt import open_run

    run = open_run(path)
    run.steps(run.steps().column_names[::-1])
    run.current_info()
    run.outline("steps")
    reader = run.rows("steps")
    reader.refresh()
    reader.read(0, reader.columns)
    reader.bounds(0, reader.columns[-1])


def timed(function: Callable[[], object]) -> tuple[object, float]:
    """What a function gives, and the seconds it takes."""
    begun = time.perf_counter()
    return function(), time.perf_counter() - begun


def view_seconds(columns: int) -> float:
    """Seconds that the viewer computes until the charts of a run are there and it is idle."""
    with scratch() as directory:
        fresh(times, columns=columns, directory=str(directory))
        with view(directory / "many" / "run") as terminal:
            terminal.until(DOTS)
            terminal.until_idle(LOADED_QUIET)
            return terminal.cpu_seconds()


def columns(effort: Effort) -> Iterator[Figure]:
    """The figures."""
    few, many = alternate(effort, "columns", *(partial(fresh, times, columns=number) for number in (FEW, MANY)))
    for stage in STAGES:
        yield figure(stage, [each[stage] for each in few], [each[stage] for each in many])
    few, many = alternate(effort, "columns, viewer", *(partial(view_seconds, number) for number in (FEW, MANY)))
    yield figure("open in the viewer", few, many)


def figure(stage: str, few: list[float], many: list[float]) -> Figure:
    """The ratio of one stage."""
    growth = ratios(many, few)
    return Figure(
        f"{stage}: {MANY:,} columns of {FEW:,}",
        growth.text(),
        f"<= {TARGET:g}",
        growth.median <= TARGET,
        f"{spread(many).text()} of {spread(few).text()} s",
    )


MEASURES = [
    Measure("columns", f"a run of {MANY:,} columns: declared, recorded, read, listed, exported, viewed", columns)
]
