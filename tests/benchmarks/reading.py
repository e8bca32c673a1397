"""Reading one series of a run into numpy, as a ratio to ``read_table`` of one file with the same rows and settings.

Each side reads in a process of its own, with its modules loaded and the file in the page cache.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.benchmarks.harness import Effort, Figure, Measure, alternate, fresh, ratios, scratch, spread
from tests.benchmarks.ways import make_loop, neurockt

STEPS = 1_000_000
SCALARS = 5
READS = 15
SERIES = "scalar_2"
TARGET = 1.5


def make(steps: int, directory: str) -> tuple[str, str]:
    """A run, and one Parquet file with its rows, written with the settings of the parts; their paths."""
    from neurockt import open_run
    from neurockt.store.tables import parts

    made = neurockt(Path(directory), SCALARS)
    make_loop(made.body, made.names, SCALARS, timed=False)(0, steps, array("q"))
    made.finish()
    rows = open_run(made.run_dir()).steps()
    file = Path(directory) / "one.parquet"
    with parts.open_writer(file, rows.schema) as writer:
        writer.write_table(rows, row_group_size=parts.row_group_rows(SCALARS))
    return str(made.run_dir()), str(file)


def read_run(path: str) -> float:
    """Milliseconds of the median read, with neurockt."""
    from neurockt import open_run

    return median_ms(lambda: open_run(path).steps(columns=[SERIES])[SERIES].to_numpy())


def read_file(path: str) -> float:
    """Milliseconds of the median read, with pyarrow."""
    import pyarrow.parquet as pq

    return median_ms(lambda: pq.read_table(path, columns=[SERIES])[SERIES].to_numpy())


def median_ms(read) -> float:
    """Of several reads; the first loads what is loaded late."""
    taken = []
    for _ in range(READS):
        begun = time.perf_counter()
        read()
        taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken)


def reading(effort: Effort) -> Iterator[Figure]:
    """The figure."""
    with scratch() as directory:
        run, file = fresh(make, steps=STEPS, directory=str(directory))
        theirs, ours = alternate(
            effort, "reading", partial(fresh, read_file, path=file), partial(fresh, read_run, path=run)
        )
    ratio = ratios(ours, theirs)
    yield Figure(
        f"one series of {STEPS:,} steps into numpy, of read_table",
        ratio.text(),
        f"<= {TARGET}",
        ratio.median <= TARGET,
        f"{spread(ours).text(1)} of {spread(theirs).text(1)} ms",
    )


MEASURES = [Measure("reading", "one series into numpy, against pyarrow", reading)]
